/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-rivals.c: catalogs that publishers of one registry announce to each other */
#include "vt-publish-rivals.h"

#include "vt-publish-catalog.h"

#include <string.h>

#define ANNOUNCED "announced-"
/* What announcements lead to: nothing. The catalogs themselves would stay forever */
#define ANNOUNCEMENT_TYPE "application/vnd.virt-template.announcement.v1"
/* Each is read once by every other one; whoever may set tags can announce what is not there */
#define RIVALS_MAX 256u
/* As JSON has it for everybody: 2^53 - 1 */
#define SERIAL_MAX G_GUINT64_CONSTANT(9007199254740991)

typedef struct {
    uint64_t serial;
    VtDigest manifest;
} Announcement;

/* NULL is a catalog that is of no use */
static void
known_free(void *catalog)
{
    vt_catalog_free(catalog);
}

VtPublishRivals *
vt_publish_rivals_new(const VtPublisher *publisher)
{
    VtPublishRivals *rivals = g_new0(VtPublishRivals, 1);

    rivals->publisher = publisher;
    rivals->floor = UINT64_MAX;
    rivals->known = g_hash_table_new_full(vt_digest_hash, vt_digest_same, g_free, known_free);
    rivals->own = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    rivals->catalogs = g_ptr_array_new();
    return rivals;
}

void
vt_publish_rivals_free(VtPublishRivals *rivals)
{
    if (!rivals)
        return;
    g_hash_table_unref(rivals->known);
    g_hash_table_unref(rivals->own);
    g_ptr_array_unref(rivals->catalogs);
    g_free(rivals);
}

/* ---- announcements ---- */

/* "announced-43-0123...": 92 characters at the most, of the 128 that a tag may have */
static char *
tag_of(uint64_t serial, const VtDigest *digest)
{
    char text[VT_DIGEST_STRING_MAX];

    return g_strdup_printf(ANNOUNCED "%" G_GUINT64_FORMAT "-%s", serial,
                           vt_digest_hex(digest, text));
}

static bool
parse_tag(const char *tag, Announcement *ret_announcement)
{
    const char *dash;
    g_autofree char *serial = NULL, *digest = NULL;

    if (!g_str_has_prefix(tag, ANNOUNCED))
        return false;
    tag += strlen(ANNOUNCED);
    dash = strchr(tag, '-');
    if (!dash)
        return false;
    serial = g_strndup(tag, (gsize)(dash - tag));
    digest = g_strconcat("sha256:", dash + 1, NULL);
    return g_ascii_string_to_unsigned(serial, 10, 1, SERIAL_MAX, &ret_announcement->serial, NULL) &&
           vt_digest_parse(digest, &ret_announcement->manifest, NULL);
}

bool
vt_publish_rivals_announce(VtPublishRivals *rivals, uint64_t serial, const VtDigest *digest,
                           GError **error)
{
    g_autofree char *tag = tag_of(serial, digest);
    g_autoptr(VtManifest) manifest = vt_manifest_new(ANNOUNCEMENT_TYPE, NULL);
    g_autoptr(GBytes) bytes = NULL;
    VtDigest empty;
    const bool ok = vt_digest_parse(VT_OCI_EMPTY_DIGEST, &empty, NULL);

    g_assert(ok);
    /* some registries refuse a manifest without layers */
    g_ptr_array_add(manifest->layers, vt_descriptor_new(VT_OCI_EMPTY_TYPE, &empty, strlen("{}")));
    bytes = vt_manifest_format(manifest);
    if (!vt_publish_tag(rivals->publisher, VT_CATALOG_NAME, tag, bytes, error))
        return false;
    g_hash_table_add(rivals->own, g_steal_pointer(&tag));
    return true;
}

/* ---- looking ---- */

static int
compare_serials(gconstpointer a, gconstpointer b)
{
    const Announcement *first = a, *second = b;

    return (first->serial > second->serial) - (first->serial < second->serial);
}

/* Others' of @serial or higher, the lowest first: those are as old as we are. @ret_listed: (out):
 * see #VtPublishRivals */
static bool
list_announced(const VtPublishRivals *rivals, uint64_t serial, GArray **ret_announced,
               bool *ret_listed, GError **error)
{
    const VtPublisher *publisher = rivals->publisher;
    g_autofree char *repository = vt_store_url_repository(publisher->url, VT_CATALOG_NAME);
    g_autoptr(GArray) announced = g_array_new(FALSE, FALSE, sizeof(Announcement));
    g_autoptr(GPtrArray) tags = NULL;
    guint own = 0;

    if (!vt_store_list_tags(publisher->store, repository, &tags, error))
        return false;
    for (guint i = 0; i < tags->len; i++) {
        const char *tag = g_ptr_array_index(tags, i);
        Announcement announcement;

        if (g_hash_table_contains(rivals->own, tag))
            own++;
        else if (parse_tag(tag, &announcement) && announcement.serial >= serial)
            g_array_append_val(announced, announcement);
    }
    g_array_sort(announced, compare_serials);
    *ret_announced = g_steal_pointer(&announced);
    *ret_listed = own == g_hash_table_size(rivals->own);
    return true;
}

/* What nobody signed, or what is gone, says nothing; what the registry does not give now is asked
 * for again in the next look. Returns: (transfer none) (nullable) */
static const VtCatalog *
find_catalog(VtPublishRivals *rivals, const Announcement *announcement)
{
    g_autoptr(VtCatalog) catalog = NULL;
    g_autoptr(GError) local = NULL;
    gpointer known = NULL;

    if (!g_hash_table_lookup_extended(rivals->known, &announcement->manifest, NULL, &known)) {
        if (!vt_publish_catalog_read_announced(rivals->publisher, &announcement->manifest, &catalog,
                                               &local) &&
            g_error_matches(local, VT_ERROR, VT_ERROR_NETWORK)) {
            rivals->listed = false;
            return NULL;
        }
        if (catalog && catalog->serial != announcement->serial)
            g_clear_pointer(&catalog, vt_catalog_free);
        known = catalog;
        g_hash_table_insert(rivals->known,
                            g_memdup2(&announcement->manifest, sizeof(announcement->manifest)),
                            g_steal_pointer(&catalog));
    }
    return known;
}

bool
vt_publish_rivals_look(VtPublishRivals *rivals, const VtCatalog *current, const VtDigest *base,
                       GError **error)
{
    g_autoptr(GArray) announced = NULL;
    g_autoptr(GError) local = NULL;

    g_ptr_array_set_size(rivals->catalogs, 0);
    rivals->listed = false;
    rivals->floor = MIN(rivals->floor, current->serial);
    if (!list_announced(rivals, rivals->floor, &announced, &rivals->listed, &local)) {
        if (g_error_matches(local, VT_ERROR, VT_ERROR_UNSUPPORTED) ||
            g_error_matches(local, VT_ERROR, VT_ERROR_TOO_LARGE))
            return true;
        g_propagate_prefixed_error(error, g_steal_pointer(&local),
                                   "cannot see what other publishers do: ");
        return false;
    }
    for (guint i = 0; i < announced->len; i++) {
        const Announcement *announcement = &g_array_index(announced, Announcement, i);
        const VtCatalog *catalog;

        if (vt_digest_equal(&announcement->manifest, base))
            continue;
        if (i == RIVALS_MAX) {
            rivals->listed = false;
            break;
        }
        catalog = find_catalog(rivals, announcement);
        if (catalog && strcmp(catalog->store, current->store) == 0)
            g_ptr_array_insert(rivals->catalogs, 0, (VtCatalog *)(uintptr_t)catalog);
    }
    return true;
}
