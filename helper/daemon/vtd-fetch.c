/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-fetch.c: the steps that bring a template here */
#include "vtd-fetch.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vt-manifest.h"
#include "vt-pool.h"
#include "vtd-bridge.h"
#include "vtd-document.h"
#include "vtd-proofs.h"
#include "vtd-verdict.h"

#include <errno.h>
#include <string.h>

/*
 * Theory of operation
 *
 * Steps run in order, each on what the ones before have verified: the manifest has the digest that
 * the trusted catalog gives, its signatures satisfy the policy, the indexes have the digests that
 * the manifest gives; then the workers fill a partial file frame by frame for each layer that is
 * not here, the lowest first (vtd-unpacker.c), and only the whole chain gets names. A layer that is
 * here already, for another version, is not fetched again. Everybody locks the lowest layer first,
 * so two versions with layers in common do not wait for each other.
 */

/* Left free for others when a layer is put on a disk */
#define RESERVE_BYTES (UINT64_C(64) << 20)
/* A download that was cut off and that nobody wanted since; seconds */
#define PARTIAL_KEPT_S (7 * 24 * 60 * 60)
/* A job that fetches the same layer for another version is waited for in steps of this, ms */
#define LAYER_WAIT_MS 100

typedef struct Run Run;

/**
 * Layer: of the chain; what is below it stands before it
 * @ancestors: (element-type VtAncestor): the files below it, while it is transferred
 * @done: bytes of content that are here, @received: and what was received for them
 */
typedef struct {
    Run *run;
    const VtTemplateLayer *of;
    GBytes *index_bytes;
    uint64_t capacity;
    uint64_t data_bytes;
    uint64_t literal_bytes;
    int partial_fd;
    bool resumed;
    char *backing;
    GArray *ancestors;
    uint64_t done;
    uint64_t received;
} Layer;

struct Run {
    VtdJob *job;
    VtdFetch *fetch;
    VtPool *pool;
    VtdFetcher *fetcher;
    char *repository;
    GBytes *manifest_bytes;
    VtManifest *manifest;
    GPtrArray *layers;
    GArray *chain; /* (element-type Layer) */
    GBytes *config_bytes;
    GBytes *proofs;
    uint64_t bridged; /* bytes that were received on the way to the base */
    VtdProgress progress;
};

static void
layer_clear(gpointer data)
{
    Layer *layer = data;

    vt_close_fd(&layer->partial_fd);
    g_free(layer->backing);
    g_clear_pointer(&layer->ancestors, g_array_unref);
    g_clear_pointer(&layer->index_bytes, g_bytes_unref);
}

static Layer *
layer_at(const Run *run, guint number)
{
    return &g_array_index(run->chain, Layer, number);
}

