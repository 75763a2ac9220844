/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-policy.c: the containers-policy.json(5) language: text to rules
 *
 * {"default":[{"type":"reject"}],
 *  "transports":{
 *    "docker":{"r.example/golden":[{"type":"sigstoreSigned","keyPath":"/etc/golden.pub"}]},
 *    "oci":{"/srv/golden":[{"type":"sigstoreSigned","keyPath":"/etc/golden.pub"}]}}}
 *
 * What is not known is never skipped: a rule that is read in part protects less than its writer
 * believes.
 */
#include "vt-policy.h"

#include "vt-base64.h"
#include "vt-identity.h"
#include "vt-json.h"
#include "vt-scope.h"

#include <string.h>

struct VtPolicy {
    GPtrArray *fallback;
    /* scope to requirements, for each VtTransport */
    GHashTable *scopes[VT_TRANSPORT_DOCKER + 1];
};

void
vt_policy_free(VtPolicy *policy)
{
    if (!policy)
        return;
    g_clear_pointer(&policy->fallback, g_ptr_array_unref);
    for (size_t i = 0; i < G_N_ELEMENTS(policy->scopes); i++)
        g_hash_table_unref(policy->scopes[i]);
    g_free(policy);
}

static void
requirement_free(VtRequirement *requirement)
{
    g_strfreev(requirement->key_paths);
    g_clear_pointer(&requirement->key_datas, g_ptr_array_unref);
    g_free(requirement->identity_value);
    g_free(requirement->identity_signed);
    g_free(requirement->where);
    g_free(requirement);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtRequirement, requirement_free)

static VtPolicy *
policy_new(void)
{
    VtPolicy *policy = g_new0(VtPolicy, 1);

    for (size_t i = 0; i < G_N_ELEMENTS(policy->scopes); i++)
        policy->scopes[i] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                  (GDestroyNotify)g_ptr_array_unref);
    return policy;
}

/* ---- keys ---- */

static bool
add_path(const VtJson *at, const char *text, VtRequirement *requirement, GError **error)
{
    guint count = requirement->key_paths ? g_strv_length(requirement->key_paths) : 0;

    if (!g_path_is_absolute(text))
        return vt_json_throw(at, error, "is not an absolute path");
    requirement->key_paths = g_renew(char *, requirement->key_paths, count + 2);
    requirement->key_paths[count] = g_strdup(text);
    requirement->key_paths[count + 1] = NULL;
    return true;
}

static bool
add_data(const VtJson *at, const char *text, VtRequirement *requirement, GError **error)
{
    g_autoptr(GError) why = NULL;
    GBytes *bytes = NULL;

    if (!vt_base64_decode(text, "the key", &bytes, &why))
        return vt_json_throw(at, error, "%s; it must be the base64 of a PEM file", why->message);
    if (!requirement->key_datas)
        requirement->key_datas = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_ptr_array_add(requirement->key_datas, bytes);
    return true;
}

static const struct KeySource {
    const char *field;
    bool is_array;
    bool (*add)(const VtJson *at, const char *text, VtRequirement *requirement, GError **error);
} key_sources[] = {
    {"keyPath", false, add_path},
    {"keyPaths", true, add_path},
    {"keyData", false, add_data},
    {"keyDatas", true, add_data},
};

static bool
add_keys(const VtJson *at, const struct KeySource *source, VtRequirement *requirement,
         GError **error)
{
    VtJson keys;
    const char *text = NULL;

    if (!source->is_array) {
        keys = vt_json_member(at, source->field);
        return vt_json_is_string(&keys, &text, error) &&
               source->add(&keys, text, requirement, error);
    }
    if (!vt_json_array(at, source->field, &keys, error))
        return false;
    if (json_array_size(keys.value) == 0)
        return vt_json_throw(&keys, error, "is empty; name at least one key");
    for (size_t i = 0; i < json_array_size(keys.value); i++) {
        VtJson key = vt_json_element(&keys, i);

        if (!vt_json_is_string(&key, &text, error) || !source->add(&key, text, requirement, error))
            return false;
    }
    return true;
}

static bool
parse_keys(const VtJson *at, VtRequirement *requirement, GError **error)
{
    const struct KeySource *found = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(key_sources); i++) {
        if (!json_object_get(at->value, key_sources[i].field))
            continue;
        if (found)
            return vt_json_throw(at, error, "both \"%s\" and \"%s\"; exactly one is allowed",
                                 found->field, key_sources[i].field);
        found = &key_sources[i];
    }
    if (!found)
        return vt_json_throw(at, error,
                             "no key; exactly one of keyPath, keyPaths, keyData, keyDatas is "
                             "needed");
    return add_keys(at, found, requirement, error);
}

/* ---- signedIdentity ---- */

