/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry-fixture.h"

#define REPOSITORY "golden/debian-12"
#define BLOB_SIZE  (3u << 20)
#define RANGE_SIZE (128u << 10)
/* user:password in base64 */
#define ALICE   "\"auth\":\"YWxpY2U6c2VjcmV0\""
#define MALLORY "\"auth\":\"YWxpY2U6d3Jvbmc=\""

/* Well-formed enough for a registry, which looks at what it refers to */
#define MANIFEST                                                                                   \
    "{\"schemaVersion\":2,\"mediaType\":\"" VT_OCI_MANIFEST_TYPE "\",\"config\":{\"mediaType\":"   \
    "\"" VT_OCI_EMPTY_TYPE "\",\"digest\":\"" VT_OCI_EMPTY_DIGEST "\",\"size\":2},\"layers\":[]"

typedef struct {
    Servers servers;
    unsigned port;
    char *auth, *ca;
    uint8_t blob[BLOB_SIZE], buffer[BLOB_SIZE];
} Fixture;

static void
setup(Fixture *f, gconstpointer data)
{
    servers_begin(&f->servers);
    f->port = start_registry(&f->servers, (RegistryMode)GPOINTER_TO_INT(data));
    f->auth = write_auth(&f->servers, "auth.json", f->port, ALICE);
    f->ca = GPOINTER_TO_INT(data) == REGISTRY_TLS ? server_file(&f->servers, "cert.pem") : NULL;
    for (gsize i = 0; i < BLOB_SIZE / 4; i++)
        ((uint32_t *)(void *)f->blob)[i] = g_random_int();
}

static void
teardown(Fixture *f, gconstpointer data)
{
    servers_end(&f->servers);
    g_free(f->auth);
    g_free(f->ca);
}

static VtStore *
open_as(Fixture *f, const char *auth, bool writable)
{
    const VtStoreOptions options = {
        .auth_file = auth, .ca_file = f->ca, .writable = writable, .layout_fd = -1};

    return open_store(f->port, &options);
}

static char *
digest_of(const void *data, gsize length)
{
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, length);

    return g_strconcat("sha256:", hex, NULL);
}

/* ---- the round trip, the same in each mode ---- */

static void
on_progress(void *user, uint64_t sent)
{
    uint64_t *last = user;

    g_assert_cmpuint(sent, >=, *last);
    *last = sent;
}

static char *
put_blob(Fixture *f, VtStore *store)
{
    g_autofree char *digest = digest_of(f->blob, BLOB_SIZE);
    g_autoptr(GError) error = NULL;
    uint64_t sent = 0;
    vt_autofd fd = -1;
    bool has = true;

    g_assert_true(vt_store_has_blob(store, REPOSITORY, digest, &has, &error));
    g_assert_no_error(error);
    g_assert_false(has);
    g_assert_true(vt_store_blob_begin(store, &fd, &error));
    g_assert_true(vt_fs_write_all(fd, f->blob, BLOB_SIZE, "x", &error));
    g_assert_true(
        vt_store_blob_commit(store, REPOSITORY, fd, digest, BLOB_SIZE, on_progress, &sent, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(sent, ==, BLOB_SIZE);
    g_assert_true(vt_store_has_blob(store, REPOSITORY, digest, &has, &error));
    g_assert_true(has);
    return g_steal_pointer(&digest);
}

static char *
put_manifest(VtStore *store, const char *tag, const char *rest)
{
    g_autofree char *text = g_strconcat(MANIFEST, rest, "}", NULL);
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    g_autoptr(GError) error = NULL;

    vt_store_put_manifest(store, REPOSITORY, tag, VT_OCI_MANIFEST_TYPE, bytes, &error);
    g_assert_no_error(error);
    return digest_of(text, strlen(text));
}

static void
assert_manifest(VtStore *store, const char *reference, const char *text)
{
    VtSource *source = vt_store_source(store);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    source->get_manifest(source, REPOSITORY, reference, &bytes, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), text, strlen(text));
}

static void
assert_referrers(VtStore *store, const char *subject, const char *const *digests)
{
    VtSource *source = vt_store_source(store);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GPtrArray) entries = NULL;
    g_autoptr(GError) error = NULL;

    source->get_referrers(source, REPOSITORY, subject, &bytes, &error);
    g_assert_no_error(error);
    g_assert_true(vt_index_manifests_parse(bytes, &entries, &error));
    g_assert_cmpuint(entries->len, ==, g_strv_length((char **)digests));
    for (guint i = 0; i < entries->len; i++) {
        const VtDescriptor *entry = g_ptr_array_index(entries, i);
        char text[VT_DIGEST_STRING_MAX];

        g_assert_true(g_strv_contains(digests, vt_digest_format(&entry->digest, text)));
    }
}

