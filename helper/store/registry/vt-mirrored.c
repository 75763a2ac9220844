/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-mirrored.c: a registry for which rules of registries.conf name other hosts
 *
 * Theory of operation. This is a store over stores, one for each host. What is named by a digest is
 * asked of the mirrors in their order and then of the registry itself; tags, lists of referrers and
 * all that is written are the registry's alone. So a mirror can withhold or damage bytes, but not
 * say what a name means, and trust is decided about the name that the user gave. A mirror that
 * fails once, other than by not having something, is not asked again.
 */
#include "vt-mirrored.h"

#include "vt-sha256.h"
#include "vt-spool.h"

#include <poll.h>
#include <string.h>

/* The registry itself is next, so a mirror gets little patience */
#define MIRROR_TRIES 2
/* How long one host may keep the others waiting, when several have something to do */
#define TURN_MS 10

/* @running: ranges; @failed: it is a mirror that is not asked again */
typedef struct {
    VtStore *store;
    unsigned running;
    bool failed;
} Child;

typedef struct {
    char *host;
    char *repository;
    bool insecure;
    bool is_mirror;
} Place;

typedef struct {
    VtStore store;
    char *host;
    char *ca_file, *auth_file;
    VtStoreOptions options;
    VtHosts *hosts;
    GHashTable *children; /* char *: Child, see child_key() */
    unsigned connections;
    uint64_t rate;
} VtMirrored;

/* A range on its way from one place after the other; @number: the next one; @given: bytes that its
 * sink has; @refused: it wants no more */
typedef struct {
    VtMirrored *mirrored;
    VtRange *range;
    uint32_t given;
    bool refused;
    GPtrArray *places;
    guint number;
    Child *child;
} Task;

/* ---- where things are ---- */

static void
place_free(void *user)
{
    Place *place = user;

    g_free(place->host);
    g_free(place->repository);
    g_free(place);
}

static void
add_place(const VtMirrored *mirrored, GPtrArray *places, const VtRegistryRule *rule,
          const VtMirror *mirror, const char *repository)
{
    const char *location = mirror ? mirror->location : rule ? rule->location : NULL;
    Place *place = g_new0(Place, 1);

    place->is_mirror = mirror != NULL;
    if (rule) {
        g_autofree char *name = vt_registries_place(rule, location, mirrored->host, repository);
        const size_t length = strcspn(name, "/");

        place->host = g_strndup(name, length);
        place->repository = g_strdup(name + length + (name[length] == '/'));
    } else {
        *place = (Place){g_strdup(mirrored->host), g_strdup(repository), false, false};
    }
    place->insecure =
        mirror ? mirror->insecure
               : (rule && rule->insecure) ||
                     (mirrored->options.insecure && g_str_equal(place->host, mirrored->host));
    g_ptr_array_add(places, place);
}

/* @ret_places: (out) (transfer full) (element-type Place): the registry itself is the last */
static bool
find_places(const VtMirrored *mirrored, const char *repository, bool by_digest,
            GPtrArray **ret_places, GError **error)
{
    const VtRegistryRule *rule =
        vt_registries_find(mirrored->hosts->registries, mirrored->host, repository);
    g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func(place_free);

    if (rule && rule->blocked)
        return vt_throw(error, VT_ERROR_DENIED,
                        "'%s/%s' is blocked by the rule '%s' of /etc/containers/registries.conf or "
                        "registries.conf.d",
                        mirrored->host, repository, rule->prefix);
    for (guint i = 0; rule && by_digest && i < rule->mirrors->len; i++) {
        const VtMirror *mirror = g_ptr_array_index(rule->mirrors, i);

        if (!mirror->by_tag_only)
            add_place(mirrored, places, rule, mirror, repository);
    }
    add_place(mirrored, places, rule, NULL, repository);
    *ret_places = g_steal_pointer(&places);
    return true;
}

static void
child_free(void *user)
{
    Child *child = user;

    vt_store_free(child->store);
    g_free(child);
}

/* Rules for other repositories may name the same host: what one allows holds for no other */
static char *
child_key(const Place *place)
{
    return g_strconcat(place->host, place->insecure ? " insecure" : "",
                       place->is_mirror ? " mirror" : "", NULL);
}

