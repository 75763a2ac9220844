/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-visit.h: calls that have work done in the directory of a pool */
#pragma once

#include "vtd-look.h"
#include "vtd-methods.h"

/**
 * VtdCallVisit: such a call
 * @target: its pool, name and version; the strings belong to the call, or to the catalog of the
 * look
 * @user: freed with @free_user (nullable)
 */
typedef struct {
    VtdCall *call;
    VtdTarget target;
    void *user;
    GDestroyNotify free_user;
} VtdCallVisit;

/**
 * VtdCallSteps:
 * @begin: (nullable): in the main thread
 * @work: in the directory's thread: does not answer
 * @reply: in the main thread: answers, or hands the call on, or fails
 */
typedef struct {
    bool (*begin)(VtdCallVisit *visit, VtdLook *look, GError **error);
    bool (*work)(VtdCallVisit *visit, VtdLook *look, GError **error);
    bool (*reply)(VtdCallVisit *visit, VtdLook *look, GError **error);
} VtdCallSteps;

/**
 * vtd_call_visit: The end of a method
 * @visit: copied; @user is consumed also on failure
 * @steps: static
 * @error: the directory does not answer, and as many wait for it as the caller may add to
 */
bool vtd_call_visit(const VtdCallVisit *visit, const VtdCallSteps *steps, GError **error);