static const struct IdentityType {
    const char *name;
    VtIdentityMatch match;
    const char *value_field, *signed_field;
    bool (*check)(const char *text);
    const char *form;
} identity_types[] = {
    {"matchRepoDigestOrExact", VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, NULL, NULL},
    {"matchExact", VT_IDENTITY_EXACT, NULL, NULL, NULL, NULL},
    {"matchRepository", VT_IDENTITY_REPOSITORY, NULL, NULL, NULL, NULL},
    {"matchDigestOnly", VT_IDENTITY_DIGEST_ONLY, NULL, NULL, NULL, NULL},
    {"exactReference", VT_IDENTITY_EXACT_REFERENCE, "dockerReference", NULL,
     vt_identity_is_reference, "host[:port]/repository:tag"},
    {"exactRepository", VT_IDENTITY_EXACT_REPOSITORY, "dockerRepository", NULL,
     vt_identity_is_repository, "host[:port]/repository"},
    {"remapIdentity", VT_IDENTITY_REMAP, "prefix", "signedPrefix", vt_identity_is_prefix,
     "host[:port][/namespace]"},
};

static bool
identity_field(const VtJson *at, const struct IdentityType *type, const char *field, char **ret,
               GError **error)
{
    VtJson member = vt_json_member(at, field);
    const char *text = NULL;

    if (!vt_json_is_string(&member, &text, error))
        return false;
    if (!type->check(text))
        return vt_json_throw(&member, error, "is not of the form %s", type->form);
    *ret = g_strdup(text);
    return true;
}

static bool
parse_identity_type(const VtJson *at, const struct IdentityType *type, VtRequirement *requirement,
                    GError **error)
{
    const char *const fields[] = {"type", type->value_field, type->signed_field, NULL};

    if (!vt_json_exact_fields(at, fields, error))
        return false;
    requirement->identity = type->match;
    return (!type->value_field ||
            identity_field(at, type, type->value_field, &requirement->identity_value, error)) &&
           (!type->signed_field ||
            identity_field(at, type, type->signed_field, &requirement->identity_signed, error));
}