static bool
find_child(VtMirrored *mirrored, const Place *place, Child **ret_child, GError **error)
{
    const VtStoreUrl url = {VT_TRANSPORT_DOCKER, NULL, place->host, (char *)""};
    g_autofree char *key = child_key(place);
    Child *child = g_hash_table_lookup(mirrored->children, key);
    VtStoreOptions options = mirrored->options;
    VtStore *store = NULL;

    if (!child) {
        options.insecure = place->insecure;
        if (place->is_mirror)
            options.tries = MIRROR_TRIES;
        if (!vt_registry_open(&url, &options, &store, error))
            return false;
        vt_store_limit(store, mirrored->connections, mirrored->rate);
        child = g_new0(Child, 1);
        child->store = store;
        g_hash_table_insert(mirrored->children, g_steal_pointer(&key), child);
    }
    *ret_child = child;
    return true;
}

static void
count_requests(VtMirrored *mirrored)
{
    GHashTableIter iter;
    gpointer child;

    mirrored->store.requests = 0;
    g_hash_table_iter_init(&iter, mirrored->children);
    while (g_hash_table_iter_next(&iter, NULL, &child))
        mirrored->store.requests += vt_store_requests(((Child *)child)->store);
}

/* ---- documents ---- */

/* @digest: what the bytes must have; %NULL: of a tag, the limit of a manifest holds */
typedef struct {
    const char *reference;
    bool is_blob;
    gsize limit;
} Document;

static bool
check_digest(GBytes *bytes, const char *text, const char *host, GError **error)
{
    VtDigest expected;

    if (!vt_digest_parse(text, &expected, error))
        return false;
    return vt_sha256_matches(bytes, &expected) ||
           vt_throw(error, VT_ERROR_CORRUPT, "mirror '%s': %s has other content", host, text);
}

static bool
read_from(VtMirrored *mirrored, const Place *place, const Document *document, GBytes **ret_bytes,
          GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    Child *child = NULL;
    VtSource *source;
    bool ok;

    if (!find_child(mirrored, place, &child, error))
        return false;
    if (child->failed)
        return vt_throw(error, VT_ERROR_NETWORK, "mirror '%s' failed before", place->host);
    source = vt_store_source(child->store);
    if (document->is_blob)
        ok = source->get_blob(source, place->repository, document->reference, document->limit,
                              &bytes, error);
    else
        ok = source->get_manifest(source, place->repository, document->reference, &bytes, error);
    ok = ok && (!place->is_mirror || check_digest(bytes, document->reference, place->host, error));
    if (ok)
        *ret_bytes = g_steal_pointer(&bytes);
    return ok;
}

static void
note_failure(VtMirrored *mirrored, const Place *place, const GError *error)
{
    g_autofree char *key = child_key(place);
    Child *child = g_hash_table_lookup(mirrored->children, key);

    if (child && place->is_mirror && !g_error_matches(error, VT_ERROR, VT_ERROR_NOT_FOUND))
        child->failed = true;
}

static bool
read_document(VtMirrored *mirrored, const char *repository, const Document *document,
              GBytes **ret_bytes, GError **error)
{
    const bool by_digest = strchr(document->reference, ':') != NULL;
    g_autoptr(GPtrArray) places = NULL;
    bool ok = false;

    if (!find_places(mirrored, repository, by_digest, &places, error))
        return false;
    for (guint i = 0; i < places->len && !ok; i++) {
        const Place *place = g_ptr_array_index(places, i);
        g_autoptr(GError) local = NULL;

        ok = read_from(mirrored, place, document, ret_bytes, &local);
        if (!ok && i + 1 == places->len)
            g_propagate_error(error, g_steal_pointer(&local));
        else if (!ok)
            note_failure(mirrored, place, local);
    }
    count_requests(mirrored);
    return ok;
}

static bool
get_manifest(VtSource *source, const char *repository, const char *reference, GBytes **ret_bytes,
             GError **error)
{
    const Document document = {reference, false, 0};

    return read_document((VtMirrored *)source, repository, &document, ret_bytes, error);
}

static bool
get_blob(VtSource *source, const char *repository, const char *digest, gsize limit,
         GBytes **ret_bytes, GError **error)
{
    const Document document = {digest, true, limit};

    return read_document((VtMirrored *)source, repository, &document, ret_bytes, error);
}

/* The registry itself, for what no mirror has a say in */
static bool
find_registry(VtMirrored *mirrored, const char *repository, VtStore **ret_store,
              char **ret_repository, GError **error)
{
    g_autoptr(GPtrArray) places = NULL;
    Child *child = NULL;
    Place *place;

    if (!find_places(mirrored, repository, false, &places, error))
        return false;
    place = g_ptr_array_index(places, 0);
    if (!find_child(mirrored, place, &child, error))
        return false;
    *ret_store = child->store;
    *ret_repository = g_steal_pointer(&place->repository);
    return true;
}

