/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-ring-stream.c: ranges that are longer than the slots that they go through */
#include "layer-fixture.h"

#include "vt-ring-server.h"
#include "vt-store-ops.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* 96 MiB, a third of which is noise: more than the slots hold */
#define BLOCKS 24576
/* What a store gives at once */
#define PIECE_MAX (64u << 10)
#define RING_SIZE ((size_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE)

/**
 * StreamStore: gives away its blobs in pieces of any size, to all ranges in turn
 * @running: (element-type Running)
 * @longest: range so far, bytes; @requested: bytes of all ranges
 * @die_after: (optional): bytes, after which the next range fails; 0: none does
 */
typedef struct {
    VtStore store;
    const LayerFixture *fixture;
    GRand *rand;
    GQueue running;
    uint32_t longest;
    uint64_t requested;
    uint64_t given;
    uint64_t die_after;
} StreamStore;

typedef struct {
    VtRange *range;
    uint32_t have;
} Running;

static void
stream_read_range(VtStore *store, VtRange *range)
{
    StreamStore *stream = (StreamStore *)store;
    Running *running = g_new0(Running, 1);

    running->range = range;
    stream->longest = MAX(stream->longest, range->length);
    stream->requested += range->length;
    g_queue_push_tail(&stream->running, running);
}

/* "sha256:" and the number of the blob */
static int
blob_of(const StreamStore *stream, const VtRange *range)
{
    return g_array_index(stream->fixture->blobs, int,
                         g_ascii_strtoull(range->digest + strlen("sha256:"), NULL, 16));
}

static bool
give(StreamStore *stream, Running *running, uint32_t length)
{
    const VtRange *range = running->range;
    uint8_t piece[PIECE_MAX];
    bool wanted = true;

    g_assert_cmpint(
        pread(blob_of(stream, range), piece, length, (off_t)(range->offset + running->have)), ==,
        length);
    if (range->sink)
        wanted = range->sink(range->user, piece, length);
    else
        memcpy(range->buffer + running->have, piece, length);
    running->have += length;
    stream->given += length;
    return wanted;
}

/* One piece for each range that has room; if none has, until somebody makes some */
static void
stream_dispatch(VtStore *store, int extra_fd, int timeout_ms)
{
    StreamStore *stream = (StreamStore *)store;
    struct pollfd extra = {.fd = extra_fd, .events = POLLIN};
    bool any = false;

    for (guint left = g_queue_get_length(&stream->running); left > 0; left--) {
        Running *running = g_queue_pop_head(&stream->running);
        VtRange *range = running->range;
        const uint32_t most = MIN(PIECE_MAX, range->length - running->have);
        const uint32_t length = (uint32_t)g_rand_int_range(stream->rand, 1, (gint32)most + 1);
        GError *error = NULL;

        if (!range->sink || range->room(range->user, length)) {
            any = true;
            if (!give(stream, running, length))
                vt_throw(&error, VT_ERROR_FAILED, "nobody wants the rest");
        }
        if (!error && stream->die_after > 0 && stream->given > stream->die_after)
            vt_throw(&error, VT_ERROR_NETWORK, "the store has had enough");
        if (!error && running->have < range->length) {
            g_queue_push_tail(&stream->running, running);
            continue;
        }
        g_free(running);
        vt_store_range_ended(store, range, error);
    }
    if (!any)
        poll(&extra, 1, timeout_ms);
}

static const VtStoreOps stream_ops = {.read_range = stream_read_range, .dispatch = stream_dispatch};

static void
stream_init(StreamStore *stream, const LayerFixture *fixture)
{
    *stream = (StreamStore){.store = {.ops = &stream_ops, .streams = true, .connections = 8},
                            .fixture = fixture,
                            .rand = g_rand_new_with_seed(1)};
}

/* Ends what runs, so that the server can be freed */
static void
stream_clear(StreamStore *stream)
{
    Running *running;

    while ((running = g_queue_pop_head(&stream->running))) {
        vt_store_range_ended(&stream->store, running->range, NULL);
        g_free(running);
    }
    if (!g_queue_is_empty(&stream->store.ended))
        vt_store_dispatch(&stream->store, -1, 0);
    g_rand_free(stream->rand);
}

