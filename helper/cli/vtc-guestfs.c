/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guestfs.c: virt-template prepare with the programs of libguestfs */
#include "vtc-prepare.h"

#include <gio/gio.h>
#include <string.h>

static const char sysprep[] = "virt-sysprep";
static const char sparsify[] = "virt-sparsify";

bool
vtc_guestfs_present(void)
{
    g_autofree char *one = g_find_program_in_path(sysprep);
    g_autofree char *other = g_find_program_in_path(sparsify);

    return one && other;
}

static bool
run(GPtrArray *argv, GError **error)
{
    g_autoptr(GSubprocess) child = NULL;

    g_ptr_array_add(argv, NULL);
    child = g_subprocess_newv((const char *const *)argv->pdata, G_SUBPROCESS_FLAGS_NONE, error);
    if (!child)
        return false;
    return g_subprocess_wait_check(child, NULL, NULL) ||
           vt_throw(error, VT_ERROR_FAILED,
                    "%s has failed, see above; '--with qemu' needs no libguestfs",
                    (const char *)argv->pdata[0]);
}

/* Appends "--enable a,b,customize --delete PATH ..." for the wanted operations */
static void
add_operations(const VtcPrepare *prepare, GPtrArray *argv, GPtrArray *owned)
{
    const VtcOperation *operations = vtc_operations();
    g_autoptr(GString) enable = g_string_new("customize");

    for (int i = 0; operations[i].name; i++) {
        const VtcOperation *row = &operations[i];

        if ((prepare->operations & (UINT32_C(1) << i)) == 0)
            continue;
        if (row->sysprep)
            g_string_append_printf(enable, ",%s", row->sysprep);
        for (size_t j = 0; row->sysprep_delete && row->sysprep_delete[j]; j++) {
            g_ptr_array_add(argv, (char *)(uintptr_t) "--delete");
            g_ptr_array_add(argv, (char *)(uintptr_t)row->sysprep_delete[j]);
        }
    }
    g_ptr_array_add(owned, g_strdup(enable->str));
    g_ptr_array_add(argv, (char *)(uintptr_t) "--enable");
    g_ptr_array_add(argv, owned->pdata[owned->len - 1]);
}

static void
add_words(GPtrArray *argv, const char *const *words)
{
    for (; *words; words++)
        g_ptr_array_add(argv, (char *)(uintptr_t)*words);
}

static bool
run_sysprep(const VtcPrepare *prepare, GError **error)
{
    const char *const words[] = {sysprep, "--format", prepare->format, "-a", prepare->path, NULL};
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GPtrArray) owned = g_ptr_array_new_with_free_func(g_free);

    add_words(argv, words);
    if (prepare->dry_run)
        g_ptr_array_add(argv, (char *)(uintptr_t) "--dry-run");
    if (prepare->verbose)
        g_ptr_array_add(argv, (char *)(uintptr_t) "-v");
    add_operations(prepare, argv, owned);
    return run(argv, error);
}

static bool
run_sparsify(const VtcPrepare *prepare, GError **error)
{
    const char *const words[] = {sparsify,        "--in-place",  "--format",
                                 prepare->format, prepare->path, NULL};
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    add_words(argv, words);
    return run(argv, error);
}

bool
vtc_guestfs_run(const VtcPrepare *prepare, GError **error)
{
    uint32_t free_space = UINT32_C(1) << vtc_operations_find(VTC_OPERATION_FREE_SPACE);

    if (!vtc_guestfs_present())
        return vt_throw(error, VT_ERROR_NOT_FOUND,
                        "virt-sysprep and virt-sparsify are not installed (Debian: guestfs-tools, "
                        "Fedora: guestfs-tools); '--with qemu' does not need them");
    if ((prepare->operations & ~free_space) != 0 && !run_sysprep(prepare, error))
        return false;
    return (prepare->operations & free_space) == 0 || prepare->dry_run ||
           run_sparsify(prepare, error);
}
