/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-ring.c: bytes that come bit by bit, ancestors that come late, and rings that share a store
 */
#include "layer-fixture.h"

#include "vt-index.h"
#include "vt-ring-server.h"
#include "vt-store-ops.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* 16 MiB, in more than VT_RING_SLOTS requests */
#define BLOCKS 4096

static const VtEncodeOptions small_frames = {.frame_size = 64u << 10, .blob_max = 256u << 10};

typedef struct {
    LayerFixture fixture; /* first: what the server is given is the world */
    int image;
    int output;
    int ready_end;
} World;

static void
world_init(World *world)
{
    world->image = layer_fixture_image(BLOCKS);
    world->output = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    g_assert_cmpint(world->output, >=, 0);
    layer_fixture_init(&world->fixture);
    layer_fixture_encode(&world->fixture, world->image, &small_frames);
}

static void
world_clear(World *world)
{
    layer_fixture_clear(&world->fixture);
    close(world->image);
    close(world->output);
}

static void
assert_complete(const World *world)
{
    const VtVerifyLayer layer = {.index = world->fixture.result.index, .fd = world->output};
    const VtVerifyJob job = {.layers = &layer, .count = 1, .threads = 1};
    g_autoptr(GError) error = NULL;

    layer_fixture_verify(&job, &error);
    g_assert_no_error(error);
}

static void
send_part(const LayerFixture *fixture, const VtRingRequest *request, uint32_t length)
{
    const VtRingAnswer part = {.slot = request->slot, .code = -1, .length = length};

    /* unpack may have had enough */
    (void)send(fixture->server_fd, &part, sizeof(part), MSG_NOSIGNAL);
}

/* ---- parts ---- */

static bool
send_parts(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    for (uint32_t length = 1; length < request->length; length += 10007)
        send_part(fixture, request, length);
    return true;
}

static void
test_parts(void)
{
    g_autoptr(GError) error = NULL;
    World world;

    world_init(&world);
    world.fixture.tamper = send_parts;
    layer_fixture_unpack(&world.fixture, world.output, false, &error);
    g_assert_no_error(error);
    assert_complete(&world);
    world_clear(&world);
}

/* All but the last byte of a range, and no more */
static bool
die_late(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    send_part(fixture, request, request->length - 1);
    return false;
}

static bool
count_bytes(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
            VtRingAnswer *answer)
{
    fixture->tamper_at += request->length;
    return true;
}

/* A frame that was complete is not asked for again, whatever became of its range */
static void
test_cut(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VtIndex) index = NULL;
    VtFrame last = {0};
    World world;

    world_init(&world);
    g_assert_true(vt_index_parse(world.fixture.result.index, &index, NULL));
    world.fixture.tamper = die_late;
    g_assert_false(layer_fixture_unpack(&world.fixture, world.output, false, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NETWORK);
    g_clear_error(&error);
    world.fixture.tamper = count_bytes;
    world.fixture.tamper_at = 0;
    layer_fixture_unpack(&world.fixture, world.output, true, &error);
    g_assert_no_error(error);
    assert_complete(&world);
    /* The first range is the first blob, of which the last frame is missing */
    for (uint64_t i = 0; i < index->frame_count; i++) {
        VtFrame frame;

        vt_index_frame(index, i, &frame);
        if (frame.blob == 0)
            last = frame;
    }
    g_assert_cmpuint(last.offset, >, 0);
    g_assert_cmpuint(world.fixture.tamper_at, ==, world.fixture.result.stored_bytes - last.offset);
    world_clear(&world);
}

static bool
part_of_nothing(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
                VtRingAnswer *answer)
{
    send_part(fixture, request, 0);
    return true;
}

static bool
part_shrinks(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
             VtRingAnswer *answer)
{
    send_part(fixture, request, 2000);
    send_part(fixture, request, 1000);
    return true;
}

static bool
part_too_long(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
              VtRingAnswer *answer)
{
    send_part(fixture, request, request->length + 1);
    return true;
}

