/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-doctor-libvirt.c: the module, and the libvirt that is to load it */
#include "vtc-doctor.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOADER   "libvirt_storage_backend_fs.so"
#define VARIABLE "LIBVIRT_STORAGE_BACKEND_DIR="
#define ENABLE                                                                                     \
    "'systemctl --user enable --now virt-template-libvirtd.socket' (or "                           \
    "virt-template-virtstoraged.socket, where that runs instead)"
#define END_IT  "end that process; " ENABLE
#define RESTART "'systemctl restart libvirtd' (or virtstoraged, where that runs instead)"

static const char *const daemons[] = {"virtstoraged", "libvirtd"};

/* `libvirtd (libvirt) 9.0.0` */
static char *
installed_version(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(daemons); i++) {
        g_autofree char *program = vtc_doctor_find_program(daemons[i]);
        const char *const argv[] = {program, "--version", NULL};
        g_autofree char *output = program ? vtc_doctor_output(argv) : NULL;
        const char *version = output ? strrchr(g_strchomp(output), ' ') : NULL;

        if (version)
            return g_strdup(version + 1);
    }
    return NULL;
}

/* "9.0.0, 11.3.0": the versions that there is a module for */
static char *
module_versions(void)
{
    g_autoptr(GDir) dir = g_dir_open(VT_MODULE_DIR "/virt-template", 0, NULL);
    GString *text = g_string_new(NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, ".so"))
            g_string_append_printf(text, "%s%.*s", text->len > 0 ? ", " : "", (int)strlen(name) - 3,
                                   name);
    }
    return g_string_free(text, FALSE);
}

static void
check_module(VtcReport *report)
{
    g_autofree char *version = installed_version(), *built = module_versions();
    g_autofree char *path = NULL;

    if (!version) {
        vtc_report_fail(report, "libvirt", "install libvirt (Debian: libvirt-daemon-system)",
                        "neither libvirtd nor virtstoraged is installed");
        return;
    }
    path = g_strdup_printf(VT_MODULE_DIR "/virt-template/%s.so", version);
    if (access(path, R_OK) == 0)
        vtc_report_ok(report, "module", "libvirt %s: %s", version, path);
    else
        vtc_report_fail(report, "module",
                        "install virt-template built for this libvirt; until then libvirt runs "
                        "as if the module were not there",
                        "there is no module for libvirt %s (%s)", version,
                        *built ? built : "none is installed");
}

/* The distribution's folder: where the links of ours lead. Those of a package are relative. */
static char *
stock_folder(void)
{
    g_autofree char *target =
        g_file_read_link(VT_MODULE_DIR "/libvirt_storage_backend_scsi.so", NULL);
    g_autofree char *path = target ? g_canonicalize_filename(target, VT_MODULE_DIR) : NULL;

    return path ? g_path_get_dirname(path) : NULL;
}

static void
check_links(VtcReport *report)
{
    g_autofree char *folder = stock_folder();
    g_autoptr(GDir) dir = folder ? g_dir_open(folder, 0, NULL) : NULL;
    GString *missing = g_string_new(NULL);
    g_autofree char *list = NULL;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *ours = g_build_filename(VT_MODULE_DIR, name, NULL);

        if (g_str_has_prefix(name, "libvirt_storage_backend_") &&
            !g_file_test(ours, G_FILE_TEST_EXISTS))
            g_string_append_printf(missing, "%s%s", missing->len > 0 ? ", " : "", name);
    }
    list = g_string_free(missing, FALSE);
    if (!dir || access(VT_MODULE_DIR "/" LOADER, R_OK) < 0)
        vtc_report_fail(report, "loader", "install virt-template again",
                        "%s has no loader, or no links to libvirt's own backends", VT_MODULE_DIR);
    else if (*list)
        vtc_report_fail(report, "loader", "link them there, or install virt-template again",
                        "libvirt cannot find these backends in %s: %s", VT_MODULE_DIR, list);
    else
        vtc_report_ok(report, "loader", "%s, with links to %s", VT_MODULE_DIR, folder);
}

static void
check_dropin(VtcReport *report)
{
    static const char *const folders[] = {"/etc/systemd/system", "/run/systemd/system", VT_UNIT_DIR,
                                          "/usr/lib/systemd/system", "/lib/systemd/system"};

    for (size_t i = 0; i < G_N_ELEMENTS(folders) * G_N_ELEMENTS(daemons); i++) {
        g_autofree char *path =
            g_strdup_printf("%s/%s.service.d/virt-template.conf",
                            folders[i / G_N_ELEMENTS(daemons)], daemons[i % G_N_ELEMENTS(daemons)]);
        g_autofree char *text = NULL;

        if (g_file_get_contents(path, &text, NULL, NULL) && strstr(text, VARIABLE VT_MODULE_DIR)) {
            vtc_report_ok(report, "drop-in", "%s", path);
            return;
        }
    }
    vtc_report_warn(
        report, "drop-in",
        "install virt-template into the prefix that systemd reads, then "
        "'systemctl daemon-reload' and " RESTART,
        "no virt-template.conf of libvirtd.service or virtstoraged.service sets " VARIABLE
            VT_MODULE_DIR);
}

