/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-look.c: a turn in the directory of a pool, and what is decided there */
#include "vtd-look.h"

#include "vt-manifest.h"
#include "vt-name.h"
#include "vt-sha256.h"
#include "vtd-proofs.h"

#include <fcntl.h>
#include <unistd.h>

/* What the daemon has to know of a kept manifest; its signatures are in @verdict */
typedef struct {
    VtdVerdict *verdict;
    GArray *layers; /* (element-type VtDigest): of its chain, base first */
    VtDigest config;
    uint64_t size;
} Kept;

static void
kept_free(gpointer data)
{
    Kept *kept = data;

    vtd_verdict_free(kept->verdict);
    g_clear_pointer(&kept->layers, g_array_unref);
    g_free(kept);
}

static void
pending_free(gpointer data)
{
    VtdPending *pending = data;

    g_free(pending->reference);
    g_free(pending->hidden);
    g_free(pending);
}

GHashTable *
vtd_directory_pending(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, pending_free);
}

void
vtd_directory_init(VtdDirectory *here, GHashTable *pending)
{
    here->verdicts = g_hash_table_new_full(vt_digest_hash, vt_digest_same, g_free, kept_free);
    here->pending = pending;
}

void
vtd_directory_clear(VtdDirectory *here)
{
    g_hash_table_unref(here->verdicts);
    g_hash_table_unref(here->pending);
}

/* ---- turns ---- */

typedef struct {
    VtdPool *pool;
    VtdVisit what;
    VtdLook look;
    bool begun;
} Visit;

static bool
visit_begin(void *user, GError **error)
{
    Visit *visit = user;
    VtdPool *pool = visit->pool;
    VtdLook *look = &visit->look;

    *look = (VtdLook){.settings = pool->settings, .url = pool->url, .here = &pool->here};
    visit->begun = true;
    vtd_pool_check_catalog(pool, &look->distrust);
    look->catalog = vt_catalog_ref(pool->catalog);
    look->damaged = g_hash_table_ref(vtd_pool_current(pool)->damaged);
    return !visit->what.begin || visit->what.begin(look, visit->what.user, error);
}

static bool
visit_work(void *user, GError **error)
{
    Visit *visit = user;
    const bool ok = visit->what.work(&visit->look, visit->what.user, error);

    /* To close what is on a server may take its answer, too */
    g_clear_pointer(&visit->look.files, vt_pool_free);
    return ok;
}

/* What was found there becomes known, to what is done next, too */
static void
take_back(VtdPool *pool, const VtdLook *look)
{
    if (look->place.ino != 0)
        pool->place = look->place;
    if (look->refusal)
        vtd_pool_refuse(pool, &look->refused, look->refusal);
    for (guint i = 0; look->removed && i < look->removed->len; i++)
        vtd_pool_damage(vtd_pool_current(pool), &g_array_index(look->removed, VtDigest, i), NULL);
}

static void
look_clear(VtdLook *look)
{
    vt_catalog_free(look->catalog);
    g_clear_error(&look->distrust);
    g_clear_pointer(&look->damaged, g_hash_table_unref);
    g_clear_pointer(&look->removed, g_array_unref);
    g_free(look->refusal);
}

static void
visit_done(void *user, GError *error)
{
    Visit *visit = user;

    take_back(visit->pool, &visit->look);
    visit->what.done(visit->begun ? &visit->look : NULL, visit->what.user, error);
    look_clear(&visit->look);
    vtd_pool_unref(visit->pool);
    g_free(visit);
}

bool
vtd_pool_visit(VtdPool *pool, const VtdVisit *what, guint waiting_max, GError **error)
{
    Visit *visit = g_new0(Visit, 1);

    visit->pool = vtd_pool_ref(pool);
    visit->what = *what;
    if (vtd_turns_add(pool->turns,
                      &(const VtdTurn){visit_begin, visit_work, visit_done, visit, what->yields},
                      waiting_max, error))
        return true;
    vtd_pool_unref(visit->pool);
    g_free(visit);
    return false;
}

void
vtd_pool_visit_surely(VtdPool *pool, const VtdVisit *visit)
{
    GError *error = NULL;

    if (!vtd_pool_visit(pool, visit, G_MAXUINT, &error))
        visit->done(NULL, visit->user, error);
}

/* ---- a new verdict ---- */

static bool
forget_verdict(VtdLook *look, void *user, GError **error)
{
    g_hash_table_remove(look->here->verdicts, user);
    return true;
}

