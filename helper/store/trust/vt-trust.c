/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-trust.c: the trust decision: may this manifest be used?
 *
 * Theory of operation. The policy gives a list of requirements, all of which must be met. Every
 * key of every one of them is loaded before any signature is looked at, so that a key that cannot
 * be read is noticed before the day it is needed. Then each signature of the store is tried against
 * each requirement not met yet: first its bytes against the keys, and only what a key has signed
 * is parsed, from the same buffer: it must be about this digest and, unless the policy or the
 * catalog says otherwise, carry this name. Everything that fails leaves a reason behind. The simple
 * form is read first because it carries a name.
 */
#include "vt-trust.h"

#include "vt-bundle.h"
#include "vt-fs.h"
#include "vt-identity.h"
#include "vt-key.h"
#include "vt-name.h"
#include "vt-payload.h"
#include "vt-signatures.h"

#include <fcntl.h>
#include <string.h>

#define KEY_FILE_MAX (64u << 10)
/* What fits into a message that somebody reads */
#define REASONS_SHOWN 8

/**
 * Check: one requirement and how far it is
 * @keys: (element-type VtKey)
 * @key_names: (element-type utf8): file names, in the order of @keys
 * @signed_by: (nullable): the key that met it
 */
typedef struct {
    const VtRequirement *requirement;
    GPtrArray *keys;
    GPtrArray *key_names;
    bool satisfied;
    char *signed_by;
} Check;

static void
check_free(Check *check)
{
    g_ptr_array_unref(check->keys);
    g_ptr_array_unref(check->key_names);
    g_free(check->signed_by);
    g_free(check);
}

/**
 * Trial: one question to the policy
 * @visitor: must be first
 * @checks: (element-type Check)
 * @reasons: (element-type utf8): why signatures were not accepted
 * @found: signatures that were seen, usable or not
 */
typedef struct {
    VtSignatureVisitor visitor;
    const VtSubject *subject;
    VtIdentity identity;
    GPtrArray *checks;
    GPtrArray *reasons;
    guint found;
} Trial;

/* ---- keys ---- */

static bool
add_key(Check *check, const char *name, GBytes *pem, GError **error)
{
    g_autoptr(GError) why = NULL;
    VtKey *key = NULL;

    if (!vt_key_parse_public(pem, &key, &why))
        return vt_throw(error, VT_ERROR_POLICY, "%s: key '%s': %s", check->requirement->where, name,
                        why->message);
    g_ptr_array_add(check->keys, key);
    g_ptr_array_add(check->key_names, g_strdup(name));
    return true;
}

static bool
load_keys(Check *check, GError **error)
{
    const VtRequirement *requirement = check->requirement;

    for (size_t i = 0; requirement->key_paths && requirement->key_paths[i]; i++) {
        const char *path = requirement->key_paths[i];
        g_autoptr(GBytes) pem = NULL;
        g_autoptr(GError) why = NULL;

        if (!vt_fs_read(AT_FDCWD, path, KEY_FILE_MAX, &pem, &why))
            return vt_throw(error, VT_ERROR_POLICY, "%s: key: %s", requirement->where,
                            why->message);
        if (!add_key(check, path, pem, error))
            return false;
    }
    for (guint i = 0; requirement->key_datas && i < requirement->key_datas->len; i++) {
        g_autofree char *name = g_strdup_printf("keyData %u", i + 1);

        if (!add_key(check, name, g_ptr_array_index(requirement->key_datas, i), error))
            return false;
    }
    return true;
}

/* ---- one signature ---- */

static void
add_reason(Trial *trial, const char *origin, const char *why)
{
    g_ptr_array_add(trial->reasons, g_strdup_printf("%s: %s", origin, why));
}

static bool
accept_payload(const Trial *trial, const VtRequirement *requirement, GBytes *document,
               GError **error)
{
    g_autoptr(VtPayload) payload = NULL;

    if (!vt_payload_parse(document, &payload, error))
        return false;
    if (!vt_digest_equal(&payload->digest, &trial->subject->digest))
        return vt_throw(error, VT_ERROR_UNTRUSTED, "it is for another digest");
    return vt_identity_match(requirement, &trial->identity, payload->docker_reference, error);
}

static bool
accept_statement(const Trial *trial, const VtRequirement *requirement, GBytes *document,
                 GError **error)
{
    if (!vt_bundle_check_statement(document, &trial->subject->digest, error))
        return false;
    if (requirement->identity == VT_IDENTITY_DIGEST_ONLY || trial->subject->named_by_catalog)
        return true;
    return vt_throw(error, VT_ERROR_UNTRUSTED,
                    "a bundle does not say which name it is for; the policy has to say "
                    "\"signedIdentity\":{\"type\":\"matchDigestOnly\"} to accept it here");
}

