/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-extend.c: a version joins the catalog, whoever else publishes at the same time
 *
 * Theory of operation. In a layout there is a lock. In a registry the catalog is written, and then
 * looked at until a look finds nothing left to do: our version is in it, so are all that others
 * announced (vt-publish-rivals.h), and no announced serial is higher. Whoever sets the tag later
 * sees our announcement when he looks, and adds what he has hidden.
 *
 * Of two that publish the same version with other content, the one with the higher serial has won:
 * the other one gives way to it when he looks. Two with the same serial cannot agree without a
 * clock. Whoever sets the tag within LATE_US has done so before the other one, who waits for
 * CONTEST_US, looks again: what is in the catalog then has won. Whoever takes longer gives way.
 */
#include "vt-publish-extend.h"

#include "vt-fs.h"
#include "vt-name.h"
#include "vt-publish-catalog.h"
#include "vt-publish-rivals.h"
#include "vt-sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

/* Each round lost means that another publisher has won */
#define CATALOG_ROUNDS 32
/* Of a registry that does not list what was announced: longer than one takes from a look at a tag
 * until it is set */
#define SETTLE_US 300000
/* From the last look at the tag until it is set */
#define LATE_US    (5 * G_USEC_PER_SEC)
#define CONTEST_US (8 * G_USEC_PER_SEC)

/**
 * Extension:
 * @rivals: (nullable): %NULL: there is a lock
 * @settled: the version was there before, as we publish it: nobody can have won it since
 * @tried: a catalog of ours was announced
 * @written: serial of the last one that got the tag; 0: none
 * @late: that took long
 * @waited: for a rival that publishes the same version, or for a registry's list
 */
typedef struct {
    const VtPublisher *publisher;
    const VtPublishRequest *request;
    const VtCatalogEntry *entry;
    VtPublishRivals *rivals;
    bool settled;
    bool tried;
    uint64_t written;
    bool late;
    bool waited;
} Extension;

/**
 * Look:
 * @base: of the manifest of @current
 * @next: what the catalog is to become
 * @has: whether @current has the version, as we publish it
 * @loses: whether somebody else's is in @next in its place
 * @behind: whether @current lacks what others announced
 */
typedef struct {
    VtCatalog *current;
    VtDigest base;
    VtCatalog *next;
    bool has;
    bool loses;
    bool behind;
} Look;

