/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-verify.c: a template that is here is verified again */
#include "vtd-verify.h"

#include "vt-fs.h"
#include "vt-sha256.h"

void
vtd_verify_init(VtdVerify *verify, const VtdJobSpec *spec, const GArray *layers)
{
    *verify = (VtdVerify){.target = g_strdup(spec->target),
                          .name = g_strdup(spec->name),
                          .version = g_strdup(spec->version),
                          .layers = g_array_copy((GArray *)layers),
                          .states = g_new0(VtLayerState, layers->len)};
}

void
vtd_verify_clear(VtdVerify *verify)
{
    for (guint i = 0; verify->layers && i < verify->layers->len; i++)
        vt_layer_state_clear(&verify->states[i]);
    g_free(verify->target);
    g_free(verify->name);
    g_free(verify->version);
    g_free(verify->states);
    g_clear_pointer(&verify->layers, g_array_unref);
}

static const VtDigest *
digest_at(const VtdVerify *verify, guint number)
{
    return &g_array_index(verify->layers, VtDigest, number);
}

/* ---- the files ---- */

/* The kept index, if it is what the manifest names */
static GBytes *
read_index(VtPool *pool, const VtDigest *digest)
{
    g_autoptr(GBytes) bytes = NULL;

    if (!vt_pool_read_index(pool, digest, &bytes, NULL))
        return NULL;
    return vt_sha256_matches(bytes, digest) ? g_steal_pointer(&bytes) : NULL;
}

bool
vtd_chain_open(VtdVerify *verify, VtdChain *ret_chain, GError **error)
{
    VtdChain chain = {.verify = verify};

    if (!vt_pool_open(verify->target, &chain.pool, error))
        return false;
    chain.layers = g_new0(VtVerifyLayer, verify->layers->len);
    /* all of them first: vtd_chain_clear() closes those that the loop does not reach, too */
    for (guint i = 0; i < verify->layers->len; i++)
        chain.layers[i].fd = -1;
    for (guint i = 0; i < verify->layers->len; i++) {
        VtVerifyLayer *layer = &chain.layers[i];

        layer->index = read_index(chain.pool, digest_at(verify, i));
        if (vt_pool_has_layer(chain.pool, digest_at(verify, i)) &&
            !vt_pool_open_layer(chain.pool, digest_at(verify, i), &layer->fd, error)) {
            vtd_chain_clear(&chain);
            return false;
        }
        if (i > 0)
            layer->backing = vt_pool_layer_path(chain.pool, digest_at(verify, i - 1));
    }
    *ret_chain = chain;
    return true;
}

void
vtd_chain_clear(VtdChain *chain)
{
    for (guint i = 0; chain->layers && i < chain->verify->layers->len; i++) {
        vt_close_fd(&chain->layers[i].fd);
        g_clear_pointer(&chain->layers[i].index, g_bytes_unref);
        g_free((char *)chain->layers[i].backing);
    }
    g_free(chain->layers);
    vt_pool_free(chain->pool);
}

/* ---- the check ---- */

typedef struct {
    VtdJob *job;
    VtdProgress *progress;
} Watch;

static bool
on_checked(void *user, uint64_t done, uint64_t total)
{
    const Watch *watch = user;

    watch->progress->done = done;
    watch->progress->total = total;
    vtd_job_report(watch->job, watch->progress);
    return !g_cancellable_is_cancelled(watch->job->cancellable);
}

/* What is missing; without it, nothing else can be checked */
static bool
find_missing(const VtdChain *chain)
{
    bool any = false;

    for (guint i = 0; i < chain->verify->layers->len; i++) {
        const VtVerifyLayer *layer = &chain->layers[i];
        VtLayerState *state = &chain->verify->states[i];

        vt_layer_state_clear(state);
        if (layer->index && layer->fd >= 0)
            continue;
        state->damaged = 1;
        state->reason =
            g_strdup(layer->index ? "its file was removed" : "its kept index is damaged");
        any = true;
    }
    return any;
}

bool
vtd_chain_check(const VtdChain *chain, VtdJob *job, VtdProgress *progress, GError **error)
{
    Watch watch = {job, progress};
    const VtVerifyJob verify = {.layers = chain->layers,
                                .count = chain->verify->layers->len,
                                .progress = on_checked,
                                .user = &watch};
    g_autoptr(GError) local = NULL;

    progress->phase = "verify";
    chain->verify->checked = false;
    if (find_missing(chain))
        return true;
    chain->verify->checked = vt_verify_chain(&verify, chain->verify->states, &local);
    if (chain->verify->checked)
        return true;
    if (!g_cancellable_set_error_if_cancelled(job->cancellable, error))
        g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

bool
vtd_verify_throw(const VtdVerify *verify, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char digest[VT_DIGEST_STRING_MAX];

    for (guint i = 0; i < verify->layers->len; i++) {
        const VtLayerState *state = &verify->states[i];

        if (state->damaged == 0)
            continue;
        g_string_append_printf(text, "%s layer %u of %u (%s): %s", text->len > 0 ? ";" : "", i + 1,
                               verify->layers->len, vt_digest_format(digest_at(verify, i), digest),
                               state->reason);
        if (state->damaged > 1)
            g_string_append_printf(text, ", and %" G_GUINT64_FORMAT " more places",
                                   state->damaged - 1);
    }
    return text->len == 0 || vt_throw(error, VT_ERROR_CORRUPT, "%s@%s is damaged:%s", verify->name,
                                      verify->version, text->str);
}

bool
vtd_verify_run(VtdJob *job, VtdVerify *verify, GError **error)
{
    g_auto(VtdChain) chain = {0};
    VtdProgress progress = {0};

    if (!vtd_chain_open(verify, &chain, error) || !vtd_chain_check(&chain, job, &progress, error)) {
        if (!g_cancellable_is_cancelled(job->cancellable))
            g_prefix_error(error, "%s@%s: ", verify->name, verify->version);
        return false;
    }
    vtd_job_report(job, &progress);
    return vtd_verify_throw(verify, error);
}
