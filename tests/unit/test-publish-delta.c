/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-publish-delta.c: versions over versions, in a layout and in a registry */
#include "registry-fixture.h"

#include "vt-catalog-file.h"
#include "vt-manifest.h"
#include "vt-publish.h"
#include "vt-restore.h"
#include "vt-sha256.h"

#include <string.h>
#include <sys/stat.h>

#define BLOCK 4096u
/* The first version; the others differ from it */
#define BLOCKS 400u

#define ALICE "\"auth\":\"YWxpY2U6c2VjcmV0\"" /* alice:secret */

typedef enum {
    IN_LAYOUT,
    IN_REGISTRY,
    IN_REGISTRY_WITH_TOKENS,
} Where;

typedef struct {
    Servers servers;
    char *auth;
    VtStoreUrl *url;
    VtStore *store;
    VtKey *key;
} Fixture;

static VtStore *
open_at(const Fixture *fixture)
{
    const VtStoreOptions options = {.writable = true, .layout_fd = -1, .auth_file = fixture->auth};
    g_autoptr(GError) error = NULL;
    VtStore *store = NULL;

    vt_store_open(fixture->url, &options, &store, &error);
    g_assert_no_error(error);
    return store;
}

static VtPublisher
publisher_of(const Fixture *fixture)
{
    return (VtPublisher){.url = fixture->url, .store = fixture->store, .key = fixture->key};
}

static char *
begin_registry(Fixture *fixture, RegistryMode mode)
{
    const unsigned port = start_registry(&fixture->servers, mode);

    if (mode == REGISTRY_BEARER)
        fixture->auth = write_auth(&fixture->servers, "auth.json", port, ALICE);
    return g_strdup_printf("docker://127.0.0.1:%u/golden", port);
}

/* @data: Where */
static void
setup(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GBytes) private_pem = NULL, public_pem = NULL;
    g_autofree char *text = NULL, *path = NULL, *uuid = NULL;
    g_autoptr(GError) error = NULL;
    VtPublisher publisher;

    servers_begin(&fixture->servers);
    path = server_file(&fixture->servers, "golden");
    if (GPOINTER_TO_INT(data) == IN_LAYOUT) {
        text = g_strconcat("oci:", path, NULL);
        g_assert_true(vt_store_create_layout(path, NULL));
    } else {
        text = begin_registry(fixture, GPOINTER_TO_INT(data) == IN_REGISTRY ? REGISTRY_PLAIN
                                                                            : REGISTRY_BEARER);
    }
    g_assert_true(vt_store_url_parse(text, &fixture->url, NULL));
    fixture->store = open_at(fixture);
    g_assert_true(vt_key_generate("p256", &private_pem, &public_pem, NULL));
    g_assert_true(vt_key_parse_private(private_pem, &fixture->key, NULL));
    publisher = publisher_of(fixture);
    vt_publish_init(&publisher, &uuid, &error);
    g_assert_no_error(error);
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
    vt_store_free(fixture->store);
    vt_store_url_free(fixture->url);
    vt_key_free(fixture->key);
    g_free(fixture->auth);
    servers_end(&fixture->servers);
}

/* ---- disks ---- */

/* A block of noise for each number */
static void
append(int fd, guint from, guint to)
{
    for (guint number = from; number < to; number++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(number);
        guint32 block[BLOCK / 4];

        for (guint i = 0; i < BLOCK / 4; i++)
            block[i] = g_rand_int(rand);
        g_assert_cmpint(write(fd, block, BLOCK), ==, BLOCK);
    }
}

