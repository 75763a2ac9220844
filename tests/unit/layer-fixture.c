/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer-fixture.c: an image, its layer in memory files, and a ring server in a thread */
#include "layer-fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static bool
fixture_begin(VtBlobSink *sink, int *ret_fd, GError **error)
{
    LayerFixture *fixture = (LayerFixture *)sink;
    int fd = memfd_create("blob", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_array_append_val(fixture->blobs, fd);
    *ret_fd = dup(fd);
    return true;
}

static bool
fixture_commit(VtBlobSink *sink, int fd, const VtDigest *digest, uint64_t size, GError **error)
{
    g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, size);
    close(fd);
    return true;
}

void
layer_fixture_init(LayerFixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->sink = (VtBlobSink){fixture_begin, fixture_commit};
    fixture->blobs = g_array_new(false, false, sizeof(int));
    fixture->ready_fd = fixture->ring_fd = fixture->server_fd = fixture->client_fd = -1;
}

void
layer_fixture_clear(LayerFixture *fixture)
{
    for (guint i = 0; i < fixture->blobs->len; i++)
        close(g_array_index(fixture->blobs, int, i));
    g_array_unref(fixture->blobs);
    vt_encode_result_clear(&fixture->result);
}

void
layer_fixture_encode(LayerFixture *fixture, int image_fd, const VtEncodeOptions *options)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_encode_image(image_fd, options, &fixture->sink, &fixture->result, &error));
    g_assert_no_error(error);
}

static gpointer
serve(gpointer data)
{
    LayerFixture *fixture = data;
    VtRingRequest request;

    while (recv(fixture->server_fd, &request, sizeof(request), 0) == sizeof(request)) {
        uint8_t *slot = fixture->ring + (size_t)request.slot * VT_RING_SLOT_SIZE;
        VtRingAnswer answer = {.slot = request.slot, .code = -1, .length = request.length};

        fixture->requests++;
        g_assert_cmpuint(request.blob, <, fixture->blobs->len);
        g_assert_cmpint(pread(g_array_index(fixture->blobs, int, request.blob), slot,
                              request.length, (off_t)request.offset),
                        ==, request.length);
        if (fixture->tamper && !fixture->tamper(fixture, &request, slot, &answer))
            break;
        if (send(fixture->server_fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
            break;
    }
    close(fixture->server_fd);
    return NULL;
}

bool
layer_fixture_unpack(LayerFixture *fixture, int output_fd, bool resume, GError **error)
{
    const size_t size = (size_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE;
    VtUnpackJob job = {.index = fixture->result.index,
                       .blob_sizes = (const uint64_t *)(void *)fixture->result.blob_sizes->data,
                       .blob_count = fixture->result.blob_sizes->len,
                       .ancestors = fixture->ancestors,
                       .ancestor_count = fixture->ancestor_count,
                       .backing = fixture->backing,
                       .output_fd = output_fd,
                       .ready_fd = fixture->ready_fd,
                       .resume = resume};
    int pair[2];
    bool ok;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    fixture->ring_fd = memfd_create("ring", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(fixture->ring_fd, (off_t)size), ==, 0);
    fixture->ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fixture->ring_fd, 0);
    g_assert_true(fixture->ring != MAP_FAILED);
    fixture->server_fd = pair[0];
    job.socket_fd = pair[1];
    job.ring_fd = fixture->ring_fd;
    fixture->requests = 0;
    fixture->server = g_thread_new("ring", serve, fixture);
    ok = vt_unpack_run(&job, error);
    shutdown(pair[1], SHUT_RDWR);
    g_thread_join(fixture->server);
    close(pair[1]);
    munmap(fixture->ring, size);
    close(fixture->ring_fd);
    return ok;
}

/* Blocks by number: every 7th is zero, every 11th one of two that repeat, the rest noise or text */
static void
fill_block(guint32 number, uint8_t *block, GRand *rand)
{
    memset(block, 0, 4096);
    if (number % 7 == 3 || (number > 600 && number < 900))
        return;
    if (number % 11 == 5) {
        memset(block, number % 2 ? 'x' : 'y', 4096);
        return;
    }
    for (guint i = 0; i < 4096; i += 4) {
        guint32 word = number % 2 ? g_rand_int(rand) : number * 16 + i % 64;

        memcpy(block + i, &word, 4);
    }
}

int
layer_fixture_image(guint blocks)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    uint8_t block[4096];
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, (off_t)blocks * 4096), ==, 0);
    for (guint i = 0; i < blocks; i++) {
        fill_block(i, block, rand);
        if (block[0] || block[1] || block[2] || block[4])
            g_assert_cmpint(pwrite(fd, block, 4096, (off_t)i * 4096), ==, 4096);
    }
    return fd;
}

bool
layer_fixture_verify(const VtVerifyJob *job, GError **error)
{
    g_autofree VtLayerState *states = g_new0(VtLayerState, job->count);
    bool ok = vt_verify_chain(job, states, error);

    for (uint32_t i = 0; i < job->count; i++) {
        if (ok && states[i].damaged > 0)
            ok = vt_throw(error, VT_ERROR_CORRUPT, "%s", states[i].reason);
        vt_layer_state_clear(&states[i]);
    }
    return ok;
}
