/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-secret.c: places of an <instance> that a secret goes to */
#include "vt-instance-secret.h"

#include "vt-instance-xml.h"
#include "vt-secrets.h"

/*
 * The XML is read before it is known whose domain it is, and so before its secrets can be had:
 *
 *     <user name='anna' password-hash-secret='anna'/>   ->   a user without a hash, and a reference
 *     "anna": "$6$..."                                  ->   the hash, in the place it refers to
 */

struct VtSecretReference {
    char *key;
    char *where; /* of messages; the element is gone by then */
    const VtSecretUse *use;
    gpointer target;
};

void
vt_secret_reference_free(gpointer data)
{
    VtSecretReference *reference = data;

    g_free(reference->key);
    g_free(reference->where);
    g_free(reference);
}

static bool
matches(const char *pattern, const char *text)
{
    return g_regex_match_simple(pattern, text, G_REGEX_DOLLAR_ENDONLY, 0);
}

bool
vt_secret_fill(const xmlNode *node, const VtSecretUse *use, gpointer target, const char *value,
               GError **error)
{
    if (!matches(use->pattern, value))
        return vt_xml_throw(node, error, "%sis not %s", use->name, use->expected);
    use->fill(target, value);
    return true;
}

bool
vt_secret_refer(VtInstance *instance, const xmlNode *node, const char *key, const VtSecretUse *use,
                gpointer target, GError **error)
{
    VtSecretReference *reference;

    /* Not shown: it may be the secret itself */
    if (!matches(VT_SECRET_KEY_PATTERN, key))
        return vt_xml_throw(node, error,
                            "does not name a secret by its key (small letters, digits, '-' and "
                            "'_', with a letter in front)");
    reference = g_new(VtSecretReference, 1);
    *reference = (VtSecretReference){g_strdup(key), vt_xml_where(node), use, target};
    g_ptr_array_add(instance->secrets, reference);
    return true;
}

bool
vt_secrets_refers(const VtInstance *instance, const char *key)
{
    for (guint i = 0; i < instance->secrets->len; i++) {
        const VtSecretReference *reference = instance->secrets->pdata[i];

        if (g_str_equal(reference->key, key))
            return true;
    }
    return false;
}

static bool
resolve(const VtInstance *instance, const VtSecretReference *reference, const json_t *secrets,
        GError **error)
{
    const char *value = json_string_value(json_object_get(secrets, reference->key));

    if (!value)
        return vt_throw(error, VT_ERROR_INVALID,
                        "%s: the domain has no secret '%s': " VT_SECRETS_ADVICE " %s %s",
                        reference->where, reference->key, instance->seed_path, instance->uuid);
    if (!matches(reference->use->pattern, value))
        return vt_throw(error, VT_ERROR_INVALID, "%s: the secret '%s' is not %s", reference->where,
                        reference->key, reference->use->expected);
    reference->use->fill(reference->target, value);
    return true;
}

bool
vt_secrets_resolve(VtInstance *instance, const json_t *secrets, GError **error)
{
    for (guint i = 0; i < instance->secrets->len; i++) {
        if (!resolve(instance, instance->secrets->pdata[i], secrets, error))
            return false;
    }
    return true;
}
