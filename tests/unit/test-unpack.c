/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-unpack.c: a fetch worker, or a store, that does anything but its duty */
#include "layer-fixture.h"

#include "vt-index.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define BLOCK 4096u
/* 3 MiB: several frames of 64 KiB, in more than one blob and more than one request */
#define BLOCKS 768

static bool
verify(GBytes *index, int output, bool (*progress)(void *user, uint64_t done, uint64_t total),
       void *user, GError **error)
{
    const VtVerifyLayer layer = {.index = index, .fd = output};
    const VtVerifyJob job = {
        .layers = &layer, .count = 1, .threads = 1, .progress = progress, .user = user};

    return layer_fixture_verify(&job, error);
}

static const VtEncodeOptions small_frames = {.frame_size = 64u << 10, .blob_max = 256u << 10};

typedef bool (*Tamper)(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
                       VtRingAnswer *answer);

static int
output_file(void)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void
assert_image(const LayerFixture *fixture, int output)
{
    g_autoptr(GError) error = NULL;

    verify(fixture->result.index, output, NULL, NULL, &error);
    g_assert_no_error(error);
}

/* ---- damaged frames: one bit in each, at the beginning, the middle and the end ---- */

static void
flip_in_blob(const LayerFixture *fixture, const VtFrame *frame, uint32_t at)
{
    const int fd = g_array_index(fixture->blobs, int, frame->blob);
    uint8_t byte = 0;

    g_assert_cmpint(pread(fd, &byte, 1, (off_t)frame->offset + at), ==, 1);
    byte ^= 0x20;
    g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)frame->offset + at), ==, 1);
}

static void
test_flipped(void)
{
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();
    g_autoptr(VtIndex) index = NULL;
    LayerFixture fixture;

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    g_assert_true(vt_index_parse(fixture.result.index, &index, NULL));
    for (uint64_t i = 0; i < index->frame_count; i++) {
        g_autofree char *name = g_strdup_printf("frame %" G_GUINT64_FORMAT " ", i);
        VtFrame frame;

        vt_index_frame(index, i, &frame);
        for (uint32_t third = 0; third < 3; third++) {
            const uint32_t at = third * (frame.size - 1) / 2;
            g_autoptr(GError) error = NULL;

            flip_in_blob(&fixture, &frame, at);
            g_assert_false(layer_fixture_unpack(&fixture, output, false, &error));
            g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
            g_assert_nonnull(strstr(error->message, name));
            flip_in_blob(&fixture, &frame, at);
        }
    }
    g_assert_true(layer_fixture_unpack(&fixture, output, false, NULL));
    assert_image(&fixture, output);
    layer_fixture_clear(&fixture);
}

/* ---- a hostile fetch worker ---- */

/* Right bytes, and others as soon as the answer is out: either is noticed or does not matter */
static bool
change_later(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
             VtRingAnswer *answer)
{
    (void)send(fixture->server_fd, answer, sizeof(*answer), MSG_NOSIGNAL);
    for (uint32_t i = 0; i < request->length; i++)
        slot[i] ^= 0xff;
    /* Then it would answer the same again, which was not asked */
    return false;
}

static bool
shrink_ring(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
            VtRingAnswer *answer)
{
    g_assert_cmpint(ftruncate(fixture->ring_fd, 4096), ==, 0);
    (void)send(fixture->server_fd, answer, sizeof(*answer), MSG_NOSIGNAL);
    /* The fixture could not fill another slot either */
    return false;
}

static bool
leave_empty(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
            VtRingAnswer *answer)
{
    memset(slot, 0, request->length);
    return true;
}

static bool
send_short(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    (void)send(fixture->server_fd, answer, 8, MSG_NOSIGNAL);
    return true;
}

static bool
send_twice(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    /* The slot is free again only after its range is done, so one of the two is too many */
    for (int i = 0; i < 2; i++)
        (void)send(fixture->server_fd, answer, sizeof(*answer), MSG_NOSIGNAL);
    return true;
}

static bool
strange_code(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
             VtRingAnswer *answer)
{
    answer->code = G_MAXINT32;
    memset(answer->message, 'x', sizeof(answer->message));
    return true;
}

