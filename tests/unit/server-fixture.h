/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server-fixture.h: servers on 127.0.0.1 for one test, and a store opened on them */
#pragma once

#include "vt-fs.h"
#include "vt-manifest.h"
#include "vt-store.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* A test server that is not there after this is broken */
#define SERVER_PATIENCE_MS 15000

/**
 * Servers:
 * @dir: temporary directory, removed at the end
 * @processes: (element-type GSubprocess): ended at the end
 */
typedef struct {
    char *dir;
    GPtrArray *processes;
} Servers;

static inline void
servers_begin(Servers *servers)
{
    servers->dir = g_dir_make_tmp("vt-servers-XXXXXX", NULL);
    servers->processes = g_ptr_array_new_with_free_func(g_object_unref);
}

static inline void
remove_path(const char *path)
{
    g_autoptr(GDir) dir =
        g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        remove_path(child);
    }
    g_assert_cmpint(g_remove(path), ==, 0);
}

static inline void
servers_end(Servers *servers)
{
    for (guint i = 0; i < servers->processes->len; i++) {
        GSubprocess *process = g_ptr_array_index(servers->processes, i);

        g_subprocess_force_exit(process);
        g_subprocess_wait(process, NULL, NULL);
    }
    g_ptr_array_unref(servers->processes);
    remove_path(servers->dir);
    g_free(servers->dir);
}

static inline char *
server_file(const Servers *servers, const char *name)
{
    return g_build_filename(servers->dir, name, NULL);
}

static inline void
write_file(const Servers *servers, const char *name, const char *text)
{
    g_autofree char *path = server_file(servers, name);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static inline char *
read_file(const Servers *servers, const char *name)
{
    g_autofree char *path = server_file(servers, name);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

/* Servers of a test that is aborted end with it */
static inline void
die_with_parent(gpointer user)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/** start_server: @command: a command line in which nothing needs quoting */
static inline void
start_server(Servers *servers, const char *command)
{
    g_auto(GStrv) argv = g_strsplit(command, " ", -1);
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    g_autoptr(GError) error = NULL;
    GSubprocess *process;

    g_subprocess_launcher_set_child_setup(launcher, die_with_parent, NULL, NULL);
    process = g_subprocess_launcher_spawnv(launcher, (const char *const *)argv, &error);
    g_assert_no_error(error);
    g_ptr_array_add(servers->processes, process);
}

/** run_command: Runs it to its end. Returns: its output; it must succeed */
static inline char *
run_command(const char *command)
{
    g_auto(GStrv) argv = g_strsplit(command, " ", -1);
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) process =
        g_subprocess_newv((const char *const *)argv,
                          G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, &error);
    char *output = NULL;

    g_assert_no_error(error);
    g_assert_true(g_subprocess_communicate_utf8(process, NULL, NULL, &output, NULL, &error));
    if (!g_subprocess_get_successful(process))
        g_error("'%s' failed: %s", command, output);
    return output;
}

/** wait_for_file: Returns: (transfer full): its content, once a server has written it */
static inline char *
wait_for_file(const Servers *servers, const char *name)
{
    for (int waited = 0; waited < SERVER_PATIENCE_MS; waited += 20) {
        g_autofree char *text = read_file(servers, name);

        if (*text)
            return g_steal_pointer(&text);
        g_usleep(20000);
    }
    g_error("no server wrote '%s'", name);
}

/** start_fault_registry: tools/fault-registry.py; @other_port: where it redirects to */
static inline void
start_fault_registry(Servers *servers, unsigned *port, unsigned *other_port)
{
    g_autofree char *script =
        g_test_build_filename(G_TEST_DIST, "tools", "fault-registry.py", NULL);
    g_autofree char *command = g_strconcat("/usr/bin/python3 ", script, " ", servers->dir, NULL);
    g_autofree char *ports = NULL;

    start_server(servers, command);
    ports = wait_for_file(servers, "port");
    g_assert_cmpint(sscanf(ports, "%u %u", port, other_port), ==, 2);
}

static inline int
loopback_socket(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return fd;
}

/** free_port: Returns: a port that nobody listens on right now */
static inline unsigned
free_port(void)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    vt_autofd fd = loopback_socket(&address);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    return ntohs(address.sin_port);
}

static inline void
wait_for_port(unsigned port)
{
    for (int waited = 0; waited < SERVER_PATIENCE_MS; waited += 20) {
        struct sockaddr_in address;
        vt_autofd fd = loopback_socket(&address);

        address.sin_port = htons((uint16_t)port);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            return;
        g_usleep(20000);
    }
    g_error("nobody listens on port %u", port);
}

/** open_store: Opens `docker://127.0.0.1:PORT`; the options are the caller's */
static inline VtStore *
open_store(unsigned port, const VtStoreOptions *options)
{
    g_autofree char *text = g_strdup_printf("docker://127.0.0.1:%u", port);
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(GError) error = NULL;
    VtStore *store = NULL;

    g_assert_true(vt_store_url_parse(text, &url, &error));
    g_assert_true(vt_store_open(url, options, &store, &error));
    g_assert_no_error(error);
    return store;
}

/* ---- ranges ---- */

typedef struct {
    unsigned ended;
    GError *error;
} RangeEnd;

static inline void
on_range_end(void *user, const GError *error)
{
    RangeEnd *end = user;

    end->ended++;
    if (error && !end->error)
        end->error = g_error_copy(error);
}

static inline void
wait_for_ranges(VtStore *store, const RangeEnd *end, unsigned count)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    while (end->ended < count) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        vt_store_dispatch(store, -1, 1000);
    }
    g_assert_cmpuint(end->ended, ==, count);
}