static bool
get_referrers(VtSource *source, const char *repository, const char *digest, GBytes **ret_bytes,
              GError **error)
{
    VtMirrored *mirrored = (VtMirrored *)source;
    g_autofree char *place = NULL;
    VtStore *store = NULL;
    bool ok;

    if (!find_registry(mirrored, repository, &store, &place, error))
        return false;
    source = vt_store_source(store);
    ok = source->get_referrers(source, place, digest, ret_bytes, error);
    count_requests(mirrored);
    return ok;
}

/* ---- ranges ---- */

static void start_task(Task *task);

/* @error: (nullable) (transfer full) */
static void
end_task(Task *task, GError *error)
{
    vt_store_range_ended(&task->mirrored->store, task->range, error);
    g_ptr_array_unref(task->places);
    g_free(task);
}

static void
on_range_done(void *user, const GError *error)
{
    Task *task = user;
    const Place *place = g_ptr_array_index(task->places, task->number - 1);

    task->child->running--;
    /* What is wrong behind the range does not matter */
    if (!error || task->given == task->range->length) {
        end_task(task, NULL);
        return;
    }
    if (task->refused || task->number == task->places->len) {
        end_task(task, g_error_copy(error));
        return;
    }
    note_failure(task->mirrored, place, error);
    start_task(task);
}

static void
on_range_progress(void *user, uint32_t have)
{
    const Task *task = user;

    if (task->range->progress)
        task->range->progress(task->range->user, have);
}

static bool
on_range_room(void *user, uint32_t length)
{
    const VtRange *range = ((const Task *)user)->range;

    return range->room(range->user, length);
}

static bool
on_range_sink(void *user, const void *data, uint32_t length)
{
    Task *task = user;

    task->given += length;
    task->refused = !task->range->sink(task->range->user, data, length);
    return !task->refused;
}

/* At the next place that may be asked; the registry itself always may. What was given to a sink is
 * not asked for again. */
static void
start_task(Task *task)
{
    const VtRange *range = task->range;
    VtStoreRange request = {.digest = range->digest,
                            .blob_size = range->blob_size,
                            .offset = range->offset + task->given,
                            .length = range->length - task->given,
                            .buffer = range->buffer,
                            .done = on_range_done,
                            .user = task,
                            .progress = on_range_progress,
                            .room = range->sink ? on_range_room : NULL,
                            .sink = range->sink ? on_range_sink : NULL};
    GError *error = NULL;
    const Place *place;

    do {
        place = g_ptr_array_index(task->places, task->number++);
        g_clear_error(&error);
        find_child(task->mirrored, place, &task->child, &error);
    } while (task->number < task->places->len && (error || task->child->failed));
    if (error) {
        end_task(task, error);
        return;
    }
    request.repository = place->repository;
    task->child->running++;
    vt_store_start_range(task->child->store, &request);
}

static void
read_range(VtStore *store, VtRange *range)
{
    VtMirrored *mirrored = (VtMirrored *)store;
    Task *task = g_new0(Task, 1);
    GError *error = NULL;

    task->mirrored = mirrored;
    task->range = range;
    if (find_places(mirrored, range->repository, true, &task->places, &error)) {
        start_task(task);
        return;
    }
    vt_store_range_ended(store, range, error);
    g_free(task);
}

static GPtrArray *
busy_children(VtMirrored *mirrored)
{
    GPtrArray *busy = g_ptr_array_new();
    GHashTableIter iter;
    gpointer child;

    g_hash_table_iter_init(&iter, mirrored->children);
    while (g_hash_table_iter_next(&iter, NULL, &child)) {
        if (((Child *)child)->running > 0)
            g_ptr_array_add(busy, child);
    }
    return busy;
}

/* May return early: then it is called again */
static void
dispatch(VtStore *store, int extra_fd, int timeout_ms)
{
    VtMirrored *mirrored = (VtMirrored *)store;
    g_autoptr(GPtrArray) busy = busy_children(mirrored);
    struct pollfd extra = {.fd = extra_fd, .events = POLLIN};

    if (busy->len == 0)
        poll(&extra, 1, timeout_ms);
    else if (busy->len > 1)
        timeout_ms = MIN(timeout_ms, TURN_MS);
    for (guint i = 0; i < busy->len; i++) {
        const Child *child = g_ptr_array_index(busy, i);

        vt_store_dispatch(child->store, extra_fd, timeout_ms);
    }
    count_requests(mirrored);
}

