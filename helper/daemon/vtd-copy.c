/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-copy.c: a full copy of a template that is here
 *
 * The layers and the file go to a worker, which reads the indexes and writes. The client made the
 * file, and removes it when the job fails.
 */
#include "vtd-copy.h"

#include "vt-fs.h"
#include "vt-pool.h"
#include "vtd-ancestors.h"
#include "vtd-spawn.h"
#include "vtd-worker-protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The worker reports ten times a second, but not while it waits for a disk */
#define SILENCE_TIMEOUT_MS (300 * 1000)

/* @ret_layers: (element-type VtAncestor): the top first */
static bool
open_layers(const VtdCopy *copy, GArray **ret_layers, GError **error)
{
    g_autoptr(GArray) layers = vtd_ancestors_new();
    g_autoptr(VtPool) pool = NULL;

    if (!vt_pool_open(copy->target, &pool, error))
        return false;
    for (guint i = copy->layers->len; i > 0; i--) {
        const VtDigest *digest = &g_array_index(copy->layers, VtDigest, i - 1);
        VtAncestor layer = {.fd = -1};

        if (!vt_pool_read_index(pool, digest, &layer.index, error))
            return false;
        if (!vt_pool_open_layer(pool, digest, &layer.fd, error)) {
            g_bytes_unref(layer.index);
            return false;
        }
        g_array_append_val(layers, layer);
    }
    *ret_layers = g_steal_pointer(&layers);
    return true;
}

static bool
start_worker(const VtdCopy *copy, const GArray *layers, VtdProcess *process, GError **error)
{
    g_autofree char *program = g_build_filename(copy->workers->program_dir, "copy-worker", NULL);
    VtdCopySetup setup = {.uid = copy->workers->unpack_uid,
                          .gid = copy->workers->unpack_gid,
                          .layers = layers->len,
                          .format = copy->format,
                          .must_reflink = copy->must_reflink,
                          .capacity = copy->capacity};

    memcpy(setup.top, g_array_index(copy->layers, VtDigest, copy->layers->len - 1).bytes,
           sizeof(setup.top));
    return vtd_process_start_counted(program, copy->workers->monitor, process, error) &&
           vtd_channel_send(process->socket_fd, &setup, sizeof(setup),
                            &(const VtdFds){{copy->output_fd}, 1}, error) &&
           vtd_ancestors_send(process->socket_fd, (const VtAncestor *)(void *)layers->data,
                              layers->len, error);
}

/* The client removes the file when it gives up, and libvirtd when it starts again after it was
 * killed: then nobody waits for this any more */
static bool
check_named(const VtdCopy *copy, GError **error)
{
    struct stat st;

    return (fstat(copy->output_fd, &st) == 0 && st.st_nlink > 0) ||
           vt_throw(error, VT_ERROR_FAILED, "the file was deleted while it was made");
}

static bool
follow(VtdJob *job, const VtdCopy *copy, const VtdProcess *process, GError **error)
{
    VtdProgress progress = {.phase = "copy"};
    VtdUnpackReport report;

    do {
        if (!vtd_process_wait(process, SILENCE_TIMEOUT_MS, job->cancellable, error) ||
            !vtd_channel_receive(process->socket_fd, &report, sizeof(report), NULL, error)) {
            g_prefix_error(error, "copy worker: ");
            return false;
        }
        progress.done = report.done;
        progress.total = report.total;
        vtd_job_report(job, &progress);
        if (!check_named(copy, error))
            return false;
    } while (!report.ended);
    return vtd_channel_check(report.code, report.message, sizeof(report.message), error);
}

static bool
run(VtdJob *job, const VtdCopy *copy, GError **error)
{
    g_auto(VtdProcess) process = {.socket_fd = -1};
    g_autoptr(GArray) layers = NULL;

    return check_named(copy, error) && open_layers(copy, &layers, error) &&
           start_worker(copy, layers, &process, error) && follow(job, copy, &process, error);
}

bool
vtd_copy_run(VtdJob *job, VtdCopy *copy, GError **error)
{
    if (run(job, copy, error))
        return true;
    g_prefix_error(error, "copy of %s@%s: ", copy->name, copy->version);
    /* the space is free at once, whoever still has the file open */
    if (ftruncate(copy->output_fd, 0) < 0)
        g_warning("cannot empty a copy that failed: %s", g_strerror(errno));
    return false;
}

void
vtd_copy_free(VtdCopy *copy)
{
    if (!copy)
        return;
    g_free(copy->target);
    g_free(copy->name);
    g_free(copy->version);
    g_clear_pointer(&copy->layers, g_array_unref);
    vt_close_fd(&copy->output_fd);
    g_free(copy);
}
