/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-rpc.c: whatever the arguments of a call are, the daemon answers it, once, and goes on
 *
 * A daemon with a pool and no workers runs in this process; each input is one call through its
 * socket. The first byte is the method, the second the form of the rest: a serialized GVariant, or
 * lines that become the arguments in their order: a text, a number, or for a dictionary its keys
 * and values, up to an empty line. The type of a value in an a{sv} is its first character.
 */
#include "fuzz.h"
#include "vt-fs.h"
#include "vtd-interface.h"
#include "vtd-methods.h"
#include "vtd-monitor.h"
#include "vtd-server.h"

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Nobody waits here for something that takes time */
#define WAIT_MAX_MS 1
/* Then all but the first one are forgotten */
#define POOLS_MAX 32
#define PAIRS_MAX 64

static struct {
    char *folder;
    char *target;
    VtdConfig config;
    VtdDaemon *daemon;
    VtdServer *server;
    GDBusConnection *connection;
    int file_fd;
} world;

/* ---- the daemon ---- */

static void
connected(GObject *source, GAsyncResult *result, gpointer data)
{
    world.connection = g_dbus_connection_new_for_address_finish(result, NULL);
    g_assert_nonnull(world.connection);
}

static void
connect_to(const char *path)
{
    g_autofree char *address = g_strconcat("unix:path=", path, NULL);

    g_dbus_connection_new_for_address(address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                      NULL, connected, NULL);
    while (!world.connection)
        g_main_context_iteration(NULL, TRUE);
    g_dbus_connection_set_exit_on_close(world.connection, FALSE);
}

static void
register_pool(void)
{
    VtPoolSettings *settings = g_new0(VtPoolSettings, 1);

    *settings = (VtPoolSettings){.target = g_strdup(world.target),
                                 .name = g_strdup("golden"),
                                 .uuid = g_strdup(""),
                                 .store = g_strconcat("oci:", world.folder, "/store", NULL),
                                 .policy = g_strconcat(world.folder, "/policy.json", NULL),
                                 .strategy = g_strdup("linked"),
                                 .defaults = g_strdup("")};
    g_assert_true(vtd_daemon_register(world.daemon, settings, NULL));
}

static void
remove_folder(void)
{
    const char *const argv[] = {"rm", "-rf", world.folder, NULL};

    g_clear_object(&world.connection);
    vtd_server_free(world.server);
    vtd_daemon_free(world.daemon);
    g_assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL,
                               NULL, NULL, NULL, NULL, NULL));
}

/* GLib stops at a breakpoint, of which libFuzzer would keep no input */
static void
on_trap(int number)
{
    abort();
}

static void
set_up(void)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    int fd = -1;

    if (world.daemon)
        return;
    /* what the daemon logs is no mistake, a check within GLib that fails is one */
    signal(SIGTRAP, on_trap);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    g_setenv("G_MESSAGES_DEBUG", "", TRUE);
    world.folder = g_dir_make_tmp("fuzz-rpc-XXXXXX", &error);
    g_assert_no_error(error);
    world.target = g_build_filename(world.folder, "pool", NULL);
    path = g_build_filename(world.folder, "sock", NULL);
    g_assert_cmpint(g_mkdir(world.target, 0700), ==, 0);
    world.config = (VtdConfig){
        .run_dir = world.folder,
        .state_dir = g_build_filename(world.folder, "state", NULL),
        .policy_file = g_build_filename(world.folder, "policy.json", NULL),
        .workers = {.program_dir = "/nonexistent", .tries = 1, .monitor = vtd_monitor_new()}};
    vtd_daemon_new(&world.config, &world.daemon, &error);
    g_assert_no_error(error);
    g_assert_true(vtd_memfd("overlay", NULL, &world.file_fd, NULL));
    g_assert_true(vtd_server_listen(path, 0600, &fd, NULL));
    g_assert_true(vtd_server_new(world.daemon, fd, false, &world.server, NULL));
    atexit(remove_folder);
    register_pool();
    connect_to(path);
}

/* ---- arguments ---- */

/** Lines: what is left of the input */
typedef struct {
    char **next;
} Lines;

static const char *
take_line(Lines *lines)
{
    return *lines->next ? *lines->next++ : "";
}

/* "sTEXT", "t7", "btrue": GLib's own text form would make an array of arrays of each second input
 */
static GVariant *
value_of(const char *text)
{
    switch (*text) {
    case 't':
        return g_variant_new_uint64(g_ascii_strtoull(text + 1, NULL, 10));
    case 'u':
        return g_variant_new_uint32((guint32)g_ascii_strtoull(text + 1, NULL, 10));
    case 'b':
        return g_variant_new_boolean(text[1] == 't');
    case 'a':
        return g_variant_new_strv(NULL, 0);
    default:
        return g_variant_new_string(*text ? g_utf8_next_char(text) : "");
    }
}

static GVariant *
dictionary(const char *type, Lines *lines)
{
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE(type));
    for (int i = 0; i < PAIRS_MAX && *lines->next && **lines->next; i++) {
        const char *key = take_line(lines);

        if (g_str_equal(type, "a{sv}"))
            g_variant_builder_add(&builder, "{sv}", key, value_of(take_line(lines)));
        else
            g_variant_builder_add(&builder, "{ss}", key, take_line(lines));
    }
    take_line(lines);
    return g_variant_builder_end(&builder);
}