/* The bytes are @key's: whether what they say is what is needed */
static void
accept_document(Trial *trial, Check *check, const VtSignature *signature, guint key)
{
    const VtRequirement *requirement = check->requirement;
    const char *name = g_ptr_array_index(check->key_names, key);
    g_autofree char *described = vt_key_describe(g_ptr_array_index(check->keys, key));
    g_autoptr(GError) why = NULL;
    g_autofree char *text = NULL;
    bool accepted;

    if (signature->form == VT_SIGNATURE_SIMPLE)
        accepted = accept_payload(trial, requirement, signature->document, &why);
    else
        accepted = accept_statement(trial, requirement, signature->document, &why);
    if (accepted) {
        check->satisfied = true;
        check->signed_by = g_strdup_printf("%s (%s)", described, name);
        return;
    }
    text = g_strdup_printf("made with the key '%s', but %s", name, why->message);
    add_reason(trial, signature->origin, text);
}

static void
add_no_key_reason(Trial *trial, const Check *check, const char *origin)
{
    bool ed25519 = false;
    g_autofree char *text = NULL;

    for (guint i = 0; i < check->keys->len; i++)
        ed25519 = ed25519 || vt_key_is_ed25519(g_ptr_array_index(check->keys, i));
    text =
        g_strdup_printf("altered, or not made with %s of the policy%s",
                        check->keys->len == 1 ? "the key" : "any of the keys",
                        ed25519 ? " (cosign's pre-hashed Ed25519ph cannot be verified here; with "
                                  "cosign use ECDSA P-256)"
                                : "");
    add_reason(trial, origin, text);
}

static void
try_signature(Trial *trial, Check *check, const VtSignature *signature)
{
    for (guint i = 0; i < check->keys->len; i++) {
        if (vt_key_verify(g_ptr_array_index(check->keys, i), signature->form, signature->message,
                          signature->signature)) {
            accept_document(trial, check, signature, i);
            return;
        }
    }
    add_no_key_reason(trial, check, signature->origin);
}

/* No requirement at all is not a permission */
static bool
all_satisfied(const Trial *trial)
{
    if (trial->checks->len == 0)
        return false;
    for (guint i = 0; i < trial->checks->len; i++) {
        if (!((const Check *)g_ptr_array_index(trial->checks, i))->satisfied)
            return false;
    }
    return true;
}

static bool
on_found(VtSignatureVisitor *visitor, const VtSignature *signature)
{
    Trial *trial = (Trial *)visitor;

    trial->found++;
    for (guint i = 0; i < trial->checks->len; i++) {
        Check *check = g_ptr_array_index(trial->checks, i);

        if (!check->satisfied)
            try_signature(trial, check, signature);
    }
    return !all_satisfied(trial);
}

static void
on_unusable(VtSignatureVisitor *visitor, const char *origin, const char *why)
{
    Trial *trial = (Trial *)visitor;

    trial->found++;
    add_reason(trial, origin, why);
}

/* ---- messages ---- */

/* "template 'web' version 1.2.0 (sha256:...) of docker://r.example/golden" */
static char *
describe_subject(const VtSubject *subject)
{
    g_autofree char *url = vt_store_url_format(subject->url);
    char digest[VT_DIGEST_STRING_MAX];
    bool catalog = strcmp(subject->name, VT_CATALOG_NAME) == 0;

    vt_digest_format(&subject->digest, digest);
    if (catalog)
        return g_strdup_printf("the catalog (%s) of %s", digest, url);
    return g_strdup_printf("template '%s'%s%s (%s) of %s", subject->name,
                           subject->version ? " version " : "",
                           subject->version ? subject->version : "", digest, url);
}

/* How somebody who may sign gets a signature onto it */
static char *
describe_remedy(const VtSubject *subject)
{
    g_autofree char *url = vt_store_url_format(subject->url);
    g_autofree char *identity = vt_store_url_identity(subject->url, subject->name);
    char digest[VT_DIGEST_STRING_MAX];

    if (subject->url->transport == VT_TRANSPORT_DOCKER)
        return g_strdup_printf("sign it with 'cosign sign --key KEY %s@%s', or publish with "
                               "'virt-template publish --store %s --key KEY'",
                               identity, vt_digest_format(&subject->digest, digest), url);
    return g_strdup_printf("publish with 'virt-template publish --store %s --key KEY', which signs",
                           url);
}

static char *
join_reasons(const Trial *trial)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < trial->reasons->len && i < REASONS_SHOWN; i++)
        g_string_append_printf(text, "%s%s", i ? "; " : "",
                               (const char *)g_ptr_array_index(trial->reasons, i));
    if (trial->reasons->len > REASONS_SHOWN)
        g_string_append_printf(text, "; and %u more", trial->reasons->len - REASONS_SHOWN);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static bool
