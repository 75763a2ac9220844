/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_refresh.c: the volumes of a template pool */

/* Theory of operation
 *
 * The pool is locked by libvirt, and an error would stop it. So everything here has one deadline,
 * and there are three sources, each for when the one before does not answer: the helper's catalog,
 * what it said at the last refresh, and the folder. The folder is read in any case, for volumes
 * that are not templates.
 */
#include "storage_backend_template.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

VIR_LOG_INIT("storage.template_refresh");

/* The helper asks the store at a refresh, and waits for it no longer than this */
#define STORE_WAIT_MS 2000

static void
virStorageTemplateAddAll(virStorageTemplatePool *pool, GVariant *templates)
{
    GVariantIter iter;
    virStorageTemplate entry = {0};
    guint64 capacity, allocation;
    const char *reason;

    g_variant_iter_init(&iter, templates);
    while (g_variant_iter_next(&iter, "(&s&sttu&s)", &entry.name, &entry.version, &capacity,
                               &allocation, &entry.flags, &reason)) {
        entry.capacity = capacity;
        entry.allocation = allocation;
        if (!virStorageTemplatePoolAdd(pool, &entry))
            VIR_WARN("virttemplated lists a name that is none: '%s@%s'", entry.name, entry.version);
        else if (entry.flags & VIR_STORAGE_TEMPLATE_REFUSED)
            VIR_WARN("'%s@%s' is not listed: %s", entry.name, entry.version, reason);
    }
}

/* From the helper, which asks the store */
static bool
virStorageTemplateListNew(virStoragePoolDef *def, virStorageTemplatePool *pool, gint64 deadline,
                          GError **error)
{
    virStorageTemplateClient *client = virStorageTemplateDriverGet()->client;
    virStorageTemplateCall call = {
        .method = "ListTemplates",
        .reply_type = "(a(ssttus)s)",
        .deadline = deadline,
    };
    g_autoptr(GVariant) reply = NULL, templates = NULL;
    const char *warning;

    if (!virStorageTemplatePoolRegister(pool, client, deadline, error))
        return false;
    call.arguments = g_variant_new("(su)", def->target.path, STORE_WAIT_MS);
    if (!virStorageTemplateClientCall(client, &call, &reply, error))
        return false;
    g_variant_get(reply, "(@a(ssttus)&s)", &templates, &warning);
    if (*warning)
        VIR_WARN("pool '%s': %s", def->name, warning);
    virStorageTemplateAddAll(pool, templates);
    return true;
}

/* From the last refresh */
static void
virStorageTemplateListOld(virStorageTemplatePool *pool)
{
    g_autoptr(virStorageTemplatePool) old =
        virStorageTemplateRegistryGet(virStorageTemplateDriverGet()->registry, pool->target);
    GHashTableIter iter;
    void *entry;

    if (!old)
        return;
    g_hash_table_iter_init(&iter, old->templates);
    while (g_hash_table_iter_next(&iter, NULL, &entry))
        virStorageTemplatePoolAdd(pool, entry);
}

static void
virStorageTemplateAddVolume(virStoragePoolObj *obj, virStorageVolDef *vol)
{
    if (virStoragePoolObjAddVol(obj, vol) < 0) {
        VIR_WARN("volume '%s' is there twice", vol->name);
        virStorageVolDefFree(vol);
    }
}

/* A version that only the folder knows: its name says that it was complete and verified */
static void
virStorageTemplateAddFromDisk(virStoragePoolObj *obj, virStorageTemplatePool *pool,
                              const char *volume)
{
    g_autofree char *name = NULL, *version = NULL, *key = NULL;
    virStorageTemplate entry = {.flags = VIR_STORAGE_TEMPLATE_COMPLETE};
    const virStorageBackend *stock = virStorageTemplateStock(VIR_STORAGE_POOL_DIR);
    virStorageVolDef *vol;

    if (!virStorageTemplateNameParse(volume, &name, &version))
        return;
    key = g_strconcat(name, "@", version, NULL);
    if (g_hash_table_contains(pool->templates, key))
        return;
    entry.name = name;
    entry.version = version;
    vol = virStorageTemplateVolumeNew(pool, &entry, false);
    /* Reads the capacity from the header, as qcow2: the format is not guessed */
    if (stock->refreshVol(obj, vol) < 0) {
        VIR_WARN("'%s/%s' cannot be read: %s", pool->target, volume, virGetLastErrorMessage());
        virResetLastError();
        virStorageVolDefFree(vol);
        return;
    }
    entry.capacity = vol->target.capacity;
    entry.allocation = vol->target.allocation;
    virStorageTemplatePoolAdd(pool, &entry);
    virStorageVolDefFree(vol);
}

/* A clone, or an image that somebody put here: as libvirt would show it */
static void
virStorageTemplateAddPlain(virStoragePoolObj *obj, const char *target, const char *name)
{
    g_autoptr(virStorageVolDef) vol = g_new0(virStorageVolDef, 1);
    int rc;

    vol->name = g_strdup(name);
    vol->type = VIR_STORAGE_VOL_FILE;
    vol->target.path = g_strdup_printf("%s/%s", target, name);
    vol->key = g_strdup(vol->target.path);
    rc = virStorageBackendRefreshVolTargetUpdate(vol);
    if (rc == -1) {
        VIR_WARN("'%s' is not listed: %s", vol->target.path, virGetLastErrorMessage());
        virResetLastError();
    }
    if (rc == 0)
        virStorageTemplateAddVolume(obj, g_steal_pointer(&vol));
}

