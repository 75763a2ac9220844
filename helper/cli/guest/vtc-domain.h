/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-domain.h: the XML of a domain over a clone, with its instance in the metadata */
#pragma once

#include "vt-hardware.h"
#include "vt-profile.h"

/**
 * VtcDomain:
 * @virt_type: `kvm` or `qemu`
 * @template_name: (nullable): %NULL: the template is not known
 * @profile: (nullable): what the template takes; %NULL: not known
 * @disk: path of the clone, qcow2
 * @seed: (nullable): path of the seed; %NULL: no instance
 * @datasource: (nullable): of the seed; %NULL: `nocloud`
 * @removable: whether the seed is a CD-ROM, whatever the bus of the disk is
 * @settings: (nullable) (array zero-terminated=1): `key=value`, see vtc_domain_keys(), or a
 *   parameter of the template
 * @user_data: (nullable): complete user-data; with the datasource `unattend` a complete answer file
 * @application: (nullable): see VtcMember, as @instance and @pool
 */
typedef struct {
    const char *name;
    const char *virt_type;
    const VtHardware *hardware;
    const char *template_name;
    const char *template_version;
    const VtProfile *profile;
    const char *disk;
    const char *seed;
    const char *datasource;
    bool removable;
    char **settings;
    const char *user_data;
    const char *application;
    const char *instance;
    const char *pool;
} VtcDomain;

/** vtc_domain_keys: Returns: (transfer full): what a setting may be, one a line */
char *vtc_domain_keys(void);

/** vtc_domain_is_for_windows: Returns: whether the seed is an answer file */
bool vtc_domain_is_for_windows(const VtcDomain *domain);

/** vtc_domain_secrets: Returns: (transfer full) (element-type utf8): keys of the secrets that the
 *  settings refer to */
GPtrArray *vtc_domain_secrets(const VtcDomain *domain);

/**
 * vtc_domain_format:
 * @ret_xml: (out) (transfer full): values are text nodes and attributes of a tree: none can break
 *   out of its place
 * @error: %VT_ERROR_INVALID: an unknown key, a file that cannot be read, a secret
 */
bool vtc_domain_format(const VtcDomain *domain, char **ret_xml, GError **error);
