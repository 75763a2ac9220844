/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-verdict.c: a trust decision, and whether it still holds */
#include "vtd-verdict.h"

#include "vt-name.h"
#include "vt-policy-file.h"

#include <string.h>
#include <sys/stat.h>

/*
 * Trust is decided again at each use. Signatures need not be computed again as long as all that
 * went into the decision is the same: the manifest's digest, which the owner of the verdict looks
 * it up by, and the files that the policy is made of, which the stamps tell.
 */

/* What a file was when it was read; all zeros if it was not there */
typedef struct {
    char *path;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
    struct timespec changed;
} Stamp;

static void
stamp_free(gpointer data)
{
    Stamp *stamp = data;

    g_free(stamp->path);
    g_free(stamp);
}

static Stamp *
stamp_new(const char *path)
{
    Stamp *stamp = g_new0(Stamp, 1);
    struct stat st;

    stamp->path = g_strdup(path);
    if (stat(path, &st) < 0)
        return stamp;
    stamp->device = st.st_dev;
    stamp->inode = st.st_ino;
    stamp->size = st.st_size;
    stamp->modified = st.st_mtim;
    stamp->changed = st.st_ctim;
    return stamp;
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
stamp_holds(const Stamp *stamp)
{
    Stamp *now = stamp_new(stamp->path);
    bool same = now->device == stamp->device && now->inode == stamp->inode &&
                now->size == stamp->size && same_time(&now->modified, &stamp->modified) &&
                same_time(&now->changed, &stamp->changed);

    stamp_free(now);
    return same;
}

static void
stamp_keys(VtdVerdict *verdict, const VtPolicy *policy, const VtSubject *subject)
{
    g_autofree char *scope = vt_store_url_scope(subject->url, subject->name);
    g_autofree char *tag = subject->version ? vt_version_tag(subject->version) : NULL;
    g_autofree char *layout_tag = tag ? g_strconcat(subject->name, "/", tag, NULL) : NULL;
    const GPtrArray *requirements =
        vt_policy_lookup(policy, subject->url->transport, scope,
                         subject->url->transport == VT_TRANSPORT_OCI ? layout_tag : tag);

    for (guint i = 0; i < requirements->len; i++) {
        const VtRequirement *requirement = requirements->pdata[i];

        for (char **path = requirement->key_paths; path && *path; path++)
            g_ptr_array_add(verdict->stamps, stamp_new(*path));
    }
}

bool
vtd_verdict_decide(const char *policy_path, const VtSubject *subject, VtSource *source,
                   VtdVerdict **ret_verdict, GError **error)
{
    g_autoptr(VtdVerdict) verdict = g_new0(VtdVerdict, 1);
    g_autoptr(VtPolicy) policy = NULL;
    VtVerdict decided = VT_VERDICT_DENIED;
    GError *failure = NULL;

    verdict->stamps = g_ptr_array_new_with_free_func(stamp_free);
    /* Before it is read: a change while it is read is a change */
    g_ptr_array_add(verdict->stamps, stamp_new(policy_path));
    if (vt_policy_load(policy_path, &policy, &failure)) {
        stamp_keys(verdict, policy, subject);
        if (vt_trust_check(policy, subject, source, &decided, &verdict->signed_by, &failure) &&
            decided == VT_VERDICT_TRUSTED)
            verdict->verdict = VT_VERDICT_TRUSTED;
    }
    if (verdict->verdict != VT_VERDICT_TRUSTED) {
        if (!failure)
            vt_throw(&failure, VT_ERROR_UNTRUSTED, "%s is not trusted", subject->name);
        if (!g_error_matches(failure, VT_ERROR, VT_ERROR_UNTRUSTED) &&
            !g_error_matches(failure, VT_ERROR, VT_ERROR_POLICY)) {
            g_propagate_error(error, failure);
            return false;
        }
        verdict->refusal = failure;
    }
    *ret_verdict = g_steal_pointer(&verdict);
    return true;
}

bool
vtd_verdict_holds(const VtdVerdict *verdict)
{
    if (!verdict)
        return false;
    for (guint i = 0; i < verdict->stamps->len; i++) {
        if (!stamp_holds(verdict->stamps->pdata[i]))
            return false;
    }
    return true;
}

bool
vtd_verdict_check(const VtdVerdict *verdict, GError **error)
{
    if (verdict->verdict == VT_VERDICT_TRUSTED)
        return true;
    if (error)
        *error = g_error_copy(verdict->refusal);
    return false;
}

void
vtd_verdict_free(VtdVerdict *verdict)
{
    if (!verdict)
        return;
    g_free(verdict->signed_by);
    g_clear_error(&verdict->refusal);
    g_ptr_array_unref(verdict->stamps);
    g_free(verdict);
}