/* 1: the first; 2: new blocks, and the rest moved; 3: more of that, grown; 4: shrunk; 9: another */
static int
disk(guint version)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    if (version == 2 || version == 3)
        append(fd, 10001, 10021);
    if (version == 9)
        append(fd, 50001, 50001 + BLOCKS);
    else if (version == 4)
        append(fd, 1, BLOCKS / 2);
    else
        append(fd, 1, BLOCKS + 1);
    g_assert_cmpint(lseek(fd, 7 * BLOCK, SEEK_CUR), >, 0);
    if (version == 3) {
        append(fd, 20001, 20031);
        append(fd, 100, 150);
        g_assert_cmpint(lseek(fd, 3000 * BLOCK, SEEK_CUR), >, 0);
    }
    g_assert_cmpint(ftruncate(fd, lseek(fd, 0, SEEK_CUR)), ==, 0);
    return fd;
}

/* ---- publishing ---- */

typedef struct {
    const char *name;
    const char *version;
    const char *parent;
    guint disk;
    unsigned chain_max;
} Case;

static bool
publish(const Fixture *fixture, const Case *what, VtPublishResult *result, GError **error)
{
    const VtPublisher publisher = publisher_of(fixture);
    vt_autofd image = disk(what->disk);
    const VtPublishRequest request = {.name = what->name,
                                      .version = what->version,
                                      .os = "linux",
                                      .architecture = "amd64",
                                      .image_fd = image,
                                      .parent = what->parent,
                                      .chain_max = what->chain_max};

    return vt_publish_image(&publisher, &request, result, error);
}

/* It must succeed; what is known of it afterwards */
static void
publishes(const Fixture *fixture, const Case *what, VtPublishResult *result)
{
    g_autoptr(GError) error = NULL;

    publish(fixture, what, result, &error);
    g_assert_no_error(error);
}

static void
refuses(const Fixture *fixture, const Case *what, VtError code, const char *regex)
{
    g_auto(VtPublishResult) result = {0};
    g_autoptr(GError) error = NULL;

    g_assert_false(publish(fixture, what, &result, &error));
    g_assert_error(error, VT_ERROR, (int)code);
    if (!g_regex_match_simple(regex, error->message, 0, 0))
        g_error("'%s' does not match '%s'", error->message, regex);
}

static VtCatalog *
read_catalog(const Fixture *fixture)
{
    g_auto(VtCatalogFile) file = {0};
    VtSource *source = vt_store_source(fixture->store);
    VtCatalog *catalog = NULL;

    g_assert_true(vt_catalog_file_find(source, fixture->url, &file, NULL));
    g_assert_true(vt_catalog_file_read(source, fixture->url, &file, NULL));
    g_assert_true(vt_catalog_parse(file.document, &catalog, NULL));
    return catalog;
}

static VtManifest *
read_manifest(const Fixture *fixture, const char *name, const char *version)
{
    g_autoptr(VtCatalog) catalog = read_catalog(fixture);
    const VtCatalogEntry *entry = vt_catalog_find(catalog, name, version);
    g_autofree char *repository = vt_store_url_repository(fixture->url, name);
    VtSource *source = vt_store_source(fixture->store);
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];
    VtManifest *manifest = NULL;

    g_assert_nonnull(entry);
    g_assert_true(source->get_manifest(source, repository, vt_digest_format(&entry->manifest, text),
                                       &bytes, NULL));
    g_assert_true(vt_manifest_parse(bytes, &manifest, NULL));
    return manifest;
}

