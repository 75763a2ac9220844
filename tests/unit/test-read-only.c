/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-read-only.c: what another user can do over the read-only socket: ask, and nothing else */
#include "daemon-asserts.h"

#include <ftw.h>
#include <string.h>
#include <unistd.h>

/* The user that Debian calls nobody */
#define NOBODY 65534

/* ---- the interface ---- */

/* One method of the interface's XML, which says of each before it:
 *
 *     <!-- Read-only. ... -->
 *     <method name="Hello">
 */
typedef struct {
    const char *name;
    bool reads;
    const GDBusArgInfo *const *arguments;
} Method;

/* Whether the comment before the method says so; every method has one */
static bool
says_read_only(const char *xml, const char *name)
{
    g_autofree char *tag = g_strdup_printf("<method name=\"%s\">", name);
    const char *method = strstr(xml, tag);
    const char *begin, *end;

    g_assert_nonnull(method);
    begin = g_strrstr_len(xml, method - xml, "<!--");
    end = g_strrstr_len(xml, method - xml, "-->");
    g_assert_nonnull(begin);
    g_assert_nonnull(end);
    g_assert_true(begin < end && end < method);
    for (end += strlen("-->"); end < method; end++)
        g_assert_true(g_ascii_isspace(*end));
    return g_str_has_prefix(begin, "<!-- Read-only. ");
}

/* (element-type Method): of the node that *ret_node keeps */
static GArray *
read_interface(GDBusNodeInfo **ret_node)
{
    g_autofree char *xml = NULL;
    g_autoptr(GError) error = NULL;
    GArray *methods = g_array_new(FALSE, FALSE, sizeof(Method));
    GDBusMethodInfo **all;

    g_file_get_contents(VT_INTERFACE_XML, &xml, NULL, &error);
    g_assert_no_error(error);
    *ret_node = g_dbus_node_info_new_for_xml(xml, &error);
    g_assert_no_error(error);
    all = (*ret_node)->interfaces[0]->methods;
    for (gsize i = 0; all[i]; i++) {
        const Method method = {all[i]->name, says_read_only(xml, all[i]->name),
                               (const GDBusArgInfo *const *)all[i]->in_args};

        g_array_append_val(methods, method);
    }
    return methods;
}

/* ---- calls ---- */

/* What would work, were it root who says it */
static GVariant *
argument_for(const DaemonFixture *f, const GDBusArgInfo *info, guint64 job)
{
    const struct {
        const char *name;
        const char *value;
    } texts[] = {
        {"target", f->pool},      {"name", "debian-12"},
        {"to_name", "debian-12"}, {"version", "1.0.1"},
        {"to_version", "1.0.0"},  {"format", "raw"},
        {"path", "/srv/new"},     {"owner", "6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f"},
        {"xml", "<domain/>"},
    };
    const GVariantType *type = G_VARIANT_TYPE(info->signature);

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (g_str_equal(texts[i].name, info->name))
            return g_variant_new_string(texts[i].value);
    }
    if (g_variant_type_is_array(type))
        return g_variant_new_array(g_variant_type_element(type), NULL, 0);
    switch (info->signature[0]) {
    case 't':
        return g_variant_new_uint64(g_str_equal(info->name, "job") ? job : 0);
    case 'u':
        return g_variant_new_uint32(0);
    case 'b':
        return g_variant_new_boolean(FALSE);
    case 'h':
        return g_variant_new_handle(0);
    default:
        g_error("this test has no value for '%s' of type %s", info->name, info->signature);
    }
}

static GVariant *
arguments_for(const DaemonFixture *f, const Method *method, guint64 job)
{
    GVariantBuilder tuple;

    g_variant_builder_init(&tuple, G_VARIANT_TYPE_TUPLE);
    for (gsize i = 0; method->arguments && method->arguments[i]; i++)
        g_variant_builder_add_value(&tuple, argument_for(f, method->arguments[i], job));
    return g_variant_builder_end(&tuple);
}

/* ---- what must not change ---- */

/* nftw() passes nothing on */
static GChecksum *sum;

