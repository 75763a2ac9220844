/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-turns.c: work on the directory of a pool: one after the other, in a thread of its own
 *
 * Theory of operation. The queue is the main thread's, which hands the thread one turn at a time
 * and begins the next when the end of that one has been seen to. So what a turn finds out in the
 * main thread when it begins (that no job needs a version) is true until it is over, and the thread
 * needs no lock. A system call that hangs holds up the thread, and those in the queue.
 */
#include "vtd-turns.h"

/* A turn takes milliseconds, or up to 5 s when systemd is asked for many mounts; clients under the
 * lock of libvirt's pool wait so long, too */
#define HANG_TIME (4 * G_USEC_PER_SEC)

struct VtdTurns {
    guint references;
    char *target;
    GHashTable *known;
    GThread *thread;
    /* (element-type Turn): to the thread */
    GAsyncQueue *work;
    /* (element-type Turn); yielding: of those that yield */
    GQueue waiting;
    GQueue yielding;
    /* under way since then, monotonic; 0: none */
    gint64 since;
    bool stopping;
};

/* @turns: a reference; %NULL: the thread is to end */
typedef struct {
    VtdTurns *turns;
    VtdTurn what;
    GError *error;
} Turn;

VtdTurns *
vtd_turns_new(const char *target, GHashTable *known)
{
    VtdTurns *turns = g_new0(VtdTurns, 1);

    turns->references = 1;
    turns->target = g_strdup(target);
    turns->known = known;
    turns->work = g_async_queue_new();
    g_queue_init(&turns->waiting);
    g_queue_init(&turns->yielding);
    return turns;
}

GHashTable *
vtd_turns_known(const VtdTurns *turns)
{
    return g_hash_table_ref(turns->known);
}

VtdTurns *
vtd_turns_ref(VtdTurns *turns)
{
    turns->references++;
    return turns;
}

void
vtd_turns_unref(VtdTurns *turns)
{
    Turn end = {.turns = NULL};

    if (--turns->references > 0)
        return;
    /* Nothing is under way, or there would be a reference */
    if (turns->thread) {
        g_async_queue_push(turns->work, &end);
        g_thread_join(turns->thread);
    }
    g_async_queue_unref(turns->work);
    g_hash_table_unref(turns->known);
    g_free(turns->target);
    g_free(turns);
}

static void begin_next(VtdTurns *turns);

static void
end_turn(Turn *turn)
{
    VtdTurns *turns = turn->turns;

    turn->what.done(turn->what.user, turn->error);
    g_free(turn);
    turns->since = 0;
    begin_next(turns);
    vtd_turns_unref(turns);
}

static gboolean
worked(gpointer data)
{
    end_turn(data);
    return G_SOURCE_REMOVE;
}

static gpointer
work_in_thread(gpointer data)
{
    GAsyncQueue *work = data;
    Turn *turn;

    for (turn = g_async_queue_pop(work); turn->turns; turn = g_async_queue_pop(work)) {
        if (turn->what.work)
            turn->what.work(turn->what.user, &turn->error);
        g_idle_add_full(G_PRIORITY_DEFAULT, worked, turn, NULL);
    }
    return NULL;
}

static bool
hand_over(Turn *turn)
{
    VtdTurns *turns = turn->turns;

    if (turn->what.begin && !turn->what.begin(turn->what.user, &turn->error))
        return false;
    if (!turns->thread)
        turns->thread = g_thread_try_new("pool", work_in_thread, turns->work, &turn->error);
    if (!turns->thread)
        return false;
    g_async_queue_push(turns->work, turn);
    return true;
}

/* Returns: (transfer full) (nullable) */
static Turn *
take_next(VtdTurns *turns)
{
    Turn *turn = g_queue_pop_head(&turns->waiting);

    return turn ? turn : g_queue_pop_head(&turns->yielding);
}

/* How many come before a new turn */
static guint
count_before(const VtdTurns *turns, bool yields)
{
    return turns->waiting.length + (yields ? turns->yielding.length : 0);
}

static void
begin_next(VtdTurns *turns)
{
    Turn *turn = turns->since == 0 ? take_next(turns) : NULL;

    if (!turn)
        return;
    turns->since = g_get_monotonic_time();
    if (!hand_over(turn))
        end_turn(turn);
}

bool
vtd_turns_add(VtdTurns *turns, const VtdTurn *what, guint waiting_max, GError **error)
{
    const gint64 taken = turns->since > 0 ? g_get_monotonic_time() - turns->since : 0;
    const guint before = count_before(turns, what->yields);
    Turn *turn;

    if (turns->stopping)
        return vt_throw(error, VT_ERROR_BUSY, "virttemplated is ending: try again");
    if (taken > HANG_TIME && before >= waiting_max)
        return vt_throw(error, VT_ERROR_FAILED,
                        "the directory '%s' of the pool does not answer: an operation has been "
                        "under way in it for %u s, and %u wait: look at its disk or its server",
                        turns->target, (unsigned)(taken / G_USEC_PER_SEC), before);
    turn = g_new0(Turn, 1);
    *turn = (Turn){vtd_turns_ref(turns), *what, NULL};
    g_queue_push_tail(what->yields ? &turns->yielding : &turns->waiting, turn);
    begin_next(turns);
    return true;
}

bool
vtd_turns_are_over(const VtdTurns *turns)
{
    return turns->since == 0 && count_before(turns, true) == 0;
}

bool
vtd_turns_are_shared(const VtdTurns *turns)
{
    return turns->references > 1;
}

void
vtd_turns_stop(VtdTurns *turns)
{
    Turn *turn;

    turns->stopping = true;
    while ((turn = take_next(turns))) {
        vt_throw(&turn->error, VT_ERROR_BUSY, "virttemplated is ending: try again");
        turn->what.done(turn->what.user, turn->error);
        vtd_turns_unref(turn->turns);
        g_free(turn);
    }
}
