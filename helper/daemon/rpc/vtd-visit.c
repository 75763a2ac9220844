/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-visit.c: calls that have work done in the directory of a pool */
#include "vtd-visit.h"

/* Behind an operation that hangs. Each may hold a descriptor; who retries a call that had no answer
 * in time adds one. Who may only look leaves room for those who may do more, and comes after them:
 * libvirtd waits under the lock of its pool */
#define WAITING_MAX        64
#define WAITING_OTHERS_MAX 16

typedef struct {
    VtdCallVisit what;
    const VtdCallSteps *steps;
} Run;

static void
run_free(Run *run)
{
    if (run->what.free_user)
        run->what.free_user(run->what.user);
    vtd_pool_unref(run->what.target.pool);
    g_free(run);
}

/* What nobody waits for any more is not begun */
static bool
begin(VtdLook *look, void *user, GError **error)
{
    Run *run = user;
    GDBusConnection *connection =
        g_dbus_method_invocation_get_connection(run->what.call->invocation);

    if (g_dbus_connection_is_closed(connection))
        return vt_throw(error, VT_ERROR_FAILED, "the caller has gone");
    return !run->steps->begin || run->steps->begin(&run->what, look, error);
}

static bool
work(VtdLook *look, void *user, GError **error)
{
    Run *run = user;

    return run->steps->work(&run->what, look, error);
}

static void
done(VtdLook *look, void *user, GError *error)
{
    Run *run = user;

    if (error || !run->steps->reply(&run->what, look, &error))
        vtd_call_throw(run->what.call, error);
    run_free(run);
}

bool
vtd_call_visit(const VtdCallVisit *visit, const VtdCallSteps *steps, GError **error)
{
    const bool owner = vtd_daemon_is_owner(visit->call->peer_uid);
    Run *run = g_new0(Run, 1);

    *run = (Run){*visit, steps};
    vtd_pool_ref(visit->target.pool);
    if (vtd_pool_visit(visit->target.pool, &(const VtdVisit){begin, work, done, run, !owner},
                       owner ? WAITING_MAX : WAITING_OTHERS_MAX, error))
        return true;
    run_free(run);
    return false;
}