/* libvirt does not pass the variable on to the daemon that a client starts; the user's systemd does
 */
static void
check_user_unit(VtcReport *report)
{
    g_autofree char *enabled =
        g_build_filename(g_get_user_config_dir(), "systemd/user/sockets.target.wants", NULL);
    const char *const folders[] = {enabled, "/etc/systemd/user/sockets.target.wants"};

    for (size_t i = 0; i < G_N_ELEMENTS(folders) * G_N_ELEMENTS(daemons); i++) {
        g_autofree char *path =
            g_strdup_printf("%s/virt-template-%s.socket", folders[i / G_N_ELEMENTS(daemons)],
                            daemons[i % G_N_ELEMENTS(daemons)]);

        if (g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
            vtc_report_ok(report, "user unit", "%s", path);
            return;
        }
    }
    vtc_report_warn(report, "user unit", ENABLE,
                    "no unit of " VT_USER_UNIT_DIR " is enabled that starts the libvirt of your "
                    "session with " VARIABLE VT_MODULE_DIR);
}

/* ---- the running daemon ---- */

/* The value of @variable ("NAME=") in the environment block @data */
static const char *
find_variable(const char *data, gsize length, const char *variable)
{
    for (const char *at = data; at < data + length; at += strlen(at) + 1) {
        if (g_str_has_prefix(at, variable))
            return at + strlen(variable);
    }
    return NULL;
}

/* What to do about a daemon that runs */
static const char *
restart_advice(bool session)
{
    return session ? END_IT : RESTART;
}

static void
check_mapped(VtcReport *report, const char *name, const char *pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/maps", pid), *maps = NULL;

    if (g_file_get_contents(path, &maps, NULL, NULL) &&
        strstr(maps, VT_MODULE_DIR "/virt-template/"))
        vtc_report_ok(report, "loaded", "%s (process %s) has loaded the module", name, pid);
    else
        vtc_report_fail(report, "loaded",
                        "its log says why ('journalctl -u libvirtd -u virtstoraged'); after "
                        "a repair, " RESTART,
                        "%s (process %s) looks for the module, but has not loaded it", name, pid);
}

static void
check_process(VtcReport *report, bool session, const char *name, const char *pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/environ", pid), *data = NULL;
    const char *folder;
    gsize length = 0;

    if (!g_file_get_contents(path, &data, &length, NULL)) {
        vtc_report_warn(report, "loaded", "run 'virt-template doctor' as root",
                        "you may not look into %s (process %s)", name, pid);
        return;
    }
    folder = find_variable(data, length, VARIABLE);
    if (folder && strcmp(folder, VT_MODULE_DIR) == 0)
        check_mapped(report, name, pid);
    else if (folder)
        vtc_report_fail(report, "loaded",
                        "another drop-in sets the variable; see 'systemctl cat libvirtd'",
                        "%s (process %s) looks for its backends in %s", name, pid, folder);
    else
        vtc_report_fail(report, "loaded", restart_advice(session),
                        "%s (process %s) was started without the %s", name, pid,
                        session ? "user unit" : "drop-in");
}

/* The system's is root's, a session's the user's */
static bool
is_daemon_of(uid_t uid, const char *pid, char **ret_name)
{
    g_autofree char *folder = g_strdup_printf("/proc/%s", pid);
    g_autofree char *path = g_strdup_printf("/proc/%s/comm", pid), *name = NULL;
    struct stat st;

    if (!g_ascii_isdigit(pid[0]) || !g_file_get_contents(path, &name, NULL, NULL) ||
        stat(folder, &st) < 0 || st.st_uid != uid)
        return false;
    g_strchomp(name);
    if (strcmp(name, daemons[0]) != 0 && strcmp(name, daemons[1]) != 0)
        return false;
    *ret_name = g_steal_pointer(&name);
    return true;
}

static void
check_running(VtcReport *report, bool session)
{
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    bool found = false;
    const char *pid;

    while (proc && (pid = g_dir_read_name(proc))) {
        g_autofree char *name = NULL;

        if (!is_daemon_of(session ? geteuid() : 0, pid, &name))
            continue;
        found = true;
        check_process(report, session, name, pid);
    }
    if (!found)
        vtc_report_warn(report, "loaded", "any libvirt client starts it, e.g. 'virsh pool-list'",
                        "neither libvirtd nor virtstoraged is running");
}

void
vtc_doctor_libvirt(VtcReport *report, bool session)
{
    check_module(report);
    check_links(report);
    if (session)
        check_user_unit(report);
    else
        check_dropin(report);
    check_running(report, session);
}
