/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-turns.h: work on the directory of a pool: one after the other, in a thread of its own */
#pragma once

#include "vt-error.h"

#include <stdbool.h>

/**
 * VtdTurns: those of one directory; belongs to the main thread
 *
 * A directory may be on a server that does not answer: only those wait that want something of it.
 */
typedef struct VtdTurns VtdTurns;

/** vtd_turns_new: @target: the directory; @known: (transfer full): what its thread has to know as
 *  long as there are these turns, whatever pool they are of. Starts no thread before there is work
 */
VtdTurns *vtd_turns_new(const char *target, GHashTable *known);
/** vtd_turns_known: Returns: (transfer full): for the directory's thread alone */
GHashTable *vtd_turns_known(const VtdTurns *turns);
VtdTurns *vtd_turns_ref(VtdTurns *turns);
void vtd_turns_unref(VtdTurns *turns);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdTurns, vtd_turns_unref)

/**
 * VtdTurn: one piece of work
 * @begin: (nullable): in the main thread. From then until @done returns, no other turn of the
 *   directory has begun. On false @done follows
 * @work: (nullable): in the directory's thread
 * @done: in the main thread, once; @error: (transfer full) (nullable): of @begin, of @work, or
 *   %VT_ERROR_BUSY: the turn did not come before the end. Frees @user
 * @yields: those that do not, come first
 */
typedef struct {
    bool (*begin)(void *user, GError **error);
    bool (*work)(void *user, GError **error);
    void (*done)(void *user, GError *error);
    void *user;
    bool yields;
} VtdTurn;

/**
 * vtd_turns_add: May call @begin and @done before it returns
 * @waiting_max: as many may wait before it when the directory does not answer
 * @error: %VT_ERROR_FAILED that names the directory; %VT_ERROR_BUSY at the end. Then nothing was
 *   called, and @user is the caller's
 */
bool vtd_turns_add(VtdTurns *turns, const VtdTurn *turn, guint waiting_max, GError **error);

/** vtd_turns_are_over: Returns: whether none waits or is under way */
bool vtd_turns_are_over(const VtdTurns *turns);

/** vtd_turns_are_shared: Returns: whether somebody has a reference besides the caller: a pool, or a
 *  turn that is not over */
bool vtd_turns_are_shared(const VtdTurns *turns);

/** vtd_turns_stop: None begins any more. What is under way cannot be ended by anybody */
void vtd_turns_stop(VtdTurns *turns);
