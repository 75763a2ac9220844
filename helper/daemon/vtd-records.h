/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-records.h: clones of a pool: records, and those that have no name yet */
#pragma once

#include "vt-clones.h"
#include "vtd-look.h"

/* In the directory's thread, but for vtd_records_tidy() */

/** vtd_records_has_name: Returns: whether @fd is the file at @path */
bool vtd_records_has_name(const char *path, int fd);

/** vtd_records_pending: A clone is being made at @path; @reference: NAME@VERSION of its template;
 *  @hidden: (nullable): where it is until it has that name */
void vtd_records_pending(VtdDirectory *here, const char *reference, const char *path,
                         const char *hidden);

/** vtd_records_check: %VT_ERROR_BUSY when a clone is being made, whose file nobody can see yet */
bool vtd_records_check(const VtdDirectory *here, const char *reference, GError **error);

/** vtd_records_find: vt_clones_list(), with those that are being made; @query: without @keep */
bool vtd_records_find(VtdLook *look, VtClonesQuery query, char ***ret_paths, GError **error);

/** vtd_records_count: Counts a record. Returns: whether vtd_records_tidy() is due */
bool vtd_records_count(VtdDirectory *here);

/** vtd_records_tidy: Removes, in a turn, records of deleted clones of a version */
void vtd_records_tidy(VtdPool *pool, const char *reference);