static void
run_clear(Run *run)
{
    g_clear_pointer(&run->chain, g_array_unref);
    vtd_fetcher_free(run->fetcher);
    vt_pool_free(run->pool);
    g_free(run->repository);
    g_clear_pointer(&run->manifest_bytes, g_bytes_unref);
    g_clear_pointer(&run->layers, g_ptr_array_unref);
    vt_manifest_free(run->manifest);
    g_clear_pointer(&run->config_bytes, g_bytes_unref);
    g_clear_pointer(&run->proofs, g_bytes_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

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
    vtd_fetcher_limit(run->fetcher, fetch->limit_rate);
    vt_pool_partial_sweep(run->pool, PARTIAL_KEPT_S);
    source = vtd_fetcher_source(run->fetcher);
    return source->get_manifest(source, run->repository, vt_digest_format(&fetch->manifest, text),
                                &run->manifest_bytes, error) &&
           vtd_document_check(run->manifest_bytes, &fetch->manifest, fetch->manifest_size,
                              "manifest", error);
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
        !vtd_document_check(bytes, &descriptor->digest, descriptor->size, "config", error) ||
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
    run->chain = g_array_new(FALSE, FALSE, sizeof(Layer));
    g_array_set_clear_func(run->chain, layer_clear);
    for (guint i = 0; i < run->layers->len; i++) {
        const Layer layer = {.run = run, .of = run->layers->pdata[i], .partial_fd = -1};

        g_array_append_val(run->chain, layer);
    }
    return check_config(run, error);
}

/* An index that is kept here and is right needs no request */
static bool
get_index(Run *run, Layer *layer, GError **error)
{
    const VtDescriptor *descriptor = layer->of->index;
    VtSource *source = vtd_fetcher_source(run->fetcher);
    char text[VT_DIGEST_STRING_MAX];

    if (descriptor->size > VT_INDEX_SIZE_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "an index of %" G_GUINT64_FORMAT " bytes",
                        descriptor->size);
    if (vt_pool_has_layer(run->pool, &descriptor->digest) &&
        vt_pool_read_index(run->pool, &descriptor->digest, &layer->index_bytes, NULL)) {
        if (vtd_document_check(layer->index_bytes, &descriptor->digest, descriptor->size, "index",
                               NULL))
            return true;
        g_clear_pointer(&layer->index_bytes, g_bytes_unref);
    }
    return source->get_blob(source, run->repository, vt_digest_format(&descriptor->digest, text),
                            descriptor->size, &layer->index_bytes, error) &&
           vtd_document_check(layer->index_bytes, &descriptor->digest, descriptor->size, "index",
                              error);
}

/* The manifest's order is the one that the indexes say */
static bool
check_link(const Run *run, guint number, const VtIndex *index, GError **error)
{
    const VtDigest *below = number > 0 ? &layer_at(run, number - 1)->of->index->digest : NULL;

    if (index->is_delta == (below != NULL) && (!below || vt_digest_equal(&index->parent, below)))
        return true;
    return vt_throw(error, VT_ERROR_INVALID, "layer %u of the manifest %s", number + 1,
                    below ? "is not made over the layer before it"
                          : "is a delta layer, without "
                            "its parent before it");
}

static bool
step_index(Run *run, GError **error)
{
    for (guint i = 0; i < run->chain->len; i++) {
        Layer *layer = layer_at(run, i);
        g_autoptr(VtIndex) index = NULL;

        if (!get_index(run, layer, error) || !vt_index_parse(layer->index_bytes, &index, error) ||
            !check_link(run, i, index, error))
            return false;
        layer->capacity = index->capacity;
        layer->data_bytes = index->data_blocks * VT_INDEX_BLOCK_SIZE;
        layer->literal_bytes = index->literal_blocks * VT_INDEX_BLOCK_SIZE;
    }
    if (layer_at(run, run->chain->len - 1)->capacity != run->fetch->capacity)
        return vt_throw(error, VT_ERROR_INVALID,
                        "the index is of a disk of %" G_GUINT64_FORMAT
                        " bytes, the catalog says %" G_GUINT64_FORMAT,
                        layer_at(run, run->chain->len - 1)->capacity, run->fetch->capacity);
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
                            "the copy of its layer %s on this host is damaged: 'virt-template "
                            "verify --repair' of a version that has it mends it",
                            vt_digest_format(index, text));
    }
    return true;
}

/* Opens the partial file; a job that fetches the same layer for another version goes first. Leaves
 * partial_fd at -1 when the layer is complete. */
