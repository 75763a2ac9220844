/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-template.h: what an instance gets from its template */
#pragma once

#include "vt-instance.h"

/**
 * vt_instance_set_template:
 * @instance: names a template
 * @config: the template's config document
 * @defaults: (nullable): YAML: values of the pool for parameters of whichever template has them
 * @error: %VT_ERROR_INVALID: a parameter that is unknown, missing, or has a value that its
 *   declaration does not allow; the message lists what there is
 *
 * Fills in `template_config`.
 */
bool vt_instance_set_template(VtInstance *instance, GBytes *config, GBytes *defaults,
                              GError **error);
