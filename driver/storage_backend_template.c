/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* storage_backend_template.c: puts the callbacks of template pools before those of libvirt */

/* Theory of operation
 *
 * libvirt's backends for dir, fs and netfs pools are tables of functions. When libvirt has
 * registered them, this module keeps a copy of each and puts its own functions in their place. Each
 * of these looks whether the volume is a template, or made from one. If not, which includes every
 * volume of every pool without our settings, it calls what was there before.
 */
#include "storage_backend_template.h"

#include "template_file.h"
#include "template_gate.h"

#include <fcntl.h>

VIR_LOG_INIT("storage.storage_backend_template");

__attribute__((visibility("default"))) int virStorageBackendTemplateRegister(void);

/* Bytes of a reason; the helper's are shorter */
#define REASON_MAX 4096

static const int decoratedTypes[] = {VIR_STORAGE_POOL_DIR, VIR_STORAGE_POOL_FS,
                                     VIR_STORAGE_POOL_NETFS};

/* Written once by virStorageBackendTemplateRegister(), before libvirt starts other threads */
static struct {
    virStorageTemplateDriver driver;
    virStorageBackend stock[VIR_STORAGE_POOL_LAST];
} module;

virStorageTemplateDriver *
virStorageTemplateDriverGet(void)
{
    return &module.driver;
}

const virStorageBackend *
virStorageTemplateStock(int type)
{
    return &module.stock[type];
}

static const virStorageBackend *
virStorageBackendTemplateStockOf(virStoragePoolObj *pool)
{
    return virStorageTemplateStock(virStoragePoolObjGetDef(pool)->type);
}

static bool
virStorageBackendTemplateIsPool(virStoragePoolObj *pool)
{
    virStoragePoolDef *def = virStoragePoolObjGetDef(pool);

    /* fs and netfs pools have data of their own there */
    return def->type == VIR_STORAGE_POOL_DIR && def->namespaceData;
}

static virStorageTemplateRef *
virStorageBackendTemplateFind(const char *path)
{
    return path ? virStorageTemplateRegistryFind(module.driver.registry, path) : NULL;
}

/* The template that is the backing store of a new volume; the path may be relative to its pool */
static virStorageTemplateRef *
virStorageBackendTemplateFindBacking(virStoragePoolObj *pool, virStorageVolDef *vol)
{
    g_autofree char *absolute = NULL;
    const char *path;

    if (!vol->target.backingStore || !vol->target.backingStore->path)
        return NULL;
    path = vol->target.backingStore->path;
    if (*path != '/')
        path = absolute = g_build_filename(virStoragePoolObjGetDef(pool)->target.path, path, NULL);
    return virStorageBackendTemplateFind(path);
}

/* The same through links in the path, for calls that destroy */
static virStorageTemplateRef *
virStorageBackendTemplateFindReal(const char *path)
{
    g_autofree char *target = g_path_get_dirname(path), *name = g_path_get_basename(path);
    g_autofree char *real = virFileCanonicalizePath(target), *resolved = NULL;
    virStorageTemplateRef *ref = virStorageBackendTemplateFind(path);

    if (ref || !real)
        return ref;
    resolved = g_build_filename(real, name, NULL);
    return virStorageBackendTemplateFind(resolved);
}

static int
virStorageBackendTemplateRefuse(virStorageVolDef *vol, const char *what)
{
    virReportError(VIR_ERR_OPERATION_DENIED,
                   "volume '%s' is a template and cannot be %s; make a clone of it with "
                   "vol-create-from",
                   vol->name, what);
    return -1;
}

static int
virStorageBackendTemplateRefreshPool(virStoragePoolObj *pool)
{
    virStorageTemplateFileSweep(virStoragePoolObjGetDef(pool)->target.path);
    if (virStorageBackendTemplateIsPool(pool)) {
        virStorageTemplateGateInstall();
        return virStorageTemplateRefreshPool(pool);
    }
    return virStorageBackendTemplateStockOf(pool)->refreshPool(pool);
}

static int
virStorageBackendTemplateStopPool(virStoragePoolObj *pool)
{
    const virStorageBackend *stock = virStorageBackendTemplateStockOf(pool);

    if (virStorageBackendTemplateIsPool(pool))
        virStorageTemplateRegistryRemove(module.driver.registry,
                                         virStoragePoolObjGetDef(pool)->target.path);
    return stock->stopPool ? stock->stopPool(pool) : 0;
}

