/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unpack-plan.c: in which pieces the frames of a layer are asked for */
#include "vt-unpack-plan.h"

void
vt_unpack_plan_init(VtUnpackPlan *plan, const VtIndex *index)
{
    *plan = (VtUnpackPlan){.index = index, .present = g_malloc0(MAX(index->frame_count, 1))};
    for (uint64_t number = 0; number < index->frame_count; number++) {
        VtFrame frame;

        vt_index_frame(index, number, &frame);
        plan->left += frame.size;
    }
    plan->whole = plan->left;
}

void
vt_unpack_plan_clear(VtUnpackPlan *plan)
{
    g_clear_pointer(&plan->present, g_free);
}

void
vt_unpack_plan_have(VtUnpackPlan *plan, uint64_t number)
{
    VtFrame frame;

    vt_index_frame(plan->index, number, &frame);
    plan->left -= frame.size;
    plan->whole = plan->left;
    plan->present[number] = 1;
}

uint64_t
vt_unpack_plan_share(const VtUnpackPlan *plan, uint32_t connections)
{
    return MAX(plan->left, plan->whole / 2) / connections;
}

/* Whether @number is missing and lies right behind @range, in the same blob */
static bool
goes_on(const VtUnpackPlan *plan, const VtFrameRange *range, uint64_t number, VtFrame *ret)
{
    if (number >= plan->index->frame_count || plan->present[number])
        return false;
    vt_index_frame(plan->index, number, ret);
    return ret->blob == range->blob && ret->offset == range->offset + range->bytes;
}

bool
vt_unpack_plan_next(VtUnpackPlan *plan, uint64_t most, VtFrameRange *ret)
{
    VtFrame frame;

    while (plan->next_frame < plan->index->frame_count && plan->present[plan->next_frame])
        plan->next_frame++;
    if (plan->next_frame >= plan->index->frame_count)
        return false;
    vt_index_frame(plan->index, plan->next_frame, &frame);
    *ret = (VtFrameRange){.first = plan->next_frame, .blob = frame.blob, .offset = frame.offset};
    do {
        ret->bytes += frame.size;
        ret->count++;
    } while (goes_on(plan, ret, ret->first + ret->count, &frame) &&
             ret->bytes + frame.size <= most);
    plan->next_frame += ret->count;
    plan->left -= ret->bytes;
    return true;
}
