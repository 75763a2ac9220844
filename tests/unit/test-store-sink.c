/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-store-sink.c: ranges whose bytes are given away as they come, when there is room for them */
#include "server-fixture.h"

#define BLOB_SIZE  (1u << 20)
#define RANGE_SIZE (512u << 10)
/* Room that each turn makes; less than what libcurl brings at once is no room at all */
#define ROOM (100u << 10)
/* A turn of the store, ms: it waits for room that nobody makes before it ends */
#define TURN_MS 5
#define TURNS   4000
/* Far less than what a stalled transfer is given */
#define LATE_TURNS 200

typedef struct {
    Servers servers;
    unsigned port, other_port;
} Fixture;

/** Taker: @room: bytes that may come; @asked: how often there was none; @enough: if not 0, then
 * more than so many bytes are refused */
typedef struct {
    uint32_t offset;
    uint32_t have;
    uint32_t room;
    uint32_t enough;
    unsigned asked;
    bool ended;
    GError *error;
} Taker;

static void
setup(Fixture *f, gconstpointer data)
{
    servers_begin(&f->servers);
    start_fault_registry(&f->servers, &f->port, &f->other_port);
}

static void
teardown(Fixture *f, gconstpointer data)
{
    servers_end(&f->servers);
}

static bool
has_room(void *user, uint32_t length)
{
    Taker *taker = user;

    g_assert_cmpuint(length, <=, 64u << 10);
    taker->asked += length > taker->room;
    return length <= taker->room;
}

/* The blob is the big-endian numbers of its words */
static bool
take(void *user, const void *data, uint32_t length)
{
    Taker *taker = user;

    g_assert_true(taker->enough == 0 || taker->have <= taker->enough);
    g_assert_cmpuint(length, <=, taker->room);
    taker->room -= length;
    for (uint32_t i = 0; i < length; i++) {
        const uint32_t at = taker->offset + taker->have + i;

        g_assert_cmpuint(((const uint8_t *)data)[i], ==, (at / 4 >> (8 * (3 - at % 4))) & 0xff);
    }
    taker->have += length;
    return taker->enough == 0 || taker->have <= taker->enough;
}

static void
on_end(void *user, const GError *error)
{
    Taker *taker = user;

    taker->ended = true;
    taker->error = error ? g_error_copy(error) : NULL;
}

static void
start(VtStore *store, const char *repository, uint32_t offset, uint32_t length, Taker *taker)
{
    const VtStoreRange range = {
        .repository = repository,
        .digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        .blob_size = BLOB_SIZE,
        .offset = offset,
        .length = length,
        .done = on_end,
        .user = taker,
        .room = has_room,
        .sink = take};

    *taker = (Taker){.offset = offset};
    vt_store_start_range(store, &range);
}

/* Until both have ended */
static void
run(VtStore *store, Taker takers[2])
{
    for (int turn = 0; turn < TURNS && !(takers[0].ended && takers[1].ended); turn++) {
        takers[0].room = takers[1].room = ROOM;
        vt_store_dispatch(store, -1, TURN_MS);
    }
    g_assert_true(takers[0].ended && takers[1].ended);
}

static const char *const survived[] = {"good", "cut", "cutoften", "busy", "norange", "norangecut"};

/* Each byte comes once and in order, whatever the registry does, and only when there is room */
static void
test_survived(Fixture *f, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(survived); i++) {
        const VtStoreOptions options = {.layout_fd = -1, .tries = 5};
        g_autoptr(VtStore) store = open_store(f->port, &options);
        Taker takers[2];

        g_assert_true(vt_store_streams(store));
        g_test_message("%s", survived[i]);
        for (uint32_t half = 0; half < 2; half++)
            start(store, survived[i], half * RANGE_SIZE, RANGE_SIZE, &takers[half]);
        run(store, takers);
        for (uint32_t half = 0; half < 2; half++) {
            g_assert_no_error(takers[half].error);
            g_assert_cmpuint(takers[half].have, ==, RANGE_SIZE);
        }
    }
}

/* A server without ranges, the whole blob as a range, and a cut: what was given cannot be taken
 * back, so the second answer goes to a spool */
static void
test_whole(Fixture *f, gconstpointer data)
{
    const VtStoreOptions options = {.layout_fd = -1, .tries = 5};
    g_autoptr(VtStore) store = open_store(f->port, &options);
    Taker takers[2] = {[1] = {.ended = true}};

    start(store, "norangecut", 0, BLOB_SIZE, &takers[0]);
    run(store, takers);
    g_assert_no_error(takers[0].error);
    g_assert_cmpuint(takers[0].have, ==, BLOB_SIZE);
    g_assert_cmpuint(takers[0].asked, >, 0);
}

/* While there is no room, the other range goes on, and nothing is given up */
static void
test_no_room(Fixture *f, gconstpointer data)
{
    const VtStoreOptions options = {.layout_fd = -1, .tries = 5};
    g_autoptr(VtStore) store = open_store(f->port, &options);
    Taker takers[2];

    for (uint32_t half = 0; half < 2; half++)
        start(store, "good", half * RANGE_SIZE, RANGE_SIZE, &takers[half]);
    takers[1].room = RANGE_SIZE;
    for (int turn = 0; turn < TURNS && !takers[1].ended; turn++)
        vt_store_dispatch(store, -1, TURN_MS);
    g_assert_true(takers[1].ended && !takers[0].ended);
    g_assert_cmpuint(takers[0].have, ==, 0);
    run(store, takers);
    g_assert_no_error(takers[0].error);
    g_assert_cmpuint(takers[0].have, ==, RANGE_SIZE);
}

