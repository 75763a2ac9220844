/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-catalog.h"

#include <string.h>

#define STORE  "6f1c1d2e-0f7a-4b57-9a3c-0123456789ab"
#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define HEAD(serial)                                                                               \
    "{\"_type\":\"virt-template-catalog\",\"spec_version\":\"1\",\"store\":\"" STORE "\","         \
    "\"serial\":" serial ",\"created\":\"2026-11-21T10:00:00Z\","                                  \
    "\"expires\":\"2027-11-21T10:00:00Z\",\"templates\":"
#define ENTRY(serial, more)                                                                        \
    "{\"manifest\":\"" DIGEST "\",\"size\":1234,\"capacity\":4294967296,\"format\":\"qcow2\","     \
    "\"serial\":" serial ",\"os\":\"linux\",\"architecture\":\"amd64\","                           \
    "\"created\":\"2026-11-21T10:00:00Z\"" more "}"
#define TEMPLATE(current, versions) "{\"current\":\"" current "\",\"versions\":{" versions "}}"

static const char document[] = HEAD("7") "{\"debian-12\":" TEMPLATE(
    "1.2.0", "\"1.2.0\":" ENTRY("7", "") ",\"1.10.0-rc.1\":" ENTRY("6", "")) "}}";

static GBytes *
bytes_of(const char *text)
{
    return g_bytes_new_static(text, strlen(text));
}

static VtCatalogEntry *
entry_of(const char *version)
{
    VtCatalogEntry *entry = g_new0(VtCatalogEntry, 1);

    entry->version = g_strdup(version);
    g_assert_true(vt_digest_parse(DIGEST, &entry->manifest, NULL));
    entry->manifest_size = 1234;
    entry->capacity = 4294967296;
    entry->format = g_strdup("qcow2");
    entry->os = g_strdup("linux");
    entry->architecture = g_strdup("amd64");
    entry->created = g_strdup("2026-11-21T10:00:00Z");
    return entry;
}

static VtCatalog *
catalog_of(uint64_t serial)
{
    VtCatalog *catalog = vt_catalog_new(STORE);

    catalog->serial = serial;
    catalog->created = g_strdup("2026-11-21T10:00:00Z");
    catalog->expires = g_strdup("2027-11-21T10:00:00Z");
    return catalog;
}

static void
test_round_trip(void)
{
    g_autoptr(GBytes) bytes = bytes_of(document);
    g_autoptr(VtCatalog) catalog = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) again = NULL;

    g_assert_true(vt_catalog_parse(bytes, &catalog, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(catalog->serial, ==, 7);
    g_assert_cmpstr(vt_catalog_find(catalog, "debian-12", NULL)->version, ==, "1.2.0");
    g_assert_cmpuint(vt_catalog_find(catalog, "debian-12", "1.10.0-rc.1")->serial, ==, 6);
    g_assert_null(vt_catalog_find(catalog, "debian-12", "1.3.0"));
    g_assert_null(vt_catalog_find(catalog, "debian", NULL));
    again = vt_catalog_format(catalog);
    g_assert_true(g_bytes_equal(bytes, again));
}

/* Order of members is the writer's choice; what we write has one order */
static void
test_order(void)
{
    g_autoptr(GBytes) bytes = bytes_of(HEAD("7") "{\"b\":" TEMPLATE(
        "2.0.0", "\"2.0.0\":" ENTRY("1", "") ",\"1.0.0\":" ENTRY(
                     "1", "")) ",\"a\":" TEMPLATE("1.0.0", "\"1.0.0\":" ENTRY("1", "")) "}}");
    g_autoptr(VtCatalog) catalog = NULL;
    const VtCatalogTemplate *template;

    g_assert_true(vt_catalog_parse(bytes, &catalog, NULL));
    template = g_ptr_array_index(catalog->templates, 0);
    g_assert_cmpstr(template->name, ==, "a");
    template = g_ptr_array_index(catalog->templates, 1);
    g_assert_cmpstr(((VtCatalogEntry *)template->versions->pdata[0])->version, ==, "1.0.0");
    g_assert_cmpstr(vt_catalog_find(catalog, "b", NULL)->version, ==, "2.0.0");
}

#define ONE(entry) HEAD("7") "{\"a\":" TEMPLATE("1.0.0", "\"1.0.0\":" entry) "}}"

static const struct {
    const char *text;
    int code;
    const char *message;
} bad[] = {
    {"{}", VT_ERROR_INVALID, "catalog: _type: missing"},
    {"{\"_type\":\"catalog\",\"spec_version\":\"1\"}", VT_ERROR_INVALID, "_type is not"},
    {"{\"_type\":\"virt-template-catalog\",\"spec_version\":\"2\"}", VT_ERROR_UNSUPPORTED,
     "a newer one is needed"},
    {HEAD("7") "{},\"extra\":1}", VT_ERROR_INVALID, "unknown field \"extra\""},
    {HEAD("7") "[]}", VT_ERROR_INVALID, "templates: is an array"},
    {HEAD("0") "{}}", VT_ERROR_INVALID, "serial"},
    {HEAD("9007199254740992") "{}}", VT_ERROR_INVALID, "serial"},
    {HEAD("\"7\"") "{}}", VT_ERROR_INVALID, "serial: is a string"},
    {HEAD("7") "{\"A\":" TEMPLATE("1.0.0", "\"1.0.0\":" ENTRY("1", "")) "}}", VT_ERROR_INVALID,
     "template name 'A'"},
    {HEAD("7") "{\"../x\":" TEMPLATE("1.0.0", "\"1.0.0\":" ENTRY("1", "")) "}}", VT_ERROR_INVALID,
     "template name '../x'"},
    {HEAD("7") "{\"catalog\":" TEMPLATE("1.0.0", "\"1.0.0\":" ENTRY("1", "")) "}}",
     VT_ERROR_INVALID, "reserved"},
    {HEAD("7") "{\"a\":1}}", VT_ERROR_INVALID, "templates.a: is an integer"},
    {HEAD("7") "{\"a\":" TEMPLATE("1.0.0", "") "}}", VT_ERROR_INVALID, "current is \"1.0.0\""},
    {HEAD("7") "{\"a\":" TEMPLATE("1.0.0",
                                  "\"1\":" ENTRY("1", "") ",\"1.0.0\":" ENTRY("1", "")) "}"
                                                                                        "}",
     VT_ERROR_INVALID, "version '1' is not"},
    {HEAD("7") "{\"a\":" TEMPLATE("2.0.0", "\"1.0.0\":" ENTRY("1", "")) "}}", VT_ERROR_INVALID,
     "current is \"2.0.0\""},
    {HEAD("7") "{\"a\":" TEMPLATE("1.0.0", "\"1.0.0\":1,\"1.0.0\":2") "}}", VT_ERROR_INVALID,
     "duplicate object key"},
    {ONE(ENTRY("0", "")), VT_ERROR_INVALID, "serial"},
    {ONE(ENTRY("8", "")), VT_ERROR_INVALID, "serial"},
    {ONE(ENTRY("1", ",\"revoked\":false")), VT_ERROR_INVALID,
     "catalog: templates.a.versions.\"1.0.0\": unknown field \"revoked\""},
    {ONE("{}"), VT_ERROR_INVALID, "versions.\"1.0.0\".manifest: missing"},
    {ONE("7"), VT_ERROR_INVALID, "is an integer; it must be an object"},
};

static void
test_refuse(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = bytes_of(bad[i].text);
        g_autoptr(GError) error = NULL;
        VtCatalog *catalog = NULL;

        g_assert_false(vt_catalog_parse(bytes, &catalog, &error));
        g_assert_error(error, VT_ERROR, bad[i].code);
        g_assert_nonnull(strstr(error->message, bad[i].message));
        g_assert_null(catalog);
    }
}