/* The medium of a running domain: the helper made it, has a record of it, and removes it */
static bool
virStorageTemplateIsSeed(const char *target, const char *name)
{
    g_autofree char *record = g_strdup_printf("%s/.seeds/%s", target, name);
    struct stat st;

    return lstat(record, &st) == 0 && S_ISLNK(st.st_mode);
}

/* Hidden files are the helper's, and no volumes */
static int
virStorageTemplateReadFolder(virStoragePoolObj *obj, virStorageTemplatePool *pool)
{
    g_autoptr(DIR) dir = NULL;
    struct dirent *ent;
    int rc;

    if (virDirOpen(&dir, pool->target) < 0)
        return -1;
    while ((rc = virDirRead(dir, &ent, pool->target)) > 0) {
        if (ent->d_name[0] == '.' || virStringHasControlChars(ent->d_name) ||
            virStorageTemplateIsSeed(pool->target, ent->d_name))
            continue;
        if (virStorageTemplateNameIsVersion(ent->d_name))
            virStorageTemplateAddFromDisk(obj, pool, ent->d_name);
        else
            virStorageTemplateAddPlain(obj, pool->target, ent->d_name);
    }
    return rc;
}

static void
virStorageTemplateAddTemplates(virStoragePoolObj *obj, virStorageTemplatePool *pool)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, pool->templates);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const virStorageTemplate *entry = value;
        g_autofree char *alias = g_strconcat(entry->name, ".qcow2", NULL);

        if (entry->flags & VIR_STORAGE_TEMPLATE_REFUSED)
            continue;
        virStorageTemplateAddVolume(obj, virStorageTemplateVolumeNew(pool, entry, false));
        /* A file of this name is in the list already, and comes first */
        if (entry->flags & VIR_STORAGE_TEMPLATE_CURRENT && !virStorageVolDefFindByName(obj, alias))
            virStorageTemplateAddVolume(obj, virStorageTemplateVolumeNew(pool, entry, true));
    }
}

/* Size, free space and permissions of the pool */
static int
virStorageTemplateMeasure(virStoragePoolDef *def)
{
    struct statvfs fs;
    struct stat sb;

    if (statvfs(def->target.path, &fs) < 0 || stat(def->target.path, &sb) < 0) {
        virReportSystemError(errno, "cannot open directory '%s'", def->target.path);
        return -1;
    }
    def->capacity = (unsigned long long)fs.f_frsize * fs.f_blocks;
    def->available = (unsigned long long)fs.f_frsize * fs.f_bfree;
    def->allocation = def->capacity - def->available;
    def->target.perms.mode = sb.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
    def->target.perms.uid = sb.st_uid;
    def->target.perms.gid = sb.st_gid;
    return 0;
}

/* What was uploaded into a volume NAME-seed.iso becomes a seed; libvirt refreshes the pool when an
 * upload ends */
static void
virStorageTemplateTakeUploads(virStoragePoolDef *def, gint64 deadline)
{
    virStorageTemplateCall call = {
        .method = "TakeUploads",
        .arguments = g_variant_new("(s)", def->target.path),
        .reply_type = "(a(ss))",
        .deadline = deadline,
    };
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GVariantIter) iter = NULL;
    g_autoptr(GError) error = NULL;
    const char *name, *reason;

    if (!virStorageTemplateClientCall(virStorageTemplateDriverGet()->client, &call, &reply,
                                      &error)) {
        g_dbus_error_strip_remote_error(error);
        VIR_WARN("pool '%s': uploads: %s", def->name, error->message);
        return;
    }
    g_variant_get(reply, "(a(ss))", &iter);
    while (g_variant_iter_next(iter, "(&s&s)", &name, &reason))
        VIR_WARN("'%s/%s' is no seed: %s", def->target.path, name, reason);
}

int
virStorageTemplateRefreshPool(virStoragePoolObj *obj)
{
    virStoragePoolDef *def = virStoragePoolObjGetDef(obj);
    g_autoptr(virStorageTemplatePool) pool = virStorageTemplatePoolNew(def);
    const gint64 deadline = virStorageTemplateDeadline();
    g_autoptr(GError) error = NULL;

    /* A folder that is not there costs no time */
    if (virStorageTemplateMeasure(def) < 0)
        return -1;
    if (!virStorageTemplateListNew(def, pool, deadline, &error)) {
        g_dbus_error_strip_remote_error(error);
        VIR_WARN("pool '%s' shows what is on disk: %s", def->name, error->message);
        virStorageTemplateListOld(pool);
    } else {
        virStorageTemplateTakeUploads(def, deadline);
    }
    if (virStorageTemplateReadFolder(obj, pool) < 0)
        return -1;
    virStorageTemplateAddTemplates(obj, pool);
    virStorageTemplateRegistryPut(virStorageTemplateDriverGet()->registry, pool);
    return 0;
}