static void
test_wrong_parts(void)
{
    bool (*const wrong[])(LayerFixture *, const VtRingRequest *, uint8_t *,
                          VtRingAnswer *) = {part_of_nothing, part_shrinks, part_too_long};

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        World world;

        world_init(&world);
        world.fixture.tamper = wrong[i];
        g_assert_false(layer_fixture_unpack(&world.fixture, world.output, false, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
        g_assert_nonnull(strstr(error->message, "not asked"));
        world_clear(&world);
    }
}

/* ---- ancestors that are not complete ---- */

static bool
is_untouched(int fd)
{
    uint8_t block[4096];

    /* behind the metadata: 5 clusters */
    for (off_t at = 5 * 65536; pread(fd, block, sizeof(block), at) > 0; at += sizeof(block)) {
        for (gsize i = 0; i < sizeof(block); i++) {
            if (block[i] != 0)
                return false;
        }
    }
    return true;
}

/* All slots are full but one: what is in them stays there */
static bool
tell_ready(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    const World *world = (const World *)(const void *)fixture;
    VtRingRequest more;

    if (fixture->requests != VT_RING_SLOTS)
        return true;
    g_usleep(50000);
    g_assert_cmpint(recv(fixture->server_fd, &more, sizeof(more), MSG_DONTWAIT | MSG_PEEK), ==, -1);
    g_assert_true(is_untouched(world->output));
    g_assert_cmpint(write(world->ready_end, "", 1), ==, 1);
    return true;
}

static bool
give_up(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot, VtRingAnswer *answer)
{
    if (fixture->requests == VT_RING_SLOTS)
        close(((const World *)(const void *)fixture)->ready_end);
    return true;
}

static void
test_late(void)
{
    g_autoptr(GError) error = NULL;
    int ends[2];
    World world;

    world_init(&world);
    g_assert_cmpint(pipe(ends), ==, 0);
    world.ready_end = ends[1];
    world.fixture.ready_fd = ends[0];
    world.fixture.tamper = tell_ready;
    layer_fixture_unpack(&world.fixture, world.output, false, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(world.fixture.requests, >, VT_RING_SLOTS);
    assert_complete(&world);
    close(ends[0]);
    close(ends[1]);
    world_clear(&world);
}

static void
test_never(void)
{
    g_autoptr(GError) error = NULL;
    int ends[2];
    World world;

    world_init(&world);
    g_assert_cmpint(pipe(ends), ==, 0);
    world.ready_end = ends[1];
    world.fixture.ready_fd = ends[0];
    world.fixture.tamper = give_up;
    g_assert_false(layer_fixture_unpack(&world.fixture, world.output, false, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "the layer below was not completed"));
    g_assert_true(is_untouched(world.output));
    close(ends[0]);
    world_clear(&world);
}

/* ---- rings that share a store ---- */

/**
 * SlowStore: two ranges at a time, which end in the order in which they began
 * @begun: their offsets
 * @client_fds: closed when @left ranges have ended
 */
typedef struct {
    VtStore store;
    GQueue running;
    GArray *begun;
    int client_fds[2];
    unsigned left;
} SlowStore;

static void
slow_read_range(VtStore *store, VtRange *range)
{
    SlowStore *slow = (SlowStore *)store;

    g_array_append_val(slow->begun, range->offset);
    g_queue_push_tail(&slow->running, range);
    g_assert_cmpuint(g_queue_get_length(&slow->running), <=, store->connections);
}

static void
slow_dispatch(VtStore *store, int extra_fd, int timeout_ms)
{
    SlowStore *slow = (SlowStore *)store;
    VtRange *range = g_queue_pop_head(&slow->running);

    memset(range->buffer, 'x', range->length);
    range->progress(range->user, range->length / 2);
    if (--slow->left == 0) {
        close(slow->client_fds[0]);
        close(slow->client_fds[1]);
    }
    vt_store_range_ended(store, range, NULL);
}

static void
add_ring(VtRingServer *server, int *ret_client_fd)
{
    const VtRingBlob blob = {
        1000, "sha256:0000000000000000000000000000000000000000000000000000000000000000"};
    vt_autofd memory = memfd_create("ring", MFD_CLOEXEC), theirs = -1;
    VtRingSource source = {.repository = "a", .blobs = &blob, .count = 1, .memory_fd = memory};
    g_autoptr(GError) error = NULL;
    int pair[2];

    g_assert_cmpint(ftruncate(memory, (off_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    theirs = pair[0];
    source.socket_fd = theirs;
    *ret_client_fd = pair[1];
    vt_ring_server_add(server, &source, &error);
    g_assert_no_error(error);
}

/* Of slots 0 to @count; the offsets are told by */
static void
ask(int client_fd, uint32_t count, uint64_t offset)
{
    for (uint32_t i = 0; i < count; i++) {
        const VtRingRequest request = {.slot = i, .offset = offset + i, .length = 1};

        g_assert_cmpint(send(client_fd, &request, sizeof(request), 0), ==, sizeof(request));
    }
}

static void
test_shared(void)
{
    static const uint64_t expected[] = {0, 1, 2, 100, 101, 102, 103};
    const VtStoreOps ops = {.read_range = slow_read_range, .dispatch = slow_dispatch};
    SlowStore slow = {.store = {.ops = &ops, .connections = 2}, .left = G_N_ELEMENTS(expected)};
    g_autoptr(VtRingServer) server = vt_ring_server_new(&slow.store);

    slow.begun = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    add_ring(server, &slow.client_fds[0]);
    add_ring(server, &slow.client_fds[1]);
    /* The one above is quicker to ask, and has to wait */
    ask(slow.client_fds[1], 4, 100);
    ask(slow.client_fds[0], 3, 0);
    g_assert_true(vt_ring_server_run(server, -1));
    g_assert_cmpmem(slow.begun->data, slow.begun->len * sizeof(uint64_t), expected,
                    sizeof(expected));
    g_array_unref(slow.begun);
}

/* What still runs of a ring that nobody has any more does not disturb the other */
static void
test_left(void)
{
    static const uint64_t expected[] = {0, 1, 100, 101, 102};
    const VtStoreOps ops = {.read_range = slow_read_range, .dispatch = slow_dispatch};
    SlowStore slow = {.store = {.ops = &ops, .connections = 2}, .left = G_N_ELEMENTS(expected)};
    g_autoptr(VtRingServer) server = vt_ring_server_new(&slow.store);
    int speaks[2];

    slow.begun = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_assert_cmpint(pipe(speaks), ==, 0);
    close(speaks[1]);
    add_ring(server, &slow.client_fds[0]);
    add_ring(server, &slow.client_fds[1]);
    ask(slow.client_fds[0], 4, 0);
    ask(slow.client_fds[1], 3, 100);
    /* Two begin, then another wants something */
    g_assert_true(vt_ring_server_run(server, speaks[0]));
    vt_close_fd(&slow.client_fds[0]);
    g_assert_true(vt_ring_server_run(server, -1));
    g_assert_cmpuint(slow.left, ==, 0);
    g_assert_cmpmem(slow.begun->data, slow.begun->len * sizeof(uint64_t), expected,
                    sizeof(expected));
    g_array_unref(slow.begun);
    close(speaks[0]);
}

/* A slot that is asked for twice, a blob that is not there, bytes behind its end */
static void
test_insane(void)
{
    static const VtRingRequest requests[] = {
        {.slot = VT_RING_SLOTS, .length = 1},
        {.slot = 0, .blob = 1, .length = 1},
        {.slot = 0, .offset = 1000, .length = 1},
        {.slot = 0, .offset = 999, .length = 2},
        {.slot = 0, .length = 0},
        {.slot = 0, .length = VT_RING_SLOT_SIZE + 1},
    };
    const VtStoreOps ops = {.read_range = slow_read_range, .dispatch = slow_dispatch};
    SlowStore slow = {.store = {.ops = &ops, .connections = 2}};

    for (gsize i = 0; i < G_N_ELEMENTS(requests); i++) {
        g_autoptr(VtRingServer) server = vt_ring_server_new(&slow.store);
        vt_autofd client = -1;
        char byte;

        add_ring(server, &client);
        g_assert_cmpint(send(client, &requests[i], sizeof(requests[i]), 0), ==,
                        sizeof(requests[i]));
        g_assert_true(vt_ring_server_run(server, -1));
        g_assert_cmpint(recv(client, &byte, 1, 0), <=, 0);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ring/parts", test_parts);
    g_test_add_func("/ring/cut", test_cut);
    g_test_add_func("/ring/wrong-parts", test_wrong_parts);
    g_test_add_func("/ring/late", test_late);
    g_test_add_func("/ring/never", test_never);
    g_test_add_func("/ring/shared", test_shared);
    g_test_add_func("/ring/left", test_left);
    g_test_add_func("/ring/insane", test_insane);
    return g_test_run();
}