/* Every value of the sample in turn made wrong by another value: each field is checked */
static void
test_refuse_fields(void)
{
    static const char *const replaced[][2] = {
        {STORE, "6F1C1D2E-0f7a-4b57-9a3c-0123456789ab"},
        {STORE, "golden"},
        {"\"created\":\"2026-11-21T10:00:00Z\",\"expires", "\"created\":\"now\",\"expires"},
        {"2027-11-21T10:00:00Z", "2027-13-21T10:00:00Z"},
        {DIGEST, "sha256:00"},
        {"1234,", "0,"},
        {"4294967296", "-1"},
        {"4294967296", "0"},
        {"\"qcow2\"", "\"\""},
        {"\"linux\"", "\"li nux\""},
        {"\"amd64\"", "null"},
        {"\"created\":\"2026-11-21T10:00:00Z\"}", "\"created\":\"2026-11-21 10:00:00\"}"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(replaced); i++) {
        g_autoptr(GString) text = g_string_new(document);
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GError) error = NULL;
        VtCatalog *catalog = NULL;

        g_assert_cmpuint(g_string_replace(text, replaced[i][0], replaced[i][1], 1), ==, 1);
        bytes = bytes_of(text->str);
        g_assert_false(vt_catalog_parse(bytes, &catalog, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    }
}

static void
test_add(void)
{
    g_autoptr(VtCatalog) catalog = catalog_of(3), read = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_catalog_add(catalog, "web", entry_of("1.2.0"), false, NULL));
    g_assert_cmpstr(vt_catalog_find(catalog, "web", NULL)->version, ==, "1.2.0");
    g_assert_cmpuint(vt_catalog_find(catalog, "web", NULL)->serial, ==, 3);
    g_assert_true(vt_catalog_add(catalog, "web", entry_of("1.10.0"), false, NULL));
    g_assert_cmpstr(vt_catalog_find(catalog, "web", NULL)->version, ==, "1.2.0");
    g_assert_true(vt_catalog_add(catalog, "web", entry_of("1.3.0"), true, NULL));
    g_assert_cmpstr(vt_catalog_find(catalog, "web", NULL)->version, ==, "1.3.0");
    g_assert_true(vt_catalog_add(catalog, "app", entry_of("1.0.0"), true, NULL));
    g_assert_false(vt_catalog_add(catalog, "web", entry_of("1.3.0"), true, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_EXISTS);
    bytes = vt_catalog_format(catalog);
    g_assert_true(vt_catalog_parse(bytes, &read, NULL));
    g_assert_cmpuint(vt_catalog_find_template(read, "web")->versions->len, ==, 3);
    g_assert_cmpstr(
        ((VtCatalogEntry *)vt_catalog_find_template(read, "web")->versions->pdata[2])->version, ==,
        "1.10.0");
}

static void
refuse_entry(VtCatalog *catalog, const char *name, VtCatalogEntry *entry)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_catalog_add(catalog, name, entry, true, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_assert_cmpuint(catalog->templates->len, ==, 0);
}

/* Two that were made from the same one: each has what the other one has not */
static void
test_merge(void)
{
    g_autoptr(VtCatalog) ours = catalog_of(8), theirs = catalog_of(9), empty = catalog_of(1);
    VtCatalogEntry *other = entry_of("1.0.0");

    other->capacity = 8192;
    g_assert_true(vt_catalog_add(ours, "web", entry_of("1.0.0"), true, NULL));
    g_assert_true(vt_catalog_add(ours, "web", entry_of("1.2.0"), true, NULL));
    g_assert_true(vt_catalog_add(theirs, "web", other, true, NULL));
    g_assert_true(vt_catalog_add(theirs, "web", entry_of("1.3.0"), true, NULL));
    g_assert_true(vt_catalog_add(theirs, "web", entry_of("1.4.0-rc.1"), false, NULL));
    g_assert_true(vt_catalog_add(theirs, "db", entry_of("2.0.0"), true, NULL));
    g_assert_true(vt_catalog_add(theirs, "db", entry_of("1.0.0"), false, NULL));
    g_assert_cmpuint(vt_catalog_merge(ours, theirs), ==, 4);
    g_assert_cmpuint(ours->serial, ==, 8);
    g_assert_cmpuint(vt_catalog_find(ours, "web", "1.0.0")->capacity, !=, 8192);
    g_assert_cmpstr(vt_catalog_find_template(ours, "web")->current, ==, "1.3.0");
    g_assert_cmpstr(vt_catalog_find_template(ours, "db")->current, ==, "2.0.0");
    g_assert_cmpuint(vt_catalog_merge(ours, theirs), ==, 0);
    g_assert_cmpuint(vt_catalog_merge(ours, empty), ==, 0);
    /* what was current before, and there on both sides, stays so */
    g_assert_cmpuint(vt_catalog_merge(theirs, ours), ==, 1);
    g_assert_cmpstr(vt_catalog_find_template(theirs, "web")->current, ==, "1.3.0");
}

static void
test_add_refuse(void)
{
    g_autoptr(VtCatalog) catalog = catalog_of(1);
    VtCatalogEntry *entry = entry_of("1.0.0");

    refuse_entry(catalog, "Web", entry_of("1.0.0"));
    refuse_entry(catalog, "catalog", entry_of("1.0.0"));
    refuse_entry(catalog, "web", entry_of("1"));
    g_clear_pointer(&entry->os, g_free);
    refuse_entry(catalog, "web", entry);
    entry = entry_of("1.0.0");
    entry->capacity = 0;
    refuse_entry(catalog, "web", entry);
    entry = entry_of("1.0.0");
    g_free(entry->created);
    entry->created = g_strdup("today");
    refuse_entry(catalog, "web", entry);
}

/* 5,000 versions are what a pool refresh has to take */
static void
test_many(void)
{
    g_autoptr(VtCatalog) catalog = catalog_of(1), read = NULL;
    g_autoptr(GBytes) bytes = NULL;
    gint64 start, parsed;

    for (int name = 0; name < 50; name++) {
        g_autofree char *text = g_strdup_printf("template-%d", name);

        for (int version = 0; version < 100; version++) {
            g_autofree char *number = g_strdup_printf("1.%d.0", version);

            g_assert_true(vt_catalog_add(catalog, text, entry_of(number), true, NULL));
        }
    }
    bytes = vt_catalog_format(catalog);
    start = g_get_monotonic_time();
    g_assert_true(vt_catalog_parse(bytes, &read, NULL));
    parsed = g_get_monotonic_time() - start;
    g_test_message("5,000 versions: %zu bytes, parsed in %.1f ms", g_bytes_get_size(bytes),
                   (double)parsed / 1000);
    g_assert_cmpuint(read->templates->len, ==, 50);
    g_assert_cmpstr(vt_catalog_find(read, "template-7", NULL)->version, ==, "1.99.0");
    /* measured 30 ms; anything that grows with the square takes seconds */
    g_assert_cmpint(parsed, <, G_USEC_PER_SEC);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/catalog/round-trip", test_round_trip);
    g_test_add_func("/catalog/order", test_order);
    g_test_add_func("/catalog/refuse", test_refuse);
    g_test_add_func("/catalog/refuse-fields", test_refuse_fields);
    g_test_add_func("/catalog/add", test_add);
    g_test_add_func("/catalog/merge", test_merge);
    g_test_add_func("/catalog/add-refuse", test_add_refuse);
    g_test_add_func("/catalog/many", test_many);
    return g_test_run();
}
