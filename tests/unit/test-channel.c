/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-channel.c: what the daemon takes from a worker that does not keep to the protocol */
#include "vt-fs.h"
#include "vtd-spawn.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

typedef struct {
    int ours, theirs;
} Pair;

static void
set_up(Pair *pair, gconstpointer data)
{
    int fds[2];

    g_assert_true(vtd_channel_pair(fds, NULL));
    *pair = (Pair){fds[0], fds[1]};
}

static void
tear_down(Pair *pair, gconstpointer data)
{
    vt_close_fd(&pair->ours);
    vt_close_fd(&pair->theirs);
}

static void
assert_refused(const Pair *pair, size_t size, const char *expected)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL;
    char message[64];

    g_assert_false(vtd_channel_receive(pair->ours, message, size, &fds, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, expected));
    g_assert_cmpint(fds.count, ==, 0);
}

static void
test_size(Pair *pair, gconstpointer data)
{
    static const char bytes[64];
    static const size_t sizes[] = {1, 7, 9, 64};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_assert_cmpint(send(pair->theirs, bytes, sizes[i], 0), ==, sizes[i]);
        assert_refused(pair, 8, "malformed");
    }
    vt_close_fd(&pair->theirs);
    assert_refused(pair, 8, "ended");
}

/* Descriptors that nobody wants do not stay open, however the message is */
static void
test_fds(Pair *pair, gconstpointer data)
{
    const int first = fcntl(pair->ours, F_DUPFD_CLOEXEC, 0);
    const VtdFds fds = {{0, 0, 0, 0, 0, 0}, VTD_CHANNEL_FDS_MAX};
    char message[8] = "";

    g_assert_cmpint(first, >=, 0);
    g_assert_cmpint(close(first), ==, 0);
    for (size_t size = 1; size <= sizeof(message); size++) {
        g_assert_true(vtd_channel_send(pair->theirs, message, size, &fds, NULL));
        g_assert_true(vtd_channel_receive(pair->ours, message, 8, NULL, NULL) == (size == 8));
    }
    /* the same number is free again */
    g_assert_cmpint(fcntl(pair->ours, F_DUPFD_CLOEXEC, 0), ==, first);
    g_assert_cmpint(close(first), ==, 0);
}

/* A socket that is none is an error of its own, and nothing else happens */
static void
test_no_socket(void)
{
    g_autoptr(GError) error = NULL, error2 = NULL;
    char message[8] = "";

    g_assert_false(vtd_channel_send(-1, message, sizeof(message), NULL, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_false(vtd_channel_receive(-1, message, sizeof(message), NULL, &error2));
    g_assert_error(error2, VT_ERROR, VT_ERROR_FAILED);
}

static void
test_memory_file(void)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static("abc", 3);
    vt_autofd fd = -1, empty = -1;
    char data[4] = "";

    g_assert_true(vtd_memfd("it", bytes, &fd, NULL));
    g_assert_cmpint(pread(fd, data, sizeof(data), 0), ==, 3);
    g_assert_cmpstr(data, ==, "abc");
    g_assert_true(vtd_memfd("it", NULL, &empty, NULL));
    g_assert_cmpint(lseek(empty, 0, SEEK_END), ==, 0);
}

static const struct {
    int32_t code;
    const char *message;
    size_t size;
    int expected;
    const char *shown;
} ends[] = {
    {-1, "x", 2, -1, NULL},
    {VT_ERROR_CORRUPT, "frame 7", 8, VT_ERROR_CORRUPT, "frame 7"},
    {VT_ERROR_LAST, "new", 4, VT_ERROR_FAILED, "new"},
    {INT32_MAX, "", 1, VT_ERROR_FAILED, ""},
    {INT32_MIN, "", 1, VT_ERROR_FAILED, ""},
    {-2, "not ended", 3, VT_ERROR_FAILED, "not"},
    {VT_ERROR_BUSY, "\x1b[2J\xff", 5, VT_ERROR_BUSY, "?[2J\xef\xbf\xbd"},
};

static void
test_check(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_autoptr(GError) error = NULL;
        const bool ok = vtd_channel_check(ends[i].code, ends[i].message, ends[i].size, &error);

        g_assert_true(ok == (ends[i].expected < 0));
        if (ok)
            continue;
        g_assert_error(error, VT_ERROR, ends[i].expected);
        g_assert_cmpstr(error->message, ==, ends[i].shown);
    }
}

/* A worker that lives and never reads: whoever asks it is not kept for ever */
static void
test_full(void)
{
    static const char script[] = "#!/bin/sh\nexec sleep 600\n";
    g_autofree char *folder = g_dir_make_tmp("test-channel-XXXXXX", NULL);
    g_autofree char *program = g_build_filename(folder, "worker", NULL);
    const struct timeval soon = {.tv_usec = 1000};
    g_auto(VtdProcess) process = {.socket_fd = -1};
    struct timeval limit = {0};
    socklen_t length = sizeof(limit);
    g_autoptr(GError) error = NULL;
    static const char bytes[4096];

    g_assert_true(g_file_set_contents(program, script, -1, NULL));
    g_assert_cmpint(chmod(program, 0700), ==, 0);
    g_assert_true(vtd_process_start(program, &process, NULL));
    g_assert_cmpint(getsockopt(process.socket_fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &length), ==, 0);
    g_assert_cmpint(limit.tv_sec, >, 0);
    /* the test does not wait so long */
    g_assert_cmpint(setsockopt(process.socket_fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)), ==,
                    0);
    while (vtd_channel_send(process.socket_fd, bytes, sizeof(bytes), NULL, &error))
        continue;
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_cmpstr(error->message, ==, "the other process does not read");
    g_assert_cmpint(g_unlink(program), ==, 0);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/channel/size", Pair, NULL, set_up, test_size, tear_down);
    g_test_add("/channel/fds", Pair, NULL, set_up, test_fds, tear_down);
    g_test_add_func("/channel/no-socket", test_no_socket);
    g_test_add_func("/channel/memory-file", test_memory_file);
    g_test_add_func("/channel/check", test_check);
    g_test_add_func("/channel/full", test_full);
    return g_test_run();
}
