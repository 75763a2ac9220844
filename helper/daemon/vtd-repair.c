/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-repair.c: the damaged layers of a template that is here are made again
 *
 * Theory of operation
 *
 * A damaged file is not written to: it may be sealed for good (fs-verity), guests read it, and a
 * disk that lost bytes once had better put them elsewhere. A new file begins as a copy of what can
 * be read of it, and is finished like a download that was cut off: the unpack worker keeps the
 * frames that have their digest and asks for the others; metadata, and what comes from ancestors,
 * it writes anew. Ancestors are right by then, as the lowest layer comes first.
 */
#include "vtd-repair.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vt-manifest.h"
#include "vt-salvage.h"
#include "vt-sha256.h"
#include "vtd-document.h"

#include <errno.h>
#include <fcntl.h>

/* QEMU locks bytes of an open image file: one for each permission, from 100 and from 200 on */
#define QEMU_LOCKS_FIRST 100
#define QEMU_LOCKS       200

/* A layer of the chain; the one of the same number in the VtdChain has its files */
typedef struct {
    bool index_fetched;
    bool made;
    int old_fd;     /* of one that was made: what had its name */
    int partial_fd; /* what is going to have it */
} Layer;

typedef struct {
    VtdJob *job;
    VtdRepair *repair;
    VtdChain chain;
    Layer *layers;
    char *repository;
    VtManifest *manifest;
    GPtrArray *described; /* (element-type VtTemplateLayer) */
    VtdFetcher *fetcher;  /* (nullable) */
    uint64_t received;    /* for layers before the present one */
    bool committing;
    VtdProgress progress;
} Run;

static guint
layer_count(const Run *run)
{
    return run->repair->verify.layers->len;
}

static const VtDigest *
digest_at(const Run *run, guint number)
{
    return &g_array_index(run->repair->verify.layers, VtDigest, number);
}

/* Partial files that did not become layers are removed: the next attempt begins anew */
static void
run_clear(Run *run)
{
    for (guint i = 0; run->layers && i < layer_count(run); i++) {
        if (run->layers[i].partial_fd >= 0)
            vt_pool_partial_remove(run->chain.pool, digest_at(run, i));
        vt_close_fd(&run->layers[i].partial_fd);
        vt_close_fd(&run->layers[i].old_fd);
    }
    g_free(run->layers);
    vtd_fetcher_free(run->fetcher);
    g_clear_pointer(&run->described, g_ptr_array_unref);
    vt_manifest_free(run->manifest);
    g_free(run->repository);
    vtd_chain_clear(&run->chain);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static bool
go_on(void *user)
{
    const Run *run = user;

    return !g_cancellable_is_cancelled(run->job->cancellable);
}

static void
set_phase(Run *run, const char *phase)
{
    run->progress = (VtdProgress){
        .phase = phase, .received = run->received, .requests = run->progress.requests};
    vtd_job_report(run->job, &run->progress);
}

/* ---- what there is to go by ---- */

/* The kept manifest, which was checked against the catalog and the policy when the job began */
static bool
read_manifest(Run *run, GError **error)
{
    g_autoptr(GBytes) bytes = NULL, proofs = NULL;

    if (!vt_pool_read_manifest(run->chain.pool, &run->repair->manifest, &bytes, &proofs, error))
        return false;
    if (!vt_sha256_matches(bytes, &run->repair->manifest))
        return vt_throw(error, VT_ERROR_CORRUPT, "the kept manifest is damaged: fetch again");
    if (!vt_manifest_parse(bytes, &run->manifest, error) ||
        !vt_template_layers(run->manifest, &run->described, error))
        return false;
    return run->described->len == layer_count(run) ||
           vt_throw(error, VT_ERROR_CORRUPT, "the kept manifest has %u layers, not %u",
                    run->described->len, layer_count(run));
}

/* The store is not asked before something is missing */
static bool
start_fetcher(Run *run, GError **error)
{
    return run->fetcher || vtd_fetcher_start(run->repair->workers, run->repair->url,
                                             run->job->cancellable, &run->fetcher, error);
}

static bool
fetch_index(Run *run, guint number, GError **error)
{
    const VtTemplateLayer *described = run->described->pdata[number];
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];
    VtSource *source;

    vt_digest_format(digest_at(run, number), text);
    if (described->index->size > VT_INDEX_SIZE_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "an index of %" G_GUINT64_FORMAT " bytes",
                        described->index->size);
    if (!start_fetcher(run, error))
        return false;
    source = vtd_fetcher_source(run->fetcher);
    if (!source->get_blob(source, run->repository, text, described->index->size, &bytes, error) ||
        !vtd_document_check(bytes, digest_at(run, number), described->index->size, "index", error))
        return false;
    run->received += g_bytes_get_size(bytes);
    run->chain.layers[number].index = g_steal_pointer(&bytes);
    run->layers[number].index_fetched = true;
    return true;
}

static bool
fetch_indexes(Run *run, GError **error)
{
    set_phase(run, "index");
    for (guint i = 0; i < layer_count(run); i++) {
        if (!run->chain.layers[i].index && !fetch_index(run, i, error))
            return false;
    }
    return true;
}

/* ---- a layer is made again ---- */

static void
on_unpacked(void *user, uint64_t done, uint64_t total, uint64_t received)
{
    Run *run = user;

    run->progress.done = done;
    run->progress.total = total;
    run->progress.received = run->received + received;
    run->progress.requests = vtd_fetcher_requests(run->fetcher);
    vtd_job_report(run->job, &run->progress);
}

