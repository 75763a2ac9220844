/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-job.c: waiting for a job of the helper */
#include "vtc-job.h"

#include "vt-fs.h"
#include "vtc-progress.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

/* As often as the bar is drawn; without a bar, as quickly as Ctrl-C shall be noticed */
#define WAIT_BAR_MS   200
#define WAIT_PLAIN_MS 1000

const char *
vtc_job_text(GVariant *status, const char *key)
{
    const char *text = "";

    g_variant_lookup(status, key, "&s", &text);
    return text;
}

uint64_t
vtc_job_number(GVariant *status, const char *key)
{
    guint64 number = 0;

    g_variant_lookup(status, key, "t", &number);
    return number;
}

int64_t
vtc_job_elapsed_us(GVariant *status, int64_t now_us)
{
    uint64_t ended = vtc_job_number(status, "ended");
    int64_t end = ended > 0 ? (int64_t)MIN(ended, (uint64_t)G_MAXINT64) : now_us;

    return MAX(end - (int64_t)MIN(vtc_job_number(status, "started"), (uint64_t)G_MAXINT64), 0);
}

/* From here on Ctrl-C is read, not obeyed, so that the job can be cancelled */
static bool
catch_interrupts(int *ret_fd, GError **error)
{
    sigset_t signals;
    int fd;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
        return vt_throw_errno(error, errno, "cannot block signals");
    fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot read signals");
    *ret_fd = fd;
    return true;
}

static bool
was_interrupted(int signal_fd)
{
    struct signalfd_siginfo info;

    return read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

/* Returns: whether @status is that of a job that is done; *@ret_ended also when it failed */
static bool
judge(GVariant *status, bool *ret_ended, GError **error)
{
    const char *state = vtc_job_text(status, "state");
    const char *message = vtc_job_text(status, "message");

    *ret_ended = strcmp(state, "running") != 0;
    if (strcmp(state, "cancelled") == 0) {
        g_set_error(error, VTC_ERROR, VTC_ERROR_INTERRUPTED, "the job was cancelled");
        return false;
    }
    if (strcmp(state, "failed") == 0)
        return vt_throw(error, vt_error_from_dbus_name(vtc_job_text(status, "error")), "%s",
                        *message ? message : "the job failed");
    return true;
}

static bool
poll_job(VtcClient *client, uint64_t job, unsigned wait_ms, GVariant **ret_status, GError **error)
{
    g_autoptr(GVariant) reply = NULL;

    if (!vtc_client_call(client, "JobWait", g_variant_new("(tu)", job, wait_ms), "(a{sv})", &reply,
                         error))
        return false;
    g_clear_pointer(ret_status, g_variant_unref);
    *ret_status = g_variant_get_child_value(reply, 0);
    return true;
}

bool
vtc_job_wait(VtcClient *client, uint64_t job, bool progress, GVariant **ret_status, GError **error)
{
    g_autoptr(GVariant) status = NULL;
    g_auto(VtcProgress) bar = {0};
    vt_autofd signal_fd = -1;
    bool ended = false;

    vtc_progress_init(&bar, progress);
    if (!catch_interrupts(&signal_fd, error))
        return false;
    while (!ended) {
        if (!poll_job(client, job, bar.on ? WAIT_BAR_MS : WAIT_PLAIN_MS, &status, error) ||
            !judge(status, &ended, error))
            return false;
        if (!ended && was_interrupted(signal_fd) &&
            !vtc_client_call(client, "CancelJob", g_variant_new("(t)", job), "()", NULL, error))
            return false;
        vtc_progress_draw(&bar, vtc_job_text(status, "phase"), vtc_job_number(status, "done"),
                          vtc_job_number(status, "total"));
    }
    *ret_status = g_steal_pointer(&status);
    return true;
}