/* What is published is the disk, through as many layers */
static void
assert_published(const Fixture *fixture, const Case *what, guint layer_count)
{
    g_autoptr(VtManifest) manifest = read_manifest(fixture, what->name, what->version);
    g_autofree char *repository = vt_store_url_repository(fixture->url, what->name);
    g_autoptr(GPtrArray) layers = NULL;
    g_autoptr(VtRestore) restore = NULL;
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(GError) error = NULL;
    vt_autofd image = disk(what->disk);
    const VtAncestor *ancestors;
    uint32_t count;
    struct stat st;

    vt_template_layers(manifest, &layers, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(layers->len, ==, layer_count);
    vt_restore_layers(
        &(VtRestoreJob){.store = fixture->store, .repository = repository, .layers = layers},
        &restore, &error);
    g_assert_no_error(error);
    ancestors = vt_restore_ancestors(restore, &count);
    g_assert_cmpuint(count, ==, layer_count);
    vt_chain_new(&((const VtTemplateLayer *)layers->pdata[layer_count - 1])->index->digest,
                 ancestors, count, &chain, &error);
    g_assert_no_error(error);
    g_assert_cmpint(fstat(image, &st), ==, 0);
    g_assert_cmpuint(vt_chain_blocks(chain, 1), ==, (uint64_t)st.st_size / BLOCK);
    for (uint64_t at = 0; at < (uint64_t)st.st_size / BLOCK; at++) {
        uint8_t here[BLOCK], there[BLOCK];

        vt_chain_read(chain, &(VtPrefix){at, 1, 1}, here, &error);
        g_assert_no_error(error);
        g_assert_cmpint(pread(image, there, BLOCK, (off_t)(at * BLOCK)), ==, BLOCK);
        g_assert_cmpmem(here, BLOCK, there, BLOCK);
    }
}

static const Case first = {"web", "1.0.0", "auto", 1, 0}, second = {"web", "2.0.0", "auto", 2, 0},
                  third = {"web", "3.0.0", NULL, 3, 0};

static void
publish_all(const Fixture *fixture)
{
    const Case *cases[] = {&first, &second, &third};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(VtPublishResult) result = {0};

        publishes(fixture, cases[i], &result);
    }
}

/* ---- tests ---- */

static void
test_versions(Fixture *fixture, gconstpointer data)
{
    g_auto(VtPublishResult) one = {0}, two = {0}, three = {0};
    g_autoptr(VtManifest) below = NULL, above = NULL;

    publishes(fixture, &first, &one);
    g_assert_cmpstr(one.why_full, ==, "it is the first version of web");
    g_assert_cmpuint(one.layers, ==, 1);
    assert_published(fixture, &first, 1);

    publishes(fixture, &second, &two);
    g_assert_cmpstr(two.parent, ==, "web@1.0.0");
    g_assert_null(two.why_full);
    g_assert_cmpuint(two.layers, ==, 2);
    g_assert_cmpuint(two.unique_bytes, ==, 20 * BLOCK);
    g_assert_cmpuint(two.data_bytes, ==, (BLOCKS + 20) * BLOCK);
    g_assert_cmpuint(two.stored_bytes, <, 21 * BLOCK);
    g_assert_true(two.full_bytes > 419 * BLOCK && two.full_bytes < 440 * BLOCK);
    assert_published(fixture, &second, 2);

    publishes(fixture, &third, &three);
    g_assert_cmpstr(three.parent, ==, "web@2.0.0");
    g_assert_cmpuint(three.layers, ==, 3);
    g_assert_cmpuint(three.unique_bytes, ==, 30 * BLOCK);
    assert_published(fixture, &third, 3);

    /* descriptors of the parent are as they were, annotations and all */
    below = read_manifest(fixture, "web", "2.0.0");
    above = read_manifest(fixture, "web", "3.0.0");
    g_assert_cmpuint(above->layers->len, ==, below->layers->len + 2);
    for (guint i = 0; i < below->layers->len; i++) {
        const VtDescriptor *old = below->layers->pdata[i], *new = above->layers->pdata[i];

        g_assert_true(vt_digest_equal(&old->digest, &new->digest));
        g_assert_cmpuint(old->size, ==, new->size);
        g_assert_cmpstr(old->media_type, ==, new->media_type);
        g_assert_cmpuint(old->annotations ? g_hash_table_size(old->annotations) : 0, ==,
                         new->annotations ? g_hash_table_size(new->annotations) : 0);
    }
}

