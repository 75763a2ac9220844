/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-index-parser.h: what the two parts of the parser of an index share */
#pragma once

#include "vt-index-format.h"

/* What the tables of the root say, while parsing */
typedef struct {
    const uint8_t *data;
    gsize size;
    VtIndex *index;
    uint32_t section_count;
    uint32_t page_count;
    uint32_t extents_page;
    uint32_t frames_page;
    uint32_t prefixes_page;
} VtIndexParser;

/** vt_index_check_frames: They fill the literal space, and their blobs without gaps */
bool vt_index_check_frames(const VtIndexParser *parser, GError **error);
/** vt_index_check_extents: They cover the disk, from frames that were checked */
bool vt_index_check_extents(const VtIndexParser *parser, GError **error);
