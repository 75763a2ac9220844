/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unpack-plan.h: in which pieces the frames of a layer are asked for */
#pragma once

#include "vt-index.h"

/**
 * VtUnpackPlan:
 * @left: bytes of the frames that were not asked for
 * @whole: the same before the first vt_unpack_plan_next()
 */
typedef struct {
    const VtIndex *index;
    uint64_t next_frame;
    uint64_t left;
    uint64_t whole;
    uint8_t *present;
} VtUnpackPlan;

/** VtFrameRange: frames [first, first + count), one behind the other in a blob; @bytes: of all */
typedef struct {
    uint64_t first;
    uint64_t count;
    uint64_t bytes;
    uint32_t blob;
    uint64_t offset;
} VtFrameRange;

/** vt_unpack_plan_init: Frames that vt_unpack_plan_have() is not called for are asked for.
 * @index: must outlive the plan */
void vt_unpack_plan_init(VtUnpackPlan *plan, const VtIndex *index);
void vt_unpack_plan_clear(VtUnpackPlan *plan);

/** vt_unpack_plan_have: Frame @number is here; before the first vt_unpack_plan_next() */
void vt_unpack_plan_have(VtUnpackPlan *plan, uint64_t number);

/**
 * vt_unpack_plan_share:
 *
 * What one of @connections asks for next, bytes: its part of what is left, so that they end
 * together. Half of its part of all is enough for that, and is the least, because each request
 * costs a registry the same.
 */
uint64_t vt_unpack_plan_share(const VtUnpackPlan *plan, uint32_t connections);

/** vt_unpack_plan_next: @most: bytes, unless a single frame has more. Returns: false at the end */
bool vt_unpack_plan_next(VtUnpackPlan *plan, uint64_t most, VtFrameRange *ret);
