/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guest-files.c: the files of the throw-away guest of virt-template prepare
 *
 * Its initramfs has the host's busybox, which must be static, two scripts of ours, a job, and the
 * kernel's modules in the order of loading. They are unpacked here, because not every kernel can.
 */
#include "vtc-guest.h"

#include "vt-fs.h"
#include "vtc-initramfs.h"
#include "vtc-kernel.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A Debian kernel has 12 MiB, its modules up to 6 MiB with debug information removed */
#define KERNEL_MAX  (128u << 20)
#define MODULE_MAX  (64u << 20)
#define BUSYBOX_MAX (16u << 20)
#define TABLE_MAX   (16u << 20)

/* '?': not every kernel has it as a module, or at all. The sums are what ext4, xfs and btrfs ask
 * for by an alias, which is no dependency; the tables of characters are what vfat asks for. */
static const char *const modules[] = {"virtio_pci",      "virtio_blk",      "virtio_console",
                                      "?loop",           "?crc32c_generic", "?crc32c_cryptoapi",
                                      "?xxhash_generic", "?sha256_generic", "?blake2b_generic",
                                      "?nls_cp437",      "?nls_ascii",      "?nls_iso8859_1",
                                      "?nls_utf8",       "?ext4",           "?xfs",
                                      "?btrfs",          "?vfat",           NULL};

static const char *const busyboxes[] = {"/bin/busybox", "/usr/bin/busybox", "/usr/sbin/busybox",
                                        "/usr/bin/busybox-static", NULL};

bool
vtc_guest_check_static(GBytes *program, GError **error)
{
    gsize length = 0;
    const uint8_t *bytes = g_bytes_get_data(program, &length);
    Elf64_Ehdr header;

    if (length < sizeof(header))
        return vt_throw(error, VT_ERROR_INVALID, "it is no program");
    memcpy(&header, bytes, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64)
        return vt_throw(error, VT_ERROR_INVALID, "it is no program of 64 bits");
    for (size_t i = 0; i < header.e_phnum; i++) {
        size_t offset = header.e_phoff + i * sizeof(Elf64_Phdr);
        Elf64_Phdr segment;

        if (header.e_phoff > length || offset > length - sizeof(segment))
            return vt_throw(error, VT_ERROR_INVALID, "it is cut off");
        memcpy(&segment, bytes + offset, sizeof(segment));
        if (segment.p_type == PT_INTERP)
            return vt_throw(error, VT_ERROR_INVALID, "it needs shared libraries");
    }
    return true;
}

char *
vtc_guest_operations(const VtcPrepare *prepare)
{
    const VtcOperation *operations = vtc_operations();
    GString *names = g_string_new(NULL);

    for (int i = 0; operations[i].name; i++) {
        uint32_t bit = UINT32_C(1) << i;

        if ((prepare->operations & bit & ~vtc_operations_free_space()) != 0)
            g_string_append_printf(names, "%s%s", names->len > 0 ? " " : "", operations[i].name);
    }
    return g_string_free(names, FALSE);
}

char *
vtc_guest_job(const VtcPrepare *prepare)
{
    g_autofree char *operations = vtc_guest_operations(prepare);

    return g_strdup_printf("dry-run=%s\nverbose=%s\ntrim=%s\noperations=%s\n",
                           prepare->dry_run ? "yes" : "no", prepare->verbose ? "yes" : "no",
                           (prepare->operations & vtc_operations_free_space()) != 0 ? "yes" : "no",
                           operations);
}

bool
vtc_guest_busybox(GBytes **ret_bytes, GError **error)
{
    g_autoptr(GString) refused = g_string_new(NULL);

    for (size_t i = 0; busyboxes[i]; i++) {
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GError) local = NULL;

        if (access(busyboxes[i], R_OK) == 0 &&
            vtc_initramfs_unpacked(busyboxes[i], BUSYBOX_MAX, &bytes, &local) &&
            vtc_guest_check_static(bytes, &local)) {
            *ret_bytes = g_steal_pointer(&bytes);
            return true;
        }
        if (local)
            g_string_append_printf(refused, " ('%s': %s)", busyboxes[i], local->message);
    }
    return vt_throw(error, VT_ERROR_NOT_FOUND,
                    "a static busybox is needed; install it (Debian: busybox-static, Fedora: "
                    "busybox)%s",
                    refused->str);
}

