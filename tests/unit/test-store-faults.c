/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "server-fixture.h"

#define BLOB_SIZE  (1u << 20)
#define RANGE_SIZE (64u << 10)
#define DIGEST     "sha256:0000000000000000000000000000000000000000000000000000000000000000"

typedef struct {
    Servers servers;
    unsigned port, other_port;
    VtStore *store;
    VtSource *source;
    uint8_t buffer[BLOB_SIZE];
} Fixture;

static void
setup(Fixture *f, gconstpointer data)
{
    g_autofree char *auth = NULL;
    VtStoreOptions options = {.writable = true, .tries = 5, .layout_fd = -1};

    servers_begin(&f->servers);
    start_fault_registry(&f->servers, &f->port, &f->other_port);
    /* alice:secret */
    auth =
        g_strdup_printf("{\"auths\":{\"127.0.0.1:%u\":{\"auth\":\"YWxpY2U6c2VjcmV0\"}}}", f->port);
    write_file(&f->servers, "auth.json", auth);
    g_free(auth);
    auth = server_file(&f->servers, "auth.json");
    options.auth_file = auth;
    f->store = open_store(f->port, &options);
    f->source = vt_store_source(f->store);
}

static void
teardown(Fixture *f, gconstpointer data)
{
    vt_store_free(f->store);
    servers_end(&f->servers);
}

static unsigned
log_count(Fixture *f, const char *needle)
{
    g_autofree char *log = read_file(&f->servers, "log");
    unsigned count = 0;

    for (const char *at = log; (at = strstr(at, needle)); at++)
        count++;
    return count;
}

/* ---- ranges ---- */

/* Each fault and how often its server is asked when 4 ranges of one blob are read */
static const struct {
    const char *repository;
    unsigned requests_min, requests_max;
} survived[] = {
    {"good", 4, 4}, {"norange", 1, 4}, {"norangecut", 2, 8},
    {"cut", 8, 8},  {"busy", 8, 8},    {"redirect", 9, 12},
};

/* The servers send the same bytes whatever the digest; the store must think they differ */
static const char *
digest_for(const char *repository, char buffer[VT_DIGEST_STRING_MAX])
{
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, repository, -1);

    g_snprintf(buffer, VT_DIGEST_STRING_MAX, "sha256:%s", hex);
    return buffer;
}

static void
start_ranges(Fixture *f, const char *repository, unsigned count, RangeEnd *end)
{
    char digest[VT_DIGEST_STRING_MAX];

    memset(f->buffer, 0xee, sizeof(f->buffer));
    digest_for(repository, digest);
    for (unsigned i = 0; i < count; i++)
        vt_store_read_range(f->store, repository, digest, BLOB_SIZE, i * RANGE_SIZE, RANGE_SIZE,
                            f->buffer + i * RANGE_SIZE, on_range_end, end);
}

static void
assert_content(Fixture *f, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes / 4; i++)
        g_assert_cmpuint(GUINT32_FROM_BE(((uint32_t *)(void *)f->buffer)[i]), ==, i);
}

static void
test_survived(Fixture *f, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(survived); i++) {
        g_autofree char *needle = g_strdup_printf("/v2/%s/", survived[i].repository);
        RangeEnd end = {0};
        uint64_t before = vt_store_requests(f->store);

        start_ranges(f, survived[i].repository, 4, &end);
        wait_for_ranges(f->store, &end, 4);
        g_assert_no_error(end.error);
        assert_content(f, 4 * RANGE_SIZE);
        if (!g_str_equal(survived[i].repository, "redirect"))
            g_assert_cmpuint(vt_store_requests(f->store) - before, ==, log_count(f, needle));
        g_assert_cmpuint(vt_store_requests(f->store) - before, >=, survived[i].requests_min);
        g_assert_cmpuint(vt_store_requests(f->store) - before, <=, survived[i].requests_max);
    }
}

/* What was cut is asked for from where it stopped */
static void
test_resume(Fixture *f, gconstpointer data)
{
    RangeEnd end = {0};

    start_ranges(f, "cut", 1, &end);
    wait_for_ranges(f->store, &end, 1);
    g_assert_no_error(end.error);
    g_assert_cmpuint(log_count(f, "bytes=0-65535"), ==, 1);
    g_assert_cmpuint(log_count(f, "bytes=32768-65535"), ==, 1);
}

