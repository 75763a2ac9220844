/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-worker.c: nothing that a worker says makes the daemon go wrong
 *
 * A worker reads what comes from the network, so it may have been taken over. The functions of
 * vtd-spawn.c are defined here: no process is started, an input is the script of what the workers
 * do. Its first byte says what the daemon does with them. Then come steps; whenever the daemon
 * waits, the next ones are taken until there is something to be read:
 *
 *     what (1 byte: action, and whose socket), offset (2 bytes), length (1 byte), bytes
 */
#include "fuzz.h"
#include "vt-fs.h"
#include "vt-manifest.h"
#include "vtd-fetcher.h"
#include "vtd-seed.h"
#include "vtd-worker-protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* As many as a chain has at once, the fetch worker, and one that is started ahead */
#define WORKERS_MAX 8
#define STEPS_MAX   256
#define LAYERS      3
/* Of the document that is asked for */
#define LIMIT 64

typedef union {
    VtdFetchReply fetch;
    VtdUnpackReport report;
    VtdSeedReply seed;
    VtdUploadReply upload;
    uint8_t bytes[sizeof(VtdSeedReply)];
} Message;

/* Of the workers: @theirs: the other ends; @files: what came with the last message */
static struct {
    const uint8_t *data;
    size_t size;
    unsigned steps;
    int theirs[WORKERS_MAX];
    VtdFds files[WORKERS_MAX];
    unsigned count;
} world;

/* ---- what the workers do ---- */

/* Reads all that they were told, as a worker that keeps to the protocol would */
static void
listen_all(void)
{
    static char message[sizeof(VtdFetchRequest) + 1];

    for (unsigned i = 0; i < world.count; i++) {
        struct pollfd fd = {.fd = world.theirs[i], .events = POLLIN};

        while (fd.fd >= 0 && poll(&fd, 1, 0) == 1 && (fd.revents & POLLIN)) {
            char control[CMSG_SPACE(sizeof(int) * VTD_CHANNEL_FDS_MAX)];
            struct iovec vector = {message, sizeof(message)};
            struct msghdr header = {.msg_iov = &vector,
                                    .msg_iovlen = 1,
                                    .msg_control = control,
                                    .msg_controllen = sizeof(control)};
            const struct cmsghdr *part;

            if (recvmsg(fd.fd, &header, MSG_CMSG_CLOEXEC) <= 0)
                break;
            part = CMSG_FIRSTHDR(&header);
            if (!part)
                continue;
            vtd_fds_clear(&world.files[i]);
            world.files[i].count = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(world.files[i].fd, CMSG_DATA(part), part->cmsg_len - CMSG_LEN(0));
        }
    }
}