static bool
add_busybox(VtcInitramfs *archive, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;

    return vtc_guest_busybox(&bytes, error) &&
           vtc_initramfs_add(archive, "bin/busybox", bytes, error);
}

static bool
add_script(VtcInitramfs *archive, const char *name, GError **error)
{
    g_autofree char *resource = g_strconcat("/prepare/", name, NULL);
    g_autoptr(GBytes) bytes =
        g_resources_lookup_data(resource, G_RESOURCE_LOOKUP_FLAGS_NONE, error);

    return bytes && vtc_initramfs_add(archive, name, bytes, error);
}

static bool
add_job(VtcInitramfs *archive, const VtcPrepare *prepare, GError **error)
{
    char *job = vtc_guest_job(prepare);
    g_autoptr(GBytes) bytes = g_bytes_new_take(job, strlen(job));

    return vtc_initramfs_add(archive, "job", bytes, error);
}

static bool
read_text(const char *folder, const char *name, char **ret_text, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GBytes) bytes = NULL;
    gsize length = 0;
    const char *text;

    if (!vt_fs_read(AT_FDCWD, path, TABLE_MAX, &bytes, error))
        return false;
    text = g_bytes_get_data(bytes, &length);
    *ret_text = g_strndup(text ? text : "", length);
    return true;
}

/* modules/000-virtio.ko, modules/001-...: as the shell sorts them */
static bool
add_modules(VtcInitramfs *archive, const char *folder, GError **error)
{
    g_autofree char *dep = NULL, *builtin = NULL;
    g_auto(GStrv) paths = NULL;

    if (!read_text(folder, "modules.dep", &dep, error) ||
        !read_text(folder, "modules.builtin", &builtin, error) ||
        !vtc_kernel_order(dep, builtin, modules, &paths, error))
        return false;
    for (unsigned i = 0; paths[i]; i++) {
        g_autofree char *path = g_build_filename(folder, paths[i], NULL);
        g_autofree char *base = g_path_get_basename(paths[i]);
        g_autofree char *name = g_strdup_printf("modules/%03u-%s", i, base);
        g_autoptr(GBytes) bytes = NULL;

        if (!vtc_initramfs_unpacked(path, MODULE_MAX, &bytes, error) ||
            !vtc_initramfs_add(archive, name, bytes, error))
            return false;
    }
    return true;
}

static bool
make_initrd(const VtcPrepare *prepare, const char *folder, int *ret_fd, GError **error)
{
    g_autoptr(VtcInitramfs) archive = vtc_initramfs_new();

    return vtc_initramfs_add_folder(archive, "bin", error) && add_busybox(archive, error) &&
           vtc_initramfs_add_folder(archive, "modules", error) &&
           add_modules(archive, folder, error) && add_script(archive, "init", error) &&
           add_script(archive, "clean", error) && add_job(archive, prepare, error) &&
           vtc_initramfs_finish(archive, ret_fd, error);
}

/* A copy, because QEMU may run as another user, and /boot may be root's */
static bool
copy_kernel(const char *path, int *ret_fd, GError **error)
{
    vt_autofd fd = memfd_create("kernel", MFD_CLOEXEC);
    g_autofree char *data = NULL;
    gsize length = 0;

    if (!g_file_get_contents(path, &data, &length, error))
        return false;
    if (fd < 0 || length > KERNEL_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "'%s' is too large for a kernel", path);
    if (!vt_fs_write_all(fd, data, length, path, error))
        return false;
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

bool
vtc_guest_files(const VtcPrepare *prepare, int *ret_kernel_fd, int *ret_initrd_fd, GError **error)
{
    g_auto(VtcKernel) kernel = {NULL, NULL};
    vt_autofd kernel_fd = -1, initrd_fd = -1;

    if (!vtc_kernel_find(prepare->kernel, prepare->modules, &kernel, error) ||
        !copy_kernel(kernel.image, &kernel_fd, error) ||
        !make_initrd(prepare, kernel.modules, &initrd_fd, error))
        return false;
    *ret_kernel_fd = vt_steal_fd(&kernel_fd);
    *ret_initrd_fd = vt_steal_fd(&initrd_fd);
    return true;
}
