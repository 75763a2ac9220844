/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-profile.h: what a template says about guests made from it */
#pragma once

#include "vt-parameter.h"

/* Bytes of a cloud-config with its values; a seed has no room for more. 250,000 placeholders of a
 * value of 256 KiB fit into a template's config */
#define VT_PROFILE_EXPANDED_MAX (16u << 20)

/**
 * VtProfile: members of the template's config document, all of them optional:
 *
 *     {"parameters": [{"name": "admin", "type": "string", "required": true}],
 *      "user-data": {"users": [{"name": "${admin}"}]},
 *      "hardware": {"memory": 2048}}
 *
 * @parameters: (element-type VtParameter)
 * @user_data: (nullable): a cloud-config with placeholders
 * @hardware: (nullable): an object
 */
typedef struct {
    GPtrArray *parameters;
    json_t *user_data;
    json_t *hardware;
} VtProfile;
void vt_profile_free(VtProfile *profile);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtProfile, vt_profile_free)

/**
 * vt_profile_parse:
 * @root: a template's config document; its other members are not looked at
 * @error: %VT_ERROR_INVALID: a malformed declaration, a parameter declared twice, a placeholder of
 *   a parameter that is not declared
 */
bool vt_profile_parse(const VtJson *root, VtProfile **ret_profile, GError **error);

/** vt_profile_find: Returns: (nullable) (transfer none): the parameter @name */
const VtParameter *vt_profile_find(const VtProfile *profile, const char *name);

/** vt_profile_is_empty: Returns: whether seeds are the same without it */
bool vt_profile_is_empty(const VtProfile *profile);

/**
 * vt_profile_check:
 * @given: as for vt_profile_values(); others may still be given elsewhere
 */
bool vt_profile_check(const VtProfile *profile, GHashTable *given, GError **error);

/**
 * vt_profile_check_open:
 * @given: (nullable): as for vt_profile_values(): what stands where everybody can read it
 * @error: %VT_ERROR_INVALID: the value of a parameter of the type secret
 */
bool vt_profile_check_open(const VtProfile *profile, GHashTable *given, GError **error);

/**
 * vt_profile_values:
 * @defaults: (nullable): an object: values of the pool for whichever template declares them
 * @given: (nullable) (element-type utf8 GPtrArray): of the instance: the texts for each name, each
 *   array ends with %NULL
 * @ret_values: (out) (transfer full): an object: checked values; the instance's count before the
 *   pool's, and those before the template's own. A parameter without any is not in it
 * @error: %VT_ERROR_INVALID: a value that the declaration does not allow, an unknown or a missing
 *   parameter; the message lists those that exist
 */
bool vt_profile_values(const VtProfile *profile, const json_t *defaults, GHashTable *given,
                       json_t **ret_values, GError **error);

/**
 * vt_profile_expand:
 * @values: of vt_profile_values()
 *
 * Puts values in the places of `${name}` in strings that are values. A string that is nothing but a
 * placeholder becomes the value with its type; in a list, a list becomes its items; without a value
 * the member or item goes. Elsewhere the value becomes part of the string. `$${` is `${`.
 *
 * @ret_config: (out) (transfer full): the template's cloud-config, an empty one if it has none
 * @error: %VT_ERROR_TOO_LARGE
 */
bool vt_profile_expand(const VtProfile *profile, const json_t *values, json_t **ret_config,
                       GError **error);

/** vt_profile_describe: Returns: (transfer full): "port (integer, default 80), name (string,
 *  required)", or "none" */
char *vt_profile_describe(const VtProfile *profile);
