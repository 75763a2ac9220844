/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-operations.h: what virt-template prepare does to an image */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/**
 * VtcOperation: one row; prepare-clean.sh has a function do_NAME, but for the one below
 * @name: as in --operations
 * @summary: for the help, at most 60 characters
 */
typedef struct {
    const char *name;
    const char *summary;
} VtcOperation;

/* Rows are bits of a set */
#define VTC_OPERATIONS_MAX 32

/** vtc_operations: Returns: (transfer none): in the order they are done; the last has no name */
const VtcOperation *vtc_operations(void);

/** vtc_operations_find: Returns: the row of @name, -1 if there is none */
int vtc_operations_find(const char *name);

/** vtc_operations_free_space: Returns: the set of the one that is done to file systems, not in them
 */
uint32_t vtc_operations_free_space(void);

/**
 * vtc_operations_select:
 * @list: (nullable): `logs,machine-id`: these; `-logs`: all but this one; %NULL: all
 * @ret_set: (out): bit i is row i
 * @error: %VT_ERROR_INVALID that lists what there is
 */
bool vtc_operations_select(const char *list, uint32_t *ret_set, GError **error);

/** vtc_operations_describe: Returns: (transfer full): the table for the help */
char *vtc_operations_describe(void);
