/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-fetch.c: the steps that bring a template here, and those that verify it again */
#include "vtd-fetch.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vt-manifest.h"
#include "vt-pool.h"
#include "vt-sha256.h"
#include "vt-unpack.h"
#include "vtd-proofs.h"
#include "vtd-verdict.h"

#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

/*
 * Theory of operation
 *
 * Steps run in order, each on what the ones before have verified: the manifest has the digest that
 * the trusted catalog gives, its signatures satisfy the policy, the index has the digest that the
 * manifest gives; then the two workers fill a partial file frame by frame, and only the whole layer
 * gets a name. A layer that is here already, for another version, is not fetched again.
 */

/* Left free for others when a layer is put on a disk */
#define RESERVE_BYTES (UINT64_C(64) << 20)
/* A download that was cut off and that nobody wanted since; seconds */
#define PARTIAL_KEPT_S (7 * 24 * 60 * 60)
/* A job that fetches the same layer for another version is waited for in steps of this, ms */
#define LAYER_WAIT_MS 100

typedef struct {
    VtdJob *job;
    VtdFetch *fetch;
    VtPool *pool;
    VtdFetcher *fetcher;
    char *repository;
    GBytes *manifest_bytes;
    VtManifest *manifest;
    GPtrArray *layers;
    GBytes *config_bytes;
    GBytes *proofs;
    GBytes *index_bytes;
    uint64_t data_bytes;
    int partial_fd;
    bool resumed;
    VtdProgress progress;
} Run;

static void
run_clear(Run *run)
{
    vt_close_fd(&run->partial_fd);
    vtd_fetcher_free(run->fetcher);
    vt_pool_free(run->pool);
    g_free(run->repository);
    g_clear_pointer(&run->manifest_bytes, g_bytes_unref);
    g_clear_pointer(&run->layers, g_ptr_array_unref);
    vt_manifest_free(run->manifest);
    g_clear_pointer(&run->config_bytes, g_bytes_unref);
    g_clear_pointer(&run->proofs, g_bytes_unref);
    g_clear_pointer(&run->index_bytes, g_bytes_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static const VtTemplateLayer *
top_layer(const Run *run)
{
    return run->layers->pdata[run->layers->len - 1];
}

static bool
check_bytes(GBytes *bytes, const VtDigest *digest, uint64_t size, const char *what, GError **error)
{
    char text[VT_DIGEST_STRING_MAX];
    VtDigest actual;

    if (g_bytes_get_size(bytes) != size)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "%s %s has %zu bytes in the store, not %" G_GUINT64_FORMAT, what,
                        vt_digest_format(digest, text), g_bytes_get_size(bytes), size);
    vt_sha256_data(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &actual);
    if (!vt_digest_equal(&actual, digest))
        return vt_throw(error, VT_ERROR_CORRUPT, "%s %s in the store has other content", what,
                        vt_digest_format(digest, text));
    return true;
}

static bool
step_manifest(Run *run, GError **error)
{
    const VtdFetch *fetch = run->fetch;
    char text[VT_DIGEST_STRING_MAX];
    VtSource *source;

    if (!vt_pool_open(fetch->target, &run->pool, error) || !vt_pool_prepare(run->pool, error))
        return false;
    if (!vtd_fetcher_start(fetch->workers, fetch->url, run->job->cancellable, &run->fetcher,
                           error) ||
        !vtd_fetcher_prepare_unpack(run->fetcher, error))
        return false;
    vt_pool_partial_sweep(run->pool, PARTIAL_KEPT_S);
    source = vtd_fetcher_source(run->fetcher);
    return source->get_manifest(source, run->repository, vt_digest_format(&fetch->manifest, text),
                                &run->manifest_bytes, error) &&
           check_bytes(run->manifest_bytes, &fetch->manifest, fetch->manifest_size, "manifest",
                       error);
}

static bool
step_trust(Run *run, GError **error)
{
    const VtSubject subject = {.url = run->fetch->url,
                               .name = run->fetch->name,
                               .version = run->fetch->version,
                               .digest = run->fetch->manifest,
                               .named_by_catalog = true};
    g_autoptr(VtdRecorder) recorder = vtd_recorder_new(vtd_fetcher_source(run->fetcher));
    g_autoptr(VtdVerdict) verdict = NULL;

    if (!vtd_verdict_decide(run->fetch->policy, &subject, vtd_recorder_source(recorder), &verdict,
                            error) ||
        !vtd_verdict_check(verdict, error))
        return false;
    run->proofs = vtd_recorder_finish(recorder);
    return true;
}

/* The signed config must be about what the catalog says it is */
static bool
check_config(Run *run, GError **error)
{
    const VtDescriptor *descriptor = run->manifest->config;
    VtSource *source = vtd_fetcher_source(run->fetcher);
    g_autoptr(VtTemplateConfig) config = NULL;
    char text[VT_DIGEST_STRING_MAX];
    g_autoptr(GBytes) bytes = NULL;

    if (g_strcmp0(descriptor->media_type, VT_TEMPLATE_CONFIG_TYPE) != 0 ||
        descriptor->size > VT_TEMPLATE_CONFIG_MAX)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "config is a '%s' of %" G_GUINT64_FORMAT " bytes", descriptor->media_type,
                        descriptor->size);
    if (!source->get_blob(source, run->repository, vt_digest_format(&descriptor->digest, text),
                          descriptor->size, &bytes, error) ||
        !check_bytes(bytes, &descriptor->digest, descriptor->size, "config", error) ||
        !vt_template_config_parse(bytes, &config, error))
        return false;
    if (!g_str_equal(config->name, run->fetch->name) ||
        !g_str_equal(config->version, run->fetch->version) ||
        config->capacity != run->fetch->capacity)
        return vt_throw(error, VT_ERROR_INVALID,
                        "config is about %s@%s of %" G_GUINT64_FORMAT
                        " bytes, the catalog about %" G_GUINT64_FORMAT " bytes",
                        config->name, config->version, config->capacity, run->fetch->capacity);
    run->config_bytes = g_steal_pointer(&bytes);
    return true;
}