static GArray *
ring_blobs(const LayerFixture *fixture)
{
    GArray *blobs = g_array_new(false, true, sizeof(VtRingBlob));

    for (guint i = 0; i < fixture->blobs->len; i++) {
        VtRingBlob blob = {.size = g_array_index(fixture->result.blob_sizes, uint64_t, i)};

        g_snprintf(blob.digest, sizeof(blob.digest), "sha256:%064x", i);
        g_array_append_val(blobs, blob);
    }
    return blobs;
}

/* ---- layers ---- */

static gpointer
serve(gpointer data)
{
    return GINT_TO_POINTER(vt_ring_server_run(data, -1));
}

/* @stream: cleared at the end */
static bool
unpack(StreamStore *stream, int output, bool resume, GError **error)
{
    const LayerFixture *fixture = stream->fixture;
    g_autoptr(GArray) blobs = ring_blobs(fixture);
    vt_autofd memory = memfd_create("ring", MFD_CLOEXEC);
    VtUnpackJob job = {.index = fixture->result.index,
                       .blob_sizes = (const uint64_t *)(void *)fixture->result.blob_sizes->data,
                       .blob_count = blobs->len,
                       .output_fd = output,
                       .ring_fd = memory,
                       .ready_fd = -1,
                       .streams = true,
                       .resume = resume};
    VtRingServer *server = vt_ring_server_new(&stream->store);
    VtRingSource source = {.repository = "a",
                           .blobs = (const VtRingBlob *)(void *)blobs->data,
                           .count = blobs->len,
                           .memory_fd = memory};
    GThread *thread;
    int pair[2];
    bool ok;

    g_assert_cmpint(ftruncate(memory, RING_SIZE), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    source.socket_fd = pair[0];
    g_assert_true(vt_ring_server_add(server, &source, NULL));
    close(pair[0]);
    job.socket_fd = pair[1];
    thread = g_thread_new("server", serve, server);
    ok = vt_unpack_run(&job, error);
    close(pair[1]);
    g_thread_join(thread);
    stream_clear(stream);
    vt_ring_server_free(server);
    return ok;
}

static void
assert_complete(const LayerFixture *fixture, int output)
{
    const VtVerifyLayer layer = {.index = fixture->result.index, .fd = output};
    const VtVerifyJob job = {.layers = &layer, .count = 1, .threads = 1};
    g_autoptr(GError) error = NULL;

    layer_fixture_verify(&job, &error);
    g_assert_no_error(error);
}

static void
fixture_of(LayerFixture *fixture, uint32_t frame_size)
{
    const VtEncodeOptions options = {.frame_size = frame_size, .blob_max = 256u << 20};
    vt_autofd image = layer_fixture_image(BLOCKS);

    layer_fixture_init(fixture);
    layer_fixture_encode(fixture, image, &options);
    g_assert_cmpuint(fixture->result.stored_bytes, >, RING_SIZE);
}

static void
test_layer(void)
{
    vt_autofd output = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;
    StreamStore stream;

    fixture_of(&fixture, 128u << 10);
    stream_init(&stream, &fixture);
    unpack(&stream, output, false, &error);
    g_assert_no_error(error);
    assert_complete(&fixture, output);
    g_assert_cmpuint(stream.longest, >, VT_RING_SLOT_SIZE);
    g_assert_cmpuint(stream.requested, ==, fixture.result.stored_bytes);
    layer_fixture_clear(&fixture);
}

/* A frame may be as large as a slot: such a layer goes range by range */
static void
test_large_frames(void)
{
    vt_autofd output = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;
    StreamStore stream;

    fixture_of(&fixture, 4u << 20);
    stream_init(&stream, &fixture);
    unpack(&stream, output, false, &error);
    g_assert_no_error(error);
    assert_complete(&fixture, output);
    g_assert_cmpuint(stream.longest, <=, VT_RING_SLOT_SIZE);
    layer_fixture_clear(&fixture);
}

/* What was taken from a range that failed is there; the next attempt asks for the rest */
static void
test_cut(void)
{
    vt_autofd output = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;
    StreamStore stream, again;

    fixture_of(&fixture, 128u << 10);
    stream_init(&stream, &fixture);
    stream.die_after = fixture.result.stored_bytes * 3 / 4;
    g_assert_false(unpack(&stream, output, false, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NETWORK);
    g_clear_error(&error);
    stream_init(&again, &fixture);
    unpack(&again, output, true, &error);
    g_assert_no_error(error);
    assert_complete(&fixture, output);
    /* All that is in the ring may be lost, as the process dies, but no more */
    g_assert_cmpuint(again.requested, <, fixture.result.stored_bytes / 4 + RING_SIZE);
    layer_fixture_clear(&fixture);
}

/* ---- the server by itself ---- */

#define LONG (VT_RING_SLOT_SIZE * 2 + 1000)

/** Client: what unpack is to the server */
typedef struct {
    LayerFixture fixture; /* of which only blobs and their sizes are used */
    StreamStore stream;
    VtRingServer *server;
    uint8_t *memory;
    int fd;
} Client;

static void
client_init(Client *client, bool streams)
{
    uint64_t size = LONG;
    int blob = memfd_create("blob", MFD_CLOEXEC), pair[2];
    vt_autofd memory = memfd_create("ring", MFD_CLOEXEC);
    g_autoptr(GArray) blobs = NULL;
    VtRingSource source = {.repository = "a", .count = 1, .memory_fd = memory};

    layer_fixture_init(&client->fixture);
    client->fixture.result.blob_sizes = g_array_new(false, false, sizeof(uint64_t));
    g_array_append_val(client->fixture.result.blob_sizes, size);
    g_array_append_val(client->fixture.blobs, blob);
    for (uint32_t at = 0; at < LONG; at += 4)
        g_assert_cmpint(pwrite(blob, &at, 4, at), ==, 4);
    stream_init(&client->stream, &client->fixture);
    client->stream.store.streams = streams;
    client->server = vt_ring_server_new(&client->stream.store);
    g_assert_cmpint(ftruncate(memory, RING_SIZE), ==, 0);
    client->memory = mmap(NULL, RING_SIZE, PROT_READ, MAP_SHARED, memory, 0);
    g_assert_true(client->memory != MAP_FAILED);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    source.socket_fd = pair[0];
    client->fd = pair[1];
    blobs = ring_blobs(&client->fixture);
    source.blobs = (const VtRingBlob *)(void *)blobs->data;
    g_assert_true(vt_ring_server_add(client->server, &source, NULL));
    close(pair[0]);
}

static void
client_clear(Client *client)
{
    vt_close_fd(&client->fd);
    stream_clear(&client->stream);
    vt_ring_server_free(client->server);
    munmap(client->memory, RING_SIZE);
    layer_fixture_clear(&client->fixture);
}

static void
say(const Client *client, const VtRingRequest *request)
{
    g_assert_cmpint(send(client->fd, request, sizeof(*request), 0), ==, sizeof(*request));
}

/* Until the server has said that slot 1 has @length bytes */
static void
wait_for(const Client *client, uint32_t length)
{
    VtRingAnswer answer = {0};

    while (answer.length < length) {
        g_assert_cmpint(recv(client->fd, &answer, sizeof(answer), 0), ==, sizeof(answer));
        g_assert_cmpint(answer.code, ==, -1);
        g_assert_cmpuint(answer.slot, ==, 1);
    }
    g_assert_cmpuint(answer.length, ==, length);
}

/* Bytes [first, end) of the range are in their places */
static void
assert_slot(const Client *client, uint32_t first, uint32_t end)
{
    const uint8_t *slot = client->memory + VT_RING_SLOT_SIZE;

    for (uint32_t at = (first + 3) & ~3u; at + 4 <= end; at += 4) {
        uint32_t word;

        /* A slot is a multiple of four bytes */
        memcpy(&word, slot + at % VT_RING_SLOT_SIZE, 4);
        g_assert_cmpuint(word, ==, at);
    }
}

/* Of a range, the server keeps a slot's size beyond what was taken, and nothing else */
static void
test_window(void)
{
    VtRingRequest request = {.slot = 1, .length = LONG};
    GThread *thread;
    Client client;
    uint32_t have;

    client_init(&client, true);
    thread = g_thread_new("server", serve, client.server);
    say(&client, &request);
    /* It stops when the next piece has no room, which may be any */
    for (have = 0; have <= VT_RING_SLOT_SIZE - PIECE_MAX;) {
        VtRingAnswer answer;

        g_assert_cmpint(recv(client.fd, &answer, sizeof(answer), 0), ==, sizeof(answer));
        g_assert_cmpuint(answer.length, >, have);
        have = answer.length;
    }
    g_assert_cmpuint(have, <=, VT_RING_SLOT_SIZE);
    assert_slot(&client, 0, have);
    request.taken = have;
    say(&client, &request);
    while (have <= VT_RING_SLOT_SIZE + PIECE_MAX) {
        VtRingAnswer answer;

        g_assert_cmpint(recv(client.fd, &answer, sizeof(answer), 0), ==, sizeof(answer));
        have = answer.length;
    }
    request.taken = have;
    say(&client, &request);
    wait_for(&client, LONG);
    assert_slot(&client, have, LONG);
    vt_close_fd(&client.fd);
    g_thread_join(thread);
    client_clear(&client);
}

/* What no unpack worker says ends the ring */
static void
test_insane(void)
{
    static const struct {
        bool streams;
        VtRingRequest request;
    } insane[] = {
        {false, {.slot = 1, .length = VT_RING_SLOT_SIZE + 1}},
        {true, {.slot = 1, .length = VT_RING_RANGE_MAX + 1}},
        {true, {.slot = 1, .length = LONG, .taken = 1}},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(insane); i++) {
        Client client;
        char byte;

        client_init(&client, insane[i].streams);
        say(&client, &insane[i].request);
        g_assert_true(vt_ring_server_run(client.server, -1));
        g_assert_cmpint(recv(client.fd, &byte, 1, 0), <=, 0);
        client_clear(&client);
    }
}

/* The same, about a range that is on its way: nobody may touch its memory any more */
static void
test_insane_room(void)
{
    static const VtRingRequest insane[] = {
        {.slot = 1, .length = LONG, .taken = 0},
        {.slot = 1, .length = LONG, .taken = VT_RING_SLOT_SIZE + 1},
        {.slot = 1, .length = LONG - 1, .taken = 1000},
        {.slot = 1, .offset = 1, .length = LONG - 1, .taken = 1000},
        {.slot = 2, .length = LONG, .taken = 1000},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(insane); i++) {
        const VtRingRequest request = {.slot = 1, .length = LONG};
        g_autofree uint8_t *before = NULL;
        VtRingAnswer answer;
        GThread *thread;
        uint64_t given;
        Client client;

        client_init(&client, true);
        thread = g_thread_new("server", serve, client.server);
        say(&client, &request);
        g_assert_cmpint(recv(client.fd, &answer, sizeof(answer), 0), ==, sizeof(answer));
        say(&client, &insane[i]);
        g_assert_true(g_thread_join(thread));
        before = g_memdup2(client.memory, RING_SIZE);
        given = client.stream.given;
        vt_store_dispatch(&client.stream.store, -1, 0);
        g_assert_cmpuint(client.stream.given, >, given);
        g_assert_cmpmem(client.memory, RING_SIZE, before, RING_SIZE);
        g_assert_true(g_queue_is_empty(&client.stream.running));
        client_clear(&client);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ring-stream/layer", test_layer);
    g_test_add_func("/ring-stream/large-frames", test_large_frames);
    g_test_add_func("/ring-stream/cut", test_cut);
    g_test_add_func("/ring-stream/window", test_window);
    g_test_add_func("/ring-stream/insane", test_insane);
    g_test_add_func("/ring-stream/insane-room", test_insane_room);
    return g_test_run();
}
