/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-template.h: what an instance gets from its template, and its secrets */
#pragma once

#include "vt-instance.h"

/**
 * VtInstanceDocuments: what does not stand in the domain's XML
 * @config: (nullable): the template's config document; needed if the instance names a template
 * @defaults: (nullable): YAML: values of the pool for parameters of whichever template has them
 * @secrets: (nullable): YAML: the domain's secrets, strings by their keys
 */
typedef struct {
    GBytes *config;
    GBytes *defaults;
    GBytes *secrets;
} VtInstanceDocuments;

/** vt_instance_asks: Whether @instance is not complete without documents */
bool vt_instance_asks(const VtInstance *instance);

/**
 * vt_instance_complete:
 * @instance: of vt_instance_parse(); not used again when this fails
 * @error: %VT_ERROR_INVALID: a parameter that is unknown, missing, or has a value that its
 *   declaration does not allow: the message lists what there is; a secret that stands in the XML,
 *   or that is missing, not wanted, or not what it should be: the message names its key
 *
 * Fills in `template_config`, what refers to secrets, and `answer`. A secret counts as a value of
 * the instance for the parameter of that name.
 */
bool vt_instance_complete(VtInstance *instance, const VtInstanceDocuments *documents,
                          GError **error);
