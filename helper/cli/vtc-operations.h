/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-operations.h: what virt-template prepare does to an image */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/**
 * VtcOperation: one row; the guest's script has a function of the same name
 * @name: as in --operations
 * @summary: for the help, at most 60 characters
 * @sysprep: (nullable): operations of virt-sysprep(1) that do the same, joined by ','
 * @sysprep_delete: (nullable) (array zero-terminated=1): what those leave; paths for its --delete
 */
typedef struct {
    const char *name;
    const char *summary;
    const char *sysprep;
    const char *const *sysprep_delete;
} VtcOperation;

/* Rows are bits of a set */
#define VTC_OPERATIONS_MAX 32

/** vtc_operations: Returns: (transfer none): in the order they are done; the last has no name */
const VtcOperation *vtc_operations(void);

/** vtc_operations_find: Returns: the row of @name, -1 if there is none */
int vtc_operations_find(const char *name);

/** VTC_OPERATION_FREE_SPACE: the one that is done to file systems, not in them */
#define VTC_OPERATION_FREE_SPACE "free-space"

/**
 * vtc_operations_select:
 * @list: (nullable): `logs,machine-id`: these; `-logs`: all but this one; %NULL: all
 * @ret_set: (out): bit i is row i
 * @error: %VT_ERROR_INVALID that lists what there is
 */
bool vtc_operations_select(const char *list, uint32_t *ret_set, GError **error);

/** vtc_operations_describe: Returns: (transfer full): the table for the help */
char *vtc_operations_describe(void);
