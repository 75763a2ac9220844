/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-publish.c: an image into a layout, and everything that leads to it out of it again */
#include "layer-fixture.h"

#include "vt-catalog-file.h"
#include "vt-index.h"
#include "vt-manifest.h"
#include "vt-name.h"
#include "vt-publish-catalog.h"
#include "vt-publish.h"
#include "vt-sha256.h"
#include "vt-trust.h"

#include <string.h>

typedef struct {
    char *dir;
    VtStoreUrl *url;
    VtStore *store;
    VtKey *key;
    VtKey *other_key;
} Fixture;

static VtKey *
new_key(void)
{
    g_autoptr(GBytes) private_pem = NULL, public_pem = NULL;
    VtKey *key = NULL;

    g_assert_true(vt_key_generate("p256", &private_pem, &public_pem, NULL));
    g_assert_true(vt_key_parse_private(private_pem, &key, NULL));
    return key;
}

static void
setup(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL, *path = NULL;
    const VtStoreOptions options = {.writable = true, .layout_fd = -1};

    fixture->dir = g_dir_make_tmp("vt-publish-XXXXXX", NULL);
    path = g_build_filename(fixture->dir, "golden", NULL);
    text = g_strconcat("oci:", path, NULL);
    g_assert_true(vt_store_url_parse(text, &fixture->url, &error));
    g_assert_true(vt_store_create_layout(path, &error));
    g_assert_true(vt_store_open(fixture->url, &options, &fixture->store, &error));
    g_assert_no_error(error);
    fixture->key = new_key();
    fixture->other_key = new_key();
}

static void
teardown(Fixture *fixture, gconstpointer data)
{
    g_autofree char *quoted = g_shell_quote(fixture->dir);
    g_autofree char *command = g_strconcat("rm -r ", quoted, NULL);

    vt_store_free(fixture->store);
    vt_store_url_free(fixture->url);
    vt_key_free(fixture->key);
    vt_key_free(fixture->other_key);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    g_free(fixture->dir);
}

static VtPublisher
publisher_of(const Fixture *fixture)
{
    return (VtPublisher){.url = fixture->url, .store = fixture->store, .key = fixture->key};
}

static bool
publish_into(const VtPublisher *publisher, const char *name, const char *version, guint blocks,
             VtPublishResult *ret_result, GError **error)
{
    vt_autofd image = layer_fixture_image(blocks);
    const VtPublishRequest request = {.name = name,
                                      .version = version,
                                      .os = "linux",
                                      .architecture = "amd64",
                                      .image_fd = image};

    return vt_publish_image(publisher, &request, ret_result, error);
}

static bool
publish_blocks(const VtPublisher *publisher, const char *name, const char *version, guint blocks,
               GError **error)
{
    g_auto(VtPublishResult) result = {0};

    if (!publish_into(publisher, name, version, blocks, &result, error))
        return false;
    g_assert_cmpuint(result.capacity, ==, blocks * 4096);
    g_assert_cmpuint(result.unique_bytes, <, result.data_bytes);
    return true;
}

static bool
publish(const VtPublisher *publisher, const char *name, const char *version, GError **error)
{
    return publish_blocks(publisher, name, version, 500, error);
}

static void
read_catalog(const Fixture *fixture, VtCatalog **ret_catalog)
{
    g_auto(VtCatalogFile) file = {0};
    VtSource *source = vt_store_source(fixture->store);

    g_assert_true(vt_catalog_file_find(source, fixture->url, &file, NULL));
    g_assert_true(vt_catalog_file_read(source, fixture->url, &file, NULL));
    g_assert_true(vt_catalog_parse(file.document, ret_catalog, NULL));
}

static void
assert_same_templates(VtCatalog *a, VtCatalog *b)
{
    g_autoptr(GBytes) first = NULL, second = NULL;

    g_free(a->created);
    g_free(a->expires);
    a->created = g_strdup(b->created);
    a->expires = g_strdup(b->expires);
    first = vt_catalog_format(a);
    second = vt_catalog_format(b);
    g_assert_true(g_bytes_equal(first, second));
}