static bool
step_layers(Run *run, GError **error)
{
    if (!vt_manifest_parse(run->manifest_bytes, &run->manifest, error) ||
        !vt_template_layers(run->manifest, &run->layers, error))
        return false;
    if (run->layers->len != 1)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "a chain of %u layers: this version takes one; update virt-template",
                        run->layers->len);
    return check_config(run, error);
}

static bool
step_index(Run *run, GError **error)
{
    const VtDescriptor *descriptor = top_layer(run)->index;
    VtSource *source = vtd_fetcher_source(run->fetcher);
    char text[VT_DIGEST_STRING_MAX];
    g_autoptr(VtIndex) index = NULL;

    if (descriptor->size > VT_INDEX_SIZE_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "an index of %" G_GUINT64_FORMAT " bytes",
                        descriptor->size);
    if (!vt_pool_has_layer(run->pool, &descriptor->digest) ||
        !vt_pool_read_index(run->pool, &descriptor->digest, &run->index_bytes, NULL)) {
        if (!source->get_blob(source, run->repository, vt_digest_format(&descriptor->digest, text),
                              descriptor->size, &run->index_bytes, error))
            return false;
    }
    if (!check_bytes(run->index_bytes, &descriptor->digest, descriptor->size, "index", error) ||
        !vt_index_parse(run->index_bytes, &index, error))
        return false;
    if (index->capacity != run->fetch->capacity)
        return vt_throw(error, VT_ERROR_INVALID,
                        "the index is of a disk of %" G_GUINT64_FORMAT
                        " bytes, the catalog says %" G_GUINT64_FORMAT,
                        index->capacity, run->fetch->capacity);
    run->data_bytes = index->data_blocks * VT_INDEX_BLOCK_SIZE;
    return true;
}

