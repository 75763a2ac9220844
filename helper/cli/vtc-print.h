/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-print.h: what people read (tables, sizes) and what programs read (JSON) */
#pragma once

#include "vt-error.h"

#include <jansson.h>
#include <stdint.h>

/** vtc_print_size: Returns: (transfer full): `0 B`, `512 B`, `1.5 KiB`, `463.2 MiB` ... */
char *vtc_print_size(uint64_t bytes);

/** vtc_print_duration: Returns: (transfer full): `0.4 s`, `12 s`, `3:05`, `1:00:00`, `2 d` */
char *vtc_print_duration(int64_t microseconds);

/** vtc_print_plain: Returns: (transfer full): @text with control characters, which could drive the
 *  terminal, and bytes that are not UTF-8 as '?' */
char *vtc_print_plain(const char *text);

/**
 * VtcTable: rows whose columns are aligned
 */
typedef struct VtcTable VtcTable;

/** vtc_table_new: @titles: (array zero-terminated=1): a title that starts with '>' is aligned
 *  to the right */
VtcTable *vtc_table_new(const char *const *titles);
void vtc_table_free(VtcTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtcTable, vtc_table_free)

/** vtc_table_add: @cells: (array zero-terminated=1): as many as there are titles */
void vtc_table_add(VtcTable *table, const char *const *cells);

/** vtc_table_format: Returns: (transfer full): lines without trailing blanks */
char *vtc_table_format(const VtcTable *table);

/** vtc_print_json: Prints @root (transfer full) as indented JSON */
void vtc_print_json(json_t *root);

/** vtc_print_variant: Returns: (transfer full): the JSON of a D-Bus value (s, b, u, t, v, arrays
 *  and a{sv}); members in alphabetic order */
json_t *vtc_print_variant(GVariant *value);