static int
virStorageBackendTemplateCreateVol(virStoragePoolObj *pool, virStorageVolDef *vol)
{
    g_autoptr(virStorageTemplateRef) ref = NULL;

    virStorageTemplateGateLeave();
    ref = virStorageBackendTemplateFindBacking(pool, vol);
    if (virStorageBackendTemplateIsPool(pool) &&
        (vol->name[0] == '.' || virStorageTemplateNameIsVersion(vol->name))) {
        virReportError(VIR_ERR_INVALID_ARG,
                       "volume name '%s': names that begin with '.' or have the form "
                       "NAME@VERSION.qcow2 are for templates in this pool",
                       vol->name);
        return -1;
    }
    /* The pool is locked here: nobody reads the path while it is replaced */
    if (ref) {
        g_free(vol->target.backingStore->path);
        vol->target.backingStore->path = g_strdup(ref->path);
        vol->target.backingStore->format = VIR_STORAGE_FILE_QCOW2;
    }
    return virStorageBackendTemplateStockOf(pool)->createVol(pool, vol);
}

static int
virStorageBackendTemplateBuildVol(virStoragePoolObj *pool, virStorageVolDef *vol,
                                  unsigned int flags)
{
    g_autoptr(virStorageTemplateRef) ref = virStorageBackendTemplateFindBacking(pool, vol);
    int ret;

    /* A raw volume over a backing store: libvirt says what is wrong before anything is fetched */
    if (!ref || vol->target.format == VIR_STORAGE_FILE_RAW)
        return virStorageBackendTemplateStockOf(pool)->buildVol(pool, vol, flags);
    virStorageTemplateRegistrySetBuilding(module.driver.registry, vol->target.path, true);
    ret = virStorageTemplateBuildOver(pool, vol, ref, flags);
    virStorageTemplateRegistrySetBuilding(module.driver.registry, vol->target.path, false);
    /* libvirt deletes nothing after this one */
    virStorageTemplateRegistryTakeForeign(module.driver.registry, vol->target.path);
    return ret;
}

static int
virStorageBackendTemplateBuildFrom(virStoragePoolObj *pool, virStorageVolDef *vol,
                                   virStorageVolDef *inputvol, unsigned int flags)
{
    g_autoptr(virStorageTemplateRef) ref = virStorageBackendTemplateFind(inputvol->target.path);
    int ret;

    if (!ref)
        return virStorageBackendTemplateStockOf(pool)->buildVolFrom(pool, vol, inputvol, flags);
    virStorageTemplateRegistrySetBuilding(module.driver.registry, vol->target.path, true);
    ret = virStorageTemplateBuildFrom(pool, vol, inputvol, ref, flags);
    virStorageTemplateRegistrySetBuilding(module.driver.registry, vol->target.path, false);
    return ret;
}

static int
virStorageBackendTemplateBuildVolFrom(virStoragePoolObj *pool, virStorageVolDef *vol,
                                      virStorageVolDef *inputvol, unsigned int flags)
{
    int ret;

    /* For a pool that was refreshed when libvirtd could not be reached yet */
    virStorageTemplateGateInstall();
    virStorageTemplateGateLeave();
    ret = virStorageBackendTemplateBuildFrom(pool, vol, inputvol, flags);
    virStorageTemplateGateEnter();
    return ret;
}

static bool
virStorageBackendTemplateIsSeed(const virStorageVolDef *vol)
{
    return g_str_has_suffix(vol->name, "-seed.iso");
}

/* Why the helper could make no seed of what was uploaded: it writes this where nobody else can */
static int
virStorageBackendTemplateCheckUpload(virStoragePoolObj *pool, virStorageVolDef *vol)
{
    g_autofree char *path = g_strdup_printf("%s/.seeds/%s.refused",
                                            virStoragePoolObjGetDef(pool)->target.path, vol->name);
    g_autofree char *reason = NULL;

    if (!virStorageBackendTemplateIsPool(pool) || !virStorageBackendTemplateIsSeed(vol) ||
        !virFileExists(path) || virFileReadAll(path, REASON_MAX, &reason) < 0)
        return 0;
    virReportError(VIR_ERR_OPERATION_FAILED,
                   "what was uploaded into volume '%s' is no seed: %s; upload it again, or delete "
                   "the volume",
                   vol->name, reason);
    return -1;
}