static void
verdict_forgotten(VtdLook *look, void *user, GError *error)
{
    g_clear_error(&error);
    g_free(user);
}

void
vtd_pool_forget_verdict(VtdPool *pool, const VtDigest *manifest)
{
    vtd_pool_visit_surely(pool, &(const VtdVisit){NULL, forget_verdict, verdict_forgotten,
                                                  g_memdup2(manifest, sizeof(*manifest))});
}

/* ---- decisions ---- */

bool
vtd_look_open(VtdLook *look, GError **error)
{
    struct stat st;

    if (look->files)
        return true;
    if (!vt_pool_open(look->settings->target, &look->files, error))
        return false;
    if (fstat(vt_pool_dir_fd(look->files), &st) == 0)
        look->place = (VtdPlace){st.st_dev, st.st_ino};
    return true;
}

bool
vtd_look_find(const VtdLook *look, const char *name, const char *version,
              const VtCatalogEntry **ret_entry, GError **error)
{
    if (look->distrust) {
        if (error)
            *error = g_error_copy(look->distrust);
        return false;
    }
    *ret_entry = vt_catalog_find(look->catalog, name, version && *version ? version : NULL);
    return *ret_entry || vtd_pool_throw_missing(look->settings, name, version, error);
}

/* ---- damage ---- */

static const char *
find_damage(const VtdLook *look, const GArray *layers)
{
    const char *damage = NULL;

    for (guint i = 0; !damage && i < layers->len; i++)
        damage = g_hash_table_lookup(look->damaged, &g_array_index(layers, VtDigest, i));
    return damage;
}

const char *
vtd_look_damage_of(VtdLook *look, const char *name, const char *version)
{
    g_autoptr(GArray) layers = NULL;
    VtDigest index;

    if (g_hash_table_size(look->damaged) == 0 ||
        !vt_pool_find_layer(look->files, name, version, &index, NULL) ||
        !vt_pool_chain(look->files, &index, &layers, NULL))
        return NULL;
    return find_damage(look, layers);
}

GHashTable *
vtd_look_damaged_files(VtdLook *look)
{
    g_autoptr(GError) error = NULL;
    GHashTable *inodes = NULL;

    if (g_hash_table_size(look->damaged) == 0)
        return NULL;
    if (!vt_pool_mark(look->files, look->damaged, &inodes, &error))
        g_info("what is damaged in '%s' is not listed: %s", look->settings->target, error->message);
    return inodes;
}

void
vtd_look_prune_damage(VtdLook *look)
{
    g_autoptr(GHashTable) before = g_hash_table_ref(look->damaged);
    g_autoptr(GList) layers = g_hash_table_get_keys(before);

    /* A directory that is not mounted now has lost no layer */
    if (!layers || faccessat(vt_pool_dir_fd(look->files), VT_POOL_LAYERS, F_OK, 0) < 0)
        return;
    if (!look->removed)
        look->removed = g_array_new(FALSE, FALSE, sizeof(VtDigest));
    for (GList *item = layers; item; item = item->next) {
        GHashTable *rest;

        if (vt_pool_has_layer(look->files, item->data))
            continue;
        g_array_append_vals(look->removed, item->data, 1);
        rest = vtd_damage_changed(look->damaged, item->data, NULL);
        g_hash_table_unref(look->damaged);
        look->damaged = rest;
    }
}

static bool
read_kept(GBytes *bytes, const VtDigest *digest, Kept *kept, GError **error)
{
    g_autoptr(GPtrArray) layers = NULL;
    g_autoptr(VtManifest) manifest = NULL;
    VtDigest actual;

    vt_sha256_data(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &actual);
    if (!vt_digest_equal(&actual, digest))
        return vt_throw(error, VT_ERROR_CORRUPT, "the kept manifest is damaged: fetch again");
    if (!vt_manifest_parse(bytes, &manifest, error) ||
        !vt_template_layers(manifest, &layers, error))
        return false;
    kept->layers = g_array_new(FALSE, FALSE, sizeof(VtDigest));
    for (guint i = 0; i < layers->len; i++) {
        const VtTemplateLayer *layer = layers->pdata[i];

        g_array_append_val(kept->layers, layer->index->digest);
    }
    kept->config = manifest->config->digest;
    for (guint i = 0; i < manifest->layers->len; i++)
        kept->size += ((const VtDescriptor *)manifest->layers->pdata[i])->size;
    return true;
}

