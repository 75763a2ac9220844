/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-store-pages.c: lists that a registry gives in pages: of referrers and of tags */
#include "server-fixture.h"

#define DIGEST "sha256:0000000000000000000000000000000000000000000000000000000000000000"

typedef struct {
    Servers servers;
    unsigned port, other_port;
    VtStore *store;
} Fixture;

static void
setup(Fixture *f, gconstpointer data)
{
    const VtStoreOptions options = {.tries = 2, .layout_fd = -1};

    servers_begin(&f->servers);
    start_fault_registry(&f->servers, &f->port, &f->other_port);
    f->store = open_store(f->port, &options);
}

static void
teardown(Fixture *f, gconstpointer data)
{
    vt_store_free(f->store);
    servers_end(&f->servers);
}

/** Case: @repository: the fault; @code: -1 if there is to be a list of @count; @needle: of the
 * error */
typedef struct {
    const char *repository;
    int code;
    unsigned count;
    const char *needle;
} Case;

/* A list of which a later page is missing is no list, even where a missing one is an empty list */
static const Case referrers[] = {
    {"pages", -1, 3, NULL},
    {"html", -1, 0, NULL},
    {"absent", -1, 0, NULL},
    {"lost", VT_ERROR_NOT_FOUND, 0, "v2/lost/referrers"},
    {"endlesspages", VT_ERROR_TOO_LARGE, 0, "'endlesspages' has more than 64 pages"},
    {"crowd", VT_ERROR_TOO_LARGE, 0, "more than 16384 referrers"},
    {"heavy", VT_ERROR_TOO_LARGE, 0, "have more than 4194304 bytes"},
    {"elsewhere", VT_ERROR_NETWORK, 0, "on another host"},
};

static const Case tags[] = {
    {"pages", -1, 3, NULL},
    {"null", -1, 0, NULL},
    {"absent", -1, 0, NULL},
    {"html", VT_ERROR_NETWORK, 0, "v2/html/tags/list"},
    {"lost", VT_ERROR_NOT_FOUND, 0, "v2/lost/tags/list"},
    {"endlesspages", VT_ERROR_TOO_LARGE, 0, "'endlesspages' has more than 655 pages"},
    {"crowd", VT_ERROR_TOO_LARGE, 0, "more than 65536 tags"},
    {"heavy", -1, 3, NULL},
    {"elsewhere", VT_ERROR_NETWORK, 0, "on another host"},
};

/* Returns: whether there is a list */
static bool
check(const Case *given, bool ok, const GError *error)
{
    g_test_message("%s: %s", given->repository, error ? error->message : "a list");
    g_assert_cmpint(ok ? -1 : error->code, ==, given->code);
    g_assert_true(ok || strstr(error->message, given->needle));
    return ok;
}

static void
test_referrers(Fixture *f, gconstpointer data)
{
    VtSource *source = vt_store_source(f->store);

    for (gsize i = 0; i < G_N_ELEMENTS(referrers); i++) {
        const Case *given = &referrers[i];
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) entries = NULL;
        bool ok = source->get_referrers(source, given->repository, DIGEST, &bytes, &error);

        if (!check(given, ok, error))
            continue;
        g_assert_true(vt_index_manifests_parse(bytes, &entries, &error));
        g_assert_cmpuint(entries->len, ==, given->count);
    }
}

static void
test_tags(Fixture *f, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(tags); i++) {
        const Case *given = &tags[i];
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) list = NULL;
        bool ok = vt_store_list_tags(f->store, given->repository, &list, &error);

        if (!check(given, ok, error))
            continue;
        g_assert_cmpuint(list->len, ==, given->count);
        for (guint n = 0; n < list->len; n++) {
            g_autofree char *expected = g_strdup_printf("%064x", n);

            g_assert_cmpstr(g_ptr_array_index(list, n), ==, expected);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/store-pages/referrers", Fixture, NULL, setup, test_referrers, teardown);
    g_test_add("/store-pages/tags", Fixture, NULL, setup, test_tags, teardown);
    return g_test_run();
}