/* The layer that is here, for another version */
static bool
check_damage(const Run *run, const VtDigest *index, GError **error)
{
    char text[VT_DIGEST_STRING_MAX];

    for (guint i = 0; i < run->fetch->damaged->len; i++) {
        if (vt_digest_equal(&g_array_index(run->fetch->damaged, VtDigest, i), index))
            return vt_throw(error, VT_ERROR_CORRUPT,
                            "the copy of its layer %s on this host is damaged: evict the other "
                            "versions that have it and fetch again",
                            vt_digest_format(index, text));
    }
    return true;
}

/* Opens the partial file; a job that fetches the same layer for another version goes first. Leaves
 * partial_fd at -1 when the layer is complete. */
static bool
step_partial(Run *run, GError **error)
{
    const VtDigest *index = &top_layer(run)->index->digest;

    while (!vt_pool_has_layer(run->pool, index)) {
        g_autoptr(GError) local = NULL;

        if (vt_pool_partial_open(run->pool, index, &run->partial_fd, &run->resumed, &local))
            return true;
        if (!g_error_matches(local, VT_ERROR, VT_ERROR_BUSY)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return false;
        }
        if (g_cancellable_set_error_if_cancelled(run->job->cancellable, error))
            return false;
        g_usleep(LAYER_WAIT_MS * 1000);
    }
    return check_damage(run, index, error);
}

