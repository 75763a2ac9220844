/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-fetcher.c: what a fetch worker is given at its start; the worker is the other end of a pair
 */
#include "vt-fs.h"
#include "vtd-fetcher.h"
#include "vtd-worker-protocol.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define STORE "docker://r.example/golden"
#define CA    "of some authority"
#define AUTH                                                                                       \
    "{\"auths\":{\"r.example\":{\"auth\":\"bWluZQ==\"},\"s.example\":{\"auth\":\"eW91cnM=\"}}}"

/* In the place of vtd-spawn.c: no process is started. The end of the worker that was started last
 */
static int theirs = -1;

bool
vtd_process_start(const char *program, VtdProcess *ret_process, GError **error)
{
    int pair[2];

    close(vt_steal_fd(&theirs));
    g_assert_true(vtd_channel_pair(pair, NULL));
    theirs = pair[1];
    *ret_process = (VtdProcess){1, pair[0]};
    return true;
}

void
vtd_process_end(VtdProcess *process)
{
    vt_close_fd(&process->socket_fd);
}

bool
vtd_wait(struct pollfd *fds, guint count, int timeout_ms, GCancellable *cancellable, GError **error)
{
    g_assert_not_reached();
}

bool
vtd_process_wait(const VtdProcess *process, int timeout_ms, GCancellable *cancellable,
                 GError **error)
{
    g_assert_not_reached();
}

typedef struct {
    char *dir, *auth, *ca;
    VtdWorkerConfig config;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->dir = g_dir_make_tmp("test-fetcher-XXXXXX", &error);
    g_assert_no_error(error);
    f->auth = g_build_filename(f->dir, "auth.json", NULL);
    f->ca = g_build_filename(f->dir, "ca.pem", NULL);
    f->config = (VtdWorkerConfig){
        .program_dir = "/nonexistent", .auth_file = f->auth, .ca_file = f->ca, .tries = 3};
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    close(vt_steal_fd(&theirs));
    g_remove(f->auth);
    g_remove(f->ca);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->auth);
    g_free(f->ca);
    g_free(f->dir);
}

static bool
start(const Fixture *f, const char *store, GError **error)
{
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtdFetcher) fetcher = NULL;

    g_assert_true(vt_store_url_parse(store, &url, NULL));
    if (vtd_fetcher_start(&f->config, url, NULL, &fetcher, error))
        return true;
    g_test_message("%s", (*error)->message);
    return false;
}

/* The first message */
static uint32_t
take_flags(VtdFds *fds)
{
    VtdFetchRequest request;
    g_autoptr(GError) error = NULL;

    g_assert_true(vtd_channel_receive(theirs, &request, sizeof(request), fds, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(request.tries, ==, 3);
    return request.flags & (VTD_FETCH_HAS_AUTH | VTD_FETCH_HAS_CA | VTD_FETCH_HAS_LAYOUT);
}

static char *
read_fd(int fd)
{
    char *text = g_malloc0(1024);

    g_assert_cmpint(pread(fd, text, 1023, 0), >, 0);
    return text;
}

static void
test_secrets(Fixture *f, gconstpointer data)
{
    g_autofree char *auth = NULL, *ca = NULL;
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(f->auth, AUTH, -1, NULL));
    g_assert_true(g_file_set_contents(f->ca, CA, -1, NULL));
    g_assert_true(start(f, STORE, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(take_flags(&fds), ==, VTD_FETCH_HAS_AUTH | VTD_FETCH_HAS_CA);
    auth = read_fd(fds.fd[0]);
    ca = read_fd(fds.fd[1]);
    g_assert_nonnull(strstr(auth, "bWluZQ=="));
    g_assert_null(strstr(auth, "s.example"));
    g_assert_cmpstr(ca, ==, CA);
}

/* Files that are not there are no error, and a directory gets no credentials */
static void
test_nothing(Fixture *f, gconstpointer data)
{
    g_auto(VtdFds) none = VTD_FDS_NONE, layout = VTD_FDS_NONE;
    g_autofree char *store = g_strconcat("oci:", f->dir, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(start(f, STORE, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(take_flags(&none), ==, 0);
    g_assert_true(g_file_set_contents(f->auth, AUTH, -1, NULL));
    g_assert_true(start(f, store, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(take_flags(&layout), ==, VTD_FETCH_HAS_LAYOUT);
}

static void
refuse(const Fixture *f, const char *store, const char *contains)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(start(f, store, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, contains));
}

static void
test_refuse(Fixture *f, gconstpointer data)
{
    refuse(f, "oci:/nonexistent/store", "cannot open the store 'oci:/nonexistent/store'");
    g_assert_cmpint(g_mkdir(f->ca, 0700), ==, 0);
    refuse(f, STORE, "ca.pem");
    g_assert_cmpint(g_rmdir(f->ca), ==, 0);
    g_assert_cmpint(g_mkdir(f->auth, 0700), ==, 0);
    refuse(f, STORE, "auth.json");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/fetcher/secrets", Fixture, NULL, set_up, test_secrets, tear_down);
    g_test_add("/fetcher/nothing", Fixture, NULL, set_up, test_nothing, tear_down);
    g_test_add("/fetcher/refuse", Fixture, NULL, set_up, test_refuse, tear_down);
    return g_test_run();
}
