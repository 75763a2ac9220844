/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_gate.c: clones that are made at the same time must not lock each other out */

/* Theory of operation
 *
 * libvirt's storageVolCreateXMLFrom() with volumes of two pools locks both of them twice:
 *
 *     lock source, lock destination ... unlock both, buildVolFrom(), lock destination, lock source
 *
 * Two threads, one at its first pair of locks and one at its second, wait for each other for ever,
 * and with them everybody who needs one of the pools (seen with 9.0.0; 11.3.0 has the same lines).
 * After a full copy of a minute that is rare. A linked clone takes a millisecond, and eight clients
 * get there within seconds.
 *
 * Nothing that a backend can do prevents it: the first lock is taken before any callback. So this
 * function of the storage driver's table is replaced by one with gates before it, one for each
 * pool. Through the gate of a pool goes one thread at a time; it is inside those of its two pools
 * while it takes the locks, and leaves when libvirt calls the backend the next time: then it waits
 * for no lock any more. So two threads that need the same pool never take locks at the same time.
 *
 * A pool whose directory hangs is locked for as long. Who needs it waits outside, and in no gate:
 * nobody goes in before both pools were found free, so one pool does not stop clones between
 * others.
 */
#include "template_gate.h"

#include <dlfcn.h>
#include <pthread.h>

#include "datatypes.h"

VIR_LOG_INIT("storage.template_gate");

/* Pools whose names lead to the same one share it; a host has a few of them */
#define GATES 1024

/* The driver's functions have no pointer of ours. Written once, under the lock. */
static struct {
    GMutex lock; /* of the installation */
    GMutex gates[GATES];
    virDrvStorageVolCreateXMLFrom stock;
    virDrvStoragePoolLookupByName lookup;
} module;

/* Of the thread that is in the function: buildVolFrom() may be called from elsewhere.
 * @pools: references to destination and source; none when it is not in the function, and only the
 * first when the client may not see the source's pool
 * @gates: of the two; the second is %NULL when it is the first */
static __thread struct {
    virStoragePoolObj *pools[2];
    GMutex *gates[2];
    bool inside;
} self;

/* Returns: (nullable): one of the two that somebody has locked; nobody who is inside waits long
 * for what was free a moment ago */
static virStoragePoolObj *
virStorageTemplateGateFindLocked(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(self.pools); i++) {
        virObjectLockable *object = (virObjectLockable *)self.pools[i];

        if (!object)
            continue;
        if (pthread_mutex_trylock(&object->lock.lock) != 0)
            return self.pools[i];
        virObjectUnlock(object);
    }
    return NULL;
}

static void
virStorageTemplateGateUnlock(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(self.gates); i++) {
        if (self.gates[i])
            g_mutex_unlock(self.gates[i]);
    }
}

/* In none of the two while it waits for the other one */
static void
virStorageTemplateGateLock(void)
{
    size_t first = 0;

    g_mutex_lock(self.gates[first]);
    while (self.gates[1] && !g_mutex_trylock(self.gates[!first])) {
        g_mutex_unlock(self.gates[first]);
        first = !first;
        g_mutex_lock(self.gates[first]);
    }
}

void
virStorageTemplateGateEnter(void)
{
    virStoragePoolObj *locked;

    if (!self.pools[0] || self.inside)
        return;
    virStorageTemplateGateLock();
    while ((locked = virStorageTemplateGateFindLocked())) {
        virStorageTemplateGateUnlock();
        virObjectLock(locked);
        virObjectUnlock(locked);
        virStorageTemplateGateLock();
    }
    self.inside = true;
}

void
virStorageTemplateGateLeave(void)
{
    if (!self.inside)
        return;
    self.inside = false;
    virStorageTemplateGateUnlock();
}

/* Returns: (transfer full) (nullable): unlocked */
static virStoragePoolObj *
virStorageTemplateGateFindPool(const unsigned char *uuid)
{
    virStoragePoolObj *obj = virStoragePoolObjFindPoolByUUID(uuid);

    if (obj)
        virObjectUnlock(obj);
    return obj;
}

/* @ret: (transfer full) (nullable): libvirt says what is wrong with a name that has none */
static void
virStorageTemplateGateFindSource(virStorageVolPtr source, virStoragePoolObj **ret)
{
    virStoragePoolPtr pool = module.lookup(source->conn, source->pool);

    if (pool)
        *ret = virStorageTemplateGateFindPool(pool->uuid);
    virObjectUnref(pool);
    virResetLastError();
}

