/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-encode.c: blobs and index against the image, read here in another way than by vt-unpack */
#include "layer-fixture.h"

#include "vt-index.h"
#include "vt-sha256.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#define BLOCK  4096u
#define BLOCKS 2077

static GBytes *
read_file(int fd)
{
    struct stat st;
    uint8_t *data;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    data = g_malloc((gsize)st.st_size + 1);
    g_assert_true(vt_fs_pread_all(fd, data, (size_t)st.st_size, 0, "file", NULL));
    return g_bytes_new_take(data, (gsize)st.st_size);
}

static int
blob_fd(const LayerFixture *fixture, guint number)
{
    return g_array_index(fixture->blobs, int, number);
}

/* All frames of all blobs, decoded one after the other as `zstd -d` does */
static GByteArray *
literal_space(const LayerFixture *fixture)
{
    GByteArray *space = g_byte_array_new();

    for (guint i = 0; i < fixture->blobs->len; i++) {
        g_autoptr(GBytes) blob = read_file(blob_fd(fixture, i));
        const uint8_t *at = g_bytes_get_data(blob, NULL), *end = at + g_bytes_get_size(blob);

        while (at < end) {
            const size_t size = ZSTD_findFrameCompressedSize(at, (size_t)(end - at));
            const guint had = space->len;
            size_t content;

            g_assert_false(ZSTD_isError(size));
            content = (size_t)ZSTD_getFrameContentSize(at, size);
            g_byte_array_set_size(space, (guint)(had + content));
            g_assert_cmpuint(ZSTD_decompress(space->data + had, content, at, size), ==, content);
            at += size;
        }
    }
    return space;
}

/* What the index says of the image is what the image has */
static void
assert_is_image(const LayerFixture *fixture, const VtIndex *index, int image)
{
    g_autoptr(GByteArray) space = literal_space(fixture);
    g_autoptr(GBytes) bytes = read_file(image);
    const gsize size = g_bytes_get_size(bytes);
    g_autofree uint8_t *disk = g_malloc0(index->capacity);
    VtExtentIter iter;
    VtExtent extent;

    g_assert_cmpuint(space->len, ==, index->literal_blocks * BLOCK);
    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (extent.kind == VT_EXTENT_LITERAL)
            memcpy(disk + extent.guest * BLOCK, space->data + extent.source * BLOCK,
                   (size_t)extent.length * BLOCK);
    }
    g_assert_cmpuint(index->capacity, ==, (size + BLOCK - 1) / BLOCK * BLOCK);
    g_assert_true(memcmp(disk, g_bytes_get_data(bytes, NULL), size) == 0);
    for (gsize i = size; i < index->capacity; i++)
        g_assert_cmpuint(disk[i], ==, 0);
}

static void
assert_digests(const LayerFixture *fixture, const VtIndex *index)
{
    VtDigest digest;

    for (uint64_t i = 0; i < index->frame_count; i++) {
        g_autofree uint8_t *data = NULL;
        VtFrame frame;

        vt_index_frame(index, i, &frame);
        data = g_malloc(frame.size);
        g_assert_true(vt_fs_pread_all(blob_fd(fixture, frame.blob), data, frame.size, frame.offset,
                                      "blob", NULL));
        vt_sha256_data(data, frame.size, &digest);
        g_assert_true(vt_digest_equal(&digest, &frame.digest));
    }
    for (guint i = 0; i < fixture->blobs->len; i++) {
        g_autoptr(GBytes) blob = read_file(blob_fd(fixture, i));

        vt_sha256_bytes(blob, digest.bytes);
        g_assert_true(
            vt_digest_equal(&digest, &g_array_index(fixture->result.blob_digests, VtDigest, i)));
    }
    vt_sha256_bytes(fixture->result.index, digest.bytes);
    g_assert_true(vt_digest_equal(&digest, &fixture->result.index_digest));
}

static void
check_layer(const LayerFixture *fixture, int image)
{
    const VtEncodeResult *result = &fixture->result;
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GError) error = NULL;

    vt_index_parse(result->index, &index, &error);
    g_assert_no_error(error);
    vt_index_check_blobs(index, (const uint64_t *)(const void *)result->blob_sizes->data,
                         result->blob_sizes->len, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(index->root_size, ==, result->index_root_size);
    g_assert_cmpuint(index->capacity, ==, result->capacity);
    g_assert_cmpuint(index->data_blocks * BLOCK, ==, result->data_bytes);
    g_assert_cmpuint(index->literal_blocks * BLOCK, ==, result->unique_bytes);
    assert_digests(fixture, index);
    assert_is_image(fixture, index, image);
}

