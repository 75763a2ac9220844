/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-hosts.c: reading what an administrator says about registries, or not being allowed to
 *
 * Each case runs in a child with an /etc/containers of its own.
 */
#include "vt-hosts.h"

#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The user that Debian calls nobody */
#define NOBODY 65534
#define PLACE  "/etc/containers"
#define RULES  PLACE "/registries.conf.d"
#define CERTS  PLACE "/certs.d/registry.test"

/* @file: (nullable): written into @directory, which has @mode. @needle: (nullable): of the error,
 * which also names @directory */
static const struct {
    const char *name, *directory, *file, *text;
    mode_t mode;
    bool as_root;
    const char *needle;
    bool blocked;
} cases[] = {
    {.name = "nothing"},
    {.name = "nothing-here", .directory = RULES, .mode = 0755},
    {.name = "rules",
     .directory = RULES,
     .file = "a.conf",
     .text = "[[registry]]\nprefix = 'registry.test'\nblocked = true\n",
     .mode = 0755,
     .blocked = true},
    {.name = "rules-of-root",
     .directory = RULES,
     .file = "a.conf",
     .text = "[[registry]]\nprefix = 'registry.test'\nblocked = true\n",
     .mode = 0700,
     .needle = "Permission denied"},
    {.name = "rules-of-root-for-root",
     .directory = RULES,
     .file = "a.conf",
     .text = "[[registry]]\nprefix = 'registry.test'\nblocked = true\n",
     .mode = 0700,
     .as_root = true,
     .blocked = true},
    {.name = "certificates-of-root",
     .directory = CERTS,
     .file = "ca.crt",
     .text = "-----BEGIN CERTIFICATE-----\n",
     .mode = 0700,
     .needle = "Permission denied"},
    {.name = "certificate",
     .directory = CERTS,
     .file = "ca.crt",
     .text = "-----BEGIN CERTIFICATE-----\n",
     .mode = 0755},
    {.name = "no-certificate",
     .directory = CERTS,
     .file = "ca.crt",
     .text = "\n",
     .mode = 0755,
     .needle = "nothing in PEM form"},
};

static void
make_world(gsize number)
{
    const char *directory = cases[number].directory;

    g_assert_cmpint(unshare(CLONE_NEWNS), ==, 0);
    g_assert_cmpint(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
    g_assert_cmpint(mount("none", PLACE, "tmpfs", 0, "mode=755"), ==, 0);
    if (!directory)
        return;
    g_assert_cmpint(g_mkdir_with_parents(directory, 0755), ==, 0);
    if (cases[number].file) {
        g_autofree char *path = g_build_filename(directory, cases[number].file, NULL);

        g_assert_true(g_file_set_contents(path, cases[number].text, -1, NULL));
        g_assert_cmpint(chmod(path, 0644), ==, 0);
    }
    g_assert_cmpint(chmod(directory, cases[number].mode), ==, 0);
}

/* Returns: whether it is as the case says */
static bool
is_right(gsize number)
{
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtHosts) hosts = NULL;
    g_autoptr(GError) error = NULL;
    const char *needle = cases[number].needle;
    const VtRegistryRule *rule = NULL;

    if (!vt_store_url_parse("docker://registry.test/golden", &url, &error) ||
        !vt_hosts_read(url, &hosts, &error)) {
        g_printerr("# %s: %s\n", cases[number].name, error->message);
        return needle && strstr(error->message, needle) &&
               strstr(error->message, cases[number].directory);
    }
    rule = vt_registries_find(hosts->registries, "registry.test", "golden");
    return !needle && (rule && rule->blocked) == cases[number].blocked;
}

static void
test_case(gconstpointer data)
{
    const gsize number = GPOINTER_TO_SIZE(data);
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        make_world(number);
        if (!cases[number].as_root)
            g_assert_cmpint(setresuid(NOBODY, NOBODY, NOBODY), ==, 0);
        _exit(is_right(number) ? 0 : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

/* ---- what a store at registry.test/golden has to do with ---- */

#define HOST_RULES                                                                                 \
    "[[registry]]\nprefix = 'registry.test'\nlocation = 'shadowed.test'\n"                         \
    "[[registry]]\nprefix = 'registry.test/golden'\n"                                              \
    "[[registry.mirror]]\nlocation = 'mirror.test:5000/cache'\n"                                   \
    "[[registry.mirror]]\nlocation = 'tags.test'\npull-from-mirror = 'tag-only'\n"                 \
    "[[registry]]\nprefix = 'registry.test/golden/moved'\nlocation = 'moved.test/x'\n"             \
    "[[registry]]\nprefix = 'registry.test/golden/shut'\nlocation = 'shut.test'\nblocked = true\n" \
    "[[registry]]\nprefix = 'registry.test/goldens'\nlocation = 'goldens.test'\n"                  \
    "[[registry]]\nprefix = 'other.test'\n[[registry.mirror]]\nlocation = 'mirror.other'\n"

static const struct {
    const char *host;
    bool needed;
} others[] = {
    {"registry.test", true},  {"mirror.test:5000", true}, {"moved.test", true},
    {"shadowed.test", false}, {"tags.test", false},       {"shut.test", false},
    {"goldens.test", false},  {"other.test", false},      {"mirror.other", false},
    {"unruled.test", false},
};

static void
write_etc(const char *directory, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(PLACE, directory, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);

    g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void
make_hosts(void)
{
    g_assert_cmpint(unshare(CLONE_NEWNS), ==, 0);
    g_assert_cmpint(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
    g_assert_cmpint(mount("none", PLACE, "tmpfs", 0, "mode=755"), ==, 0);
    write_etc("registries.conf.d", "a.conf", HOST_RULES);
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *directory = g_build_filename("certs.d", others[i].host, NULL);
        g_autofree char *key = g_strdup_printf("-----BEGIN KEY OF %s\n", others[i].host);

        write_etc(directory, "host.cert", "-----BEGIN CERTIFICATE-----\n");
        write_etc(directory, "host.key", key);
    }
    /* nor does a mistake elsewhere stop us */
    write_etc("certs.d/unruled.test", "ca.crt", "");
    write_etc("certs.d/mirror.other", "ca.crt", "");
}

/* Returns: whether a worker gets what it needs, and no other key */
static bool
has_only_needed(void)
{
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtHosts) hosts = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    bool right = true;

    if (!vt_store_url_parse("docker://registry.test/golden", &url, &error) ||
        !vt_hosts_read(url, &hosts, &error)) {
        g_printerr("# %s\n", error->message);
        return false;
    }
    bytes = vt_hosts_to_bytes(hosts);
    text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *key = g_strdup_printf("KEY OF %s", others[i].host);
        const bool has = strstr(text, key) != NULL;

        if (has != others[i].needed)
            g_printerr("# the key of %s is %s\n", others[i].host, has ? "there" : "not there");
        right = right && has == others[i].needed;
    }
    return right && !strstr(text, "other.test") && strstr(text, "registry.test/golden/shut");
}

static void
test_needed(void)
{
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        make_hosts();
        _exit(has_only_needed() ? 0 : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (geteuid() != 0 || !g_file_test(PLACE, G_FILE_TEST_IS_DIR)) {
        g_test_message("only root can have an " PLACE " of its own, and it must be there");
        return 77;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/hosts/", cases[i].name, NULL);

        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_case);
    }
    g_test_add_func("/hosts/needed", test_needed);
    return g_test_run();
}
