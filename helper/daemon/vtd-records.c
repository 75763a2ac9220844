/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-records.c: clones of a pool: records, and those that have no name yet */
#include "vtd-records.h"

#include "vt-name.h"

#include <errno.h>

/* A clone that is being made gets its name within this time; so long its record counts although
 * there is no such file */
#define PENDING_TIME (G_USEC_PER_SEC * 10)
/* Records of clones after which those of deleted ones are looked for */
#define TIDY_MIN 256

bool
vtd_records_has_name(const char *path, int fd)
{
    struct stat named;
    struct stat st;

    return stat(path, &named) == 0 && fstat(fd, &st) == 0 && named.st_ino == st.st_ino &&
           named.st_dev == st.st_dev;
}

/* A clone that is written under another name first is not "gone" until it has its own */
void
vtd_records_pending(VtdDirectory *here, const char *reference, const char *path, const char *hidden)
{
    VtdPending *pending = g_new0(VtdPending, 1);

    pending->until = g_get_monotonic_time() + PENDING_TIME;
    pending->reference = g_strdup(reference);
    pending->hidden = g_strdup(hidden);
    g_hash_table_insert(here->pending, g_strdup(path), pending);
}

bool
vtd_records_check(const VtdDirectory *here, const char *reference, GError **error)
{
    GHashTableIter iter;
    gpointer pending;
    gpointer path;

    g_hash_table_iter_init(&iter, here->pending);
    while (g_hash_table_iter_next(&iter, &path, &pending)) {
        if (g_str_equal(((const VtdPending *)pending)->reference, reference))
            return vt_throw(error, VT_ERROR_BUSY, "a clone is being made at '%s': try again",
                            (const char *)path);
    }
    return true;
}

/* Paths of clones that may still get their name; forgets the others. A hidden file counts for as
 * long as it is there: whoever makes it may have been stopped. */
static gboolean
is_over(gpointer path, gpointer data, gpointer now)
{
    const VtdPending *pending = data;
    struct stat st;

    if (stat(path, &st) == 0)
        return TRUE;
    if (pending->hidden && lstat(pending->hidden, &st) == 0)
        return FALSE;
    return pending->until < *(gint64 *)now || (pending->hidden && errno == ENOENT);
}

bool
vtd_records_find(VtdLook *look, VtClonesQuery query, char ***ret_paths, GError **error)
{
    gint64 now = g_get_monotonic_time();

    query.keep = look->here->pending;
    g_hash_table_foreach_remove(query.keep, is_over, &now);
    return vt_clones_list(look->files, &query, ret_paths, error);
}

/* ---- records of deleted clones ---- */

/* A clone that is deleted leaves its record. Looking at all of them takes as long as there are
 * clones, so it is done after as many have been made. */
bool
vtd_records_count(VtdDirectory *here)
{
    if (++here->recorded < MAX(here->clones, TIDY_MIN))
        return false;
    here->recorded = 0;
    return true;
}

typedef struct {
    VtdPool *pool;
    char *reference;
    GHashTable *elsewhere;
} Tidy;

static bool
tidy_begin(VtdLook *look, void *user, GError **error)
{
    Tidy *tidy = user;

    tidy->elsewhere = vtd_pool_elsewhere(tidy->pool);
    return true;
}

static bool
tidy_work(VtdLook *look, void *user, GError **error)
{
    const Tidy *tidy = user;
    g_autofree char *name = NULL, *version = NULL;
    g_auto(GStrv) paths = NULL;
    VtClonesQuery query = {.elsewhere = tidy->elsewhere, .prune = true};
    VtDigest index;

    if (!vt_reference_parse(tidy->reference, &name, &version, error) ||
        !vtd_look_open(look, error) ||
        !vt_pool_find_layer(look->files, name, version, &index, error))
        return false;
    query.name = name;
    query.version = version;
    query.index = &index;
    if (!vtd_records_find(look, query, &paths, error))
        return false;
    look->here->clones = g_strv_length(paths);
    return true;
}

static void
tidied(VtdLook *look, void *user, GError *error)
{
    Tidy *tidy = user;

    if (error)
        g_info("records of clones of %s stay: %s", tidy->reference, error->message);
    g_clear_error(&error);
    g_clear_pointer(&tidy->elsewhere, g_hash_table_unref);
    vtd_pool_unref(tidy->pool);
    g_free(tidy->reference);
    g_free(tidy);
}

void
vtd_records_tidy(VtdPool *pool, const char *reference)
{
    Tidy *tidy = g_new0(Tidy, 1);

    *tidy = (Tidy){vtd_pool_ref(pool), g_strdup(reference), NULL};
    vtd_pool_visit_surely(pool, &(const VtdVisit){tidy_begin, tidy_work, tidied, tidy});
}