/* While a volume is built its file may be absent, empty or half a header. Returns: whether it is */
static bool
virStorageBackendTemplateMeasureBuilding(virStorageVolDef *vol)
{
    g_autofree char *where =
        virStorageTemplateRegistryGetBuilding(module.driver.registry, vol->target.path);
    struct stat sb;
    bool exists;

    if (!where)
        return false;
    /* It may get its name just now */
    exists = stat(where, &sb) == 0 || stat(vol->target.path, &sb) == 0;
    vol->target.allocation = exists ? (unsigned long long)sb.st_blocks * 512 : 0;
    vol->target.physical = exists ? sb.st_size : 0;
    return true;
}

/* libvirt asks here with the pool that a clone is made in, also for the template of another pool */
static int
virStorageBackendTemplateRefreshVol(virStoragePoolObj *pool, virStorageVolDef *vol)
{
    g_autoptr(virStorageTemplateRef) ref = NULL;

    virStorageTemplateGateLeave();
    ref = virStorageBackendTemplateFind(vol->target.path);
    if (ref) {
        virStorageTemplateVolumeRefresh(ref, vol);
        return 0;
    }
    if (vol->target.path && virStorageBackendTemplateMeasureBuilding(vol))
        return 0;
    if (virStorageBackendTemplateCheckUpload(pool, vol) < 0)
        return -1;
    return virStorageBackendTemplateStockOf(pool)->refreshVol(pool, vol);
}

static void
virStorageBackendTemplateForgetUpload(virStoragePoolObj *pool, virStorageVolDef *vol)
{
    g_autofree char *path = g_strdup_printf("%s/.seeds/%s.refused",
                                            virStoragePoolObjGetDef(pool)->target.path, vol->name);

    if (virStorageBackendTemplateIsPool(pool) && virStorageBackendTemplateIsSeed(vol))
        unlink(path);
}

static int
virStorageBackendTemplateDeleteVol(virStoragePoolObj *pool, virStorageVolDef *vol,
                                   unsigned int flags)
{
    g_autoptr(virStorageTemplateRef) ref = NULL;
    struct stat sb;

    virStorageTemplateGateLeave();
    ref = virStorageBackendTemplateFindReal(vol->target.path);
    if (ref)
        return virStorageTemplateVolumeEvict(pool, ref, vol, flags);
    /* libvirt deletes what it could not build: not what was there before */
    if (virStorageTemplateRegistryTakeForeign(module.driver.registry, vol->target.path))
        return 0;
    /* A read-only pool would make that the error, and keep the volume */
    if (vol->type == VIR_STORAGE_VOL_FILE && lstat(vol->target.path, &sb) < 0 && errno == ENOENT)
        return 0;
    virStorageBackendTemplateForgetUpload(pool, vol);
    return virStorageBackendTemplateStockOf(pool)->deleteVol(pool, vol, flags);
}

static int
virStorageBackendTemplateResizeVol(virStoragePoolObj *pool, virStorageVolDef *vol,
                                   unsigned long long capacity, unsigned int flags)
{
    g_autoptr(virStorageTemplateRef) ref = virStorageBackendTemplateFindReal(vol->target.path);

    if (ref)
        return virStorageBackendTemplateRefuse(vol, "resized");
    return virStorageBackendTemplateStockOf(pool)->resizeVol(pool, vol, capacity, flags);
}

/* A seed replaces the one before as a whole; elsewhere libvirt writes over what is there */
static int
virStorageBackendTemplateEmptySeed(virStorageVolDef *vol)
{
    VIR_AUTOCLOSE fd = open(vol->target.path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || ftruncate(fd, 0) < 0) {
        virReportSystemError(errno, "cannot empty '%s'", vol->target.path);
        return -1;
    }
    return 0;
}

static int
virStorageBackendTemplateUploadVol(virStoragePoolObj *pool, virStorageVolDef *vol,
                                   virStreamPtr stream, unsigned long long offset,
                                   unsigned long long length, unsigned int flags)
{
    g_autoptr(virStorageTemplateRef) ref = virStorageBackendTemplateFindReal(vol->target.path);

    if (ref)
        return virStorageBackendTemplateRefuse(vol, "written");
    if (virStorageBackendTemplateIsPool(pool) && virStorageBackendTemplateIsSeed(vol) &&
        offset == 0 && virStorageBackendTemplateEmptySeed(vol) < 0)
        return -1;
    return virStorageBackendTemplateStockOf(pool)->uploadVol(pool, vol, stream, offset, length,
                                                             flags);
}