/* Again is unchanged over the parent that it has; over another one, or with another disk, not */
static void
test_again(Fixture *fixture, gconstpointer data)
{
    const Case again = {"web", "2.0.0", "web@1.0.0", 2, 0};
    g_auto(VtPublishResult) by_name = {0}, by_auto = {0}, full = {0};
    g_autoptr(VtCatalog) catalog = NULL;

    publish_all(fixture);
    publishes(fixture, &second, &by_auto);
    g_assert_true(by_auto.unchanged);
    publishes(fixture, &again, &by_name);
    g_assert_true(by_name.unchanged);
    publishes(fixture, &first, &full);
    g_assert_true(full.unchanged);
    refuses(fixture, &(Case){"web", "2.0.0", "none", 2, 0}, VT_ERROR_EXISTS, "level or parent");
    refuses(fixture, &(Case){"web", "2.0.0", "web@3.0.0", 2, 0}, VT_ERROR_EXISTS, "parent");
    refuses(fixture, &(Case){"web", "2.0.0", "auto", 3, 0}, VT_ERROR_EXISTS, "other content");
    catalog = read_catalog(fixture);
    g_assert_cmpuint(catalog->serial, ==, 4);
}

static void
test_full(Fixture *fixture, gconstpointer data)
{
    const Case none = {"web", "2.0.1", "none", 2, 0}, worthless = {"web", "2.0.2", "auto", 9, 0},
               long_chain = {"web", "4.0.0", "web@3.0.0", 3, 3},
               long_enough = {"web", "4.0.1", "web@3.0.0", 3, 4};
    g_auto(VtPublishResult) asked = {0}, other = {0}, limited = {0}, unlimited = {0};

    publish_all(fixture);
    publishes(fixture, &none, &asked);
    g_assert_true(!asked.parent && !asked.why_full);
    assert_published(fixture, &none, 1);
    publishes(fixture, &worthless, &other);
    g_assert_nonnull(strstr(other.why_full, "100 % of the data is not in web@2.0.1"));
    assert_published(fixture, &worthless, 1);
    publishes(fixture, &long_chain, &limited);
    g_assert_cmpstr(limited.why_full, ==,
                    "over web@3.0.0 the chain would have 4 layers, and at most 3 are allowed");
    assert_published(fixture, &long_chain, 1);
    publishes(fixture, &long_enough, &unlimited);
    g_assert_cmpstr(unlimited.parent, ==, "web@3.0.0");
    g_assert_cmpuint(unlimited.unique_bytes, ==, 0);
    assert_published(fixture, &long_enough, 3);
    refuses(fixture, &(Case){"web", "5.0.0", "auto", 1, 65}, VT_ERROR_INVALID, "at most 64");
}

static void
test_sizes(Fixture *fixture, gconstpointer data)
{
    const Case grown = {"web", "2.0.0", "auto", 3, 0}, shrunk = {"web", "3.0.0", "auto", 4, 0};
    g_auto(VtPublishResult) one = {0}, two = {0}, three = {0};

    publishes(fixture, &first, &one);
    publishes(fixture, &grown, &two);
    g_assert_cmpuint(two.layers, ==, 2);
    g_assert_cmpuint(two.capacity, >, one.capacity);
    assert_published(fixture, &grown, 2);
    publishes(fixture, &shrunk, &three);
    g_assert_cmpuint(three.layers, ==, 3);
    g_assert_cmpuint(three.capacity, <, one.capacity);
    g_assert_cmpuint(three.unique_bytes, ==, 0);
    assert_published(fixture, &shrunk, 3);
}