static bool
step_space(Run *run, GError **error)
{
    struct statvfs fs;
    struct stat st;
    uint64_t needed, here, free_bytes;

    if (run->partial_fd < 0)
        return true;
    if (fstatvfs(run->partial_fd, &fs) < 0 || fstat(run->partial_fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot tell the space in '%s'", run->fetch->target);
    here = (uint64_t)st.st_blocks * 512;
    needed = run->data_bytes > here ? run->data_bytes - here : 0;
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (needed > 0 && free_bytes < needed + MIN(RESERVE_BYTES, needed / 8))
        return vt_throw(error, VT_ERROR_NO_SPACE,
                        "'%s' has %" G_GUINT64_FORMAT
                        " bytes left, the layer needs %" G_GUINT64_FORMAT
                        ": free some, or evict templates that no clone needs",
                        run->fetch->target, free_bytes, needed);
    return true;
}

static void
on_progress(void *user, uint64_t done, uint64_t total, uint64_t received)
{
    Run *run = user;

    run->progress.done = done;
    run->progress.total = total;
    run->progress.received = received;
    run->progress.requests = vtd_fetcher_requests(run->fetcher);
    vtd_job_report(run->job, &run->progress);
}

static bool
step_transfer(Run *run, GError **error)
{
    const VtTemplateLayer *layer = top_layer(run);
    const VtdUnpackRequest request = {.index = run->index_bytes,
                                      .repository = run->repository,
                                      .blobs = layer->blobs,
                                      .output_fd = run->partial_fd,
                                      .resume = run->resumed,
                                      .progress = on_progress,
                                      .user = run};
    GError *local = NULL;

    if (run->partial_fd < 0 || vtd_fetcher_unpack(run->fetcher, &request, &local))
        return true;
    /* What was right in it is not told apart from what was not */
    if (g_error_matches(local, VT_ERROR, VT_ERROR_CORRUPT) ||
        g_error_matches(local, VT_ERROR, VT_ERROR_INVALID))
        vt_pool_partial_remove(run->pool, &layer->index->digest);
    g_propagate_error(error, local);
    return false;
}

static bool
step_commit(Run *run, GError **error)
{
    const VtPoolCommit commit = {.name = run->fetch->name,
                                 .version = run->fetch->version,
                                 .index = top_layer(run)->index->digest,
                                 .index_bytes = run->index_bytes,
                                 .manifest = run->fetch->manifest,
                                 .manifest_bytes = run->manifest_bytes,
                                 .config_bytes = run->config_bytes,
                                 .proofs = run->proofs,
                                 .partial_fd = &run->partial_fd};

    if (!vt_pool_commit(run->pool, &commit, &run->fetch->seal, &run->fetch->seal_reason, error))
        return false;
    vtd_fetcher_count(run->fetcher);
    return true;
}

static const struct {
    const char *phase;
    bool (*run)(Run *run, GError **error);
} steps[] = {
    {"manifest", step_manifest}, {"trust", step_trust},     {"config", step_layers},
    {"index", step_index},       {"partial", step_partial}, {"space", step_space},
    {"transfer", step_transfer}, {"commit", step_commit},
};

bool
vtd_fetch_run(VtdJob *job, VtdFetch *fetch, GError **error)
{
    g_auto(Run) run = {.job = job, .fetch = fetch, .partial_fd = -1};

    run.repository = vt_store_url_repository(fetch->url, fetch->name);
    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        bool ok;

        run.progress.phase = steps[i].phase;
        vtd_job_report(job, &run.progress);
        if (g_cancellable_set_error_if_cancelled(job->cancellable, error))
            return false;
        ok = steps[i].run(&run, error);
        if (run.fetcher)
            run.progress.requests = vtd_fetcher_requests(run.fetcher);
        vtd_job_report(job, &run.progress);
        if (!ok) {
            g_prefix_error(error, "%s@%s: ", fetch->name, fetch->version);
            return false;
        }
    }
    return true;
}

void
vtd_fetch_free(VtdFetch *fetch)
{
    if (!fetch)
        return;
    vt_store_url_free(fetch->url);
    g_free(fetch->policy);
    g_free(fetch->target);
    g_free(fetch->name);
    g_free(fetch->version);
    g_clear_pointer(&fetch->damaged, g_array_unref);
    g_free(fetch->seal_reason);
    g_free(fetch);
}

/* ---- verify ---- */

static bool
on_verified(void *user, uint64_t done, uint64_t total)
{
    VtdJob *job = user;
    const VtdProgress progress = {.phase = "verify", .done = done, .total = total};

    vtd_job_report(job, &progress);
    return !g_cancellable_is_cancelled(job->cancellable);
}

bool
vtd_verify_run(VtdJob *job, VtdVerify *verify, GError **error)
{
    g_autofree char *path = NULL;
    g_autoptr(GBytes) index = NULL;
    g_autoptr(VtPool) pool = NULL;
    g_autoptr(GError) local = NULL;
    VtVerifyJob verify_job;
    VtDigest actual;
    vt_autofd fd = -1;
    bool ok;

    if (!vt_pool_open(verify->target, &pool, error) ||
        !vt_pool_read_index(pool, &verify->index, &index, error))
        return false;
    vt_sha256_data(g_bytes_get_data(index, NULL), g_bytes_get_size(index), &actual);
    if (!vt_digest_equal(&actual, &verify->index))
        return vt_throw(error, VT_ERROR_CORRUPT, "the kept index of %s@%s is damaged", verify->name,
                        verify->version);
    path = vt_pool_layer_path(pool, &verify->index);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s'", path);
    verify_job =
        (VtVerifyJob){.index = index, .layer_fd = fd, .progress = on_verified, .user = job};
    ok = vt_unpack_verify(&verify_job, &local);
    if (g_cancellable_set_error_if_cancelled(job->cancellable, error))
        return false;
    if (!ok)
        g_propagate_prefixed_error(error, g_steal_pointer(&local), "%s@%s: ", verify->name,
                                   verify->version);
    return ok;
}

void
vtd_verify_free(VtdVerify *verify)
{
    if (!verify)
        return;
    g_free(verify->target);
    g_free(verify->name);
    g_free(verify->version);
    g_free(verify);
}