static bool
unpack(Run *run, guint number, GError **error)
{
    const VtTemplateLayer *described = run->described->pdata[number];
    g_autofree VtAncestor *ancestors = g_new0(VtAncestor, number + 1);
    const VtdUnpackRequest request = {.index = run->chain.layers[number].index,
                                      .repository = run->repository,
                                      .blobs = described->blobs,
                                      .ancestors = ancestors,
                                      .ancestor_count = number,
                                      .backing = run->chain.layers[number].backing,
                                      .output_fd = run->layers[number].partial_fd,
                                      .resume = run->chain.layers[number].fd >= 0,
                                      .progress = on_unpacked,
                                      .user = run};

    for (guint i = 0; i < number; i++)
        ancestors[i] = (VtAncestor){.index = run->chain.layers[number - 1 - i].index,
                                    .fd = run->chain.layers[number - 1 - i].fd};
    set_phase(run, "transfer");
    if (!start_fetcher(run, error) || !vtd_fetcher_unpack(run->fetcher, &request, error))
        return false;
    vtd_fetcher_count(run->fetcher);
    run->progress.requests = vtd_fetcher_requests(run->fetcher);
    run->received = run->progress.received;
    return true;
}

static bool
make_layer(Run *run, guint number, GError **error)
{
    VtVerifyLayer *files = &run->chain.layers[number];
    Layer *layer = &run->layers[number];
    bool resumed = false;

    if (!vt_pool_partial_open(run->chain.pool, digest_at(run, number), &layer->partial_fd, &resumed,
                              error))
        return false;
    if (ftruncate(layer->partial_fd, 0) < 0)
        return vt_throw_errno(error, errno, "cannot empty a file in '%s'",
                              run->repair->verify.target);
    set_phase(run, "copy");
    if ((files->fd >= 0 && !vt_salvage(files->fd, layer->partial_fd, go_on, run, error)) ||
        !unpack(run, number, error))
        return false;
    layer->old_fd = files->fd;
    files->fd = dup(layer->partial_fd);
    if (files->fd < 0)
        return vt_throw_errno(error, errno, "cannot use the repaired layer");
    layer->made = true;
    run->repair->repaired++;
    return true;
}

/* The lowest first; @ret_any: whether there were any */
static bool
make_damaged(Run *run, bool *ret_any, GError **error)
{
    *ret_any = false;
    for (guint i = 0; i < layer_count(run); i++) {
        char text[VT_DIGEST_STRING_MAX];

        if (run->repair->verify.states[i].damaged == 0)
            continue;
        if (run->layers[i].made)
            return vt_throw(error, VT_ERROR_CORRUPT,
                            "layer %s is damaged again right after it was repaired (%s): the disk "
                            "of '%s' may be failing",
                            vt_digest_format(digest_at(run, i), text),
                            run->repair->verify.states[i].reason, run->repair->verify.target);
        if (!make_layer(run, i, error)) {
            g_prefix_error(error, "layer %u of %u: ", i + 1, layer_count(run));
            return false;
        }
        *ret_any = true;
    }
    return true;
}

/* ---- names ---- */

/* A file that QEMU has open has locks on it, unless its owner turned them off */
static bool
is_in_use(int fd)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = QEMU_LOCKS_FIRST, .l_len = QEMU_LOCKS};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool
commit(Run *run, GError **error)
{
    g_autofree VtPoolLayer *layers = g_new0(VtPoolLayer, layer_count(run));
    guint count = 0;

    set_phase(run, "commit");
    run->committing = true;
    for (guint i = 0; i < layer_count(run); i++) {
        Layer *layer = &run->layers[i];

        if (!layer->made && !layer->index_fetched)
            continue;
        /* A writer of the file would stand in the way of its seal */
        if (layer->made)
            close(vt_steal_fd(&run->chain.layers[i].fd));
        layers[count++] =
            (VtPoolLayer){*digest_at(run, i), run->chain.layers[i].index, &layer->partial_fd};
    }
    if (!vt_pool_replace(run->chain.pool, layers, count, error))
        return false;
    for (guint i = 0; i < layer_count(run); i++)
        run->repair->in_use |= run->layers[i].old_fd >= 0 && is_in_use(run->layers[i].old_fd);
    return true;
}

/* Layers that take from a damaged one are known to be right only when that one is */
static bool
check_and_make(Run *run, GError **error)
{
    bool any = true;

    while (any) {
        set_phase(run, "verify");
        if (!vtd_chain_check(&run->chain, run->job, &run->progress, error) ||
            !make_damaged(run, &any, error))
            return false;
    }
    return true;
}

static bool
repair(Run *run, GError **error)
{
    return vtd_chain_open(&run->repair->verify, &run->chain, error) && read_manifest(run, error) &&
           fetch_indexes(run, error) && check_and_make(run, error) && commit(run, error);
}

bool
vtd_repair_run(VtdJob *job, VtdRepair *what, GError **error)
{
    g_auto(Run) run = {.job = job, .repair = what};
    g_autoptr(GError) local = NULL;

    run.repository = vt_store_url_repository(what->url, what->verify.name);
    run.layers = g_new0(Layer, layer_count(&run));
    for (guint i = 0; i < layer_count(&run); i++)
        run.layers[i] = (Layer){.old_fd = -1, .partial_fd = -1};
    if (repair(&run, &local))
        return true;
    if (!g_cancellable_set_error_if_cancelled(job->cancellable, error))
        g_propagate_prefixed_error(
            error, g_steal_pointer(&local), "%s@%s was not repaired%s: ", what->verify.name,
            what->verify.version, run.committing ? "" : ", nothing was changed");
    return false;
}

void
vtd_repair_free(VtdRepair *repair)
{
    if (!repair)
        return;
    vtd_verify_clear(&repair->verify);
    vt_store_url_free(repair->url);
    g_free(repair);
}
