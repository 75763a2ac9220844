/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vtc-guest.h"
#include "vtc-initramfs.h"
#include "vtc-kernel.h"

#include "vt-fs.h"

#include <elf.h>
#include <glib/gstdio.h>
#include <string.h>

static void
assert_error(GError **error, int code, const char *part)
{
    g_assert_error(*error, VT_ERROR, code);
    if (!strstr((*error)->message, part))
        g_error("'%s' does not say '%s'", (*error)->message, part);
    g_clear_error(error);
}

/* ---- operations ---- */

static void
test_select(void)
{
    const uint32_t machine_id = 1u << vtc_operations_find("machine-id");
    const uint32_t logs = 1u << vtc_operations_find("logs");
    uint32_t all = 0, set = 0;

    g_assert_true(vtc_operations_select(NULL, &all, NULL));
    g_assert_cmpuint(all & (machine_id | logs), ==, machine_id | logs);
    g_assert_cmpuint(all & vtc_operations_free_space(), !=, 0);
    g_assert_true(vtc_operations_select("machine-id", &set, NULL));
    g_assert_cmpuint(set, ==, machine_id);
    g_assert_true(vtc_operations_select("logs,machine-id,logs", &set, NULL));
    g_assert_cmpuint(set, ==, logs | machine_id);
    g_assert_true(vtc_operations_select("-logs", &set, NULL));
    g_assert_cmpuint(set, ==, all & ~logs);
}

static void
test_select_refused(void)
{
    static const struct {
        const char *list;
        const char *says;
    } cases[] = {
        {"", "leaves nothing"},
        {"machine-id,", "no operation ''"},
        {"machine_id", "no operation 'machine_id', but: machine-id, ssh-host-keys"},
        {"--logs", "no operation '--logs'"},
        {" logs", "no operation ' logs'"},
        {"logs,-logs", "both"},
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) none = g_string_new(NULL);
    uint32_t set = 7;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_false(vtc_operations_select(cases[i].list, &set, &error));
        assert_error(&error, VT_ERROR_INVALID, cases[i].says);
    }
    for (const VtcOperation *row = vtc_operations(); row->name; row++)
        g_string_append_printf(none, "%s-%s", none->len > 0 ? "," : "", row->name);
    g_assert_false(vtc_operations_select(none->str, &set, &error));
    assert_error(&error, VT_ERROR_INVALID, "leaves nothing");
    g_assert_cmpuint(set, ==, 7);
}

/* The guest's script knows each, and no other */
static void
test_script(void)
{
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "..", "helper", "cli", "prepare-clean.sh", NULL);
    g_autofree char *script = NULL;
    g_autoptr(GError) error = NULL;
    int functions = 0, rows = 0;

    g_file_get_contents(path, &script, NULL, &error);
    g_assert_no_error(error);
    for (const char *at = script; (at = strstr(at, "\ndo_")); at++)
        functions++;
    for (const VtcOperation *row = vtc_operations(); row->name; row++, rows++) {
        g_autofree char *function = g_strdup_printf("\ndo_%s() {\n", row->name);
        bool is_script = (vtc_operations_free_space() & (UINT32_C(1) << rows)) == 0;

        g_strdelimit(function, "-", '_');
        g_assert_cmpint(strstr(script, function) != NULL, ==, is_script);
    }
    g_assert_cmpint(functions, ==, rows - 1);
}

static void
test_job(void)
{
    VtcPrepare prepare = {.verbose = true};
    g_autofree char *job = NULL, *dry = NULL;

    g_assert_true(vtc_operations_select("logs,machine-id", &prepare.operations, NULL));
    job = vtc_guest_job(&prepare);
    g_assert_cmpstr(job, ==, "dry-run=no\nverbose=yes\ntrim=no\noperations=machine-id logs\n");
    prepare = (VtcPrepare){.dry_run = true, .operations = vtc_operations_free_space()};
    dry = vtc_guest_job(&prepare);
    g_assert_cmpstr(dry, ==, "dry-run=yes\nverbose=no\ntrim=yes\noperations=\n");
}

/* ---- report ---- */

static void
test_report(void)
{
    static const char *const lines[] = {
        "hello",
        "root\tSystem \x1b[1m, ext4",
        "did\tlogs\t2\t4096",
        "did\tlogs\t1\t512",
        "did\tmachine-id\t0\t0",
        "path\tlogs\t/var/log/a\033b",
        "note\t/srv is not here",
        "fail\tfirst",
        "fail\tsecond",
        "cleaned",
        "finished",
    };
    const int logs = vtc_operations_find("logs");
    g_auto(VtcReport) report = {0};
    g_autoptr(GError) error = NULL;

    vtc_report_init(&report);
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_assert_true(vtc_report_line(&report, lines[i], &error));
        g_assert_no_error(error);
    }
    g_assert_true(report.hello && report.cleaned && report.finished);
    g_assert_cmpstr(report.roots->pdata[0], ==, "System ?[1m, ext4");
    g_assert_cmpuint(report.files[logs], ==, 3);
    g_assert_cmpuint(report.bytes[logs], ==, 4608);
    g_assert_cmpuint(report.ran, ==, 1u << logs | 1u << vtc_operations_find("machine-id"));
    g_assert_cmpstr(report.paths->pdata[0], ==, "logs: /var/log/a?b");
    g_assert_cmpstr(report.failure, ==, "first");
}