static void
put_referrers(VtStore *store, const char *subject)
{
    g_autofree char *member = g_strdup_printf(",\"subject\":{\"mediaType\":\"" VT_OCI_MANIFEST_TYPE
                                              "\",\"digest\":\"%s\",\"size\":%zu}",
                                              subject, strlen(MANIFEST "}"));
    g_autofree char *other = g_strconcat(member, ",\"annotations\":{\"n\":\"2\"}", NULL);
    const char *none[] = {NULL}, *both[] = {NULL, NULL, NULL};
    g_autofree char *first = NULL, *second = NULL;

    assert_referrers(store, subject, none);
    both[0] = first = put_manifest(store, NULL, member);
    assert_referrers(store, subject, both);
    both[1] = second = put_manifest(store, NULL, other);
    g_free(put_manifest(store, NULL, member));
    assert_referrers(store, subject, both);
}

static void
assert_ranges(Fixture *f, VtStore *store, const char *digest)
{
    RangeEnd end = {0};

    memset(f->buffer, 0, BLOB_SIZE);
    for (uint32_t at = 0; at < BLOB_SIZE; at += RANGE_SIZE)
        vt_store_read_range(store, REPOSITORY, digest, BLOB_SIZE, at, RANGE_SIZE, f->buffer + at,
                            on_range_end, &end);
    wait_for_ranges(store, &end, BLOB_SIZE / RANGE_SIZE);
    g_assert_no_error(end.error);
    g_assert_cmpmem(f->buffer, BLOB_SIZE, f->blob, BLOB_SIZE);
}

static void
test_roundtrip(Fixture *f, gconstpointer data)
{
    g_autoptr(VtStore) store = open_as(f, f->auth, true), reader = open_as(f, f->auth, false);
    g_autoptr(GBytes) empty = g_bytes_new_static("{}", 2), read_back = NULL;
    g_autofree char *digest = put_blob(f, store), *manifest = NULL;
    VtSource *source = vt_store_source(reader);
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_store_put_bytes(store, REPOSITORY, VT_OCI_EMPTY_DIGEST, empty, &error));
    manifest = put_manifest(store, "1.2.0", "");
    /* A store that knows nothing yet: the first requests are many at once */
    assert_ranges(f, reader, digest);
    assert_manifest(reader, "1.2.0", MANIFEST "}");
    assert_manifest(reader, manifest, MANIFEST "}");
    g_assert_true(source->get_blob(source, REPOSITORY, VT_OCI_EMPTY_DIGEST, 2, &read_back, &error));
    g_assert_true(g_bytes_equal(empty, read_back));
    put_referrers(store, manifest);
}

/* ---- refusals that are the same in each mode ---- */

static void
assert_refused(VtStore *store, const char *repository, const char *reference, int code,
               const char *needle)
{
    VtSource *source = vt_store_source(store);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(source->get_manifest(source, repository, reference, &bytes, &error));
    g_test_message("%s", error->message);
    g_assert_error(error, VT_ERROR, code);
    g_assert_null(bytes);
    g_assert_nonnull(strstr(error->message, needle));
}

