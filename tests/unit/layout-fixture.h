/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layout-fixture.h: an empty layout in a temporary directory, and what fills it */
#pragma once

#include "vt-fs.h"
#include "vt-manifest.h"
#include "vt-store.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST                                                                                   \
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","           \
    "\"artifactType\":\"application/x-test\",\"config\":{\"mediaType\":\"application/x-config\","  \
    "\"digest\":\"" VT_OCI_EMPTY_DIGEST "\",\"size\":2},\"layers\":[]"

typedef struct {
    char *path;
    VtStoreUrl *url;
    VtStore *store;
    VtSource *source;
} Fixture;

static inline bool
reopen(Fixture *f, bool writable, GError **error)
{
    VtStoreOptions options = {.writable = writable, .layout_fd = -1};

    g_clear_pointer(&f->store, vt_store_free);
    if (!vt_store_open(f->url, &options, &f->store, error))
        return false;
    f->source = vt_store_source(f->store);
    return true;
}

static inline void
setup(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    f->path = g_dir_make_tmp("vt-layout-XXXXXX", NULL);
    g_assert_true(vt_store_create_layout(f->path, NULL));
    text = g_strconcat("oci:", f->path, NULL);
    g_assert_true(vt_store_url_parse(text, &f->url, NULL));
    g_assert_true(reopen(f, true, NULL));
}

static inline void
remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            remove_tree(child);
        else
            g_assert_cmpint(g_unlink(child), ==, 0);
    }
    g_assert_cmpint(g_rmdir(path), ==, 0);
}

static inline void
teardown(Fixture *f, gconstpointer data)
{
    vt_store_free(f->store);
    vt_store_url_free(f->url);
    remove_tree(f->path);
    g_free(f->path);
}

static inline char *
digest_of(const void *data, gsize length)
{
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, length);

    return g_strconcat("sha256:", hex, NULL);
}

static inline char *
put_blob(Fixture *f, const void *data, gsize length)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, length);
    g_autoptr(GError) error = NULL;
    char *digest = digest_of(data, length);

    g_assert_true(vt_store_put_bytes(f->store, "debian-12", digest, bytes, &error));
    g_assert_no_error(error);
    return digest;
}

static inline char *
put_manifest(Fixture *f, const char *tag, const char *rest)
{
    g_autofree char *text = g_strconcat(MANIFEST, rest, "}", NULL);
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    g_autoptr(GError) error = NULL;

    g_assert_true(
        vt_store_put_manifest(f->store, "debian-12", tag, VT_OCI_MANIFEST_TYPE, bytes, &error));
    g_assert_no_error(error);
    return digest_of(text, strlen(text));
}

static inline char *
file_of(Fixture *f, const char *digest)
{
    return g_build_filename(f->path, "blobs", "sha256", digest + strlen("sha256:"), NULL);
}

static inline void
set_file(Fixture *f, const char *name, const char *content)
{
    g_autofree char *path = g_build_filename(f->path, name, NULL);

    g_assert_true(g_file_set_contents(path, content, -1, NULL));
}

static inline char *
get_text(Fixture *f, const char *repository, const char *reference, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;

    if (!f->source->get_manifest(f->source, repository, reference, &bytes, error))
        return NULL;
    return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static inline void
assert_refused(Fixture *f, const char *repository, const char *reference, int code,
               const char *needle)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = get_text(f, repository, reference, &error);

    g_assert_error(error, VT_ERROR, code);
    g_assert_null(text);
    g_assert_nonnull(strstr(error->message, needle));
}
