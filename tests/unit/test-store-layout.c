/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout-fixture.h"

/* ---- documents ---- */

static void
test_roundtrip(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_manifest(f, "1.2.0", "");
    g_autofree char *by_tag = get_text(f, "debian-12", "1.2.0", NULL);
    g_autofree char *by_digest = get_text(f, "debian-12", digest, NULL);
    g_autofree char *index = NULL, *path = g_build_filename(f->path, "index.json", NULL);

    g_assert_cmpstr(by_tag, ==, MANIFEST "}");
    g_assert_cmpstr(by_digest, ==, MANIFEST "}");
    g_assert_true(g_file_get_contents(path, &index, NULL, NULL));
    g_assert_nonnull(strstr(index, "\"org.opencontainers.image.ref.name\":\"debian-12/1.2.0\""));
    g_assert_nonnull(strstr(index, "\"artifactType\":\"application/x-test\""));
    assert_refused(f, "debian-12", "1.2.1", VT_ERROR_NOT_FOUND, "debian-12/1.2.1");
    assert_refused(f, "debian-11", "1.2.0", VT_ERROR_NOT_FOUND, "debian-11/1.2.0");
}

static void
test_retag(Fixture *f, gconstpointer data)
{
    g_autofree char *first = put_manifest(f, "latest", "");
    g_autofree char *other = put_manifest(f, "other", "");
    g_autofree char *second = put_manifest(f, "latest", ",\"annotations\":{\"n\":\"2\"}");
    g_autofree char *now = get_text(f, "debian-12", "latest", NULL);
    g_autofree char *kept = get_text(f, "debian-12", "other", NULL);
    g_autofree char *old = get_text(f, "debian-12", first, NULL);

    g_assert_nonnull(strstr(now, "\"n\":\"2\""));
    g_assert_cmpstr(kept, ==, MANIFEST "}");
    g_assert_cmpstr(old, ==, MANIFEST "}");
    g_assert_cmpstr(first, ==, other);
    g_assert_cmpstr(first, !=, second);
}

/* What skopeo wrote with `oci:/path:debian-12:1.2.0`, with members we do not know */
static void
test_foreign_index(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_manifest(f, NULL, ""), *text = NULL, *index = NULL, *again = NULL;
    g_autofree char *path = g_build_filename(f->path, "index.json", NULL);

    text = g_strdup_printf(
        "{\"schemaVersion\":2,\"x-top\":1,\"manifests\":[{\"mediaType\":\"" VT_OCI_MANIFEST_TYPE
        "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\"},\"annotations\":"
        "{\"org.opencontainers.image.ref.name\":\"debian-12:1.2.0\"}},"
        "{\"mediaType\":\"x\",\"digest\":\"sha512:00\",\"size\":1}]}",
        digest, strlen(MANIFEST "}"));
    set_file(f, "index.json", text);
    again = get_text(f, "debian-12", "1.2.0", NULL);
    g_assert_cmpstr(again, ==, MANIFEST "}");
    g_free(put_manifest(f, "2.0.0", ""));
    g_assert_true(g_file_get_contents(path, &index, NULL, NULL));
    g_assert_nonnull(strstr(index, "\"x-top\":1"));
    g_assert_nonnull(strstr(index, "\"platform\":{\"os\":\"linux\"}"));
    g_assert_nonnull(strstr(index, "sha512:00"));
}

static char *
referrers_of(Fixture *f, const char *digest)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(f->source->get_referrers(f->source, "debian-12", digest, &bytes, &error));
    g_assert_no_error(error);
    return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static char *
subject_member(const char *digest)
{
    return g_strdup_printf(",\"annotations\":{\"k\":\"v\"},\"subject\":{\"mediaType\":"
                           "\"" VT_OCI_MANIFEST_TYPE "\",\"digest\":\"%s\",\"size\":1}",
                           digest);
}