/* The whole blob in one range needs no Range from the server; later ranges are read from the spool
 */
static void
test_whole(Fixture *f, gconstpointer data)
{
    char digest[VT_DIGEST_STRING_MAX];
    RangeEnd end = {0};

    digest_for("norange", digest);
    vt_store_read_range(f->store, "norange", digest, BLOB_SIZE, 0, BLOB_SIZE, f->buffer,
                        on_range_end, &end);
    wait_for_ranges(f->store, &end, 1);
    g_assert_no_error(end.error);
    assert_content(f, BLOB_SIZE);
    for (unsigned i = 0; i < 3; i++) {
        RangeEnd again = {0};

        start_ranges(f, "norange", 16, &again);
        wait_for_ranges(f->store, &again, 16);
        g_assert_no_error(again.error);
        assert_content(f, BLOB_SIZE);
    }
    /* The first of all, and up to 8 that were on their way before the blob was known to come whole
     */
    g_assert_cmpuint(log_count(f, "/v2/norange/"), <=, 9);
}

static unsigned
count_spools(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned count = 0;
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename("/proc/self/fd", name, NULL);
        g_autofree char *target = g_file_read_link(path, NULL);

        count += target && strstr(target, "memfd:vt-spool");
    }
    return count;
}

/* A server that knows no ranges, and ranges of many blobs: what is kept of them is in memory */
static void
test_spools(Fixture *f, gconstpointer data)
{
    const unsigned blobs = 8;
    unsigned most = 0;
    RangeEnd end = {0};

    vt_store_limit(f->store, 8, 8u << 20);
    for (unsigned i = 0; i < blobs; i++) {
        g_autofree char *text = g_strdup_printf("%u", i);
        char digest[VT_DIGEST_STRING_MAX];

        digest_for(text, digest);
        vt_store_read_range(f->store, "norange", digest, BLOB_SIZE, i * RANGE_SIZE, RANGE_SIZE,
                            f->buffer + i * RANGE_SIZE, on_range_end, &end);
    }
    while (end.ended < blobs) {
        vt_store_dispatch(f->store, -1, 5);
        most = MAX(most, count_spools());
    }
    g_assert_no_error(end.error);
    assert_content(f, blobs * RANGE_SIZE);
    g_assert_cmpuint(most, ==, 2);
    /* Once each, and once more when there was room */
    g_assert_cmpuint(log_count(f, "/v2/norange/"), <=, 2 * blobs);
}

static void
test_redirect_drops_credentials(Fixture *f, gconstpointer data)
{
    g_autofree char *with = g_strdup_printf("%u GET /v2/redirect/", f->port);
    g_autofree char *without =
        g_strdup_printf("%u GET /v2/good/blobs/x bytes=0-65535 -\n", f->other_port);
    RangeEnd end = {0};

    start_ranges(f, "redirect", 1, &end);
    wait_for_ranges(f->store, &end, 1);
    g_assert_no_error(end.error);
    g_assert_cmpuint(log_count(f, "bytes=0-65535 Basic YWxpY2U6c2VjcmV0\n"), ==, 1);
    g_assert_cmpuint(log_count(f, with), ==, 2);
    g_assert_cmpuint(log_count(f, without), ==, 1);
}

static const struct {
    const char *repository;
    int code;
    const char *needle;
} fatal[] = {
    {"wrongrange", VT_ERROR_NETWORK, "bytes 1-65536/1048576"},
    {"wrongtotal", VT_ERROR_NETWORK, "bytes 0-65535/1048577"},
    {"norangeheader", VT_ERROR_NETWORK, "Content-Range ''"},
    {"norangelong", VT_ERROR_CORRUPT, "more than"},
    {"toolong", VT_ERROR_NETWORK, "more bytes than"},
    {"cutalways", VT_ERROR_NETWORK, "given up after 5 attempts: GET http://127.0.0.1:"},
    {"busyforever", VT_ERROR_NETWORK, "wants to be left alone for 3600 s: GET http://127.0.0.1:"},
    {"short", VT_ERROR_CORRUPT, "416"},
    {"gone", VT_ERROR_NOT_FOUND, "BLOB_UNKNOWN: as ordered"},
    {"loop", VT_ERROR_NETWORK, "redirects"},
    {"ftp", VT_ERROR_NETWORK, "ftp"},
};