static bool
say_gone(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    answer->code = VT_ERROR_NOT_FOUND;
    g_strlcpy(answer->message, "blob is not in the store", sizeof(answer->message));
    (void)send(fixture->server_fd, answer, sizeof(*answer), MSG_NOSIGNAL);
    return false;
}

typedef struct {
    const char *name;
    Tamper tamper;
    VtError code;
    const char *message;
} Hostile;

static const Hostile hostile[] = {
    {"shrink-ring", shrink_ring, VT_ERROR_CORRUPT, "shared memory"},
    {"leave-empty", leave_empty, VT_ERROR_CORRUPT, "does not have its digest"},
    {"send-short", send_short, VT_ERROR_FAILED, "not asked"},
    {"strange-code", strange_code, VT_ERROR_FAILED, "xxx"},
    /* The error of a worker that ends behind it is still told */
    {"error-then-gone", say_gone, VT_ERROR_NOT_FOUND, "blob is not in the store"},
};

static void
test_hostile(gconstpointer data)
{
    const Hostile *h = data;
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    fixture.tamper = h->tamper;
    g_assert_false(layer_fixture_unpack(&fixture, output, false, &error));
    g_assert_error(error, VT_ERROR, (int)h->code);
    if (!strstr(error->message, h->message))
        g_error("'%s' does not say '%s'", error->message, h->message);
    layer_fixture_clear(&fixture);
}

/* Whether these are noticed depends on who is quicker; a wrong byte on disk is not possible */
static void
test_race(gconstpointer data)
{
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    fixture.tamper = *(const Tamper *)data;
    if (layer_fixture_unpack(&fixture, output, false, &error))
        assert_image(&fixture, output);
    else
        g_assert_nonnull(error);
    layer_fixture_clear(&fixture);
}

/* ---- manifest and index that do not fit the blobs ---- */