static void
say(unsigned worker, unsigned kind, const uint8_t *bytes, size_t length, size_t offset)
{
    static const size_t sizes[] = {sizeof(VtdFetchReply), sizeof(VtdUnpackReport),
                                   sizeof(VtdSeedReply), sizeof(VtdUploadReply)};
    Message message = {0};
    const size_t place = MIN(offset, sizes[kind]);

    /* success is where most is still to come */
    if (kind == 1)
        message.report.code = -1;
    else
        message.fetch.code = -1;
    memcpy(message.bytes + place, bytes, MIN(length, sizes[kind] - place));
    (void)send(world.theirs[worker], &message, sizes[kind], MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
say_anything(unsigned worker, const uint8_t *bytes, size_t length, bool with_fds)
{
    const VtdFds fds = {{0, 0, 0, 0, 0, 0}, with_fds ? VTD_CHANNEL_FDS_MAX : 0};

    vtd_channel_send(world.theirs[worker], bytes, length, &fds, NULL);
}

static void
write_file(unsigned worker, const uint8_t *bytes, size_t length, size_t offset)
{
    for (int i = 0; i < world.files[worker].count; i++)
        (void)!pwrite(world.files[worker].fd[i], bytes, length, (off_t)offset);
}

/* Returns: false: the script is over */
static bool
step(void)
{
    const uint8_t *at = world.data;
    unsigned what, worker;
    size_t offset, length;

    if (world.size < 4 || world.count == 0 || world.steps++ >= STEPS_MAX)
        return false;
    what = at[0] % 8;
    worker = (at[0] >> 3) % world.count;
    offset = (size_t)at[1] << 8 | at[2];
    length = MIN(at[3], world.size - 4);
    world.data += 4 + length;
    world.size -= 4 + length;
    if (world.theirs[worker] < 0)
        return true;
    if (what < 4)
        say(worker, what, at + 4, length, offset);
    else if (what < 6)
        say_anything(worker, at + 4, length, what == 5);
    else if (what == 6)
        write_file(worker, at + 4, length, offset);
    else
        close(vt_steal_fd(&world.theirs[worker]));
    return true;
}

/* ---- in the place of vtd-spawn.c ---- */

bool
vtd_process_start(const char *program, VtdProcess *ret_process, GError **error)
{
    int pair[2];

    if (world.count == WORKERS_MAX)
        return vt_throw(error, VT_ERROR_FAILED, "cannot start '%s'", program);
    g_assert_true(vtd_channel_pair(pair, NULL));
    /* nobody here waits until the daemon reads */
    g_assert_cmpint(fcntl(pair[1], F_SETFL, O_NONBLOCK), ==, 0);
    world.theirs[world.count] = pair[1];
    world.files[world.count] = (VtdFds)VTD_FDS_NONE;
    world.count++;
    *ret_process = (VtdProcess){1, pair[0]};
    return true;
}

void
vtd_process_end(VtdProcess *process)
{
    vt_close_fd(&process->socket_fd);
    process->pid = 0;
}

void
vtd_process_let_go(VtdProcess *process)
{
    vtd_process_end(process);
}

bool
vtd_wait(struct pollfd *fds, guint count, int timeout_ms, GCancellable *cancellable, GError **error)
{
    for (;;) {
        listen_all();
        if (poll(fds, count, 0) > 0)
            return true;
        if (!step())
            break;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no answer within %d s",
                timeout_ms / 1000);
    return false;
}

bool
vtd_process_wait(const VtdProcess *process, int timeout_ms, GCancellable *cancellable,
                 GError **error)
{
    struct pollfd fd = {.fd = process->socket_fd, .events = POLLIN};

    return vtd_wait(&fd, 1, timeout_ms, cancellable, error);
}

/* ---- what the daemon does ---- */

static void
check_error(const GError *error)
{
    g_assert_nonnull(error);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
}

static VtdFetcher *
start_fetcher(const VtdWorkerConfig *config, const char *store)
{
    g_autoptr(VtStoreUrl) url = NULL;
    VtdFetcher *fetcher = NULL;

    g_assert_true(vt_store_url_parse(store, &url, NULL));
    g_assert_true(vtd_fetcher_start(config, url, NULL, &fetcher, NULL));
    return fetcher;
}

static void
read_documents(VtdFetcher *fetcher)
{
    static const char digest[] =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    VtSource *source = vtd_fetcher_source(fetcher);
    g_autoptr(GBytes) manifest = NULL, blob = NULL, referrers = NULL;
    g_autoptr(GError) error = NULL;

    if (!source->get_manifest(source, "golden/web", "1.0.0", &manifest, &error)) {
        check_error(error);
        g_assert_null(manifest);
    }
    if (source->get_blob(source, "golden/web", digest, LIMIT, &blob, NULL))
        g_assert_cmpuint(g_bytes_get_size(blob), <=, LIMIT);
    source->get_referrers(source, "golden/web", digest, &referrers, NULL);
    vtd_fetcher_limit(fetcher, 1 << 20);
    vtd_fetcher_count(fetcher);
}

static void
ask_registry(const VtdWorkerConfig *config)
{
    g_autoptr(VtdFetcher) fetcher = start_fetcher(config, "docker://r.example/golden");

    read_documents(fetcher);
}

static void
ask_layout(const VtdWorkerConfig *config)
{
    g_autoptr(VtdFetcher) fetcher = start_fetcher(config, "oci:/proc");

    read_documents(fetcher);
}

static void
unpack(const VtdWorkerConfig *config)
{
    static const VtDescriptor blob = {.size = 100};
    g_autoptr(VtdFetcher) fetcher = start_fetcher(config, "docker://r.example");
    g_autoptr(GBytes) index = g_bytes_new_static("index", 5);
    g_autoptr(GPtrArray) blobs = g_ptr_array_new();
    VtdUnpackRequest requests[LAYERS];
    g_autoptr(GError) error = NULL;
    vt_autofd output = -1;
    guint failed = 0;

    g_assert_true(vtd_memfd("output", NULL, &output, NULL));
    g_ptr_array_add(blobs, (gpointer)(uintptr_t)&blob);
    for (int i = 0; i < LAYERS; i++)
        requests[i] = (VtdUnpackRequest){
            .index = index, .repository = "golden/web", .blobs = blobs, .output_fd = output};
    if (!vtd_fetcher_unpack_chain(fetcher, requests, LAYERS, &failed, &error)) {
        check_error(error);
        g_assert_cmpuint(failed, <, LAYERS);
    }
}

static void
said(gpointer user, GError *error)
{
    *(GError **)user = error ? error : g_error_new_literal(VT_ERROR, VT_ERROR_LAST, "");
}

/* Until the worker has said something; else false. Takes the place of the main loop */
static bool
wait_for(const VtdSeed *seed, GError **news)
{
    struct pollfd fd = {.fd = seed->worker.socket_fd, .events = POLLIN};
    g_autoptr(GError) silent = NULL;

    while (!*news && vtd_wait(&fd, 1, 0, NULL, &silent))
        g_main_context_iteration(NULL, FALSE);
    return *news != NULL;
}

static void
make_seed(const VtdWorkerConfig *config)
{
    VtdSeeder *seeder = vtd_seeder_new(config);
    g_autoptr(GBytes) xml = g_bytes_new_static("<domain/>", 9);
    GBytes *const documents[VTD_SEED_DOCUMENTS] = {xml, NULL, xml};
    g_autofree char *owner = NULL, *path = NULL;
    g_autoptr(GError) news = NULL;
    VtdSeed seed = {.said = said, .user = &news};

    g_assert_true(vtd_seeder_begin(seeder, xml, true, &seed, NULL));
    if (wait_for(&seed, &news) && news->code == VT_ERROR_LAST && seed.asks) {
        owner = g_strdup(seed.owner);
        path = g_strdup(seed.path);
        g_clear_error(&news);
        g_assert_true(vtd_seeder_answer(documents, &seed, NULL));
        if (wait_for(&seed, &news) && news->code == VT_ERROR_LAST) {
            /* it must not get the secrets of one domain into the seed of another */
            g_assert_cmpstr(seed.owner, ==, owner);
            g_assert_cmpstr(seed.path, ==, path);
            g_assert_false(seed.asks);
        }
    }
    if (news)
        check_error(news);
    vtd_seed_clear(&seed);
    vtd_seeder_free(seeder);
}

static int
count_open(void)
{
    int count = 0;

    for (int fd = 3; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tasks[])(const VtdWorkerConfig *) = {ask_registry, unpack, make_seed,
                                                             ask_layout};
    g_autoptr(VtdShares) shares = vtd_shares_new(8, 1 << 20);
    const VtdWorkerConfig config = {
        .program_dir = "/nonexistent", .auth_file = "/nonexistent", .tries = 1, .shares = shares};
    int before;

    if (size == 0)
        return 0;
    /* the main loop has an fd of its own, from the first time on */
    g_main_context_iteration(NULL, FALSE);
    before = count_open();
    world.data = data + 1;
    world.size = size - 1;
    world.steps = world.count = 0;
    tasks[data[0] % G_N_ELEMENTS(tasks)](&config);
    for (unsigned i = 0; i < world.count; i++) {
        vt_close_fd(&world.theirs[i]);
        vtd_fds_clear(&world.files[i]);
    }
    /* what came with a message is closed */
    g_assert_cmpint(count_open(), ==, before);
    return 0;
}