static void
test_referrers(Fixture *f, gconstpointer data)
{
    g_autofree char *subject = put_manifest(f, "1.2.0", "");
    g_autofree char *none = referrers_of(f, subject);
    g_autofree char *member = subject_member(subject), *two = NULL, *first = NULL, *second = NULL;
    g_autofree char *found = NULL, *tag = g_strconcat("sha256-", subject + 7, NULL);
    g_autofree char *by_tag = NULL, *first_again = NULL;

    g_assert_nonnull(strstr(none, "\"manifests\":[]"));
    first = put_manifest(f, NULL, member);
    two = g_strconcat(member, ",\"x\":2", NULL);
    second = put_manifest(f, NULL, two);
    first_again = put_manifest(f, NULL, member);
    found = referrers_of(f, subject);
    g_assert_nonnull(strstr(found, first));
    g_assert_nonnull(strstr(found, second));
    g_assert_true(strstr(found, first) == g_strrstr(found, first));
    g_assert_nonnull(strstr(found, "\"annotations\":{\"k\":\"v\"}"));
    by_tag = get_text(f, "debian-12", tag, NULL);
    g_assert_cmpstr(by_tag, ==, found);
}

/* Without a name in index.json; @more: members; @ret_digest: (out) (optional). Returns: (transfer
 * full): its entry there */
static char *
put_unnamed(Fixture *f, const char *more, char **ret_digest)
{
    g_autofree char *manifest = g_strconcat(MANIFEST, more, "}", NULL);
    g_autofree char *digest = put_blob(f, manifest, strlen(manifest));

    if (ret_digest)
        *ret_digest = g_strdup(digest);
    return g_strdup_printf("{\"mediaType\":\"" VT_OCI_MANIFEST_TYPE
                           "\",\"digest\":\"%s\",\"size\":%zu}",
                           digest, strlen(manifest));
}

/* oras lists what it attaches in index.json without a name; one that is damaged hides no other */
static void
test_subject_scan(Fixture *f, gconstpointer data)
{
    g_autofree char *subject = put_manifest(f, "1.2.0", "");
    g_autofree char *member = subject_member(subject), *text = NULL, *found = NULL, *index = NULL;
    g_autofree char *digest = NULL, *entry = put_unnamed(f, member, &digest);

    text = g_strdup_printf("{\"schemaVersion\":2,\"manifests\":["
                           "{\"mediaType\":\"" VT_OCI_MANIFEST_TYPE "\",\"digest\":\"sha256:"
                           "0000000000000000000000000000000000000000000000000000000000000000\","
                           "\"size\":3},%s]}",
                           entry);
    set_file(f, "index.json", text);
    found = referrers_of(f, subject);
    g_assert_nonnull(strstr(found, digest));
    index = referrers_of(f, digest);
    g_assert_nonnull(strstr(index, "\"manifests\":[]"));
}

static unsigned
count_of(const char *text, const char *needle)
{
    unsigned count = 0;

    for (const char *at = text; (at = strstr(at, needle)); at++)
        count++;
    return count;
}

/* 22 of 3 MiB that refer to @subject, and a small one that refers to @last. Returns: how many refer
 * to @last */
static unsigned
count_behind_large(Fixture *f, const char *subject, const char *last)
{
    g_autofree char *member = subject_member(subject), *last_member = subject_member(last);
    g_autofree char *filler = g_strnfill(3u << 20, 'x'), *entry = put_unnamed(f, last_member, NULL);
    g_autofree char *found = NULL;
    g_autoptr(GString) text = g_string_new("{\"schemaVersion\":2,\"manifests\":[");

    for (unsigned i = 0; i < 22; i++) {
        g_autofree char *more = g_strdup_printf("%s,\"y\":%u,\"x\":\"%s\"", member, i, filler);
        g_autofree char *large = put_unnamed(f, more, NULL);

        g_string_append_printf(text, "%s,", large);
    }
    g_string_append_printf(text, "%s]}", entry);
    set_file(f, "index.json", text->str);
    found = referrers_of(f, last);
    return count_of(found, "sha256:");
}

/* As many are listed as an answer may have bytes, and the scan ends after 64 MiB */
static void
test_subject_bytes(Fixture *f, gconstpointer data)
{
    g_autofree char *subject = put_manifest(f, "1.2.0", "");

    g_assert_cmpuint(count_behind_large(f, subject, subject), ==, 2);
    g_assert_cmpuint(count_behind_large(f, VT_OCI_EMPTY_DIGEST, subject), ==, 0);
}