static GMutex *
virStorageTemplateGateOf(const char *name)
{
    return &module.gates[g_str_hash(name) % GATES];
}

/* Backends of other types do not call us when they begin to build, which may take long.
 * @ret_name: (transfer full): as it is now; the client may know it by another one */
static bool
virStorageTemplateGateIsFor(virStoragePoolObj *pool, char **ret_name)
{
    int type;

    virObjectLock(pool);
    type = virStoragePoolObjGetDef(pool)->type;
    *ret_name = g_strdup(virStoragePoolObjGetDef(pool)->name);
    virObjectUnlock(pool);
    return type == VIR_STORAGE_POOL_DIR || type == VIR_STORAGE_POOL_FS ||
           type == VIR_STORAGE_POOL_NETFS;
}

/* @name: of the destination */
static void
virStorageTemplateGateChoose(const char *name, virStorageVolPtr source)
{
    GMutex *first = virStorageTemplateGateOf(name);
    GMutex *second = virStorageTemplateGateOf(source->pool);

    virStorageTemplateGateFindSource(source, &self.pools[1]);
    self.gates[0] = first;
    self.gates[1] = second == first ? NULL : second;
}

/* libvirt would lock that one pool twice, and wait for itself */
static virStorageVolPtr
virStorageTemplateGateRefuse(virStoragePoolPtr pool, virStorageVolPtr source)
{
    virReportError(VIR_ERR_OPERATION_INVALID,
                   "storage pool '%s' is now called '%s': look it up again", pool->name,
                   source->pool);
    return NULL;
}

static virStorageVolPtr
virStorageTemplateGateCreateXMLFrom(virStoragePoolPtr pool, const char *xml,
                                    virStorageVolPtr source, unsigned int flags)
{
    virStoragePoolObj *obj = NULL;
    g_autofree char *name = NULL;
    virStorageVolPtr vol;

    if (STRNEQ(pool->name, source->pool))
        obj = virStorageTemplateGateFindPool(pool->uuid);
    if (obj && virStorageTemplateGateIsFor(obj, &name)) {
        self.pools[0] = obj;
        virStorageTemplateGateChoose(name, source);
    }
    virStorageTemplateGateEnter();
    if (STREQ_NULLABLE(name, source->pool))
        vol = virStorageTemplateGateRefuse(pool, source);
    else
        vol = module.stock(pool, xml, source, flags);
    virStorageTemplateGateLeave();
    virObjectUnref(self.pools[1]);
    memset(&self, 0, sizeof(self));
    virObjectUnref(obj);
    return vol;
}

/* The table of the storage driver in this process, and of no other driver */
static virStorageDriver *
virStorageTemplateGateFindDriver(virConnectPtr conn)
{
    union {
        virDrvStorageVolCreateXMLFrom func;
        void *data;
    } found;
    union {
        virStorageBackend *(*func)(int);
        void *data;
    } known = {.func = virStorageBackendForType};
    Dl_info there, here;

    if (!conn || !conn->storageDriver)
        return NULL;
    found.func = conn->storageDriver->storageVolCreateXMLFrom;
    if (!found.data || !conn->storageDriver->storagePoolLookupByName ||
        !dladdr(found.data, &there) || !dladdr(known.data, &here) ||
        there.dli_fbase != here.dli_fbase)
        return NULL;
    return conn->storageDriver;
}

static void
virStorageTemplateGatePlace(void)
{
    virConnectPtr conn = virGetConnectStorage();
    virStorageDriver *driver = virStorageTemplateGateFindDriver(conn);

    if (driver) {
        module.lookup = driver->storagePoolLookupByName;
        module.stock = driver->storageVolCreateXMLFrom;
        g_atomic_pointer_set(&driver->storageVolCreateXMLFrom, virStorageTemplateGateCreateXMLFrom);
        VIR_DEBUG("the gate is in place");
    } else {
        VIR_DEBUG("the storage driver cannot be reached yet: %s", virGetLastErrorMessage());
        virResetLastError();
    }
    if (conn)
        virConnectClose(conn);
}

void
virStorageTemplateGateInstall(void)
{
    g_mutex_lock(&module.lock);
    if (!module.stock)
        virStorageTemplateGatePlace();
    g_mutex_unlock(&module.lock);
}