typedef struct {
    VtEncodeOptions options;
    guint blobs_min;
} Case;

static const Case cases[] = {
    {{0}, 1},
    {{.level = 1, .frame_size = 64u << 10, .blob_max = 1u << 20}, 2},
    {{.level = 19, .frame_size = 1u << 20, .blob_max = 2u << 20, .threads = 1}, 2},
    {{.level = 9, .frame_size = 4u << 20, .threads = 5}, 1},
};

static void
test_layer(gconstpointer data)
{
    const Case *c = data;
    LayerFixture fixture;
    vt_autofd image = layer_fixture_image(BLOCKS);

    /* Ends in the middle of a block */
    g_assert_cmpint(pwrite(image, "the end", 7, (off_t)BLOCKS * BLOCK + 93), ==, 7);
    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &c->options);
    g_assert_cmpuint(fixture.blobs->len, >=, c->blobs_min);
    check_layer(&fixture, image);
    layer_fixture_clear(&fixture);
}

static void
note_progress(void *user, uint64_t done, uint64_t total)
{
    uint64_t *last = user;

    g_assert_cmpuint(done, >=, *last);
    g_assert_cmpuint(done, <=, total);
    *last = done;
}

static void
test_progress(void)
{
    uint64_t done = 0;
    const VtEncodeOptions options = {.progress = note_progress, .user = &done};
    LayerFixture fixture;
    vt_autofd image = layer_fixture_image(BLOCKS);

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &options);
    g_assert_cmpuint(done, ==, BLOCKS * BLOCK);
    layer_fixture_clear(&fixture);
}

static bool
begin_fails(VtBlobSink *self, int *ret_fd, GError **error)
{
    return vt_throw(error, VT_ERROR_NO_SPACE, "no room for a blob");
}

static bool
begin_full(VtBlobSink *self, int *ret_fd, GError **error)
{
    *ret_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    return true;
}

static bool
begin_memory(VtBlobSink *self, int *ret_fd, GError **error)
{
    return vt_fs_tmpfile(AT_FDCWD, 0600, ret_fd, error);
}

static bool
commit_fails(VtBlobSink *self, int fd, const VtDigest *digest, uint64_t size, GError **error)
{
    close(fd);
    return vt_throw(error, VT_ERROR_NETWORK, "the registry is away");
}

static const struct {
    VtBlobSink sink;
    VtError code;
} broken_sinks[] = {
    {{begin_fails, commit_fails}, VT_ERROR_NO_SPACE},
    {{begin_full, commit_fails}, VT_ERROR_NO_SPACE},
    {{begin_memory, commit_fails}, VT_ERROR_NETWORK},
};

static void
test_sink_fails(void)
{
    static const VtEncodeOptions options = {.blob_max = 1u << 20};
    vt_autofd image = layer_fixture_image(BLOCKS);

    for (size_t i = 0; i < G_N_ELEMENTS(broken_sinks); i++) {
        VtBlobSink sink = broken_sinks[i].sink;
        g_autoptr(GError) error = NULL;
        VtEncodeResult result = {0};

        g_assert_false(vt_encode_image(image, &options, &sink, &result, &error));
        g_assert_error(error, VT_ERROR, (int)broken_sinks[i].code);
        g_assert_null(result.index);
    }
}

static void
test_cancel(void)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    const VtEncodeOptions options = {.cancellable = cancellable};
    g_autoptr(GError) error = NULL;
    VtEncodeResult result = {0};
    LayerFixture fixture;
    vt_autofd image = layer_fixture_image(100);

    layer_fixture_init(&fixture);
    g_cancellable_cancel(cancellable);
    g_assert_false(vt_encode_image(image, &options, &fixture.sink, &result, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    layer_fixture_clear(&fixture);
}

/* ---- over a parent ---- */

/* A block of its own for each letter, zeros for '.'; then up to @blocks a hole, or zeros */
static int
image_of(const char *text, guint blocks, bool hole)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    for (guint i = 0; i < (hole ? strlen(text) : blocks); i++) {
        uint8_t block[BLOCK] = {0};

        for (guint at = 0; i < strlen(text) && text[i] != '.' && at < BLOCK; at++)
            block[at] = (uint8_t)(text[i] + (at & 1 ? at / 7 : 0));
        g_assert_cmpint(write(fd, block, BLOCK), ==, BLOCK);
    }
    g_assert_cmpint(ftruncate(fd, (off_t)blocks * BLOCK), ==, 0);
    return fd;
}

