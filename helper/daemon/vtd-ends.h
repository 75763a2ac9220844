/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-ends.h: ends of jobs, kept until the database takes them; belongs to the main thread */
#pragma once

#include "vt-db.h"

typedef struct VtdEnds VtdEnds;

/** vtd_ends_new: @db outlives it */
VtdEnds *vtd_ends_new(VtDb *db);
void vtd_ends_free(VtdEnds *ends);

/** vtd_ends_outcome: Says in a row how its job has ended, and that this was now; @error: (nullable)
 */
void vtd_ends_outcome(VtDbJob *row, const GError *error);

/** vtd_ends_put: The same, and writes the row; warns, and keeps it, if that fails */
void vtd_ends_put(VtdEnds *ends, VtDbJob *row, const GError *error);

/** vtd_ends_write: Writes those that were kept; what fails is tried again the next time */
bool vtd_ends_write(VtdEnds *ends, GError **error);

/** vtd_ends_row: Returns: (transfer none): @row as it should be in the database */
const VtDbJob *vtd_ends_row(const VtdEnds *ends, const VtDbJob *row);