static void
test_refused(Fixture *f, gconstpointer data)
{
    g_autoptr(VtStore) store = open_as(f, f->auth, true);
    VtSource *source = vt_store_source(store);
    g_autofree char *absent = digest_of("x", 1), *digest = put_blob(f, store);
    g_autoptr(GBytes) bytes = g_bytes_new_static("wrong", 5), read_back = NULL;
    g_autoptr(GError) error = NULL;

    assert_refused(store, REPOSITORY, "none", VT_ERROR_NOT_FOUND, "MANIFEST_UNKNOWN");
    assert_refused(store, REPOSITORY, absent, VT_ERROR_NOT_FOUND, "MANIFEST_UNKNOWN");
    assert_refused(store, "../x", "1", VT_ERROR_INVALID, "../x");
    assert_refused(store, REPOSITORY, "a/b", VT_ERROR_INVALID, "a/b");
    g_assert_false(source->get_blob(source, REPOSITORY, absent, 10, &read_back, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_false(source->get_blob(source, REPOSITORY, digest, 10, &read_back, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
    g_clear_error(&error);
    /* The registry checks what it is told */
    g_assert_false(vt_store_put_bytes(store, REPOSITORY, absent, bytes, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NETWORK);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, "DIGEST_INVALID"));
}

/* ---- what a mode costs, and whom it turns away ---- */

/* Requests of a first look at a tag, and of each later one */
static void
assert_cost(Fixture *f, unsigned first, unsigned later)
{
    g_autoptr(VtStore) writer = open_as(f, f->auth, true), store = open_as(f, f->auth, false);
    g_autoptr(GBytes) empty = g_bytes_new_static("{}", 2);

    g_assert_true(vt_store_put_bytes(writer, REPOSITORY, VT_OCI_EMPTY_DIGEST, empty, NULL));
    g_free(put_manifest(writer, "latest", ""));
    assert_manifest(store, "latest", MANIFEST "}");
    g_assert_cmpuint(vt_store_requests(store), ==, first);
    assert_manifest(store, "latest", MANIFEST "}");
    g_assert_cmpuint(vt_store_requests(store), ==, first + later);
}

static void
test_plain_cost(Fixture *f, gconstpointer data)
{
    assert_cost(f, 1, 1);
}

static void
assert_not_opened(Fixture *f, const char *auth, const char *ca, int code, const char *needle)
{
    const VtStoreOptions options = {.auth_file = auth, .ca_file = ca, .layout_fd = -1};
    g_autofree char *text = g_strdup_printf("docker://127.0.0.1:%u", f->port);
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(GError) error = NULL;
    VtStore *store = NULL;

    g_assert_true(vt_store_url_parse(text, &url, NULL));
    g_assert_false(vt_store_open(url, &options, &store, &error));
    g_assert_error(error, VT_ERROR, code);
    g_assert_null(store);
    g_assert_nonnull(strstr(error->message, needle));
}

/* The fetch worker has an fd in place of a path; users have symbolic links */
static void
test_auth_file(Fixture *f, gconstpointer data)
{
    g_autofree char *link = server_file(&f->servers, "link.json"), *by_fd = NULL;
    g_autofree char *huge = server_file(&f->servers, "huge.json");
    vt_autofd fd = open(f->auth, O_RDONLY | O_CLOEXEC);
    g_autoptr(VtStore) linked = NULL, passed = NULL;

    g_assert_cmpint(symlink(f->auth, link), ==, 0);
    by_fd = g_strdup_printf("/proc/self/fd/%d", fd);
    linked = open_as(f, link, false);
    passed = open_as(f, by_fd, false);
    assert_refused(linked, REPOSITORY, "none", VT_ERROR_NOT_FOUND, "MANIFEST_UNKNOWN");
    assert_refused(passed, REPOSITORY, "none", VT_ERROR_NOT_FOUND, "MANIFEST_UNKNOWN");
    g_assert_true(g_file_set_contents(huge, "", 0, NULL));
    g_assert_cmpint(truncate(huge, 2 << 20), ==, 0);
    assert_not_opened(f, huge, NULL, VT_ERROR_INVALID, "huge.json");
    assert_not_opened(f, f->servers.dir, NULL, VT_ERROR_INVALID, "not a regular file");
    assert_not_opened(f, "/nonexistent/auth.json", NULL, VT_ERROR_NOT_FOUND, "/nonexistent");
}

static void
test_basic(Fixture *f, gconstpointer data)
{
    g_autofree char *wrong = write_auth(&f->servers, "wrong.json", f->port, MALLORY);
    g_autofree char *other = write_auth(&f->servers, "other.json", f->port + 1, ALICE);
    g_autoptr(VtStore) nobody = open_as(f, NULL, false), mallory = open_as(f, wrong, false);
    g_autoptr(VtStore) elsewhere = open_as(f, other, false);

    assert_cost(f, 2, 1);
    assert_refused(nobody, REPOSITORY, "latest", VT_ERROR_NETWORK, "user and password");
    assert_refused(elsewhere, REPOSITORY, "latest", VT_ERROR_NETWORK, "user and password");
    assert_refused(mallory, REPOSITORY, "latest", VT_ERROR_NETWORK, "HTTP 401");
    g_assert_cmpuint(vt_store_requests(mallory), ==, 2);
}

static void
test_bearer(Fixture *f, gconstpointer data)
{
    g_autofree char *wrong = write_auth(&f->servers, "wrong.json", f->port, MALLORY);
    g_autofree char *identity = write_auth(&f->servers, "identity.json", f->port,
                                           "\"auth\":\"\",\"identitytoken\":\"identity\"");
    g_autoptr(VtStore) nobody = open_as(f, NULL, false), mallory = open_as(f, wrong, false);
    g_autoptr(VtStore) holder = open_as(f, identity, false);
    g_autofree char *log = NULL;

    assert_cost(f, 3, 1);
    assert_manifest(holder, "latest", MANIFEST "}");
    assert_refused(nobody, REPOSITORY, "latest", VT_ERROR_NETWORK, "HTTP 401");
    assert_refused(mallory, REPOSITORY, "latest", VT_ERROR_NETWORK, "/token: HTTP 401");
    /* Anybody may look here; there is nothing */
    assert_refused(nobody, "public/x", "1", VT_ERROR_NOT_FOUND, "MANIFEST_UNKNOWN");
    log = read_file(&f->servers, "token.log");
    g_assert_nonnull(strstr(log, "GET ['repository:golden/debian-12:pull,push'] alice\n"));
    g_assert_nonnull(strstr(log, "GET ['repository:golden/debian-12:pull'] alice\n"));
    g_assert_nonnull(strstr(log, "POST ['repository:golden/debian-12:pull'] alice\n"));
    g_assert_nonnull(strstr(log, "GET ['repository:public/x:pull'] anonymous\n"));
}

static void
test_tls(Fixture *f, gconstpointer data)
{
    g_autoptr(VtStore) stranger = NULL;
    g_autofree char *ca = NULL;

    assert_cost(f, 1, 1);
    ca = g_steal_pointer(&f->ca);
    stranger = open_as(f, f->auth, false);
    /* The first request on loopback is in plain HTTP and without credentials; the 400 that it gets
     * leads to TLS, and there a bad certificate does not lead back */
    assert_refused(stranger, REPOSITORY, "latest", VT_ERROR_NETWORK, "/etc/containers/certs.d");
    g_assert_cmpuint(vt_store_requests(stranger), ==, 1);
    assert_not_opened(f, NULL, "/nonexistent/ca.pem", VT_ERROR_FAILED, "/nonexistent/ca.pem");
    assert_not_opened(f, NULL, f->auth, VT_ERROR_INVALID, "no certificate");
}

/* ---- the registry goes away and comes back ---- */

static void
test_restart(Fixture *f, gconstpointer data)
{
    g_autoptr(VtStore) store = open_as(f, f->auth, true);
    g_autofree char *digest = put_blob(f, store);
    g_autofree char *command =
        g_strdup_printf("docker-registry serve %s/config.yml", f->servers.dir);
    GSubprocess *first = g_ptr_array_index(f->servers.processes, 0);
    RangeEnd end = {0};

    g_subprocess_force_exit(first);
    g_subprocess_wait(first, NULL, NULL);
    assert_refused(store, REPOSITORY, "latest", VT_ERROR_NETWORK, "/v2/" REPOSITORY);
    vt_store_read_range(store, REPOSITORY, digest, BLOB_SIZE, 0, RANGE_SIZE, f->buffer,
                        on_range_end, &end);
    vt_store_dispatch(store, -1, 100);
    start_server(&f->servers, command);
    wait_for_ranges(store, &end, 1);
    g_assert_no_error(end.error);
    g_assert_cmpmem(f->buffer, RANGE_SIZE, f->blob, RANGE_SIZE);
}

static const struct {
    const char *name;
    RegistryMode mode;
    void (*run)(Fixture *, gconstpointer);
} cases[] = {
    {"plain/roundtrip", REGISTRY_PLAIN, test_roundtrip},
    {"plain/refused", REGISTRY_PLAIN, test_refused},
    {"plain/cost", REGISTRY_PLAIN, test_plain_cost},
    {"plain/restart", REGISTRY_PLAIN, test_restart},
    {"tls/roundtrip", REGISTRY_TLS, test_roundtrip},
    {"tls/refused", REGISTRY_TLS, test_refused},
    {"tls/trust", REGISTRY_TLS, test_tls},
    {"basic/roundtrip", REGISTRY_BASIC, test_roundtrip},
    {"basic/auth-file", REGISTRY_BASIC, test_auth_file},
    {"basic/users", REGISTRY_BASIC, test_basic},
    {"bearer/roundtrip", REGISTRY_BEARER, test_roundtrip},
    {"bearer/refused", REGISTRY_BEARER, test_refused},
    {"bearer/users", REGISTRY_BEARER, test_bearer},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/store-registry/", cases[i].name, NULL);

        g_test_add(path, Fixture, GINT_TO_POINTER(cases[i].mode), setup, cases[i].run, teardown);
    }
    return g_test_run();
}