/* A parent of another name: its blobs are in our repository afterwards */
static void
test_other_name(Fixture *fixture, gconstpointer data)
{
    const Case cousin = {"db", "1.0.0", "web@2.0.0", 3, 0},
               twin = {"twin", "1.0.0", "web@3.0.0", 3, 0};
    g_auto(VtPublishResult) result = {0}, again = {0}, same = {0};

    publish_all(fixture);
    publishes(fixture, &cousin, &result);
    publishes(fixture, &twin, &same);
    g_assert_true(same.layers == 3 && same.stored_bytes + same.index_bytes == 0);
    assert_published(fixture, &twin, 3);
    g_assert_cmpstr(result.parent, ==, "web@2.0.0");
    g_assert_cmpuint(result.layers, ==, 3);
    assert_published(fixture, &cousin, 3);
    publishes(fixture, &cousin, &again);
    g_assert_true(again.unchanged);
    refuses(fixture, &(Case){"db", "1.0.1", "web@9.0.0", 1, 0}, VT_ERROR_NOT_FOUND, "web@9.0.0");
    refuses(fixture, &(Case){"db", "1.0.1", "app@1.0.0", 1, 0}, VT_ERROR_NOT_FOUND, "app@1.0.0");
    refuses(fixture, &(Case){"db", "1.0.1", "web", 1, 0}, VT_ERROR_INVALID, "web@1.0.0");
    refuses(fixture, &(Case){"db", "1.0.1", "../x@1.0.0", 1, 0}, VT_ERROR_INVALID, "parent");
    refuses(fixture, &(Case){"db", "1.0.1", "", 1, 0}, VT_ERROR_INVALID, "parent");
}

/* Everything below @path that has @hex in its name */
static guint
lose(const char *path, const char *hex)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    guint lost = 0;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        if (strstr(name, hex)) {
            remove_path(child);
            lost++;
        } else {
            lost += lose(child, hex);
        }
    }
    return lost;
}

/* The error names template, layer and blob, and says how to go on; other versions still work */
static void
assert_loss(Fixture *fixture, guint number, const char *layer)
{
    g_autoptr(VtManifest) manifest = read_manifest(fixture, "web", "2.0.0");
    const VtDescriptor *blob = manifest->layers->pdata[number];
    const Case none = {"web", "3.0.0", "none", 3, 0};
    g_auto(VtPublishResult) result = {0};
    char hex[VT_DIGEST_STRING_MAX];
    g_autofree char *regex = NULL;

    vt_digest_hex(&blob->digest, hex);
    regex = g_strdup_printf("web@2.0.0: layer %s .*%s.*nothing was uploaded.*--parent none", layer,
                            hex);
    g_assert_cmpuint(lose(fixture->servers.dir, hex), >, 0);
    /* a layout keeps the files that it reads open */
    vt_store_free(fixture->store);
    fixture->store = open_at(fixture);
    refuses(fixture, &third, VT_ERROR_NOT_FOUND, regex);
    publishes(fixture, &none, &result);
    assert_published(fixture, &none, 1);
}

static void
test_lost_blob(Fixture *fixture, gconstpointer data)
{
    g_auto(VtPublishResult) one = {0}, two = {0};

    publishes(fixture, &first, &one);
    publishes(fixture, &second, &two);
    assert_loss(fixture, 1, "1 of 2");
}

static void
test_lost_index(Fixture *fixture, gconstpointer data)
{
    g_auto(VtPublishResult) one = {0}, two = {0};

    publishes(fixture, &first, &one);
    publishes(fixture, &second, &two);
    assert_loss(fixture, 2, "2 of 2");
}

/* A byte of a blob of the parent is another one */
static void
test_damage(Fixture *fixture, gconstpointer data)
{
    g_autoptr(VtManifest) manifest = NULL;
    g_auto(VtPublishResult) one = {0};
    char hex[VT_DIGEST_STRING_MAX];
    g_autofree char *path = NULL;
    vt_autofd fd = -1;

    publishes(fixture, &first, &one);
    manifest = read_manifest(fixture, "web", "1.0.0");
    vt_digest_hex(&((const VtDescriptor *)manifest->layers->pdata[1])->digest, hex);
    path = g_build_filename(fixture->url->path, "blobs", "sha256", hex, NULL);
    g_assert_cmpint(chmod(path, 0600), ==, 0);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(pwrite(fd, "x", 1, 500000), ==, 1);
    refuses(fixture, &second, VT_ERROR_CORRUPT, "web@1.0.0: layer 1 of 1 .*nothing was uploaded");
}