/* What a host does: catalog, manifest, index, each by the digest that the one before names */
static void
check_readable(const Fixture *fixture, const VtCatalogEntry *entry)
{
    VtSource *source = vt_store_source(fixture->store);
    char text[VT_DIGEST_STRING_MAX];
    g_autoptr(GBytes) manifest_bytes = NULL, index_bytes = NULL;
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GPtrArray) layers = NULL;
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GError) error = NULL;
    const VtTemplateLayer *layer;

    g_assert_true(source->get_manifest(source, "web", vt_digest_format(&entry->manifest, text),
                                       &manifest_bytes, &error));
    g_assert_cmpuint(g_bytes_get_size(manifest_bytes), ==, entry->manifest_size);
    g_assert_true(vt_manifest_parse(manifest_bytes, &manifest, &error));
    g_assert_true(vt_template_layers(manifest, &layers, &error));
    g_assert_cmpuint(layers->len, ==, 1);
    layer = layers->pdata[0];
    g_assert_true(source->get_blob(source, "web", vt_digest_format(&layer->index->digest, text),
                                   layer->index->size, &index_bytes, &error));
    g_assert_true(vt_index_parse(index_bytes, &index, &error));
    g_assert_no_error(error);
}

static void
test_publish(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VtCatalog) catalog = NULL;
    g_autofree char *uuid = NULL;
    VtPublisher publisher = publisher_of(fixture);
    const VtCatalogEntry *entry;

    g_assert_true(vt_publish_init(&publisher, &uuid, &error));
    g_assert_true(publish(&publisher, "web", "1.0.0", &error));
    g_assert_true(publish(&publisher, "web", "1.1.0", &error));
    g_assert_no_error(error);
    read_catalog(fixture, &catalog);
    g_assert_cmpstr(catalog->store, ==, uuid);
    g_assert_cmpuint(catalog->serial, ==, 3);
    entry = vt_catalog_find(catalog, "web", NULL);
    g_assert_cmpstr(entry->version, ==, "1.1.0");
    g_assert_cmpuint(entry->serial, ==, 3);
    check_readable(fixture, entry);
}

/* The same image again is no error, and no change */
static void
test_again(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VtCatalog) catalog = NULL;
    g_autofree char *uuid = NULL;
    VtPublisher publisher = publisher_of(fixture);

    g_assert_true(vt_publish_init(&publisher, &uuid, &error));
    g_assert_true(publish(&publisher, "web", "1.0.0", &error));
    g_assert_true(publish(&publisher, "web", "1.0.0", &error));
    g_assert_no_error(error);
    read_catalog(fixture, &catalog);
    g_assert_cmpuint(catalog->serial, ==, 2);
}

/* The same image again, by a publisher whose catalogs are valid for other times than that of the
 * one before: whether the catalog is renewed */