deny(const Trial *trial, GError **error)
{
    g_autofree char *what = describe_subject(trial->subject);
    g_autofree char *reasons = join_reasons(trial), *remedy = describe_remedy(trial->subject);
    const Check *check = NULL;

    for (guint i = 0; i < trial->checks->len && (!check || check->satisfied); i++)
        check = g_ptr_array_index(trial->checks, i);
    if (trial->found == 0)
        return vt_throw(error, VT_ERROR_UNTRUSTED,
                        "%s is not trusted: it has no signature, and %s demands one; %s", what,
                        check->requirement->where, remedy);
    return vt_throw(error, VT_ERROR_UNTRUSTED,
                    "%s is not trusted: no signature of it satisfies %s: %s", what,
                    check->requirement->where, reasons);
}

/* ---- the decision ---- */

static bool
add_check(Trial *trial, const VtRequirement *requirement, GError **error)
{
    g_autofree char *what = NULL;
    Check *check;

    if (requirement->type == VT_REQUIREMENT_REJECT) {
        what = describe_subject(trial->subject);
        return vt_throw(error, VT_ERROR_POLICY,
                        "%s is rejected by %s; see virt-template-policy(5) for how to allow it",
                        what, requirement->where);
    }
    check = g_new0(Check, 1);
    check->requirement = requirement;
    check->keys = g_ptr_array_new_with_free_func((GDestroyNotify)vt_key_free);
    check->key_names = g_ptr_array_new_with_free_func(g_free);
    check->satisfied = requirement->type == VT_REQUIREMENT_ACCEPT_ANYTHING;
    g_ptr_array_add(trial->checks, check);
    return check->satisfied || load_keys(check, error);
}

static bool
run(Trial *trial, VtSource *source, GError **error)
{
    const VtSubject *subject = trial->subject;
    g_autofree char *repository = vt_store_url_repository(subject->url, subject->name);
    g_autoptr(GError) tag_error = NULL, referrer_error = NULL;

    if (all_satisfied(trial))
        return true;
    /* if one form cannot be read the other one may do */
    vt_signatures_visit_tag(source, repository, &subject->digest, &trial->visitor, &tag_error);
    if (!all_satisfied(trial))
        vt_signatures_visit_referrers(source, repository, &subject->digest, &trial->visitor,
                                      &referrer_error);
    if (all_satisfied(trial))
        return true;
    if (tag_error || referrer_error) {
        g_autofree char *what = describe_subject(subject);

        GError *first = tag_error ? g_steal_pointer(&tag_error) : g_steal_pointer(&referrer_error);

        g_propagate_prefixed_error(error, first, "the signatures of %s cannot be read: ", what);
        return false;
    }
    return deny(trial, error);
}

static char *
join_signers(const Trial *trial)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < trial->checks->len; i++) {
        const Check *check = g_ptr_array_index(trial->checks, i);

        if (check->signed_by)
            g_string_append_printf(text, "%s%s", text->len ? ", " : "", check->signed_by);
    }
    return text->len ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

static bool
decide(const VtPolicy *policy, Trial *trial, VtSource *source, GError **error)
{
    const VtSubject *subject = trial->subject;
    g_autofree char *scope = vt_store_url_scope(subject->url, subject->name);
    g_autofree char *tag = subject->version ? vt_version_tag(subject->version) : NULL;
    g_autofree char *identity = vt_store_url_identity(subject->url, subject->name);
    /* in a layout, the reference of a version is NAME/TAG */
    g_autofree char *layout_tag = tag ? g_strconcat(subject->name, "/", tag, NULL) : NULL;
    const GPtrArray *requirements =
        vt_policy_lookup(policy, subject->url->transport, scope,
                         subject->url->transport == VT_TRANSPORT_OCI ? layout_tag : tag);

    trial->identity = (VtIdentity){.repository = identity, .tag = tag, .digest = &subject->digest};
    g_assert(requirements->len > 0);
    for (guint i = 0; i < requirements->len; i++) {
        if (!add_check(trial, g_ptr_array_index(requirements, i), error))
            return false;
    }
    return run(trial, source, error);
}

bool
vt_trust_check(const VtPolicy *policy, const VtSubject *subject, VtSource *source,
               VtVerdict *ret_verdict, char **ret_signed_by, GError **error)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)check_free);
    g_autoptr(GPtrArray) reasons = g_ptr_array_new_with_free_func(g_free);
    Trial trial = {.visitor = {.found = on_found, .unusable = on_unusable},
                   .subject = subject,
                   .checks = checks,
                   .reasons = reasons};

    if (!decide(policy, &trial, source, error))
        return false;
    *ret_signed_by = join_signers(&trial);
    *ret_verdict = VT_VERDICT_TRUSTED;
    return true;
}