static bool
parse_identity(const VtJson *requirement_at, VtRequirement *requirement, GError **error)
{
    const char *name = NULL;
    g_autofree char *shown = NULL;
    VtJson at;

    requirement->identity = VT_IDENTITY_REPO_DIGEST_OR_EXACT;
    if (!json_object_get(requirement_at->value, "signedIdentity"))
        return true;
    if (!vt_json_object(requirement_at, "signedIdentity", &at, error) ||
        !vt_json_string(&at, "type", &name, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(identity_types); i++) {
        if (strcmp(identity_types[i].name, name) == 0)
            return parse_identity_type(&at, &identity_types[i], requirement, error);
    }
    shown = vt_json_shown(name);
    return vt_json_throw(&at, error, "unknown type \"%s\"", shown);
}

/* ---- requirements ---- */

static bool
not_implemented(const VtJson *at, const char *name, GError **error)
{
    return vt_json_throw(at, error,
                         "\"%s\" is not implemented by this version of virt-template; use "
                         "sigstoreSigned with keyPath, keyPaths, keyData or keyDatas",
                         name);
}

static bool
parse_sigstore(const VtJson *at, VtRequirement *requirement, GError **error)
{
    static const char *const fields[] = {"type",     "keyPath",        "keyPaths", "keyData",
                                         "keyDatas", "signedIdentity", NULL};
    static const char *const missing[] = {"fulcio",
                                          "pki",
                                          "rekorPublicKeyPath",
                                          "rekorPublicKeyPaths",
                                          "rekorPublicKeyData",
                                          "rekorPublicKeyDatas",
                                          NULL};

    for (size_t i = 0; missing[i]; i++) {
        if (json_object_get(at->value, missing[i]))
            return not_implemented(at, missing[i], error);
    }
    return vt_json_exact_fields(at, fields, error) && parse_keys(at, requirement, error) &&
           parse_identity(at, requirement, error);
}

static bool
parse_bare(const VtJson *at, VtRequirement *requirement, GError **error)
{
    static const char *const fields[] = {"type", NULL};

    return vt_json_exact_fields(at, fields, error);
}

static bool
parse_signed_by(const VtJson *at, VtRequirement *requirement, GError **error)
{
    return not_implemented(at, "signedBy", error);
}

static const struct {
    const char *name;
    VtRequirementType type;
    bool (*parse)(const VtJson *at, VtRequirement *requirement, GError **error);
} requirement_types[] = {
    {"reject", VT_REQUIREMENT_REJECT, parse_bare},
    {"insecureAcceptAnything", VT_REQUIREMENT_ACCEPT_ANYTHING, parse_bare},
    {"sigstoreSigned", VT_REQUIREMENT_SIGSTORE_SIGNED, parse_sigstore},
    {"signedBy", VT_REQUIREMENT_REJECT, parse_signed_by},
};

static bool
parse_requirement(const VtJson *at, const char *file_name, VtRequirement **ret, GError **error)
{
    g_autoptr(VtRequirement) requirement = g_new0(VtRequirement, 1);
    g_autofree char *path = vt_json_path(at), *shown = NULL;
    const char *name = NULL;

    if (!vt_json_is_object(at, error) || !vt_json_string(at, "type", &name, error))
        return false;
    requirement->where = g_strdup_printf("%s: %s", file_name, path);
    for (size_t i = 0; i < G_N_ELEMENTS(requirement_types); i++) {
        if (strcmp(requirement_types[i].name, name) != 0)
            continue;
        requirement->type = requirement_types[i].type;
        if (!requirement_types[i].parse(at, requirement, error))
            return false;
        *ret = g_steal_pointer(&requirement);
        return true;
    }
    shown = vt_json_shown(name);
    return vt_json_throw(at, error, "unknown type \"%s\"", shown);
}

/* [{"type":"..."}, ...], never empty; all must be satisfied */
static bool
parse_requirements(const VtJson *object, const char *field, const char *file_name, GPtrArray **ret,
                   GError **error)
{
    g_autoptr(GPtrArray) requirements =
        g_ptr_array_new_with_free_func((GDestroyNotify)requirement_free);
    VtJson array;

    if (!vt_json_array(object, field, &array, error))
        return false;
    if (json_array_size(array.value) == 0)
        return vt_json_throw(&array, error,
                             "is empty; write [{\"type\":\"reject\"}] to refuse everything");
    for (size_t i = 0; i < json_array_size(array.value); i++) {
        VtJson at = vt_json_element(&array, i);
        VtRequirement *requirement = NULL;

        if (!parse_requirement(&at, file_name, &requirement, error))
            return false;
        g_ptr_array_add(requirements, requirement);
    }
    *ret = g_steal_pointer(&requirements);
    return true;
}

/* ---- transports ---- */

/* @table: (nullable): %NULL for a transport that we never use: its scopes have other grammars */
static bool
parse_transport(const VtJson *at, const char *file_name, VtTransport transport, GHashTable *table,
                GError **error)
{
    const char *scope;
    json_t *value;

    json_object_foreach(at->value, scope, value)
    {
        const char *problem = table ? vt_scope_problem(transport, scope) : NULL;
        GPtrArray *requirements = NULL;
        VtJson member = vt_json_member(at, scope);

        if (problem)
            return vt_json_throw(&member, error, "this scope can never match: %s", problem);
        if (!parse_requirements(at, scope, file_name, &requirements, error))
            return false;
        if (table)
            g_hash_table_replace(table, g_strdup(scope), requirements);
        else
            g_ptr_array_unref(requirements);
    }
    return true;
}

static bool
parse_transports(const VtJson *root, const char *file_name, VtPolicy *policy, GError **error)
{
    /* containers-transports(5) */
    static const char *const others[] = {"atomic",        "containers-storage",
                                         "dir",           "docker-archive",
                                         "docker-daemon", "oci-archive",
                                         "ostree",        "sif",
                                         "tarball",       NULL};
    const char *name;
    json_t *value;
    VtJson transports;

    if (!json_object_get(root->value, "transports"))
        return true;
    if (!vt_json_object(root, "transports", &transports, error))
        return false;
    json_object_foreach(transports.value, name, value)
    {
        bool docker = strcmp(name, "docker") == 0, oci = strcmp(name, "oci") == 0;
        VtTransport transport = docker ? VT_TRANSPORT_DOCKER : VT_TRANSPORT_OCI;
        VtJson at;

        if (!vt_json_object(&transports, name, &at, error))
            return false;
        if (!docker && !oci && !g_strv_contains(others, name))
            return vt_json_throw(&at, error, "unknown transport; stores are \"docker\" or \"oci\"");
        if (!parse_transport(&at, file_name, transport,
                             docker || oci ? policy->scopes[transport] : NULL, error))
            return false;
    }
    return true;
}

static bool
parse_policy(GBytes *bytes, const char *file_name, VtPolicy *policy, GError **error)
{
    static const char *const fields[] = {"default", "transports", NULL};
    json_auto_t *document = NULL;
    VtJson root;

    if (!vt_json_parse(bytes, file_name, VT_POLICY_MAX, &document, error))
        return false;
    root = vt_json_root(document, file_name);
    return vt_json_exact_fields(&root, fields, error) &&
           parse_requirements(&root, "default", file_name, &policy->fallback, error) &&
           parse_transports(&root, file_name, policy, error);
}

bool
vt_policy_parse(GBytes *bytes, const char *file_name, VtPolicy **ret_policy, GError **error)
{
    g_autoptr(VtPolicy) policy = policy_new();
    g_autoptr(GError) why = NULL;

    if (!parse_policy(bytes, file_name, policy, &why))
        return vt_throw(error, VT_ERROR_POLICY,
                        "%s; the trust policy is used whole or not at all, so everything is "
                        "rejected until it is corrected (virt-template-policy(5))",
                        why->message);
    *ret_policy = g_steal_pointer(&policy);
    return true;
}

const GPtrArray *
vt_policy_lookup(const VtPolicy *policy, VtTransport transport, const char *scope, const char *tag)
{
    g_auto(GStrv) candidates = vt_scope_candidates(transport, scope, tag);

    for (size_t i = 0; candidates[i]; i++) {
        const GPtrArray *requirements =
            g_hash_table_lookup(policy->scopes[transport], candidates[i]);

        if (requirements)
            return requirements;
    }
    return policy->fallback;
}
