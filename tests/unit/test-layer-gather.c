/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-layer-gather.c: short moves go with the frame beside them, each with one only */
#include "vt-layer-gather.h"

#define FRAME_BLOCKS  16u
#define PARENT_BLOCKS 1000000

typedef struct {
    GBytes *bytes;
    VtIndex *index;
    VtLayerMap *map;
} Layer;

static void
layer_clear(Layer *layer)
{
    g_clear_pointer(&layer->map, vt_layer_map_free);
    g_clear_pointer(&layer->index, vt_index_free);
    g_clear_pointer(&layer->bytes, g_bytes_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Layer, layer_clear)

static void
add_word(VtIndexBuilder *builder, const char *word, uint64_t *literals, uint64_t *guest)
{
    const uint32_t blocks = (uint32_t)g_ascii_strtoull(word + 1, NULL, 10);

    switch (word[0]) {
    case 'L':
        vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, *literals, blocks);
        *literals += blocks;
        break;
    case 'C':
        vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 0, blocks);
        break;
    case 'm':
        /* from another place for each, so that they are not joined */
        vt_index_builder_add_ancestor(builder, 1, PARENT_BLOCKS - *guest * 7, blocks);
        break;
    default:
        vt_index_builder_add_ancestor(builder, 1, *guest, blocks);
    }
    *guest += blocks;
}

/* "L2 m3 C1 =4": two new blocks, three that are moved, a copy of literal block 0, four that stay */
static void
layer_init(Layer *layer, const char *text)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(FRAME_BLOCKS * VT_INDEX_BLOCK_SIZE);
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    const VtDigest parent = {{1}};
    g_autoptr(GError) error = NULL;
    uint64_t literals = 0, guest = 0;

    vt_index_builder_set_parent(builder, &parent);
    for (char **word = words; *word; word++)
        add_word(builder, *word, &literals, &guest);
    for (uint64_t at = 0; at < literals; at += FRAME_BLOCKS) {
        const VtFrame frame = {.offset = at,
                               .size = FRAME_BLOCKS,
                               .blocks = (uint32_t)MIN(FRAME_BLOCKS, literals - at)};

        vt_index_builder_add_frame(builder, &frame);
    }
    layer->bytes = vt_index_builder_finish(builder);
    vt_index_parse(layer->bytes, &layer->index, &error);
    g_assert_no_error(error);
    vt_layer_map_new(layer->index, NULL, &layer->map, &error);
    g_assert_no_error(error);
}

/* Which list has @move: its frame, or '-' */
static char
owner_of(const VtLayerGather *gather, uint64_t frames, const VtMove *move)
{
    char owner = '\0';

    for (guint i = 0; i < gather->alone->len; i++) {
        if (g_array_index(gather->alone, VtMove, i).offset == move->offset)
            owner = '-';
    }
    for (uint64_t frame = 0; frame < frames; frame++) {
        for (guint i = gather->first[frame]; i < gather->first[frame + 1]; i++) {
            if (g_array_index(gather->beside, VtMove, i).offset == move->offset) {
                g_assert_cmpint(owner, ==, '\0');
                owner = (char)('0' + frame);
            }
        }
    }
    g_assert_cmpint(owner, !=, '\0');
    return owner;
}

static char *
owners_of(const char *text, bool together)
{
    g_auto(Layer) layer = {NULL};
    g_autoptr(VtLayerGather) gather = NULL;
    GString *owners = g_string_new(NULL);
    const GArray *moves;
    uint64_t frames;

    layer_init(&layer, text);
    frames = layer.map->frame_count;
    moves = layer.map->moves;
    gather = vt_layer_gather_new(layer.map, layer.index, together);
    g_assert_cmpuint(gather->first[0], ==, 0);
    g_assert_cmpuint(gather->first[frames], ==, gather->beside->len);
    g_assert_cmpuint(gather->alone->len + gather->beside->len, ==, moves->len);
    for (guint i = 1; i < gather->alone->len; i++)
        g_assert_cmpuint(g_array_index(gather->alone, VtMove, i - 1).offset, <,
                         g_array_index(gather->alone, VtMove, i).offset);
    for (guint i = 0; i < moves->len; i++)
        g_string_append_c(owners, owner_of(gather, frames, &g_array_index(moves, VtMove, i)));
    return g_string_free(owners, FALSE);
}

static void
test_owners(void)
{
    static const struct {
        const char *file, *owners;
    } cases[] = {
        {"m1", "-"},
        {"L1 m1", "0"},
        {"m1 L1", "0"},
        {"L1 =1 m1", "-"},
        {"m1 =1 L1", "-"},
        {"L1 m1 =1 m1 L1", "00"},
        /* before an extent in two frames: with the first one; behind it: with the last one */
        {"m1 L20 m1", "01"},
        {"L16 m1 L16 m1 m2 =1 m1 L16 =1 m1", "0112-"},
        /* through a copy, and not from one */
        {"L16 =1 L1 C1 m1", "1"},
        {"L16 =1 m1 C1 L1", "1"},
        {"L1 =1 C1 m1", "-"},
        /* a move of 64 KiB is alone, and what is behind it has another neighbour */
        {"L1 m15", "0"},
        {"L1 m16", "-"},
        {"L1 m16 m1", "--"},
        {"L16 m16 m1 L1", "-1"},
        /* what is not in the file leaves no gap when it is a whole cluster */
        {"L32 =32 m1 L1", "1"},
        {"L16 =16 =32 m1", "-"},
        /* 256 KiB in each direction for a frame */
        {"L1 m15 m15 m15 m15 m4", "00000"},
        {"L1 m15 m15 m15 m15 m5", "0000-"},
        {"L1 m15 m15 m15 m15 m5 m1 m1", "0000---"},
        {"L1 m15 m15 m15 m15 m4 L1 m1", "00000-"},
        {"L16 m15 m15 m15 m15 m4 L1 m1", "000001"},
        {"L1 =1 m5 m15 m15 m15 m15 L1", "-0000"},
        {"L16 m15 m15 m15 m15 m5 m1 L2", "000011"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *owners = owners_of(cases[i].file, true);

        g_test_message("%s", cases[i].file);
        g_assert_cmpstr(owners, ==, cases[i].owners);
    }
}

static void
test_apart(void)
{
    g_autofree char *owners = owners_of("m1 L1 m1 L1 m3", false);

    g_assert_cmpstr(owners, ==, "---");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/layer-gather/owners", test_owners);
    g_test_add_func("/layer-gather/apart", test_apart);
    return g_test_run();
}