static bool
open_partial(Run *run, Layer *layer, GError **error)
{
    const VtDigest *index = &layer->of->index->digest;

    while (!vt_pool_has_layer(run->pool, index)) {
        g_autoptr(GError) local = NULL;

        if (vt_pool_partial_open(run->pool, index, &layer->partial_fd, &layer->resumed, &local))
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
step_partial(Run *run, GError **error)
{
    for (guint i = 0; i < run->chain->len; i++) {
        if (!open_partial(run, layer_at(run, i), error))
            return false;
    }
    return true;
}

static bool
step_space(Run *run, GError **error)
{
    uint64_t needed = 0, free_bytes;

    for (guint i = 0; i < run->chain->len; i++) {
        const Layer *layer = layer_at(run, i);
        struct stat st;

        if (layer->partial_fd < 0)
            continue;
        if (fstat(layer->partial_fd, &st) < 0)
            return vt_throw_errno(error, errno, "cannot stat a file in '%s'", run->fetch->target);
        needed += layer->data_bytes - MIN(layer->data_bytes, (uint64_t)st.st_blocks * 512);
    }
    if (!vt_fs_free_bytes(vt_pool_dir_fd(run->pool), &free_bytes, error)) {
        g_prefix_error(error, "'%s': ", run->fetch->target);
        return false;
    }
    if (needed > 0 && free_bytes < needed + MIN(RESERVE_BYTES, needed / 8))
        return vt_throw(error, VT_ERROR_NO_SPACE,
                        "'%s' has %" G_GUINT64_FORMAT
                        " bytes left, the template needs %" G_GUINT64_FORMAT
                        ": free some, or evict templates that no clone needs",
                        run->fetch->target, free_bytes, needed);
    return true;
}

/* The cheaper way to the base, if that is missing and has been stored twice */
static bool
step_bridge(Run *run, GError **error)
{
    Layer *base = layer_at(run, 0);
    VtdBridge bridge = {.fetcher = run->fetcher,
                        .pool = run->pool,
                        .repository = run->repository,
                        .layer = base->of,
                        .index = base->index_bytes,
                        .output_fd = base->partial_fd,
                        .damaged = run->fetch->damaged,
                        .cancellable = run->job->cancellable};

    if (base->partial_fd >= 0 && vtd_bridge_fill(&bridge))
        base->resumed = true;
    run->bridged = run->progress.received = bridge.received;
    return !g_cancellable_set_error_if_cancelled(run->job->cancellable, error);
}

static void
on_progress(void *user, uint64_t done, uint64_t total, uint64_t received)
{
    Layer *of = user;
    Run *run = of->run;

    of->done = done;
    of->received = received;
    run->progress.done = 0;
    run->progress.received = run->bridged;
    for (guint i = 0; i < run->chain->len; i++) {
        run->progress.done += layer_at(run, i)->done;
        run->progress.received += layer_at(run, i)->received;
    }
    run->progress.requests = vtd_fetcher_requests(run->fetcher);
    vtd_job_report(run->job, &run->progress);
}

static void
close_ancestor(gpointer data)
{
    vt_close_fd(&((VtAncestor *)data)->fd);
}

/* The files below layer @number: its parent first */
static bool
open_ancestors(const Run *run, guint number, GError **error)
{
    GArray *ancestors = g_array_new(FALSE, FALSE, sizeof(VtAncestor));

    g_array_set_clear_func(ancestors, close_ancestor);
    layer_at(run, number)->ancestors = ancestors;
    for (guint i = number; i > 0; i--) {
        const Layer *below = layer_at(run, i - 1);
        VtAncestor ancestor = {.index = below->index_bytes, .fd = below->partial_fd};

        if (ancestor.fd >= 0)
            ancestor.fd = dup(ancestor.fd);
        else if (!vt_pool_open_layer(run->pool, &below->of->index->digest, &ancestor.fd, error))
            return false;
        g_array_append_val(ancestors, ancestor);
    }
    return true;
}

static bool
plan_layer(const Run *run, guint number, VtdUnpackRequest *ret_request, GError **error)
{
    Layer *layer = layer_at(run, number);

    if (number > 0)
        layer->backing =
            vt_pool_layer_path(run->pool, &layer_at(run, number - 1)->of->index->digest);
    if (!open_ancestors(run, number, error))
        return false;
    *ret_request =
        (VtdUnpackRequest){.index = layer->index_bytes,
                           .repository = run->repository,
                           .blobs = layer->of->blobs,
                           .ancestors = (const VtAncestor *)(void *)layer->ancestors->data,
                           .ancestor_count = layer->ancestors->len,
                           .backing = layer->backing,
                           .output_fd = layer->partial_fd,
                           .resume = layer->resumed,
                           .progress = on_progress,
                           .user = layer};
    return true;
}

/* (element-type VtdUnpackRequest): the layers that are not here */
static bool
plan_layers(Run *run, GArray *requests, GError **error)
{
    for (guint i = 0; i < run->chain->len; i++) {
        VtdUnpackRequest request;

        if (layer_at(run, i)->partial_fd < 0)
            continue;
        if (!plan_layer(run, i, &request, error))
            return false;
        g_array_append_val(requests, request);
        run->progress.total += layer_at(run, i)->literal_bytes;
    }
    return true;
}

/* What to do, which the workers do not know */
static void
add_hint(GError **error)
{
    static const struct {
        VtError code;
        const char *hint;
    } hints[] = {
        {VT_ERROR_NETWORK, "; what was received is kept for the next attempt"},
        {VT_ERROR_NOT_FOUND,
         "; the store has lost a part of this version: use another one, or publish its image as a "
         "new one with --parent none"},
    };

    for (gsize i = 0; error && i < G_N_ELEMENTS(hints); i++) {
        char *before = (*error)->message;

        if (!g_error_matches(*error, VT_ERROR, (int)hints[i].code))
            continue;
        (*error)->message = g_strconcat(before, hints[i].hint, NULL);
        g_free(before);
    }
}

/* fs-verity refuses a file that somebody may write to, and they hold those of lower layers */
static void
close_ancestors(const Run *run)
{
    for (guint i = 0; i < run->chain->len; i++)
        g_clear_pointer(&layer_at(run, i)->ancestors, g_array_unref);
}

static bool
step_transfer(Run *run, GError **error)
{
    g_autoptr(GArray) requests = g_array_new(FALSE, FALSE, sizeof(VtdUnpackRequest));
    char text[VT_DIGEST_STRING_MAX];
    const VtDigest *index;
    GError *local = NULL;
    guint failed = 0;

    if (!plan_layers(run, requests, error))
        return false;
    if (vtd_fetcher_unpack_chain(run->fetcher, (const VtdUnpackRequest *)(void *)requests->data,
                                 requests->len, &failed, &local)) {
        close_ancestors(run);
        return true;
    }
    index = &((Layer *)g_array_index(requests, VtdUnpackRequest, failed).user)->of->index->digest;
    /* What was right in it is not told apart from what was not */
    if (g_error_matches(local, VT_ERROR, VT_ERROR_CORRUPT) ||
        g_error_matches(local, VT_ERROR, VT_ERROR_INVALID))
        vt_pool_partial_remove(run->pool, index);
    /* For the record: what it has tried before it gave up */
    if (g_error_matches(local, VT_ERROR, VT_ERROR_NETWORK))
        vtd_fetcher_count(run->fetcher);
    g_propagate_prefixed_error(error, local, "layer %s: ", vt_digest_format(index, text));
    add_hint(error);
    return false;
}

static bool
step_commit(Run *run, GError **error)
{
    g_autofree VtPoolLayer *layers = g_new0(VtPoolLayer, run->chain->len);
    const VtPoolCommit commit = {.name = run->fetch->name,
                                 .version = run->fetch->version,
                                 .layers = layers,
                                 .layer_count = run->chain->len,
                                 .manifest = run->fetch->manifest,
                                 .manifest_bytes = run->manifest_bytes,
                                 .config_bytes = run->config_bytes,
                                 .proofs = run->proofs};

    for (guint i = 0; i < run->chain->len; i++) {
        Layer *layer = layer_at(run, i);

        layers[i] = (VtPoolLayer){layer->of->index->digest, layer->index_bytes, &layer->partial_fd};
    }
    if (!vt_pool_commit(run->pool, &commit, &run->fetch->seal, &run->fetch->seal_reason, error))
        return false;
    vtd_fetcher_count(run->fetcher);
    return true;
}

static const struct {
    const char *phase;
    bool (*run)(Run *run, GError **error);
} steps[] = {
    {"manifest", step_manifest}, {"trust", step_trust},       {"config", step_layers},
    {"index", step_index},       {"partial", step_partial},   {"space", step_space},
    {"bridge", step_bridge},     {"transfer", step_transfer}, {"commit", step_commit},
};

bool
vtd_fetch_run(VtdJob *job, VtdFetch *fetch, GError **error)
{
    g_auto(Run) run = {.job = job, .fetch = fetch};

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