/* Fallback and signature tags that were copied without the repository's name */
static void
test_plain_digest_tag(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_manifest(f, NULL, ""), *text = NULL, *sig = NULL;
    g_autofree char *tag = g_strconcat("sha256-", digest + 7, ".sig", NULL);

    text = g_strdup_printf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"x\",\"digest\":"
                           "\"%s\",\"size\":%zu,\"annotations\":"
                           "{\"org.opencontainers.image.ref.name\":\"%s\"}},"
                           "{\"mediaType\":\"x\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":"
                           "{\"org.opencontainers.image.ref.name\":\"1.2.0\"}}]}",
                           digest, strlen(MANIFEST "}"), tag, digest, strlen(MANIFEST "}"));
    set_file(f, "index.json", text);
    sig = get_text(f, "debian-12", tag, NULL);
    g_assert_cmpstr(sig, ==, MANIFEST "}");
    assert_refused(f, "debian-12", "1.2.0", VT_ERROR_NOT_FOUND, "debian-12/1.2.0");
}

/* ---- writing ---- */

static void
test_create(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL;
    g_autofree char *other = g_build_filename(f->path, "other", NULL);
    g_autofree char *file = g_build_filename(other, "x", NULL);
    g_autoptr(GError) error = NULL;

    g_free(put_manifest(f, "1.2.0", ""));
    g_assert_true(vt_store_create_layout(f->path, &error));
    text = get_text(f, "debian-12", "1.2.0", NULL);
    g_assert_nonnull(text);
    g_assert_cmpint(g_mkdir(other, 0755), ==, 0);
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    g_assert_false(vt_store_create_layout(other, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_EXISTS);
}

static void
test_read_only(Fixture *f, gconstpointer data)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(MANIFEST "}", strlen(MANIFEST "}"));
    g_autoptr(GError) error = NULL;
    int fd = -1;

    g_assert_true(reopen(f, false, NULL));
    g_assert_false(vt_store_blob_begin(f->store, &fd, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_DENIED);
    g_clear_error(&error);
    g_assert_false(
        vt_store_put_manifest(f->store, "debian-12", "1", VT_OCI_MANIFEST_TYPE, bytes, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_DENIED);
}

static void
test_blobs(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_blob(f, "12345", 5), *again = put_blob(f, "12345", 5);
    g_autofree char *path = file_of(f, digest), *absent = digest_of("x", 1);
    g_autoptr(GBytes) bytes = g_bytes_new_static("12345", 5);
    g_autoptr(GError) error = NULL;
    bool has = false;

    g_assert_cmpstr(again, ==, digest);
    g_assert_true(vt_store_has_blob(f->store, "debian-12", digest, &has, NULL));
    g_assert_true(has);
    g_assert_true(vt_store_has_blob(f->store, "debian-12", absent, &has, NULL));
    g_assert_false(has);
    g_assert_cmpint(truncate(path, 3), ==, 0);
    g_assert_false(vt_store_put_bytes(f->store, "debian-12", digest, bytes, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
}

/* A writer that stopped without unlocking leaves nothing; one that runs is waited for */
static void *
put_fifty(void *user)
{
    Fixture f = *(Fixture *)user;

    f.store = NULL;
    g_assert_true(reopen(&f, true, NULL));
    for (int i = 0; i < 50; i++) {
        g_autofree char *tag = g_strdup_printf("%p-%d", (void *)g_thread_self(), i);

        g_free(put_manifest(&f, tag, ""));
    }
    vt_store_free(f.store);
    return NULL;
}

static void
test_two_writers(Fixture *f, gconstpointer data)
{
    GThread *a = g_thread_new("a", put_fifty, f), *b = g_thread_new("b", put_fifty, f);
    g_autofree char *index = NULL, *path = g_build_filename(f->path, "index.json", NULL);
    unsigned count = 0;

    g_thread_join(a);
    g_thread_join(b);
    g_assert_true(g_file_get_contents(path, &index, NULL, NULL));
    for (const char *at = index; (at = strstr(at, "ref.name")); at++)
        count++;
    g_assert_cmpuint(count, ==, 100);
}

/* ---- ranges ---- */

typedef struct {
    unsigned ended;
    int code;
} Ended;

static void
on_done(void *user, const GError *error)
{
    Ended *ended = user;

    ended->ended++;
    ended->code = error ? error->code : -1;
}

static void
test_ranges(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_blob(f, "0123456789", 10);
    char a[4] = {0}, b[10] = {0};
    Ended first = {0}, second = {0};

    vt_store_read_range(f->store, "debian-12", digest, 10, 3, 4, a, on_done, &first);
    vt_store_read_range(f->store, "debian-12", digest, 10, 0, 10, b, on_done, &second);
    g_assert_cmpuint(first.ended, ==, 0);
    while (first.ended + second.ended < 2)
        vt_store_dispatch(f->store, -1, 1000);
    g_assert_cmpint(first.code, ==, -1);
    g_assert_cmpint(second.code, ==, -1);
    g_assert_cmpmem(a, 4, "3456", 4);
    g_assert_cmpmem(b, 10, "0123456789", 10);
}

static void
assert_range_refused(Fixture *f, const char *digest, guint64 size, guint64 offset, int code)
{
    char buffer[4];
    Ended ended = {0};

    vt_store_read_range(f->store, "debian-12", digest, size, offset, 4, buffer, on_done, &ended);
    vt_store_dispatch(f->store, -1, 1000);
    g_assert_cmpuint(ended.ended, ==, 1);
    g_assert_cmpint(ended.code, ==, code);
}

static void
test_bad_ranges(Fixture *f, gconstpointer data)
{
    g_autofree char *digest = put_blob(f, "0123456789", 10), *absent = digest_of("x", 1);

    assert_range_refused(f, digest, 10, 7, VT_ERROR_INVALID);
    assert_range_refused(f, digest, 10, G_MAXUINT64 - 1, VT_ERROR_INVALID);
    assert_range_refused(f, digest, 20, 0, VT_ERROR_CORRUPT);
    assert_range_refused(f, absent, 10, 0, VT_ERROR_NOT_FOUND);
    assert_range_refused(f, "sha256:1", 10, 0, VT_ERROR_INVALID);
}

/* The worker's way: a directory fd, whatever the path is by now */
static void
test_layout_fd(Fixture *f, gconstpointer data)
{
    VtStoreOptions options = {.layout_fd = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    g_autofree char *text = NULL;
    g_autoptr(VtStoreUrl) elsewhere = NULL;

    g_free(put_manifest(f, "1.2.0", ""));
    g_assert_true(vt_store_url_parse("oci:/nonexistent", &elsewhere, NULL));
    g_clear_pointer(&f->store, vt_store_free);
    g_assert_true(vt_store_open(elsewhere, &options, &f->store, NULL));
    g_assert_cmpint(close(options.layout_fd), ==, 0);
    f->source = vt_store_source(f->store);
    text = get_text(f, "debian-12", "1.2.0", NULL);
    g_assert_cmpstr(text, ==, MANIFEST "}");
}

static const struct {
    const char *name;
    void (*run)(Fixture *, gconstpointer);
} cases[] = {
    {"roundtrip", test_roundtrip},
    {"retag", test_retag},
    {"foreign-index", test_foreign_index},
    {"referrers", test_referrers},
    {"subject-scan", test_subject_scan},
    {"subject-bytes", test_subject_bytes},
    {"plain-digest-tag", test_plain_digest_tag},
    {"create", test_create},
    {"read-only", test_read_only},
    {"blobs", test_blobs},
    {"two-writers", test_two_writers},
    {"ranges", test_ranges},
    {"bad-ranges", test_bad_ranges},
    {"layout-fd", test_layout_fd},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/store-layout/", cases[i].name, NULL);

        g_test_add(path, Fixture, NULL, setup, cases[i].run, teardown);
    }
    return g_test_run();
}