static int
add_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    g_autofree char *line = g_strdup_printf(
        "%s %o %u %lu %ld %ld.%09ld\n", path, st->st_mode, st->st_uid, (unsigned long)st->st_ino,
        (long)st->st_size, (long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    g_autofree char *data = NULL;
    gsize length = 0;

    g_checksum_update(sum, (const guchar *)line, -1);
    if (S_ISREG(st->st_mode) && g_file_get_contents(path, &data, &length, NULL))
        g_checksum_update(sum, (const guchar *)data, (gssize)length);
    return 0;
}

/* Names, modes, times and content of all that there is: database, pool, store, policy */
static char *
photograph(const DaemonFixture *f)
{
    char *text;

    sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_assert_cmpint(nftw(f->dir, add_file, 16, FTW_PHYS), ==, 0);
    text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    return text;
}

/* ---- the tests ---- */

/* A template that is here, fetched by root. Returns: the job */
static guint64
make_host(DaemonFixture *f)
{
    g_autofree char *run = daemon_path(f, "run");
    g_autoptr(GVariant) status = NULL;
    guint64 job;

    g_assert_cmpint(chmod(run, 0755), ==, 0);
    daemon_make_store(f);
    daemon_flags(f, "1.0.1", 10000, NULL);
    job = daemon_begin_fetch(f, "1.0.1");
    status = daemon_wait(f, job);
    g_assert_cmpint(daemon_job_error(status, NULL), ==, -1);
    return job;
}

static void
test_writing(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GDBusNodeInfo) node = NULL;
    g_autoptr(GArray) methods = read_interface(&node);
    const guint64 job = make_host(f);
    g_autoptr(GDBusConnection) connection = daemon_connect_as(f, NOBODY);
    g_autofree char *before = photograph(f);
    guint writing = 0;

    for (guint i = 0; i < methods->len; i++) {
        const Method *method = &g_array_index(methods, Method, i);
        g_autofree char *after = NULL;
        g_autoptr(GError) error = NULL;

        if (method->reads)
            continue;
        writing++;
        g_test_message("%s", method->name);
        g_assert_null(daemon_call(connection, method->name, arguments_for(f, method, job), &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_DENIED);
        g_assert_nonnull(strstr(error->message, method->name));
        g_assert_nonnull(strstr(error->message, "read-only socket"));
        after = photograph(f);
        g_assert_cmpstr(after, ==, before);
    }
    g_assert_cmpuint(writing, >, methods->len / 2);
}

/* The same arguments, so that what is refused above is not refused for these */
static void
test_reading(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GDBusNodeInfo) node = NULL;
    g_autoptr(GArray) methods = read_interface(&node);
    const guint64 job = make_host(f);
    g_autoptr(GDBusConnection) connection = daemon_connect_as(f, NOBODY);

    for (guint i = 0; i < methods->len; i++) {
        const Method *method = &g_array_index(methods, Method, i);
        g_autoptr(GVariant) answer = NULL;
        g_autoptr(GError) error = NULL;

        if (!method->reads)
            continue;
        g_test_message("%s", method->name);
        answer = daemon_call(connection, method->name, arguments_for(f, method, job), &error);
        if (g_str_equal(method->name, "JobWait"))
            g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
        else
            g_assert_no_error(error);
    }
}

static gsize
count_jobs(GDBusConnection *connection)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = daemon_call(connection, "ListJobs", NULL, &error);
    g_autoptr(GVariant) jobs = NULL;

    g_assert_no_error(error);
    jobs = g_variant_get_child_value(answer, 0);
    return g_variant_n_children(jobs);
}

/* Nothing tells a job of somebody else from one that there never was */
static void
test_jobs_of_others(DaemonFixture *f, gconstpointer data)
{
    const guint64 job = make_host(f), none = job + 1000;
    g_autoptr(GDBusConnection) connection = daemon_connect_as(f, NOBODY);
    g_autofree char *named = g_strdup_printf("%" G_GUINT64_FORMAT, none);
    g_autofree char *own = g_strdup_printf("%" G_GUINT64_FORMAT, job);
    g_autoptr(GString) said = NULL;
    g_autoptr(GError) error = NULL, other = NULL;

    g_assert_cmpuint(count_jobs(f->ro), ==, 1);
    g_assert_cmpuint(count_jobs(connection), ==, 0);
    g_assert_null(daemon_call(connection, "JobWait", g_variant_new("(tu)", job, 0u), &error));
    g_assert_null(daemon_call(connection, "JobWait", g_variant_new("(tu)", none, 0u), &other));
    g_assert_error(error, VT_ERROR, other->code);
    said = g_string_new(other->message);
    g_string_replace(said, named, own, 0);
    g_assert_cmpstr(error->message, ==, said->str);
}

static void
ask_with(GDBusConnection *connection, gsize bytes, GError **error)
{
    g_autofree char *target = g_strnfill(bytes, 'x');

    g_assert_null(
        daemon_call(connection, "ListTemplates", g_variant_new("(su)", target, 0u), error));
}

/* GDBus would take 128 MiB, and 4 GiB for a message of empty strings */
static void
test_large(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GDBusConnection) connection = NULL, next = NULL;
    g_autoptr(GError) small = NULL, large = NULL, of_root = NULL;
    g_autofree char *run = daemon_path(f, "run");

    g_assert_cmpint(chmod(run, 0755), ==, 0);
    connection = daemon_connect_as(f, NOBODY);
    ask_with(connection, 60000, &small);
    g_assert_error(small, VT_ERROR, VT_ERROR_INVALID);
    ask_with(connection, 70000, &large);
    g_assert_error(large, VT_ERROR, VT_ERROR_FAILED);
    g_test_message("%s", large->message);
    g_assert_true(g_dbus_connection_is_closed(connection));
    /* Others, and the next one of his, are served */
    ask_with(f->ro, 70000, &of_root);
    g_assert_error(of_root, VT_ERROR, VT_ERROR_INVALID);
    next = daemon_connect_as(f, NOBODY);
    g_assert_cmpuint(count_jobs(next), ==, 0);
}

