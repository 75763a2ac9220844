/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-verify.c: a template that is here is verified again
 *
 * The lowest layer comes first: what a layer has from those below it is compared with them.
 */
#include "vtd-verify.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vt-pool.h"
#include "vt-sha256.h"
#include "vt-unpack.h"

typedef struct {
    VtdJob *job;
    const VtdVerify *verify;
    VtPool *pool;
    GArray *below; /* (element-type VtAncestor): of the present layer, its parent first */
    VtdProgress progress;
    uint64_t done; /* bytes of the layers before the present one */
} Run;

static void
clear_ancestor(gpointer data)
{
    VtAncestor *ancestor = data;

    vt_close_fd(&ancestor->fd);
    g_clear_pointer(&ancestor->index, g_bytes_unref);
}

static void
run_clear(Run *run)
{
    vt_pool_free(run->pool);
    g_clear_pointer(&run->below, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static bool
on_verified(void *user, uint64_t done, uint64_t total)
{
    Run *run = user;

    run->progress.done = run->done + done;
    vtd_job_report(run->job, &run->progress);
    return !g_cancellable_is_cancelled(run->job->cancellable);
}

static bool
read_index(const Run *run, const VtDigest *digest, GBytes **ret_bytes, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];
    VtDigest actual;

    if (!vt_pool_read_index(run->pool, digest, &bytes, error))
        return false;
    vt_sha256_bytes(bytes, actual.bytes);
    if (!vt_digest_equal(&actual, digest))
        return vt_throw(error, VT_ERROR_CORRUPT, "the kept index of layer %s is damaged",
                        vt_digest_format(digest, text));
    *ret_bytes = g_steal_pointer(&bytes);
    return true;
}

/* What there is to read in all; an index that cannot be read fails when it is its turn */
static uint64_t
count_bytes(const Run *run)
{
    uint64_t total = 0;

    for (guint i = 0; i < run->verify->layers->len; i++) {
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(VtIndex) index = NULL;

        if (read_index(run, &g_array_index(run->verify->layers, VtDigest, i), &bytes, NULL) &&
            vt_index_parse(bytes, &index, NULL))
            total += index->literal_blocks * VT_INDEX_BLOCK_SIZE;
    }
    return total;
}

static bool
verify_layer(Run *run, guint number, GError **error)
{
    const GArray *layers = run->verify->layers;
    const VtDigest *digest = &g_array_index(layers, VtDigest, number);
    g_autofree char *backing =
        number > 0 ? vt_pool_layer_path(run->pool, &g_array_index(layers, VtDigest, number - 1))
                   : NULL;
    VtVerifyJob job = {.ancestors = (const VtAncestor *)(void *)run->below->data,
                       .ancestor_count = run->below->len,
                       .backing = backing,
                       .progress = on_verified,
                       .user = run};
    VtAncestor layer = {.fd = -1};
    bool ok;

    ok = read_index(run, digest, &layer.index, error) &&
         vt_pool_open_layer(run->pool, digest, &layer.fd, error);
    job.index = layer.index;
    job.layer_fd = layer.fd;
    ok = ok && vt_unpack_verify(&job, error);
    g_array_prepend_val(run->below, layer);
    run->done = run->progress.done;
    return ok;
}

bool
vtd_verify_run(VtdJob *job, VtdVerify *verify, GError **error)
{
    g_auto(Run) run = {.job = job, .verify = verify, .progress = {.phase = "verify"}};

    run.below = g_array_new(FALSE, FALSE, sizeof(VtAncestor));
    g_array_set_clear_func(run.below, clear_ancestor);
    if (!vt_pool_open(verify->target, &run.pool, error))
        return false;
    run.progress.total = count_bytes(&run);
    for (verify->verified = 0; verify->verified < verify->layers->len; verify->verified++) {
        g_autoptr(GError) local = NULL;

        if (verify_layer(&run, verify->verified, &local))
            continue;
        if (!g_cancellable_set_error_if_cancelled(job->cancellable, error))
            g_propagate_prefixed_error(error, g_steal_pointer(&local), "%s@%s: ", verify->name,
                                       verify->version);
        return false;
    }
    return true;
}

void
vtd_verify_free(VtdVerify *verify)
{
    if (!verify)
        return;
    g_free(verify->target);
    g_free(verify->name);
    g_free(verify->version);
    g_clear_pointer(&verify->layers, g_array_unref);
    g_free(verify);
}