typedef struct {
    LayerFixture layer;
    int fd;
    VtChain *chain;
    VtEncodeOptions options;
} Parent;

static void
parent_init(Parent *parent, const char *text)
{
    const VtEncodeOptions options = {.threads = 1};
    g_autoptr(GError) error = NULL;
    vt_autofd image = image_of(text, (guint)strlen(text), false);
    VtAncestor ancestor;

    layer_fixture_init(&parent->layer);
    layer_fixture_encode(&parent->layer, image, &options);
    parent->fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    g_assert_true(layer_fixture_unpack(&parent->layer, parent->fd, false, &error));
    ancestor = (VtAncestor){parent->layer.result.index, parent->fd};
    g_assert_true(
        vt_chain_new(&parent->layer.result.index_digest, &ancestor, 1, &parent->chain, &error));
    parent->options = options;
    parent->options.chain = parent->chain;
    parent->options.parent = parent->layer.result.index_digest;
}

static void
parent_clear(Parent *parent)
{
    vt_chain_free(parent->chain);
    layer_fixture_clear(&parent->layer);
    close(parent->fd);
}

/* A hole, of the image or of the parent, is no other than the zeros in it */
static void
test_holes(void)
{
    static const char *const texts[] = {"abcd", "a", "................", "ab....cd"};
    Parent parent;

    parent_init(&parent, "abcd............................efgh");
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        LayerFixture layers[2];

        for (guint hole = 0; hole < 2; hole++) {
            vt_autofd image = image_of(texts[i], 3000, hole);

            layer_fixture_init(&layers[hole]);
            layer_fixture_encode(&layers[hole], image, &parent.options);
        }
        g_assert_true(
            vt_digest_equal(&layers[0].result.index_digest, &layers[1].result.index_digest));
        g_assert_cmpuint(layers[0].result.capacity, ==, 3000 * BLOCK);
        layer_fixture_clear(&layers[0]);
        layer_fixture_clear(&layers[1]);
    }
    parent_clear(&parent);
}

static bool
no_blob(VtBlobSink *sink, int *ret_fd, GError **error)
{
    g_assert_not_reached();
    return false;
}

/* With the limit, in percent, at which a delta of 6 new blocks among 10 is worth it, or not */
static void
test_worth(void)
{
    VtBlobSink nothing = {.begin = no_blob};
    g_auto(VtEncodeResult) worthless = {0};
    g_autoptr(GError) error = NULL;
    /* of the blocks that a full layer would hold: A once, and no zeros */
    static const char text[] = "AA..BCDEFd.cba";
    vt_autofd image = image_of(text, sizeof(text) - 1, false);
    LayerFixture worth;
    Parent parent;

    parent_init(&parent, "abcd");
    parent.options.worth = 59;
    g_assert_true(vt_encode_image(image, &parent.options, &nothing, &worthless, &error));
    g_assert_true(worthless.worthless);
    g_assert_null(worthless.index);
    g_assert_cmpuint(worthless.data_bytes, ==, 10 * BLOCK);
    g_assert_cmpuint(worthless.unique_bytes, ==, 6 * BLOCK);
    parent.options.worth = 60;
    layer_fixture_init(&worth);
    layer_fixture_encode(&worth, image, &parent.options);
    g_assert_false(worth.result.worthless);
    g_assert_cmpuint(worth.result.unique_bytes, ==, 6 * BLOCK);
    g_assert_cmpuint(worth.result.data_bytes, ==, 11 * BLOCK);
    layer_fixture_clear(&worth);
    parent_clear(&parent);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/encode/layer/%zu", i);

        g_test_add_data_func(path, &cases[i], test_layer);
    }
    g_test_add_func("/encode/progress", test_progress);
    g_test_add_func("/encode/sink-fails", test_sink_fails);
    g_test_add_func("/encode/cancel", test_cancel);
    g_test_add_func("/encode/holes", test_holes);
    g_test_add_func("/encode/worth", test_worth);
    return g_test_run();
}