static void
test_cancelled(Fixture *fixture, gconstpointer data)
{
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GPtrArray) layers = NULL;
    g_autoptr(VtRestore) restore = NULL;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_auto(VtPublishResult) one = {0};
    g_autoptr(GError) error = NULL;

    publishes(fixture, &first, &one);
    manifest = read_manifest(fixture, "web", "1.0.0");
    g_assert_true(vt_template_layers(manifest, &layers, NULL));
    g_cancellable_cancel(cancellable);
    g_assert_false(vt_restore_layers(&(VtRestoreJob){.store = fixture->store,
                                                     .repository = "web",
                                                     .layers = layers,
                                                     .cancellable = cancellable},
                                     &restore, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_null(restore);
}

/* ---- at once ---- */

typedef struct {
    const Fixture *fixture;
    Case what;
    bool ok;
    GError *error;
} Racer;

static gpointer
race(gpointer data)
{
    Racer *racer = data;
    Fixture own = {
        .url = racer->fixture->url, .store = open_at(racer->fixture), .key = racer->fixture->key};
    g_auto(VtPublishResult) result = {0};

    racer->ok = publish(&own, &racer->what, &result, &racer->error);
    vt_store_free(own.store);
    return NULL;
}

static void
test_race(Fixture *fixture, gconstpointer data)
{
    Racer racers[] = {{fixture, {"web", "2.0.0", "auto", 2, 0}, false, NULL},
                      {fixture, {"web", "2.0.0", "auto", 3, 0}, false, NULL}};
    g_auto(VtPublishResult) result = {0};
    g_autoptr(VtCatalog) catalog = NULL;
    GThread *threads[2];

    publishes(fixture, &first, &result);
    for (guint i = 0; i < 2; i++)
        threads[i] = g_thread_new("racer", race, &racers[i]);
    for (guint i = 0; i < 2; i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(racers[0].ok + racers[1].ok, ==, 1);
    for (guint i = 0; i < 2; i++) {
        if (racers[i].ok) {
            assert_published(fixture, &racers[i].what, 2);
        } else {
            g_assert_error(racers[i].error, VT_ERROR, VT_ERROR_EXISTS);
            g_assert_nonnull(strstr(racers[i].error->message, "2.0.0"));
        }
        g_clear_error(&racers[i].error);
    }
    catalog = read_catalog(fixture);
    g_assert_cmpuint(catalog->serial, ==, 3);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *, gconstpointer);
    } tests[] = {
        {"versions", test_versions},
        {"again", test_again},
        {"full", test_full},
        {"sizes", test_sizes},
        {"other-name", test_other_name},
        {"lost-blob", test_lost_blob},
        {"lost-index", test_lost_index},
        {"race", test_race},
    };

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *layout = g_strconcat("/publish-delta/layout/", tests[i].name, NULL);
        g_autofree char *registry = g_strconcat("/publish-delta/registry/", tests[i].name, NULL);

        g_test_add(layout, Fixture, GINT_TO_POINTER(IN_LAYOUT), setup, tests[i].run, teardown);
        g_test_add(registry, Fixture, GINT_TO_POINTER(IN_REGISTRY), setup, tests[i].run, teardown);
    }
    g_test_add("/publish-delta/layout/damage", Fixture, GINT_TO_POINTER(IN_LAYOUT), setup,
               test_damage, teardown);
    g_test_add("/publish-delta/layout/cancelled", Fixture, GINT_TO_POINTER(IN_LAYOUT), setup,
               test_cancelled, teardown);
    /* where a token is good for one repository, so that its blobs cannot be mounted in another */
    g_test_add("/publish-delta/tokens/other-name", Fixture,
               GINT_TO_POINTER(IN_REGISTRY_WITH_TOKENS), setup, test_other_name, teardown);
    return g_test_run();
}