static bool
load_kept(const VtdLook *look, const VtSubject *subject, Kept **ret_kept, GError **error)
{
    Kept *kept = g_hash_table_lookup(look->here->verdicts, &subject->digest);
    g_autoptr(GBytes) manifest = NULL;
    g_autoptr(GBytes) proofs = NULL;
    g_autoptr(GError) local = NULL;
    char text[VT_DIGEST_STRING_MAX];
    Kept *fresh;

    *ret_kept = kept;
    if (kept && vtd_verdict_holds(kept->verdict))
        return true;
    if (!vt_pool_read_manifest(look->files, &subject->digest, &manifest, &proofs, &local))
        return vt_throw(
            error, (VtError)local->code,
            "the copy of %s@%s on this host was not made from the catalog's manifest %s: "
            "fetch it again (%s)",
            subject->name, subject->version, vt_digest_format(&subject->digest, text),
            local->message);
    fresh = g_new0(Kept, 1);
    if (!read_kept(manifest, &subject->digest, fresh, error) ||
        !vtd_proofs_decide(proofs, look->settings->policy, subject, &fresh->verdict, error)) {
        kept_free(fresh);
        return false;
    }
    g_hash_table_insert(look->here->verdicts, g_memdup2(&subject->digest, sizeof(VtDigest)), fresh);
    *ret_kept = fresh;
    return true;
}

/* The version's file is the top layer, and what is below is here */
static bool
check_layers(VtPool *files, const char *name, const char *version, const GArray *layers,
             GError **error)
{
    const VtDigest *top = &g_array_index(layers, VtDigest, layers->len - 1);
    char text[VT_DIGEST_STRING_MAX];

    if (!vt_pool_check_version(files, name, version, top, error))
        return false;
    for (guint i = 0; i + 1 < layers->len; i++) {
        const VtDigest *layer = &g_array_index(layers, VtDigest, i);

        if (!vt_pool_has_layer(files, layer))
            return vt_throw(error, VT_ERROR_CORRUPT,
                            "layer %s, which %s@%s is made over, was removed from '%s': "
                            "'virt-template verify --repair' fetches it again",
                            vt_digest_format(layer, text), name, version, vt_pool_target(files));
    }
    return true;
}

bool
vtd_look_kept(VtdLook *look, const char *name, const char *version, VtdLocal *ret_local,
              GError **error)
{
    VtSubject subject = {.url = look->url, .name = name, .named_by_catalog = true};
    const VtCatalogEntry *entry;
    Kept *kept;

    if (!vtd_look_find(look, name, version, &entry, error))
        return false;
    subject.version = entry->version;
    subject.digest = entry->manifest;
    if (!vt_pool_stat_version(look->files, name, entry->version, NULL))
        return vt_throw(error, VT_ERROR_NOT_FOUND, "%s@%s is not on this host: fetch it first",
                        name, entry->version);
    if (!load_kept(look, &subject, &kept, error))
        return false;
    if (!vtd_verdict_check(kept->verdict, error)) {
        look->refused = entry->manifest;
        g_free(look->refusal);
        look->refusal = g_strdup(kept->verdict->refusal->message);
        return false;
    }
    *ret_local =
        (VtdLocal){entry, kept->layers, kept->config, kept->size, kept->verdict->signed_by};
    return true;
}

bool
vtd_look_local(VtdLook *look, const char *name, const char *version, VtdLocal *ret_local,
               GError **error)
{
    VtdLocal local;

    if (!vtd_look_kept(look, name, version, &local, error) ||
        !check_layers(look->files, name, local.entry->version, local.layers, error))
        return false;
    *ret_local = local;
    return true;
}

bool
vtd_look_config(VtdLook *look, const VtdLocal *local, GBytes **ret_bytes, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;

    if (!vt_pool_read_config(look->files, &local->entry->manifest, &bytes, error))
        return false;
    /* and so it is what vt_json_parse() accepted when it was fetched: UTF-8 without a NUL */
    if (!vt_sha256_matches(bytes, &local->config))
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "the kept config of version %s is damaged: evict it and fetch again",
                        local->entry->version);
    *ret_bytes = g_steal_pointer(&bytes);
    return true;
}

bool
vtd_look_use(VtdLook *look, const char *name, const char *version, VtdLocal *ret_local,
             GError **error)
{
    const char *damage;
    VtdLocal local;

    if (!vtd_look_local(look, name, version, &local, error))
        return false;
    damage = find_damage(look, local.layers);
    if (damage)
        return vtd_pool_throw_damage(name, local.entry->version, damage, error);
    *ret_local = local;
    return true;
}