static void
test_report_refused(void)
{
    static const char *const lines[] = {
        "",
        "hello\t",
        "goodbye",
        "root",
        "root\ta\tb",
        "did\tlogs\t1",
        "did\tlogs\t1\t2\t3",
        "did\tnonsense\t1\t2",
        "did\tlogs\t-1\t2",
        "did\tlogs\t1\t2 ",
        "did\tlogs\t1\t0x10",
        "did\tlogs\t4294967296\t2",
        "did\tlogs\t1\t9223372036854775808",
        "path\tnonsense\t/a",
        "fail",
        "\xff\xfe",
    };
    g_auto(VtcReport) report = {0};
    g_autoptr(GError) error = NULL;

    vtc_report_init(&report);
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_assert_false(vtc_report_line(&report, lines[i], &error));
        assert_error(&error, VT_ERROR_INVALID, "not understood");
    }
    g_assert_false(report.hello);
    g_assert_cmpuint(report.ran, ==, 0);
    g_assert_cmpuint(report.roots->len + report.paths->len, ==, 0);
}

/* A guest that counts for ever */
static void
test_report_overflow(void)
{
    g_auto(VtcReport) report = {0};
    g_autoptr(GError) error = NULL;

    vtc_report_init(&report);
    for (int i = 0; i < 2; i++)
        g_assert_true(vtc_report_line(&report, "did\tlogs\t1\t9223372036854775807", &error));
    g_assert_false(vtc_report_line(&report, "did\tlogs\t1\t9223372036854775807", &error));
    assert_error(&error, VT_ERROR_INVALID, "not understood");
}

/* ---- kernels ---- */

static const char dep[] = "kernel/fs/nls/nls_iso8859-1.ko:\n"
                          "kernel/lib/libcrc32c.ko.xz:\n"
                          "kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz\n"
                          "kernel/virtio.ko: kernel/virtio_ring.ko\n"
                          "kernel/virtio_ring.ko:\n"
                          "kernel/virtio_blk.ko: kernel/virtio.ko kernel/virtio_ring.ko\n"
                          "no colon\n:\n\n";
static const char builtin[] = "kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio-pci.ko\n";

static void
test_order(void)
{
    static const char *const names[] = {"virtio_blk",    "virtio_pci", "?btrfs", "xfs",
                                        "nls_iso8859_1", "virtio",     NULL};
    static const char *const expected[] = {
        "kernel/virtio_ring.ko",      "kernel/virtio.ko",        "kernel/virtio_blk.ko",
        "kernel/lib/libcrc32c.ko.xz", "kernel/fs/xfs/xfs.ko.xz", "kernel/fs/nls/nls_iso8859-1.ko",
    };
    g_auto(GStrv) paths = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(vtc_kernel_order(dep, builtin, names, &paths, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(g_strv_length(paths), ==, G_N_ELEMENTS(expected));
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++)
        g_assert_cmpstr(paths[i], ==, expected[i]);
}

static void
test_order_refused(void)
{
    static const char *const missing[] = {"virtio_blk", "btrfs", NULL};
    g_auto(GStrv) paths = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(vtc_kernel_order(dep, builtin, missing, &paths, &error));
    assert_error(&error, VT_ERROR_NOT_FOUND, "no module 'btrfs'");
    g_assert_null(paths);
}

static void
test_find_refused(void)
{
    g_auto(VtcKernel) kernel = {NULL, NULL};
    g_autoptr(GError) error = NULL;

    g_assert_false(vtc_kernel_find("/nonexistent/vmlinuz", "/nonexistent", &kernel, &error));
    assert_error(&error, VT_ERROR_NOT_FOUND, "'/nonexistent/vmlinuz' cannot be read");
    g_assert_false(vtc_kernel_find(NULL, "/nonexistent/1.2.3", &kernel, &error));
    assert_error(&error, VT_ERROR_NOT_FOUND, "kernel");
    g_assert_false(vtc_kernel_find("/proc/self/exe", "/nonexistent", &kernel, &error));
    assert_error(&error, VT_ERROR_NOT_FOUND, "no modules.dep in '/nonexistent'");
    g_assert_null(kernel.image);
}

/* ---- files of the guest ---- */

static GBytes *
elf(uint32_t segment_type, uint16_t count)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
    } file = {.header = {.e_phoff = sizeof(Elf64_Ehdr), .e_phnum = count},
              .segment = {.p_type = segment_type}};

    memcpy(file.header.e_ident, ELFMAG, SELFMAG);
    file.header.e_ident[EI_CLASS] = ELFCLASS64;
    return g_bytes_new(&file, sizeof(file));
}