/* All paths are below the folder: as root, nothing else may be touched */
static GVariant *
text_of(const char *text)
{
    if (*text == '/')
        return g_variant_new_take_string(g_strconcat(world.folder, text, NULL));
    return g_variant_new_string(text);
}

static GVariant *
argument(const char *type, Lines *lines)
{
    switch (*type) {
    case 's':
        return text_of(take_line(lines));
    case 'u':
        return g_variant_new_uint32(
            (guint32)MIN(g_ascii_strtoull(take_line(lines), NULL, 10), WAIT_MAX_MS));
    case 't':
        return g_variant_new_uint64(g_ascii_strtoull(take_line(lines), NULL, 10));
    case 'b':
        return g_variant_new_boolean(*take_line(lines) == 't');
    case 'h':
        return g_variant_new_handle((gint32)g_ascii_strtoll(take_line(lines), NULL, 10));
    default:
        return dictionary(type, lines);
    }
}

static GVariant *
arguments_of_lines(const GDBusMethodInfo *method, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "\n", -1);
    Lines lines = {parts};
    GVariantBuilder tuple;

    g_variant_builder_init(&tuple, G_VARIANT_TYPE_TUPLE);
    for (guint i = 0; method->in_args && method->in_args[i]; i++)
        g_variant_builder_add_value(&tuple, argument(method->in_args[i]->signature, &lines));
    return g_variant_builder_end(&tuple);
}

static GVariantType *
type_of(const GDBusMethodInfo *method)
{
    g_autoptr(GString) type = g_string_new("(");

    for (guint i = 0; method->in_args && method->in_args[i]; i++)
        g_string_append(type, method->in_args[i]->signature);
    g_string_append_c(type, ')');
    return g_variant_type_new(type->str);
}

/* The same rules for what came as bytes */
static GVariant *
tame(GVariant *tuple)
{
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE_TUPLE);
    for (gsize i = 0; i < g_variant_n_children(tuple); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(tuple, i);

        if (g_variant_is_of_type(child, G_VARIANT_TYPE_STRING))
            g_variant_builder_add_value(&builder, text_of(g_variant_get_string(child, NULL)));
        else if (g_variant_is_of_type(child, G_VARIANT_TYPE_UINT32))
            g_variant_builder_add(&builder, "u", MIN(g_variant_get_uint32(child), WAIT_MAX_MS));
        else
            g_variant_builder_add_value(&builder, child);
    }
    return g_variant_builder_end(&builder);
}

static GVariant *
arguments_of_bytes(const GDBusMethodInfo *method, const uint8_t *data, size_t size)
{
    g_autoptr(GVariantType) type = type_of(method);
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autoptr(GVariant) raw = g_variant_ref_sink(g_variant_new_from_bytes(type, bytes, FALSE));
    g_autoptr(GVariant) normal = g_variant_get_normal_form(raw);

    return tame(normal);
}

/* ---- calls ---- */

static void
answered(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GUnixFDList) fds = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = g_dbus_connection_call_with_unix_fd_list_finish(
        G_DBUS_CONNECTION(source), &fds, result, &error);

    if (!reply) {
        g_autofree char *name = g_dbus_error_get_remote_error(error);

        /* the daemon has answered, and is still there; or it is nothing that D-Bus can send */
        if (!name && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT))
            g_error("%s: %s", g_quark_to_string(error->domain), error->message);
        g_assert_false(g_dbus_connection_is_closed(world.connection));
    }
    *(bool *)data = true;
}

static void
call(const GDBusMethodInfo *method, GVariant *arguments)
{
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    bool done = false;

    g_assert_cmpint(ftruncate(world.file_fd, 0), ==, 0);
    g_assert_cmpint(g_unix_fd_list_append(fds, world.file_fd, NULL), ==, 0);
    g_dbus_connection_call_with_unix_fd_list(
        world.connection, NULL, VTD_OBJECT_PATH, vtd_helper1_interface.name, method->name,
        arguments, NULL, G_DBUS_CALL_FLAGS_NONE, -1, fds, NULL, answered, &done);
    while (!done)
        g_main_context_iteration(NULL, TRUE);
}

static void
forget_pools(void)
{
    g_autofree char **targets = (char **)g_hash_table_get_keys_as_array(world.daemon->pools, NULL);

    for (char **target = targets; *target; target++) {
        g_autofree char *copy = g_strdup(*target);

        if (!g_str_equal(copy, world.target))
            g_assert_true(vtd_daemon_forget(world.daemon, copy, NULL));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GDBusMethodInfo *const *methods = vtd_helper1_interface.methods;
    const GDBusMethodInfo *method;
    g_autofree char *text = NULL;
    guint count = 0;

    if (size < 2)
        return 0;
    set_up();
    while (methods[count])
        count++;
    method = methods[data[0] % count];
    text = g_strndup((const char *)data + 2, size - 2);
    if (data[1] % 2 == 0 && g_utf8_validate(text, -1, NULL))
        call(method, arguments_of_lines(method, text));
    else
        call(method, arguments_of_bytes(method, data + 2, size - 2));
    if (g_hash_table_size(world.daemon->pools) > POOLS_MAX)
        forget_pools();
    if (!g_hash_table_contains(world.daemon->pools, world.target))
        register_pool();
    return 0;
}
