/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sealed-tree.c: removes what a test left, sealed layers, too */
#include "sealed-tree.h"

#include "vt-fs.h"
#include "vt-seal.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    if (S_ISREG(st->st_mode)) {
        vt_autofd fd = open(path, O_RDONLY | O_CLOEXEC);
        g_autoptr(VtSealManager) manager = vt_seal_manager_new(VT_SEAL_MANAGER);

        if (fd >= 0)
            vt_seal_open(fd, manager, NULL);
    }
    return remove(path);
}

void
remove_sealed_tree(const char *path)
{
    g_assert_cmpint(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), ==, 0);
}