/* They would stay open until the message is complete, and use up what the daemon may have */
static void
test_descriptors(DaemonFixture *f, gconstpointer data)
{
    const GDBusCapabilityFlags passing = G_DBUS_CAPABILITY_FLAGS_UNIX_FD_PASSING;
    g_autoptr(GDBusConnection) connection = NULL;
    g_autofree char *run = daemon_path(f, "run");

    g_assert_cmpint(chmod(run, 0755), ==, 0);
    connection = daemon_connect_as(f, NOBODY);
    g_assert_cmpint(g_dbus_connection_get_capabilities(connection) & passing, ==, 0);
    g_assert_cmpint(g_dbus_connection_get_capabilities(f->ro) & passing, ==, passing);
}

/* GDBus keeps 4 MB of 60 KB of such a field */
static void
test_strange_header(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(
        NULL, "/virttemplate/Helper1", "virttemplate.Helper1", "ListJobs");
    g_autoptr(GDBusConnection) connection = NULL;
    g_autoptr(GDBusMessage) answer = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *run = daemon_path(f, "run");

    g_assert_cmpint(chmod(run, 0755), ==, 0);
    connection = daemon_connect_as(f, NOBODY);
    g_assert_cmpuint(count_jobs(connection), ==, 0);
    g_dbus_message_set_header(message, 10, g_variant_new_uint32(1));
    answer = g_dbus_connection_send_message_with_reply_sync(
        connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, 5000, NULL, NULL, &error);
    g_assert_null(answer);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

/* A pool whose store takes connections and says nothing; @listener: (out): its socket.
 * Returns: (transfer full): its directory */
static char *
register_mute(DaemonFixture *f, GSocketListener **listener)
{
    g_autofree char *target = daemon_path(f, "mute"), *url = NULL;
    g_autoptr(GError) error = NULL;

    *listener = g_socket_listener_new();
    url = g_strdup_printf("docker://127.0.0.1:%u/golden",
                          g_socket_listener_add_any_inet_port(*listener, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(mkdir(target, 0755), ==, 0);
    daemon_register_as(f, "mute", target, url);
    return g_steal_pointer(&target);
}

/* Asks for what takes 6 s */
static void
ask_patiently(GDBusConnection *connection, const char *target)
{
    daemon_send(connection, "ListTemplates", g_variant_new("(su)", target, 6000u));
}

static void
ask_and_leave(DaemonFixture *f, const char *target, unsigned calls)
{
    g_autoptr(GDBusConnection) connection = daemon_connect_as(f, NOBODY);

    g_assert_nonnull(connection);
    for (unsigned i = 0; i < calls; i++)
        ask_patiently(connection, target);
    /* Answered, so all before it were read */
    g_assert_cmpuint(count_jobs(connection), ==, 0);
    g_assert_true(g_dbus_connection_close_sync(connection, NULL, NULL));
}

/* Calls wait on when their connections are closed: 64 of one user, whatever he does */
static void
test_left_calls(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GSocketListener) listener = NULL;
    g_autofree char *target = NULL, *run = daemon_path(f, "run");
    g_autoptr(GDBusConnection) last = NULL, other = NULL;
    g_autoptr(GVariant) refused = NULL, of_other = NULL, of_root = NULL, answer = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(chmod(run, 0755), ==, 0);
    daemon_make_store(f);
    target = register_mute(f, &listener);
    for (unsigned i = 0; i < 4; i++)
        ask_and_leave(f, target, 15);
    ask_and_leave(f, target, 3);
    last = daemon_connect_as(f, NOBODY);
    g_assert_cmpuint(count_jobs(last), ==, 0);
    ask_patiently(last, target);
    refused = daemon_call(last, "ListJobs", NULL, &error);
    g_assert_null(refused);
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_clear_error(&error);
    other = daemon_connect_as(f, NOBODY - 1);
    of_other = daemon_call(other, "ListJobs", NULL, &error);
    g_assert_no_error(error);
    of_root = daemon_call(f->ro, "ListJobs", NULL, &error);
    g_assert_no_error(error);
    /* Until they are over */
    for (int i = 0; i < 200 && !answer; i++) {
        g_usleep(100 * 1000);
        answer = daemon_call(last, "ListJobs", NULL, NULL);
    }
    g_assert_nonnull(answer);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (geteuid() != 0) {
        g_test_message("this connects as other users");
        return 77;
    }
#define ADD(path, function)                                                                        \
    g_test_add(path, DaemonFixture, NULL, daemon_set_up, function, daemon_tear_down)
    ADD("/read-only/writing", test_writing);
    ADD("/read-only/reading", test_reading);
    ADD("/read-only/jobs-of-others", test_jobs_of_others);
    ADD("/read-only/large", test_large);
    ADD("/read-only/descriptors", test_descriptors);
    ADD("/read-only/strange-header", test_strange_header);
    ADD("/read-only/left-calls", test_left_calls);
    return g_test_run();
}