static void
test_static(void)
{
    g_autoptr(GBytes) fit = elf(PT_LOAD, 1), shared = elf(PT_INTERP, 1), cut = elf(PT_LOAD, 2);
    g_autoptr(GBytes) text = g_bytes_new_static("#!/bin/sh", 9);
    g_autoptr(GBytes) zeros = g_bytes_new_take(g_malloc0(100), 100);
    g_autoptr(GError) error = NULL;

    g_assert_true(vtc_guest_check_static(fit, &error));
    g_assert_no_error(error);
    g_assert_false(vtc_guest_check_static(shared, &error));
    assert_error(&error, VT_ERROR_INVALID, "shared libraries");
    g_assert_false(vtc_guest_check_static(cut, &error));
    assert_error(&error, VT_ERROR_INVALID, "cut off");
    g_assert_false(vtc_guest_check_static(text, &error));
    assert_error(&error, VT_ERROR_INVALID, "no program");
    g_assert_false(vtc_guest_check_static(zeros, &error));
    assert_error(&error, VT_ERROR_INVALID, "no program");
}

/* 070701: "newc"; names and data stand there as they are */
static void
test_archive(void)
{
    g_autoptr(VtcInitramfs) archive = vtc_initramfs_new();
    g_autoptr(GBytes) hello = g_bytes_new_static("hello\n", 6);
    g_autoptr(GError) error = NULL;
    g_autofree char *bytes = g_malloc0(4096);
    vt_autofd fd = -1;
    ssize_t length;

    g_assert_true(vtc_initramfs_add_folder(archive, "bin", &error));
    g_assert_true(vtc_initramfs_add(archive, "bin/greet", hello, &error));
    g_assert_true(vtc_initramfs_finish(archive, &fd, &error));
    g_assert_no_error(error);
    length = pread(fd, bytes, 4096, 0);
    g_assert_cmpint(length, >, 0);
    g_assert_cmpint(memcmp(bytes, "070701", 6), ==, 0);
    g_assert_nonnull(memmem(bytes, (size_t)length, "bin/greet", 10));
    g_assert_nonnull(memmem(bytes, (size_t)length, "hello\n", 6));
    g_assert_nonnull(memmem(bytes, (size_t)length, "TRAILER!!!", 10));
}

/* "hello\n" by gzip -n */
static const uint8_t packed[] = {0x1f, 0x8b, 8,    0,    0,    0,    0,    0, 0,
                                 3,    0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 2, 0,
                                 0x20, 0x30, 0x3a, 0x36, 6,    0,    0,    0};

static void
test_unpacked(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-prepare-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "module.ko.gz", NULL);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(path, (const char *)packed, sizeof(packed), NULL));
    g_assert_true(vtc_initramfs_unpacked(path, 6, &bytes, &error));
    g_assert_no_error(error);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "hello\n", 6);
    g_clear_pointer(&bytes, g_bytes_unref);
    g_assert_false(vtc_initramfs_unpacked(path, 5, &bytes, &error));
    assert_error(&error, VT_ERROR_TOO_LARGE, "more than 5 bytes");
    g_assert_true(g_file_set_contents(path, (const char *)packed, 15, NULL));
    g_assert_false(vtc_initramfs_unpacked(path, 6, &bytes, &error));
    assert_error(&error, VT_ERROR_FAILED, path);
    g_assert_true(g_file_set_contents(path, "plain", 5, NULL));
    g_assert_true(vtc_initramfs_unpacked(path, 6, &bytes, &error));
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, 5);
    g_remove(path);
    g_clear_pointer(&bytes, g_bytes_unref);
    g_assert_false(vtc_initramfs_unpacked(path, 6, &bytes, &error));
    assert_error(&error, VT_ERROR_FAILED, path);
    g_rmdir(dir);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/prepare/operations/select", test_select);
    g_test_add_func("/prepare/operations/refused", test_select_refused);
    g_test_add_func("/prepare/operations/script", test_script);
    g_test_add_func("/prepare/job", test_job);
    g_test_add_func("/prepare/report/lines", test_report);
    g_test_add_func("/prepare/report/refused", test_report_refused);
    g_test_add_func("/prepare/report/overflow", test_report_overflow);
    g_test_add_func("/prepare/kernel/order", test_order);
    g_test_add_func("/prepare/kernel/order-refused", test_order_refused);
    g_test_add_func("/prepare/kernel/find-refused", test_find_refused);
    g_test_add_func("/prepare/files/static", test_static);
    g_test_add_func("/prepare/files/archive", test_archive);
    g_test_add_func("/prepare/files/unpacked", test_unpacked);
    return g_test_run();
}
