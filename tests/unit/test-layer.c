/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-layer.c: encode, unpack and verify, against qemu-img */
#include "layer-fixture.h"

#include "vt-index.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

/* 8 MiB and a bit: several frames, the last one short, more than one L2 table is tested elsewhere
 */
#define BLOCKS 2077

static bool
verify(GBytes *index, int output, bool (*progress)(void *user, uint64_t done, uint64_t total),
       void *user, GError **error)
{
    const VtVerifyLayer layer = {.index = index, .fd = output};
    const VtVerifyJob job = {
        .layers = &layer, .count = 1, .threads = 1, .progress = progress, .user = user};

    return layer_fixture_verify(&job, error);
}

static const VtEncodeOptions small_frames = {.frame_size = 64u << 10, .blob_max = 1u << 20};

static int
output_file(void)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void
run_qemu_img(const char *arguments, int fd, int other_fd)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command =
        g_strdup_printf("qemu-img %s /proc/%d/fd/%d", arguments, (int)getpid(), fd);
    g_autofree char *whole =
        other_fd < 0 ? g_strdup(command)
                     : g_strdup_printf("%s /proc/%d/fd/%d", command, (int)getpid(), other_fd);
    g_autofree char *out = NULL, *err = NULL;
    int status = -1;

    g_assert_true(g_spawn_command_line_sync(whole, &out, &err, &status, &error));
    if (status != 0)
        g_test_message("%s: %s%s", whole, out, err);
    g_assert_cmpint(status, ==, 0);
}

static void
test_round_trip(gconstpointer data)
{
    LayerFixture fixture;
    g_autoptr(GError) error = NULL;
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, data);
    g_assert_cmpuint(fixture.result.unique_bytes, <, fixture.result.data_bytes);
    g_assert_true(layer_fixture_unpack(&fixture, output, false, &error));
    g_assert_no_error(error);
    run_qemu_img("check -q -f qcow2", output, -1);
    run_qemu_img("compare -q -f qcow2 -F raw", output, image);
    g_assert_true(verify(fixture.result.index, output, NULL, NULL, &error));
    g_assert_no_error(error);
    layer_fixture_clear(&fixture);
}

static void
test_same_bytes(void)
{
    LayerFixture first, second;
    vt_autofd image = layer_fixture_image(BLOCKS);

    layer_fixture_init(&first);
    layer_fixture_init(&second);
    layer_fixture_encode(&first, image, &(VtEncodeOptions){.threads = 1});
    layer_fixture_encode(&second, image, &(VtEncodeOptions){.threads = 3});
    g_assert_true(g_bytes_equal(first.result.index, second.result.index));
    layer_fixture_clear(&first);
    layer_fixture_clear(&second);
}

static void
test_empty_disk(void)
{
    LayerFixture fixture;
    g_autoptr(GError) error = NULL;
    vt_autofd image = output_file(), output = output_file();

    g_assert_cmpint(ftruncate(image, 1 << 30), ==, 0);
    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &(VtEncodeOptions){0});
    g_assert_cmpuint(fixture.result.stored_bytes, ==, 0);
    g_assert_true(layer_fixture_unpack(&fixture, output, false, &error));
    run_qemu_img("check -q -f qcow2", output, -1);
    run_qemu_img("compare -q -f qcow2 -F raw", output, image);
    layer_fixture_clear(&fixture);
}

static bool
flip_bit(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    if (fixture->tamper_at-- == 0)
        slot[request->length / 2] ^= 1;
    return true;
}

static bool
answer_error(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
             VtRingAnswer *answer)
{
    answer->code = VT_ERROR_NETWORK;
    g_strlcpy(answer->message, "503 from the registry", sizeof(answer->message));
    return true;
}

static bool
answer_twice(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
             VtRingAnswer *answer)
{
    answer->slot ^= 1;
    return fixture->requests < 100;
}

static bool
answer_nonsense(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
                VtRingAnswer *answer)
{
    answer->slot = G_MAXUINT32;
    return true;
}

static bool
go_away(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    return fixture->requests < 2;
}

typedef struct {
    bool (*tamper)(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
                   VtRingAnswer *answer);
    VtError code;
} Hostile;

static const Hostile hostile_first = {flip_bit, VT_ERROR_CORRUPT};
static const Hostile hostile_error = {answer_error, VT_ERROR_NETWORK};
static const Hostile hostile_slot = {answer_nonsense, VT_ERROR_FAILED};
static const Hostile hostile_gone = {go_away, VT_ERROR_NETWORK};

static void
test_hostile(gconstpointer data)
{
    const Hostile *hostile = data;
    LayerFixture fixture;
    g_autoptr(GError) error = NULL;
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    fixture.tamper = hostile->tamper;
    g_assert_false(layer_fixture_unpack(&fixture, output, false, &error));
    g_assert_error(error, VT_ERROR, (int)hostile->code);
    layer_fixture_clear(&fixture);
}

