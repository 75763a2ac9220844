/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout-fixture.h"

/* ---- hostile layouts ---- */

static const struct {
    const char *index, *needle;
    int code;
} bad_indexes[] = {
    {"", "index.json", VT_ERROR_INVALID},
    {"[]", "index.json", VT_ERROR_INVALID},
    {"{\"manifests\":[],\"manifests\":[]}", "manifests", VT_ERROR_INVALID},
    {"{\"manifests\":{}}", "manifests", VT_ERROR_INVALID},
    {"{\"manifests\":[3]}", "manifests", VT_ERROR_INVALID},
    {"{\"manifests\":[{\"size\":3}]}", "digest", VT_ERROR_INVALID},
    {"{\"manifests\":[]", "index.json", VT_ERROR_INVALID},
};

static void
test_bad_index(Fixture *f, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad_indexes); i++) {
        set_file(f, "index.json", bad_indexes[i].index);
        assert_refused(f, "debian-12", "1.2.0", bad_indexes[i].code, bad_indexes[i].needle);
    }
}

static void
test_index_gone(Fixture *f, gconstpointer data)
{
    g_autofree char *path = g_build_filename(f->path, "index.json", NULL);

    g_assert_cmpint(g_unlink(path), ==, 0);
    assert_refused(f, "debian-12", "1.2.0", VT_ERROR_INVALID, "damaged");
}

static void
test_two_with_one_name(Fixture *f, gconstpointer data)
{
    g_autofree char *a = put_manifest(f, NULL, ""), *b = put_manifest(f, NULL, ",\"x\":1");
    g_autofree char *text = g_strdup_printf(
        "{\"manifests\":[{\"digest\":\"%s\",\"annotations\":{\"" //
        "org.opencontainers.image.ref.name\":\"debian-12/1\"}},{\"digest\":\"%s\",\"annotations\":"
        "{\"org.opencontainers.image.ref.name\":\"debian-12/1\"}}]}",
        a, b);

    set_file(f, "index.json", text);
    assert_refused(f, "debian-12", "1", VT_ERROR_INVALID, "two manifests");
}

static void
test_symlinked_blob(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_manifest(f, "1.2.0", ""), *path = file_of(f, digest);
    g_autofree char *aside = g_strconcat(path, ".x", NULL);

    g_assert_cmpint(g_rename(path, aside), ==, 0);
    g_assert_cmpint(symlink(aside, path), ==, 0);
    assert_refused(f, "debian-12", "1.2.0", VT_ERROR_INVALID, "symbolic link");
    assert_refused(f, "debian-12", digest, VT_ERROR_INVALID, "symbolic link");
}

static void
test_symlinked_directory(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_manifest(f, "1.2.0", "");
    g_autofree char *from = g_build_filename(f->path, "blobs", "sha256", NULL);
    g_autofree char *to = g_build_filename(f->path, "blobs", "aside", NULL);

    g_assert_cmpint(g_rename(from, to), ==, 0);
    g_assert_cmpint(symlink("aside", from), ==, 0);
    assert_refused(f, "debian-12", digest, VT_ERROR_INVALID, "symbolic link");
}

static void
test_fifo(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_manifest(f, "1.2.0", ""), *path = file_of(f, digest);

    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(mkfifo(path, 0644), ==, 0);
    assert_refused(f, "debian-12", digest, VT_ERROR_INVALID, "not a regular file");
}

static void
test_wrong_sizes(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_manifest(f, "1.2.0", ""), *path = file_of(f, digest);

    g_assert_cmpint(truncate(path, 10), ==, 0);
    assert_refused(f, "debian-12", "1.2.0", VT_ERROR_CORRUPT, "has 10 bytes");
    g_assert_cmpint(truncate(path, VT_MANIFEST_MAX + 1), ==, 0);
    assert_refused(f, "debian-12", digest, VT_ERROR_TOO_LARGE, "more than");
}

static void
test_blob_limit(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_blob(f, "12345", 5);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(f->source->get_blob(f->source, "debian-12", digest, 5, &bytes, NULL));
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "12345", 5);
    g_clear_pointer(&bytes, g_bytes_unref);
    g_assert_false(f->source->get_blob(f->source, "debian-12", digest, 4, &bytes, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
    g_assert_null(bytes);
}

static const struct {
    const char *repository, *reference;
} bad_names[] = {
    {"debian-12", ""},
    {"debian-12", "../../etc/passwd"},
    {"debian-12", "a b"},
    {"debian-12", "sha256:../../x"},
    {"debian-12", "sha256:abc"},
    {"debian-12", "md5:abc"},
    {"debian-12", "-x"},
    {"../x", "1"},
    {"Debian", "1"},
    {"a//b", "1"},
    {"a/", "1"},
    {"", "1"},
    {"a\n", "1"},
    {"debian-12", "1\n"},
};

static void
test_bad_names(Fixture *f, gconstpointer data)
{
    g_autofree char *longest = g_strnfill(129, 'a');

    for (gsize i = 0; i < G_N_ELEMENTS(bad_names); i++)
        assert_refused(f, bad_names[i].repository, bad_names[i].reference, VT_ERROR_INVALID, "");
    assert_refused(f, "debian-12", longest, VT_ERROR_INVALID, "128");
}

static void
test_not_a_layout(Fixture *f, gconstpointer data)
{
    g_autofree char *path = g_build_filename(f->path, "oci-layout", NULL);
    g_autoptr(GError) error = NULL;

    set_file(f, "oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
    g_assert_false(reopen(f, false, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_UNSUPPORTED);
    g_clear_error(&error);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_false(reopen(f, false, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "not an OCI layout"));
}

static const struct {
    const char *name;
    void (*run)(Fixture *, gconstpointer);
} cases[] = {
    {"bad-index", test_bad_index},
    {"index-gone", test_index_gone},
    {"two-with-one-name", test_two_with_one_name},
    {"symlinked-blob", test_symlinked_blob},
    {"symlinked-directory", test_symlinked_directory},
    {"fifo", test_fifo},
    {"wrong-sizes", test_wrong_sizes},
    {"blob-limit", test_blob_limit},
    {"bad-names", test_bad_names},
    {"not-a-layout", test_not_a_layout},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/store-hostile/", cases[i].name, NULL);

        g_test_add(path, Fixture, NULL, setup, cases[i].run, teardown);
    }
    return g_test_run();
}