static void
look_clear(Look *look)
{
    g_clear_pointer(&look->current, vt_catalog_free);
    g_clear_pointer(&look->next, vt_catalog_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Look, look_clear)

bool
vt_publish_lock(const VtPublisher *publisher, int *ret_fd, GError **error)
{
    vt_autofd fd = -1;

    if (publisher->url->transport == VT_TRANSPORT_OCI) {
        fd = open(publisher->url->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX) < 0)
            return vt_throw_errno(error, errno, "cannot lock the store '%s'", publisher->url->path);
    }
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

/* ---- what there is ---- */

/* Whether @catalog has the version, as @ret_same says: ours or somebody else's */
static bool
has_version(const Extension *extension, const VtCatalog *catalog, bool *ret_same)
{
    const VtCatalogEntry *found =
        vt_catalog_find(catalog, extension->request->name, extension->entry->version);

    *ret_same = found && vt_digest_equal(&found->manifest, &extension->entry->manifest);
    return found != NULL;
}

/* The rival with the highest serial who publishes the same version with other content */
static const VtCatalog *
find_contest(const Extension *extension)
{
    for (guint i = 0;
         !extension->settled && extension->rivals && i < extension->rivals->catalogs->len; i++) {
        const VtCatalog *rival = g_ptr_array_index(extension->rivals->catalogs, i);
        bool same;

        if (has_version(extension, rival, &same) && !same)
            return rival;
    }
    return NULL;
}

/* The one that must not be hidden by what was written here */
static const VtCatalog *
find_winner(const Extension *extension)
{
    const VtCatalog *contest = extension->written > 0 ? find_contest(extension) : NULL;

    return contest && (extension->late || contest->serial > extension->written) ? contest : NULL;
}

static bool
add_entry(const Extension *extension, Look *look, GError **error)
{
    const VtPublishRequest *request = extension->request;
    bool same;

    if (has_version(extension, look->next, &same)) {
        look->loses = !same;
        return true;
    }
    return vt_catalog_add(look->next, request->name, vt_catalog_entry_copy(extension->entry),
                          !request->keep_current, error);
}

/* Takes the contested version and nothing else from whoever has won it */
static bool
add_winner(const Extension *extension, const VtCatalog *winner, Look *look, GError **error)
{
    const VtPublishRequest *request = extension->request;
    const VtCatalogEntry *entry = vt_catalog_find(winner, request->name, extension->entry->version);

    return vt_catalog_add(look->next, request->name, vt_catalog_entry_copy(entry), false, error);
}

static bool
look_around(Extension *extension, Look *look, GError **error)
{
    VtPublishRivals *rivals = extension->rivals;
    const VtCatalog *winner;
    bool taken;

    if (!vt_publish_catalog_read(extension->publisher, &look->current, &look->base, error) ||
        (rivals && !vt_publish_rivals_look(rivals, look->current, &look->base, error)))
        return false;
    taken = has_version(extension, look->current, &look->has) && !look->has;
    extension->settled |= look->has && !extension->tried;
    look->next = vt_catalog_new(look->current->store);
    look->next->serial = look->current->serial + 1;
    winner = find_winner(extension);
    if (winner && !add_winner(extension, winner, look, error))
        return false;
    look->behind = winner && !taken;
    vt_catalog_merge(look->next, look->current);
    if (!add_entry(extension, look, error))
        return false;
    for (guint i = 0; rivals && i < rivals->catalogs->len; i++) {
        const VtCatalog *rival = g_ptr_array_index(rivals->catalogs, i);

        if (vt_catalog_merge(look->next, rival) > 0 || rival->serial > look->current->serial)
            look->behind = true;
        look->next->serial = MAX(look->next->serial, rival->serial + 1);
    }
    return true;
}

/* ---- what is done about it ---- */

static bool
write_next(Extension *extension, const Look *look, bool *ret_written, GError **error)
{
    const VtPublisher *publisher = extension->publisher;
    g_autoptr(GBytes) manifest = NULL;
    VtDigest digest;
    gint64 started;

    if (!vt_publish_catalog_put(publisher, look->next, &manifest, &digest, error) ||
        (extension->rivals &&
         !vt_publish_rivals_announce(extension->rivals, look->next->serial, &digest, error)))
        return false;
    extension->tried = true;
    started = g_get_monotonic_time();
    if (!vt_publish_catalog_replace(publisher, manifest, &look->base, ret_written, error))
        return false;
    extension->late = g_get_monotonic_time() - started > LATE_US;
    if (*ret_written)
        extension->written = look->next->serial;
    return true;
}

/* Gives the tag of the version back to what the catalog has. Whoever follows the catalog needs no
 * tag, so that it cannot be done is no error of its own */
static bool
lose(const Extension *extension, const Look *look, GError **error)
{
    const VtPublishRequest *request = extension->request;
    const VtCatalogEntry *winner = vt_catalog_find(look->next, request->name, request->version);
    g_autofree char *repository = vt_store_url_repository(extension->publisher->url, request->name);
    g_autofree char *tag = vt_version_tag(request->version);
    VtSource *source = vt_store_source(extension->publisher->store);
    char text[VT_DIGEST_STRING_MAX];
    g_autoptr(GBytes) manifest = NULL;

    g_assert(winner);
    if (source->get_manifest(source, repository, vt_digest_format(&winner->manifest, text),
                             &manifest, NULL) &&
        vt_sha256_matches(manifest, &winner->manifest))
        vt_publish_tag(extension->publisher, request->name, tag, manifest, NULL);
    return vt_throw(error, VT_ERROR_EXISTS,
                    "%s@%s was published by somebody else at the same time, and versions are "
                    "immutable: publish yours under a new version",
                    request->name, request->version);
}

/* Whether another look is needed before what was found can be believed */
static bool
wait_for_others(Extension *extension, uint64_t serial)
{
    const VtCatalog *rival = find_contest(extension);
    const bool contest = rival && rival->serial >= serial;

    if (extension->waited || !extension->rivals || (!contest && extension->rivals->listed))
        return false;
    g_usleep(contest ? CONTEST_US : SETTLE_US);
    extension->waited = true;
    return true;
}

/* @ret_serial: (out): 0: another round is needed */
static bool
extend_once(Extension *extension, uint64_t *ret_serial, GError **error)
{
    g_auto(Look) look = {0};
    bool written = true;

    *ret_serial = 0;
    if (!look_around(extension, &look, error))
        return false;
    if (extension->tried && look.has && !look.behind) {
        *ret_serial = wait_for_others(extension, look.current->serial) ? 0 : look.current->serial;
        return true;
    }
    if (look.loses && !look.behind)
        return lose(extension, &look, error);
    if (!write_next(extension, &look, &written, error))
        return false;
    if (!written)
        g_usleep((gulong)g_random_int_range(0, SETTLE_US));
    else if (!extension->rivals)
        *ret_serial = look.next->serial;
    return true;
}

bool
vt_publish_extend(const VtPublisher *publisher, const VtPublishRequest *request,
                  const VtCatalogEntry *entry, uint64_t *ret_serial, GError **error)
{
    g_autoptr(VtPublishRivals) rivals =
        publisher->url->transport == VT_TRANSPORT_OCI ? NULL : vt_publish_rivals_new(publisher);
    Extension extension = {
        .publisher = publisher, .request = request, .entry = entry, .rivals = rivals};
    vt_autofd lock = -1;

    if (!vt_publish_lock(publisher, &lock, error))
        return false;
    for (int round = 0; round < CATALOG_ROUNDS; round++) {
        uint64_t serial = 0;

        if (!extend_once(&extension, &serial, error)) {
            if (extension.tried && !extension.settled &&
                !(error && g_error_matches(*error, VT_ERROR, VT_ERROR_EXISTS)))
                g_prefix_error(error, "%s@%s was announced, so the next publisher may publish it: ",
                               request->name, request->version);
            return false;
        }
        if (serial > 0) {
            *ret_serial = serial;
            return true;
        }
    }
    return vt_throw(error, VT_ERROR_BUSY,
                    "others published at the same time and replaced the catalog %d times; publish "
                    "again when they are done",
                    CATALOG_ROUNDS);
}