/* The range fails at once, the other one goes on; from a spool, too */
static void
test_refused(Fixture *f, gconstpointer data)
{
    static const char *const repositories[] = {"good", "norange"};

    for (gsize i = 0; i < G_N_ELEMENTS(repositories); i++) {
        const VtStoreOptions options = {.layout_fd = -1, .tries = 5};
        g_autoptr(VtStore) store = open_store(f->port, &options);
        Taker takers[2];

        for (uint32_t half = 0; half < 2; half++)
            start(store, repositories[i], half * RANGE_SIZE, RANGE_SIZE, &takers[half]);
        takers[0].enough = RANGE_SIZE / 4;
        run(store, takers);
        g_assert_error(takers[0].error, VT_ERROR, VT_ERROR_FAILED);
        g_assert_nonnull(strstr(takers[0].error->message, "nobody wants"));
        g_assert_cmpuint(takers[0].have, <, RANGE_SIZE);
        g_clear_error(&takers[0].error);
        g_assert_no_error(takers[1].error);
        g_assert_cmpuint(takers[1].have, ==, RANGE_SIZE);
    }
}

/* After it had no room, and no more bytes come: nobody waits for these */
static void
test_refused_late(Fixture *f, gconstpointer data)
{
    const VtStoreOptions options = {.layout_fd = -1, .tries = 5};
    g_autoptr(VtStore) store = open_store(f->port, &options);
    Taker taker;

    start(store, "stall", 0, RANGE_SIZE, &taker);
    taker.enough = 1;
    for (int turn = 0; turn < TURNS && taker.asked == 0; turn++)
        vt_store_dispatch(store, -1, TURN_MS);
    g_assert_cmpuint(taker.asked, >, 0);
    taker.room = ROOM;
    for (int turn = 0; turn < LATE_TURNS && !taker.ended; turn++)
        vt_store_dispatch(store, -1, TURN_MS);
    g_assert_error(taker.error, VT_ERROR, VT_ERROR_FAILED);
    g_clear_error(&taker.error);
}

static void
test_gone(Fixture *f, gconstpointer data)
{
    const VtStoreOptions options = {.layout_fd = -1, .tries = 5};
    g_autoptr(VtStore) store = open_store(f->port, &options);
    Taker takers[2] = {[1] = {.ended = true}};

    start(store, "halfgone", 0, RANGE_SIZE, &takers[0]);
    run(store, takers);
    g_assert_error(takers[0].error, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_assert_cmpuint(takers[0].have, ==, RANGE_SIZE / 2);
    g_clear_error(&takers[0].error);
}

/* Ours, with a mirror that loses the blob half-way */
static VtStore *
open_mirrored(const Fixture *f)
{
    g_autofree char *rules = g_strdup_printf(
        "{\"registry\":[{\"prefix\":\"registry.test\",\"location\":\"127.0.0.1:%u\","
        "\"mirror\":[{\"location\":\"127.0.0.1:%u/halfgone\"}]}]}",
        f->port, f->port);
    g_autoptr(GBytes) bytes = g_bytes_new(rules, strlen(rules));
    g_autoptr(VtHosts) hosts = NULL;
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(GError) error = NULL;
    VtStoreOptions options = {.layout_fd = -1, .tries = 3};
    VtStore *store = NULL;

    vt_hosts_from_bytes(bytes, &hosts, &error);
    g_assert_no_error(error);
    g_assert_true(vt_store_url_parse("docker://registry.test", &url, &error));
    options.hosts = hosts;
    g_assert_true(vt_store_open(url, &options, &store, &error));
    return store;
}

/* The registry is asked for the rest */
static void
test_mirror(Fixture *f, gconstpointer data)
{
    g_autoptr(VtStore) store = open_mirrored(f);
    Taker takers[2] = {[1] = {.ended = true}};
    g_autofree char *log = NULL;

    start(store, "good", 0, RANGE_SIZE, &takers[0]);
    run(store, takers);
    g_assert_no_error(takers[0].error);
    g_assert_cmpuint(takers[0].have, ==, RANGE_SIZE);
    log = read_file(&f->servers, "log");
    g_assert_nonnull(strstr(log, "/halfgone/"));
    g_assert_nonnull(strstr(log, "bytes=262144-524287"));
}

/* What was refused is not asked for elsewhere */
static void
test_mirror_refused(Fixture *f, gconstpointer data)
{
    g_autoptr(VtStore) store = open_mirrored(f);
    Taker takers[2] = {[1] = {.ended = true}};
    g_autofree char *log = NULL;

    start(store, "good", 0, RANGE_SIZE, &takers[0]);
    takers[0].enough = RANGE_SIZE / 8;
    run(store, takers);
    g_assert_error(takers[0].error, VT_ERROR, VT_ERROR_FAILED);
    g_clear_error(&takers[0].error);
    log = read_file(&f->servers, "log");
    g_assert_nonnull(strstr(log, "/halfgone/"));
    g_assert_null(strstr(log, "/v2/good/"));
}

#define TEST(name, run) g_test_add("/store-sink/" name, Fixture, NULL, setup, run, teardown)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("survived", test_survived);
    TEST("whole", test_whole);
    TEST("no-room", test_no_room);
    TEST("refused", test_refused);
    TEST("refused-late", test_refused_late);
    TEST("gone", test_gone);
    TEST("mirror", test_mirror);
    TEST("mirror-refused", test_mirror_refused);
    return g_test_run();
}
