/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-kernel.c: a kernel for a throw-away guest, and the modules it needs */
#include "vtc-kernel.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Where distributions put them, %s is the version: Debian, SUSE, Arch; Fedora */
static const char *const images[] = {"/boot/vmlinuz-%s", "/usr/lib/modules/%s/vmlinuz",
                                     "/lib/modules/%s/vmlinuz", "/boot/Image-%s", NULL};
static const char *const module_folders[] = {"/usr/lib/modules", "/lib/modules", NULL};

void
vtc_kernel_clear(VtcKernel *kernel)
{
    g_clear_pointer(&kernel->image, g_free);
    g_clear_pointer(&kernel->modules, g_free);
}

/* ---- which kernel ---- */

static char *
image_of_version(const char *version)
{
    for (size_t i = 0; images[i]; i++) {
        g_auto(GStrv) parts = g_strsplit(images[i], "%s", 2);
        g_autofree char *path = g_strjoin(version, parts[0], parts[1], NULL);

        if (access(path, R_OK) == 0)
            return g_steal_pointer(&path);
    }
    return NULL;
}

static bool
has_modules(const char *folder)
{
    g_autofree char *dep = g_build_filename(folder, "modules.dep", NULL);

    return access(dep, R_OK) == 0;
}

/* Keeps the newer one in @kernel */
static void
consider(VtcKernel *kernel, const char *folder, const char *version)
{
    g_autofree char *modules = g_build_filename(folder, version, NULL);
    g_autofree char *image = image_of_version(version);
    g_autofree char *best = kernel->modules ? g_path_get_basename(kernel->modules) : NULL;

    if (!image || !has_modules(modules) || (best && strverscmp(best, version) >= 0))
        return;
    vtc_kernel_clear(kernel);
    kernel->image = g_steal_pointer(&image);
    kernel->modules = g_steal_pointer(&modules);
}

static bool
find_newest(VtcKernel *kernel, GError **error)
{
    for (size_t i = 0; module_folders[i]; i++) {
        g_autoptr(GDir) dir = g_dir_open(module_folders[i], 0, NULL);
        const char *version;

        while (dir && (version = g_dir_read_name(dir)))
            consider(kernel, module_folders[i], version);
    }
    return kernel->image ||
           vt_throw(error, VT_ERROR_NOT_FOUND,
                    "no kernel in /boot or /usr/lib/modules that can be read and has modules; "
                    "install one (Debian: linux-image-amd64), or name one with --kernel and "
                    "--modules");
}

/* /boot/vmlinuz-6.1.0-9-amd64 -> /lib/modules/6.1.0-9-amd64 */
static char *
modules_of_image(const char *image)
{
    g_autofree char *base = g_path_get_basename(image);
    const char *dash = strchr(base, '-');

    for (size_t i = 0; dash && module_folders[i]; i++) {
        g_autofree char *folder = g_build_filename(module_folders[i], dash + 1, NULL);

        if (has_modules(folder))
            return g_steal_pointer(&folder);
    }
    return g_path_get_dirname(image);
}

static bool
check(const VtcKernel *kernel, GError **error)
{
    if (!kernel->image || access(kernel->image, R_OK) < 0)
        return vt_throw(error, VT_ERROR_NOT_FOUND,
                        "the kernel '%s' cannot be read: %s; name one with --kernel",
                        kernel->image ? kernel->image : "of these modules",
                        kernel->image ? g_strerror(errno) : "it is not in /boot");
    return has_modules(kernel->modules) ||
           vt_throw(error, VT_ERROR_NOT_FOUND,
                    "no modules.dep in '%s'; name the kernel's modules with --modules, or make it "
                    "with depmod(8)",
                    kernel->modules);
}

bool
vtc_kernel_find(const char *image, const char *modules, VtcKernel *ret_kernel, GError **error)
{
    g_auto(VtcKernel) kernel = {g_strdup(image), g_strdup(modules)};

    if (!image && !modules && !find_newest(&kernel, error))
        return false;
    if (!kernel.image) {
        g_autofree char *version = g_path_get_basename(modules);

        kernel.image = image_of_version(version);
    }
    if (!kernel.modules)
        kernel.modules = modules_of_image(image);
    if (!check(&kernel, error))
        return false;
    *ret_kernel = kernel;
    kernel = (VtcKernel){NULL, NULL};
    return true;
}

/* ---- which modules ---- */

/* "kernel/fs/nls/nls_iso8859-1.ko.xz" -> "nls_iso8859_1", as the kernel calls it */
static char *
module_name(const char *path)
{
    g_autofree char *base = g_path_get_basename(path);
    char *suffix = strstr(base, ".ko");

    if (suffix)
        *suffix = '\0';
    return g_strdelimit(g_steal_pointer(&base), "-", '_');
}

/* "a.ko: b.ko c.ko": a needs b, and that may need c; they are loaded from the right to the left.
 * Returns: (transfer full): name -> the paths of its line */
static GHashTable *
parse_dep(const char *dep)
{
    GHashTable *table =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_strfreev);
    g_auto(GStrv) lines = g_strsplit(dep, "\n", 0);

    for (char **line = lines; *line; line++) {
        char *colon = strchr(*line, ':'), **words;

        if (!colon || colon == *line)
            continue;
        *colon = ' ';
        g_strstrip(*line);
        words = g_strsplit(*line, " ", 0);
        g_hash_table_replace(table, module_name(words[0]), words);
    }
    return table;
}

static bool
is_builtin(const char *builtin, const char *name)
{
    g_auto(GStrv) lines = g_strsplit(builtin, "\n", 0);

    for (char **line = lines; *line; line++) {
        g_autofree char *other = module_name(*line);

        if (strcmp(other, name) == 0)
            return true;
    }
    return false;
}

/* Appends the row's paths from its end, each once */
static void
take_row(char **row, GHashTable *seen, GPtrArray *paths)
{
    for (guint i = g_strv_length(row); i > 0; i--) {
        const char *path = row[i - 1];

        if (*path && g_hash_table_add(seen, (char *)(uintptr_t)path))
            g_ptr_array_add(paths, g_strdup(path));
    }
}

bool
vtc_kernel_order(const char *dep, const char *builtin, const char *const *names, char ***ret_paths,
                 GError **error)
{
    g_autoptr(GHashTable) table = parse_dep(dep);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; names[i]; i++) {
        bool optional = names[i][0] == '?';
        const char *name = names[i] + optional;
        char **row = g_hash_table_lookup(table, name);

        if (row)
            take_row(row, seen, paths);
        else if (!optional && !is_builtin(builtin, name))
            return vt_throw(error, VT_ERROR_NOT_FOUND,
                            "this kernel has no module '%s'; take another with --kernel and "
                            "--modules",
                            name);
    }
    g_ptr_array_add(paths, NULL);
    *ret_paths = (char **)g_ptr_array_free(g_steal_pointer(&paths), FALSE);
    return true;
}
