/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-frame-prefix.c: a frame that was compressed against a layer below, which may be damaged
 * since */
#include "delta-world.h"
#include "vt-frame-decoder.h"
#include "vt-sha256.h"

#include <sys/mman.h>
#include <zstd.h>

#define BLOCKS 16u
#define SIZE   (BLOCKS * BLOCK)

/**
 * Crafted: a delta layer of one frame, all of the parent being its prefix
 * @content: what it decodes to
 */
typedef struct {
    World world;
    VtChain *chain;
    VtIndex *index;
    int memory_fd;
    uint8_t content[SIZE];
} Crafted;

static size_t
compress(const uint8_t *content, const uint8_t *prefix, bool checksum, uint8_t *ret_frame)
{
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    size_t size;

    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, checksum);
    ZSTD_CCtx_refPrefix(zstd, prefix, SIZE);
    size = ZSTD_compress2(zstd, ret_frame, ZSTD_compressBound(SIZE), content, SIZE);
    g_assert_false(ZSTD_isError(size));
    ZSTD_freeCCtx(zstd);
    return size;
}

static void
craft_index(Crafted *crafted, const uint8_t *bytes, size_t size)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(SIZE);
    const VtPrefix prefix = {.source = 0, .length = BLOCKS, .ancestor = 1};
    VtFrame frame = {.size = (uint32_t)size, .blocks = BLOCKS, .prefix_count = 1};
    g_autoptr(GBytes) index = NULL;
    g_autoptr(GError) error = NULL;

    vt_index_builder_set_parent(builder, &crafted->world.layers[0].result.index_digest);
    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 0, BLOCKS);
    frame.prefix_first = vt_index_builder_add_prefix(builder, &prefix);
    vt_sha256_data(bytes, size, &frame.digest);
    vt_sha256_data(crafted->content, SIZE, &frame.content_digest);
    vt_index_builder_add_frame(builder, &frame);
    index = vt_index_builder_finish(builder);
    vt_index_parse(index, &crafted->index, &error);
    g_assert_no_error(error);
}

/* The content is the parent's, a little changed */
/* The form of zstd 0.7, which libzstd may know: magic, descriptor (one segment, a checksum, a size
 * of two bytes), size - 256; a raw block; the end. Its checksum is wrong, and not looked at */
static size_t
store_old(const uint8_t *content, uint8_t *ret_frame)
{
    static const uint8_t head[] = {0x27, 0xb5, 0x2f, 0xfd, 0x64, 0x00, 0xff, 0x41, 0x00, 0x00},
                         tail[] = {0xc0, 0x00, 0x00};

    memcpy(ret_frame, head, sizeof(head));
    memcpy(ret_frame + sizeof(head), content, SIZE);
    memcpy(ret_frame + sizeof(head) + SIZE, tail, sizeof(tail));
    return sizeof(head) + SIZE + sizeof(tail);
}

static void
craft(Crafted *crafted, bool checksum, bool old)
{
    const VtPrefix all = {.source = 0, .length = BLOCKS, .ancestor = 1};
    g_autofree uint8_t *frame = g_malloc(ZSTD_compressBound(SIZE));
    uint8_t prefix[SIZE];
    g_autoptr(GError) error = NULL;
    size_t size;

    world_init(&crafted->world);
    world_add(&crafted->world, world_image_of("abcdefghijklmnop"));
    world_ancestors(&crafted->world, 1);
    vt_chain_new(&crafted->world.layers[0].result.index_digest, crafted->world.ancestors, 1,
                 &crafted->chain, &error);
    g_assert_no_error(error);
    g_assert_true(vt_chain_read(crafted->chain, &all, prefix, &error));
    memcpy(crafted->content, prefix, SIZE);
    memset(crafted->content + 5000, 'X', 100);
    size = compress(crafted->content, prefix, checksum, frame);
    g_assert_cmpint(!!(frame[4] & 0x04), ==, checksum);
    if (old)
        size = store_old(crafted->content, frame);
    craft_index(crafted, frame, size);
    crafted->memory_fd = memfd_create("frame", MFD_CLOEXEC);
    g_assert_cmpint(write(crafted->memory_fd, frame, size), ==, size);
}

static void
crafted_clear(Crafted *crafted)
{
    close(crafted->memory_fd);
    vt_index_free(crafted->index);
    vt_chain_free(crafted->chain);
    world_clear(&crafted->world);
}

static bool
decode(const Crafted *crafted, uint8_t *content, GError **error)
{
    g_autoptr(VtFrameDecoder) decoder = vt_frame_decoder_new(crafted->index, crafted->chain);
    const VtFrameWindow window = {crafted->memory_fd, 0, ZSTD_compressBound(SIZE)};

    return vt_frame_decode(decoder, 0, &window, 0, content, error);
}

/* With zstd's checksum, and as a writer may leave it out */
static void
test_damaged(gconstpointer data)
{
    const bool checksum = GPOINTER_TO_INT(data);
    g_autoptr(GError) error = NULL;
    uint8_t content[SIZE];
    VtChainRun run;
    Crafted crafted;

    craft(&crafted, checksum, false);
    decode(&crafted, content, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(content, SIZE, crafted.content, SIZE);
    run = vt_chain_locate(crafted.chain, 1, 7);
    g_assert_cmpint(pwrite(run.fd, "?", 1, (off_t)run.offset + 123), ==, 1);
    g_assert_false(decode(&crafted, content, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "a layer below it on this host is damaged"));
    crafted_clear(&crafted);
}

static void
test_old(void)
{
    g_autoptr(GError) error = NULL;
    uint8_t content[SIZE];
    Crafted crafted;

    craft(&crafted, true, true);
    g_assert_false(decode(&crafted, content, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "is not one zstd frame"));
    crafted_clear(&crafted);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/frame-prefix/checksum", GINT_TO_POINTER(true), test_damaged);
    g_test_add_data_func("/frame-prefix/digest", GINT_TO_POINTER(false), test_damaged);
    g_test_add_func("/frame-prefix/old", test_old);
    return g_test_run();
}