static void
test_fatal(Fixture *f, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(fatal); i++) {
        RangeEnd end = {0};

        start_ranges(f, fatal[i].repository, 1, &end);
        wait_for_ranges(f->store, &end, 1);
        g_assert_error(end.error, VT_ERROR, fatal[i].code);
        g_test_message("%s", end.error->message);
        g_assert_nonnull(strstr(end.error->message, fatal[i].needle));
        g_clear_error(&end.error);
    }
    g_assert_cmpuint(log_count(f, "/v2/cutalways/"), ==, 5);
    g_assert_cmpuint(log_count(f, "/v2/busyforever/"), ==, 1);
}

static void
start_whole(Fixture *f, const char *repository, RangeEnd *end)
{
    char digest[VT_DIGEST_STRING_MAX];

    digest_for(repository, digest);
    vt_store_read_range(f->store, repository, digest, BLOB_SIZE, 0, BLOB_SIZE, f->buffer,
                        on_range_end, end);
}

/* What comes again is no progress */
static void
test_seesaw(Fixture *f, gconstpointer data)
{
    RangeEnd end = {0};

    start_whole(f, "seesaw", &end);
    wait_for_ranges(f->store, &end, 1);
    g_assert_error(end.error, VT_ERROR, VT_ERROR_NETWORK);
    g_clear_error(&end.error);
    g_assert_cmpuint(log_count(f, "/v2/seesaw/"), ==, 5);
}

/* A network that is cut more often than there are tries, and is of use each time */
static void
test_progress(Fixture *f, gconstpointer data)
{
    RangeEnd end = {0};

    start_whole(f, "cutoften", &end);
    wait_for_ranges(f->store, &end, 1);
    g_assert_no_error(end.error);
    assert_content(f, BLOB_SIZE);
    g_assert_cmpuint(log_count(f, "/v2/cutoften/"), ==, 11);
}

/* Four ranges together are no quicker than one; nothing is lost when they wait for each other */
static void
test_limit(Fixture *f, gconstpointer data)
{
    RangeEnd end = {0};
    gint64 begun, elapsed;

    vt_store_limit(f->store, 2, 512u << 10);
    g_assert_cmpuint(vt_store_connections(f->store), ==, 2);
    begun = g_get_monotonic_time();
    start_ranges(f, "good", 8, &end);
    wait_for_ranges(f->store, &end, 8);
    elapsed = g_get_monotonic_time() - begun;
    g_assert_no_error(end.error);
    assert_content(f, 8 * RANGE_SIZE);
    g_test_message("%" G_GINT64_FORMAT " us", elapsed);
    g_assert_cmpint(elapsed, >, 700000);
    vt_store_limit(f->store, 8, 0);
    end = (RangeEnd){0};
    start_whole(f, "good", &end);
    wait_for_ranges(f->store, &end, 1);
    g_assert_no_error(end.error);
    assert_content(f, BLOB_SIZE);
}