static void
test_renew(Fixture *fixture, gconstpointer data)
{
    static const struct {
        int before, now; /* days */
        bool renewed;
    } cases[] = {
        {-1, 0, true},    /* expired; 0 is a year */
        {0, 0, false},    /* just signed */
        {100, 0, true},   /* less than half of a year is left */
        {300, 0, false},  /* more */
        {300, 30, false}, /* never shortened */
        {10, 30, true},   {20, 30, false}, {-1, 1, true}, {1, 1, false},
    };
    g_autofree char *uuid = NULL;
    VtPublisher publisher = publisher_of(fixture);
    uint64_t serial = 1;

    g_assert_true(vt_publish_init(&publisher, &uuid, NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *other = g_strdup_printf("0.%zu.0", i);
        g_autoptr(VtCatalog) before = NULL, after = NULL;
        g_auto(VtPublishResult) result = {0};

        publisher.expire_days = (unsigned)cases[i].before;
        g_assert_true(publish_blocks(&publisher, "web", other, 500, NULL));
        read_catalog(fixture, &before);
        g_assert_cmpuint(before->serial, ==, ++serial);
        publisher.expire_days = (unsigned)cases[i].now;
        g_assert_true(publish_into(&publisher, "web", other, 500, &result, NULL));
        read_catalog(fixture, &after);
        g_assert_true(result.unchanged);
        g_assert_cmpstr(result.renewed, ==, cases[i].renewed ? before->expires : NULL);
        serial += cases[i].renewed;
        g_assert_cmpuint(after->serial, ==, serial);
        g_assert_cmpuint(result.serial, ==, serial);
        g_assert_cmpint(strcmp(after->expires, before->expires) > 0, ==, cases[i].renewed);
        before->serial = after->serial;
        assert_same_templates(before, after);
    }
}

static void
test_refuse(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) none = NULL, twice = NULL, again = NULL, other = NULL;
    g_autoptr(VtCatalog) catalog = NULL;
    g_autofree char *uuid = NULL;
    VtPublisher publisher = publisher_of(fixture);

    g_assert_false(publish(&publisher, "web", "1.0.0", &none));
    g_assert_error(none, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_assert_true(vt_publish_init(&publisher, &uuid, NULL));
    g_assert_false(vt_publish_init(&publisher, &uuid, &twice));
    g_assert_error(twice, VT_ERROR, VT_ERROR_EXISTS);
    g_assert_true(publish(&publisher, "web", "1.0.0", NULL));
    g_assert_false(publish_blocks(&publisher, "web", "1.0.0", 501, &again));
    g_assert_error(again, VT_ERROR, VT_ERROR_EXISTS);
    /* a catalog that this key did not sign is not extended: it would be signed as it is */
    publisher.key = fixture->other_key;
    g_assert_false(publish(&publisher, "web", "2.0.0", &other));
    g_assert_error(other, VT_ERROR, VT_ERROR_UNTRUSTED);
    read_catalog(fixture, &catalog);
    g_assert_cmpuint(catalog->serial, ==, 2);
}

/* Whoever may write into the store changes one letter of a blob */
static void
change_blob(const Fixture *fixture, const VtDigest *digest, const char *before, const char *after)
{
    char hex[2 * VT_DIGEST_BYTES + 1];
    g_autofree char *path = g_build_filename(fixture->dir, "golden", "blobs", "sha256",
                                             vt_digest_hex(digest, hex), NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *content = NULL;
    gsize length;
    char *found;

    g_assert_cmpuint(strlen(before), ==, strlen(after));
    g_file_get_contents(path, &content, &length, &error);
    g_assert_no_error(error);
    found = strstr(content, before);
    g_assert_nonnull(found);
    memcpy(found, after, strlen(after));
    g_file_set_contents(path, content, (gssize)length, &error);
    g_assert_no_error(error);
}

/* A publisher believes what the store has no more than a host does: it would build on it */
static void
test_changed(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) config_error = NULL, manifest_error = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(VtCatalog) catalog = NULL;
    g_autofree char *uuid = NULL;
    VtPublisher publisher = publisher_of(fixture);
    VtSource *source = vt_store_source(fixture->store);
    char text[VT_DIGEST_STRING_MAX];
    const VtDigest *digest;

    g_assert_true(vt_publish_init(&publisher, &uuid, NULL));
    g_assert_true(publish(&publisher, "web", "1.0.0", NULL));
    read_catalog(fixture, &catalog);
    digest = &vt_catalog_find(catalog, "web", NULL)->manifest;
    g_assert_true(
        source->get_manifest(source, "web", vt_digest_format(digest, text), &bytes, NULL));
    g_assert_true(vt_manifest_parse(bytes, &manifest, NULL));
    change_blob(fixture, &manifest->config->digest, "linux", "linuy");
    g_assert_false(publish(&publisher, "web", "1.0.0", &config_error));
    g_assert_error(config_error, VT_ERROR, VT_ERROR_CORRUPT);
    g_assert_nonnull(strstr(config_error->message, "its config does not match"));
    change_blob(fixture, digest, "title\":\"web", "title\":\"wep");
    g_assert_false(publish(&publisher, "web", "1.1.0", &manifest_error));
    g_assert_error(manifest_error, VT_ERROR, VT_ERROR_CORRUPT);
    g_assert_nonnull(strstr(manifest_error->message, "web@1.0.0 does not have its digest"));
}

/* What is announced under a digest that is well signed, and is something else */
static void
test_announced(Fixture *fixture, gconstpointer data)
{
    g_autoptr(VtCatalog) read = NULL, announced = NULL, changed = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *uuid = NULL;
    VtPublisher publisher = publisher_of(fixture);
    VtDigest digest;

    g_assert_true(vt_publish_init(&publisher, &uuid, NULL));
    g_assert_true(publish(&publisher, "web", "1.0.0", NULL));
    g_assert_true(vt_publish_catalog_read(&publisher, &read, &digest, NULL));
    g_assert_true(vt_publish_catalog_read_announced(&publisher, &digest, &announced, NULL));
    g_assert_cmpuint(announced->serial, ==, read->serial);
    change_blob(fixture, &digest, "created\":\"2", "created\":\"3");
    g_assert_false(vt_publish_catalog_read_announced(&publisher, &digest, &changed, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "other content"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/publish/publish", Fixture, NULL, setup, test_publish, teardown);
    g_test_add("/publish/again", Fixture, NULL, setup, test_again, teardown);
    g_test_add("/publish/renew", Fixture, NULL, setup, test_renew, teardown);
    g_test_add("/publish/refuse", Fixture, NULL, setup, test_refuse, teardown);
    g_test_add("/publish/changed", Fixture, NULL, setup, test_changed, teardown);
    g_test_add("/publish/announced", Fixture, NULL, setup, test_announced, teardown);
    return g_test_run();
}
