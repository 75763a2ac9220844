/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pool-fixture.c: a directory of a pool, and fetches into it */
#include "pool-fixture.h"

#include "sealed-tree.h"
#include "vt-fs.h"
#include "vt-sha256.h"

#include <fcntl.h>
#include <string.h>

void
pool_set_up(PoolFixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    fixture->dir = g_dir_make_tmp("test-pool-XXXXXX", &error);
    g_assert_no_error(error);
    vt_pool_open(fixture->dir, &fixture->pool, &error);
    g_assert_no_error(error);
}

void
pool_tear_down(PoolFixture *fixture, gconstpointer data)
{
    vt_pool_free(fixture->pool);
    remove_sealed_tree(fixture->dir);
    g_free(fixture->dir);
}

bool
pool_commit(PoolFixture *fixture, const char *version, const char *content, VtDigest *ret_index,
            GError **error)
{
    static const uint8_t full_layer[128];
    g_autoptr(GBytes) document = g_bytes_new_static("document", 8);
    g_autoptr(GBytes) index = g_bytes_new_static(full_layer, sizeof(full_layer));
    g_autofree char *reason = NULL;
    VtPoolLayer layer = {.index_bytes = index};
    bool resumed = true;
    vt_autofd fd = -1;
    VtSeal seal;

    vt_sha256_data(content, strlen(content), ret_index);
    if (!vt_pool_has_layer(fixture->pool, ret_index)) {
        if (!vt_pool_partial_open(fixture->pool, ret_index, &fd, &resumed, error) ||
            !vt_fs_write_all(fd, content, strlen(content), "partial", error))
            return false;
        g_assert_false(resumed);
    }
    layer.index = *ret_index;
    layer.partial_fd = &fd;
    return vt_pool_commit(fixture->pool,
                          &(VtPoolCommit){.name = "debian-12",
                                          .version = version,
                                          .layers = &layer,
                                          .layer_count = 1,
                                          .manifest = *ret_index,
                                          .manifest_bytes = document,
                                          .config_bytes = document,
                                          .proofs = document},
                          &seal, &reason, error);
}
