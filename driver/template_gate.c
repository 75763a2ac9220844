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
 * function of the storage driver's table is replaced by one with a gate before it. Through the gate
 * goes one thread at a time; it is inside while it takes a pair of locks, and leaves when libvirt
 * calls the backend the next time, which it does with both locks, or with none.
 *
 * A pool whose directory hangs is locked for as long. Who needs it waits outside: nobody goes in
 * before both pools were found free, so one pool does not stop clones between others.
 */
#include "template_gate.h"

#include <dlfcn.h>
#include <pthread.h>

#include "datatypes.h"

VIR_LOG_INIT("storage.template_gate");

/* The driver's functions have no pointer of ours. Written once, under the lock. */
static struct {
    GMutex lock; /* of the installation */
    GMutex gate;
    virDrvStorageVolCreateXMLFrom stock;
    virDrvStoragePoolLookupByName lookup;
} module;

/* Of the thread that is in the function: buildVolFrom() may be called from elsewhere.
 * @pools: references to destination and source; none when it is not in the function, and only the
 * first when the client may not see the source's pool */
static __thread struct {
    virStoragePoolObj *pools[2];
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

void
virStorageTemplateGateEnter(void)
{
    virStoragePoolObj *locked;

    if (!self.pools[0] || self.inside)
        return;
    g_mutex_lock(&module.gate);
    while ((locked = virStorageTemplateGateFindLocked())) {
        g_mutex_unlock(&module.gate);
        virObjectLock(locked);
        virObjectUnlock(locked);
        g_mutex_lock(&module.gate);
    }
    self.inside = true;
}

void
virStorageTemplateGateLeave(void)
{
    if (!self.inside)
        return;
    self.inside = false;
    g_mutex_unlock(&module.gate);
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

/* Backends of other types do not call us when they begin to build, which may take long. The type
 * never changes. */
static bool
virStorageTemplateGateIsFor(virStoragePoolObj *pool)
{
    int type;

    virObjectLock(pool);
    type = virStoragePoolObjGetDef(pool)->type;
    virObjectUnlock(pool);
    return type == VIR_STORAGE_POOL_DIR || type == VIR_STORAGE_POOL_FS ||
           type == VIR_STORAGE_POOL_NETFS;
}

static virStorageVolPtr
virStorageTemplateGatePass(virStoragePoolPtr pool, const char *xml, virStorageVolPtr source,
                           unsigned int flags)
{
    virStorageVolPtr vol;

    virStorageTemplateGateEnter();
    vol = module.stock(pool, xml, source, flags);
    virStorageTemplateGateLeave();
    return vol;
}

static virStorageVolPtr
virStorageTemplateGateCreateXMLFrom(virStoragePoolPtr pool, const char *xml,
                                    virStorageVolPtr source, unsigned int flags)
{
    virStoragePoolObj *pools[2] = {NULL, NULL};
    virStorageVolPtr vol;

    if (STRNEQ(pool->name, source->pool))
        pools[0] = virStorageTemplateGateFindPool(pool->uuid);
    if (pools[0] && virStorageTemplateGateIsFor(pools[0])) {
        virStorageTemplateGateFindSource(source, &pools[1]);
        memcpy(self.pools, pools, sizeof(pools));
    }
    vol = virStorageTemplateGatePass(pool, xml, source, flags);
    memset(self.pools, 0, sizeof(self.pools));
    virObjectUnref(pools[0]);
    virObjectUnref(pools[1]);
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