static void
test_nobody_there(Fixture *f, gconstpointer data)
{
    VtStoreOptions options = {.layout_fd = -1};
    g_autoptr(VtStore) store = open_store(free_port(), &options);
    VtSource *source = vt_store_source(store);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    gint64 begun = g_get_monotonic_time();

    g_assert_false(source->get_manifest(source, "a", "b", &bytes, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NETWORK);
    g_assert_nonnull(strstr(error->message, "/v2/a/manifests/b"));
    g_assert_cmpint(g_get_monotonic_time() - begun, <, 2 * G_USEC_PER_SEC);
}

/* Ranges that nobody waits for any more */
static void
test_free_early(Fixture *f, gconstpointer data)
{
    RangeEnd end = {0};

    start_ranges(f, "good", 16, &end);
    vt_store_dispatch(f->store, -1, 0);
    g_clear_pointer(&f->store, vt_store_free);
    g_assert_cmpuint(end.ended, <, 16);
}

/* ---- documents ---- */

static const struct {
    const char *repository;
    int code;
    const char *needle;
} manifests[] = {
    {"good", -1, ""},
    {"busy", -1, ""},
    {"basic", -1, ""},
    {"tokenbusy", -1, ""},
    {"tokenlost", VT_ERROR_NETWORK, "token server: GET "},
    {"absent", VT_ERROR_NOT_FOUND, "HTTP 404: MANIFEST_UNKNOWN: as ordered"},
    {"endless", VT_ERROR_TOO_LARGE, "larger"},
    {"endlesserror", VT_ERROR_NETWORK, "HTTP 400"},
    {"busyforever", VT_ERROR_NETWORK, "wants to be left alone for 3600 s"},
    {"busyalways", VT_ERROR_NETWORK, "HTTP 503: UNAVAILABLE"},
    {"cut", VT_ERROR_NETWORK, "/v2/cut/manifests/1"},
    {"denied", VT_ERROR_NETWORK, "HTTP 403: DENIED"},
    {"realm", VT_ERROR_NETWORK, "no password is sent there"},
    {"plainrealm", VT_ERROR_NETWORK, "without HTTPS"},
    {"scheme", VT_ERROR_UNSUPPORTED, "Basic and Bearer"},
};

static void
test_manifests(Fixture *f, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(manifests); i++) {
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GError) error = NULL;
        bool ok = f->source->get_manifest(f->source, manifests[i].repository, "1", &bytes, &error);

        g_test_message("%s: %s", manifests[i].repository, error ? error->message : "fine");
        if (manifests[i].code < 0) {
            g_assert_no_error(error);
            g_assert_true(ok);
            continue;
        }
        g_assert_false(ok);
        g_assert_null(bytes);
        g_assert_error(error, VT_ERROR, manifests[i].code);
        g_assert_nonnull(strstr(error->message, manifests[i].needle));
        g_assert_null(strpbrk(error->message, "\033\n"));
        g_assert_null(strstr(error->message, "YWxpY2U6"));
    }
}

/* ---- uploads ---- */

static void
fill(int fd)
{
    for (uint32_t i = 0; i < BLOB_SIZE / 4; i++) {
        uint32_t word = GUINT32_TO_BE(i);

        g_assert_true(vt_fs_write_all(fd, &word, sizeof(word), "x", NULL));
    }
}

static void
test_uploads(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *repository, *needle;
    } cases[] = {
        {"upload", NULL},
        {"uploadcut", NULL},
        {"uploadresume", NULL},
        {"uploadrefused", NULL},
        {"uploadother", NULL},
        {"uploadnowhere", "where to upload to"},
        {"uploadplain", "not HTTPS"},
        {"uploadcutalways", "given up after 5 attempts: PUT "},
        {"uploadseesaw", "given up after 5 attempts: PATCH "},
    };
    vt_autofd fd = -1;

    g_assert_true(vt_store_blob_begin(f->store, &fd, NULL));
    fill(fd);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        const VtStoreBlob blob = {
            .repository = cases[i].repository, .fd = fd, .digest = DIGEST, .size = BLOB_SIZE};
        bool ok = vt_store_put_blob(f->store, &blob, &error);

        g_test_message("%s: %s", cases[i].repository, error ? error->message : "fine");
        g_assert_cmpint(ok, ==, !cases[i].needle);
        if (cases[i].needle) {
            g_assert_nonnull(strstr(error->message, cases[i].needle));
            /* libcurl's words for what our functions say to it */
            g_assert_null(strstr(error->message, "callback"));
        }
    }
    g_assert_cmpuint(log_count(f, "/v2/upload/put?state=1&digest=sha256%3A"), ==, 1);
    /* What a registry kept of a cut upload is not sent again; one that drops it after all gets
     * everything */
    g_assert_cmpuint(log_count(f, "POST /v2/uploadresume/"), ==, 1);
    g_assert_cmpuint(log_count(f, "PATCH /v2/uploadresume/"), ==, 1);
    g_assert_cmpuint(log_count(f, "POST /v2/uploadrefused/"), ==, 2);
    g_assert_cmpuint(log_count(f, "POST /v2/uploadcut/"), ==, 2);
}