static void
test_blob_sizes(void)
{
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();
    LayerFixture fixture;

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    for (int change = -1; change <= 1; change += 2) {
        uint64_t *size = &g_array_index(fixture.result.blob_sizes, uint64_t, 0);
        g_autoptr(GError) error = NULL;
        struct stat st;

        *size += (uint64_t)change;
        g_assert_false(layer_fixture_unpack(&fixture, output, false, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        *size -= (uint64_t)change;
        /* Nothing was written */
        g_assert_cmpint(fstat(output, &st), ==, 0);
        g_assert_cmpint(st.st_size, ==, 0);
    }
    layer_fixture_clear(&fixture);
}

/* ---- resume ---- */

#define GAPS_BLOCKS 6000
#define GAPS_ROUNDS 10

static void
flip_in_file(int fd, off_t at)
{
    uint8_t byte = 0;

    g_assert_cmpint(pread(fd, &byte, 1, at), ==, 1);
    byte ^= 1;
    g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
}

/* A layer of @blocks blocks in small frames is in @output. Returns: the size of the file */
static off_t
unpack_all(LayerFixture *fixture, guint blocks, int output)
{
    vt_autofd image = layer_fixture_image(blocks);
    g_autoptr(GError) error = NULL;

    layer_fixture_init(fixture);
    layer_fixture_encode(fixture, image, &small_frames);
    g_assert_true(layer_fixture_unpack(fixture, output, false, &error));
    return lseek(output, 0, SEEK_END);
}

/* Only what is damaged is fetched again, wherever it is */
static void
test_resume(void)
{
    vt_autofd output = output_file();
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;
    const off_t size = unpack_all(&fixture, BLOCKS, output);

    /* behind the metadata: 5 clusters */
    for (off_t at = 5 * 65536 + 17; at < size; at += 300001) {
        flip_in_file(output, at);
        g_assert_false(verify(fixture.result.index, output, NULL, NULL, NULL));
        g_assert_true(layer_fixture_unpack(&fixture, output, true, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(fixture.requests, <=, 1);
        assert_image(&fixture, output);
    }
    layer_fixture_clear(&fixture);
}

/* Each second frame is missing: ranges of one frame, which are done as soon as they come, so that
 * all slots may be free while most was not asked for yet */
static void
test_gaps(void)
{
    vt_autofd output = output_file();
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;
    const off_t size = unpack_all(&fixture, GAPS_BLOCKS, output);

    for (guint round = 0; round < GAPS_ROUNDS; round++) {
        for (off_t at = 5 * 65536 + 17; at < size; at += 2 * 65536)
            flip_in_file(output, at);
        g_assert_true(layer_fixture_unpack(&fixture, output, true, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(fixture.requests, >, 64);
        assert_image(&fixture, output);
    }
    layer_fixture_clear(&fixture);
}

/* ---- writing ---- */

/* Frames of 4 MiB that do not compress: the largest that a slot must hold */
static void
test_largest_frame(void)
{
    static const VtEncodeOptions options = {.frame_size = VT_INDEX_FRAME_MAX};
    vt_autofd image = output_file(), output = output_file();
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    g_autofree uint32_t *noise = g_new(uint32_t, (9u << 20) / 4);
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;

    for (size_t i = 0; i < (9u << 20) / 4; i++)
        noise[i] = g_rand_int(rand);
    g_assert_true(vt_fs_write_all(image, noise, 9u << 20, "image", NULL));
    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &options);
    g_assert_cmpuint(fixture.result.stored_bytes, >, 9u << 20);
    layer_fixture_unpack(&fixture, output, false, &error);
    g_assert_no_error(error);
    assert_image(&fixture, output);
    layer_fixture_clear(&fixture);
}

/* More blocks that occur again than are remembered: 48 MiB of noise, twice, the second time
 * backwards, so that no two copies are neighbours in both places */
static void
test_many_copies(void)
{
    const uint32_t blocks = 12288;
    vt_autofd image = output_file(), output = output_file();
    const VtEncodeOptions options = {.level = 1};
    g_autoptr(GError) error = NULL;
    uint32_t block[BLOCK / 4];
    LayerFixture fixture;

    for (uint32_t i = 0; i < blocks; i++) {
        for (uint32_t j = 0; j < BLOCK / 4; j++)
            block[j] = (i + 1) * 2654435761u + j % 8;
        g_assert_cmpint(pwrite(image, block, BLOCK, (off_t)i * BLOCK), ==, BLOCK);
        g_assert_cmpint(pwrite(image, block, BLOCK, (off_t)(2 * blocks - 1 - i) * BLOCK), ==,
                        BLOCK);
    }
    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &options);
    g_assert_cmpuint(fixture.result.unique_bytes, ==, blocks * BLOCK);
    layer_fixture_unpack(&fixture, output, false, &error);
    g_assert_no_error(error);
    assert_image(&fixture, output);
    layer_fixture_clear(&fixture);
}

/* Zeros are holes: the file takes no more room than metadata and data */
static void
test_holes(void)
{
    vt_autofd image = layer_fixture_image(2077), output = output_file();
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;
    struct stat st;

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    g_assert_true(layer_fixture_unpack(&fixture, output, false, &error));
    g_assert_cmpint(fstat(output, &st), ==, 0);
    g_assert_cmpuint((uint64_t)st.st_blocks * 512, <=,
                     fixture.result.data_bytes + (5u << 16) + (64u << 10));
    layer_fixture_clear(&fixture);
}

int
main(int argc, char **argv)
{
    static const Tamper changing = change_later, twice = send_twice;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/unpack/flipped", test_flipped);
    for (size_t i = 0; i < G_N_ELEMENTS(hostile); i++) {
        g_autofree char *path = g_strdup_printf("/unpack/hostile/%s", hostile[i].name);

        g_test_add_data_func(path, &hostile[i], test_hostile);
    }
    g_test_add_data_func("/unpack/race/change-later", &changing, test_race);
    g_test_add_data_func("/unpack/race/send-twice", &twice, test_race);
    g_test_add_func("/unpack/blob-sizes", test_blob_sizes);
    g_test_add_func("/unpack/resume", test_resume);
    g_test_add_func("/unpack/gaps", test_gaps);
    g_test_add_func("/unpack/largest-frame", test_largest_frame);
    g_test_add_func("/unpack/many-copies", test_many_copies);
    g_test_add_func("/unpack/holes", test_holes);
    return g_test_run();
}