/* An answer for a slot that was asked, but not filled, is caught by the digest at the latest */
static void
test_wrong_slot(void)
{
    LayerFixture fixture;
    g_autoptr(GError) error = NULL;
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    fixture.tamper = answer_twice;
    if (layer_fixture_unpack(&fixture, output, false, &error))
        g_assert_true(verify(fixture.result.index, output, NULL, NULL, &error));
    else
        g_assert_nonnull(error);
    layer_fixture_clear(&fixture);
}

static void
test_resume(void)
{
    LayerFixture fixture;
    g_autoptr(GError) error = NULL;
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();
    guint all;

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    fixture.tamper = go_away;
    g_assert_false(layer_fixture_unpack(&fixture, output, false, &error));
    g_clear_error(&error);
    fixture.tamper = NULL;
    g_assert_true(layer_fixture_unpack(&fixture, output, true, &error));
    all = fixture.requests;
    g_assert_true(verify(fixture.result.index, output, NULL, NULL, &error));
    run_qemu_img("compare -q -f qcow2 -F raw", output, image);
    g_assert_true(layer_fixture_unpack(&fixture, output, true, &error));
    g_assert_cmpuint(fixture.requests, ==, 0);
    g_assert_cmpuint(all, >, 0);
    layer_fixture_clear(&fixture);
}

/* One bit anywhere in the file: metadata, data, a zero block inside a cluster */
static void
test_verify_finds(void)
{
    LayerFixture fixture;
    g_autoptr(GError) error = NULL;
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();
    off_t size;

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    g_assert_true(layer_fixture_unpack(&fixture, output, false, &error));
    g_assert_cmpint(fcntl(output, F_SETFL, fcntl(output, F_GETFL) & ~O_DIRECT), ==, 0);
    size = lseek(output, 0, SEEK_END);
    for (off_t at = 5; at < size - 65536; at += 4096 * 19 + 1) {
        uint8_t byte, flipped;

        g_assert_cmpint(pread(output, &byte, 1, at), ==, 1);
        flipped = byte ^ 0x10;
        g_assert_cmpint(pwrite(output, &flipped, 1, at), ==, 1);
        g_assert_false(verify(fixture.result.index, output, NULL, NULL, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
        g_clear_error(&error);
        g_assert_cmpint(pwrite(output, &byte, 1, at), ==, 1);
    }
    g_assert_true(verify(fixture.result.index, output, NULL, NULL, &error));
    g_assert_cmpint(ftruncate(output, size - 1), ==, 0);
    g_assert_false(verify(fixture.result.index, output, NULL, NULL, &error));
    layer_fixture_clear(&fixture);
}

/* Counts its calls, and stops the second time */
static bool
stop_soon(void *user, uint64_t done, uint64_t total)
{
    guint *calls = user;

    g_assert_cmpuint(done, <, total);
    return ++*calls < 2;
}

static void
test_verify_stops(void)
{
    LayerFixture fixture;
    g_autoptr(GError) error = NULL;
    vt_autofd image = layer_fixture_image(BLOCKS), output = output_file();
    guint calls = 0;

    layer_fixture_init(&fixture);
    layer_fixture_encode(&fixture, image, &small_frames);
    g_assert_true(layer_fixture_unpack(&fixture, output, false, &error));
    g_assert_false(verify(fixture.result.index, output, stop_soon, &calls, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_cmpuint(calls, ==, 2);
    layer_fixture_clear(&fixture);
}

static void
test_refuse_options(void)
{
    LayerFixture fixture;
    static const VtEncodeOptions bad[] = {{.level = 20},        {.level = -1},
                                          {.frame_size = 1000}, {.frame_size = 8u << 20},
                                          {.blob_max = 1000},   {.blob_max = 512u << 20}};
    vt_autofd image = layer_fixture_image(10), empty = output_file();

    layer_fixture_init(&fixture);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_encode_image(image, &bad[i], &fixture.sink, &fixture.result, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    }
    g_assert_false(
        vt_encode_image(empty, &(VtEncodeOptions){0}, &fixture.sink, &fixture.result, NULL));
    layer_fixture_clear(&fixture);
}

int
main(int argc, char **argv)
{
    static const VtEncodeOptions defaults = {0};

    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/layer/round-trip/default", &defaults, test_round_trip);
    g_test_add_data_func("/layer/round-trip/small-frames", &small_frames, test_round_trip);
    g_test_add_func("/layer/same-bytes", test_same_bytes);
    g_test_add_func("/layer/empty-disk", test_empty_disk);
    g_test_add_data_func("/layer/hostile/flipped-bit", &hostile_first, test_hostile);
    g_test_add_data_func("/layer/hostile/error", &hostile_error, test_hostile);
    g_test_add_data_func("/layer/hostile/slot", &hostile_slot, test_hostile);
    g_test_add_data_func("/layer/hostile/gone", &hostile_gone, test_hostile);
    g_test_add_func("/layer/hostile/wrong-slot", test_wrong_slot);
    g_test_add_func("/layer/resume", test_resume);
    g_test_add_func("/layer/verify-finds", test_verify_finds);
    g_test_add_func("/layer/verify-stops", test_verify_stops);
    g_test_add_func("/layer/refuse-options", test_refuse_options);
    return g_test_run();
}