static int
virStorageBackendTemplateDownloadVol(virStoragePoolObj *pool, virStorageVolDef *vol,
                                     virStreamPtr stream, unsigned long long offset,
                                     unsigned long long length, unsigned int flags)
{
    g_autoptr(virStorageTemplateRef) ref = virStorageBackendTemplateFind(vol->target.path);
    virStorageVolDef version = *vol;

    if (ref) {
        if (virStorageTemplateFetch(ref) < 0)
            return -1;
        version.target.path = ref->path;
    }
    return virStorageBackendTemplateStockOf(pool)->downloadVol(pool, &version, stream, offset,
                                                               length, flags);
}

static int
virStorageBackendTemplateWipeVol(virStoragePoolObj *pool, virStorageVolDef *vol,
                                 unsigned int algorithm, unsigned int flags)
{
    g_autoptr(virStorageTemplateRef) ref = virStorageBackendTemplateFindReal(vol->target.path);

    if (ref)
        return virStorageBackendTemplateRefuse(vol, "wiped");
    return virStorageBackendTemplateStockOf(pool)->wipeVol(pool, vol, algorithm, flags);
}

static bool
virStorageBackendTemplateIsComplete(const virStorageBackend *stock)
{
    return stock->refreshPool && stock->createVol && stock->buildVol && stock->buildVolFrom &&
           stock->refreshVol && stock->deleteVol && stock->resizeVol && stock->uploadVol &&
           stock->downloadVol && stock->wipeVol;
}

static void
virStorageBackendTemplateDecorate(virStorageBackend *backend)
{
    module.stock[backend->type] = *backend;
    if (backend->type == VIR_STORAGE_POOL_DIR)
        backend->stopPool = virStorageBackendTemplateStopPool;
    backend->refreshPool = virStorageBackendTemplateRefreshPool;
    backend->createVol = virStorageBackendTemplateCreateVol;
    backend->buildVol = virStorageBackendTemplateBuildVol;
    backend->buildVolFrom = virStorageBackendTemplateBuildVolFrom;
    backend->refreshVol = virStorageBackendTemplateRefreshVol;
    backend->deleteVol = virStorageBackendTemplateDeleteVol;
    backend->resizeVol = virStorageBackendTemplateResizeVol;
    backend->uploadVol = virStorageBackendTemplateUploadVol;
    backend->downloadVol = virStorageBackendTemplateDownloadVol;
    backend->wipeVol = virStorageBackendTemplateWipeVol;
}

/* The tables of another version have other entries */
static bool
virStorageBackendTemplateIsVersion(void)
{
    unsigned long version = 0;

    return virGetVersion(&version, NULL, NULL) == 0 && version == LIBVIR_VERSION_NUMBER;
}

/**
 * virStorageBackendTemplateRegister:
 *
 * Called once by the loader, after libvirt's own fs backend. All checks come first: on failure
 * nothing has been changed.
 *
 * Returns: 0, or -1
 */
int
virStorageBackendTemplateRegister(void)
{
    virStorageBackend *backends[G_N_ELEMENTS(decoratedTypes)];
    virXMLNamespace ns = virStorageTemplatePoolNamespace;

    if (!virStorageBackendTemplateIsVersion())
        return -1;
    for (size_t i = 0; i < G_N_ELEMENTS(decoratedTypes); i++) {
        backends[i] = virStorageBackendForType(decoratedTypes[i]);
        if (!backends[i] || !virStorageBackendTemplateIsComplete(backends[i]))
            return -1;
    }
    if (virStorageBackendNamespaceInit(VIR_STORAGE_POOL_DIR, &ns) < 0)
        return -1;

    module.driver.client = virStorageTemplateClientNew();
    module.driver.registry = virStorageTemplateRegistryNew();
    for (size_t i = 0; i < G_N_ELEMENTS(decoratedTypes); i++)
        virStorageBackendTemplateDecorate(backends[i]);
    VIR_INFO("template pools are on");
    return 0;
}