static void
shrink(void *user, uint64_t done)
{
    g_assert_cmpint(ftruncate(*(int *)user, BLOB_SIZE / 4), ==, 0);
}

/* What is sent is somebody's file: the error says that this is the fault, and no attempt follows */
static void
test_upload_shrinks(Fixture *f, gconstpointer data)
{
    vt_autofd fd = -1;
    VtStoreBlob blob = {.repository = "uploadshrinks",
                        .digest = DIGEST,
                        .size = BLOB_SIZE,
                        .progress = shrink,
                        .user = &fd};
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_store_blob_begin(f->store, &fd, NULL));
    fill(fd);
    blob.fd = fd;
    g_assert_false(vt_store_put_blob(f->store, &blob, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, "put: cannot read what to send: the file became"));
    g_assert_cmpuint(log_count(f, "PUT /v2/uploadshrinks/"), <=, 1);
}

/* "Range: 0-0" means a byte, or nothing: of so little, all is sent again */
static void
test_upload_tiny(Fixture *f, gconstpointer data)
{
    for (uint64_t size = 0; size < 3; size++) {
        vt_autofd fd = -1;
        g_autoptr(GError) error = NULL;
        VtStoreBlob blob = {.repository = "uploadtiny", .digest = DIGEST, .size = size};

        g_assert_true(vt_store_blob_begin(f->store, &fd, NULL));
        g_assert_true(vt_fs_write_all(fd, "ab", size, "x", NULL));
        blob.fd = fd;
        vt_store_put_blob(f->store, &blob, &error);
        g_assert_no_error(error);
    }
}

/* OCI-Subject in the answer: the registry lists it, and the fallback tag is left alone */
static void
test_subject_header(Fixture *f, gconstpointer data)
{
    static const char text[] = "{\"subject\":{\"digest\":\"" DIGEST "\"}}";
    g_autoptr(GBytes) bytes = g_bytes_new_static(text, strlen(text));
    g_autoptr(GError) error = NULL;

    g_assert_true(
        vt_store_put_manifest(f->store, "subject", "1", VT_OCI_MANIFEST_TYPE, bytes, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(log_count(f, "sha256-"), ==, 0);
    g_assert_true(
        vt_store_put_manifest(f->store, "other", "1", VT_OCI_MANIFEST_TYPE, bytes, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(log_count(f, "PUT /v2/other/manifests/sha256-0000"), ==, 1);
}

/* "Your digest is wrong" to what has the right one: true the first time at most */
static void
test_torn(Fixture *f, gconstpointer data)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static("{}", 2);
    g_autoptr(GError) error = NULL;

    vt_store_put_manifest(f->store, "puttorn", "1", VT_OCI_MANIFEST_TYPE, bytes, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(log_count(f, "PUT /v2/puttorn/"), ==, 2);
    g_assert_false(
        vt_store_put_manifest(f->store, "putwrong", "1", VT_OCI_MANIFEST_TYPE, bytes, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NETWORK);
    g_assert_nonnull(strstr(error->message, "DIGEST_INVALID"));
    g_assert_cmpuint(log_count(f, "PUT /v2/putwrong/"), ==, 4);
}

static const struct {
    const char *name;
    void (*run)(Fixture *, gconstpointer);
} cases[] = {
    {"survived", test_survived},
    {"resume", test_resume},
    {"whole", test_whole},
    {"spools", test_spools},
    {"redirect-drops-credentials", test_redirect_drops_credentials},
    {"fatal", test_fatal},
    {"seesaw", test_seesaw},
    {"progress", test_progress},
    {"limit", test_limit},
    {"nobody-there", test_nobody_there},
    {"free-early", test_free_early},
    {"manifests", test_manifests},
    {"uploads", test_uploads},
    {"upload-shrinks", test_upload_shrinks},
    {"upload-tiny", test_upload_tiny},
    {"subject-header", test_subject_header},
    {"torn", test_torn},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/store-faults/", cases[i].name, NULL);

        g_test_add(path, Fixture, NULL, setup, cases[i].run, teardown);
    }
    return g_test_run();
}