static void
limit(VtStore *store, unsigned connections, uint64_t rate)
{
    VtMirrored *mirrored = (VtMirrored *)store;
    GHashTableIter iter;
    gpointer child;

    store->connections = mirrored->connections = connections;
    mirrored->rate = rate;
    g_hash_table_iter_init(&iter, mirrored->children);
    while (g_hash_table_iter_next(&iter, NULL, &child))
        vt_store_limit(((Child *)child)->store, connections, rate);
}

/* ---- writing ---- */

static bool
has_blob(VtStore *store, const char *repository, const VtDigest *digest, bool *ret_has,
         GError **error)
{
    char text[VT_DIGEST_STRING_MAX];
    g_autofree char *place = NULL;
    VtStore *registry = NULL;

    return find_registry((VtMirrored *)store, repository, &registry, &place, error) &&
           vt_store_has_blob(registry, place, vt_digest_format(digest, text), ret_has, error);
}

static bool
blob_begin(VtStore *store, int *ret_fd, GError **error)
{
    return vt_spool_open(ret_fd, error);
}

static bool
put_blob(VtStore *store, const VtStoreBlob *blob, const VtDigest *digest, GError **error)
{
    g_autofree char *place = NULL;
    VtStoreBlob moved = *blob;
    VtStore *registry = NULL;

    if (!find_registry((VtMirrored *)store, blob->repository, &registry, &place, error))
        return false;
    moved.repository = place;
    return vt_store_put_blob(registry, &moved, error);
}

static bool
mount_blob(VtStore *store, const VtBlobCopy *copy)
{
    VtMirrored *mirrored = (VtMirrored *)store;
    g_autofree char *to = NULL, *from = NULL;
    VtStore *registry = NULL, *other = NULL;
    VtBlobCopy moved = *copy;

    if (!find_registry(mirrored, copy->repository, &registry, &to, NULL) ||
        !find_registry(mirrored, copy->from, &other, &from, NULL) || registry != other)
        return false;
    moved.repository = to;
    moved.from = from;
    return registry->ops->mount_blob(registry, &moved);
}

static bool
put_manifest(VtStore *store, const VtStoreManifest *manifest, GError **error)
{
    g_autofree char *place = NULL;
    VtStore *registry = NULL;

    return find_registry((VtMirrored *)store, manifest->repository, &registry, &place, error) &&
           vt_store_put_manifest(registry, place, manifest->tag, manifest->media_type,
                                 manifest->bytes, error);
}

static bool
list_tags(VtStore *store, const char *repository, GPtrArray **ret_tags, GError **error)
{
    g_autofree char *place = NULL;
    VtStore *registry = NULL;

    return find_registry((VtMirrored *)store, repository, &registry, &place, error) &&
           vt_store_list_tags(registry, place, ret_tags, error);
}

/* ---- the store ---- */

static void
mirrored_free(VtStore *store)
{
    VtMirrored *mirrored = (VtMirrored *)store;

    g_hash_table_unref(mirrored->children);
    vt_hosts_unref(mirrored->hosts);
    g_free(mirrored->ca_file);
    g_free(mirrored->auth_file);
    g_free(mirrored->host);
    g_free(mirrored);
}

static const VtStoreOps mirrored_ops = {
    .free = mirrored_free,
    .read_range = read_range,
    .dispatch = dispatch,
    .limit = limit,
    .has_blob = has_blob,
    .blob_begin = blob_begin,
    .put_blob = put_blob,
    .mount_blob = mount_blob,
    .list_tags = list_tags,
    .put_manifest = put_manifest,
};

bool
vt_mirrored_open(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
                 GError **error)
{
    VtMirrored *mirrored = g_new0(VtMirrored, 1);
    g_autoptr(VtStore) store = &mirrored->store;
    g_autoptr(GPtrArray) places = NULL;
    Child *child = NULL;

    store->ops = &mirrored_ops;
    store->source = (VtSource){get_manifest, get_blob, get_referrers};
    store->writable = options->writable;
    store->streams = true;
    store->connections = mirrored->connections = VT_HTTP_CONNECTIONS;
    mirrored->host = g_strdup(url->host);
    mirrored->hosts = vt_hosts_ref(options->hosts);
    mirrored->options = *options;
    mirrored->options.ca_file = mirrored->ca_file = g_strdup(options->ca_file);
    mirrored->options.auth_file = mirrored->auth_file = g_strdup(options->auth_file);
    mirrored->options.hosts = mirrored->hosts;
    mirrored->children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, child_free);
    /* A bad file of credentials or CAs is an error now; a block is one of the first request */
    if (find_places(mirrored, url->prefix, false, &places, NULL) &&
        !find_child(mirrored, g_ptr_array_index(places, 0), &child, error))
        return false;
    *ret_store = g_steal_pointer(&store);
    return true;
}
