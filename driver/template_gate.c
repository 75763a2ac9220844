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
 * goes one thread at a time; it is inside while it takes a pair of locks, and outside while a
 * volume is built, however long that takes. No pool is locked when a thread waits at the gate.
 */
#include "template_gate.h"

#include <dlfcn.h>

#include "datatypes.h"

VIR_LOG_INIT("storage.template_gate");

/* The driver's function has no pointer of ours. Written once, under the lock. */
static struct {
    GMutex lock; /* of the installation */
    GMutex gate;
    virDrvStorageVolCreateXMLFrom stock;
} module;

/* Of the thread that is in the function: buildVolFrom() may be called from elsewhere */
static __thread struct {
    bool active;
    bool inside;
} self;

void
virStorageTemplateGateEnter(void)
{
    if (!self.active || self.inside)
        return;
    g_mutex_lock(&module.gate);
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

/* Backends of other types do not say when they begin to build, which may take long */
static bool
virStorageTemplateGateIsFor(virStoragePoolPtr pool, virStorageVolPtr source)
{
    virStoragePoolObj *obj;
    int type;

    if (STREQ(pool->name, source->pool))
        return false;
    obj = virStoragePoolObjFindPoolByUUID(pool->uuid);
    if (!obj)
        return false;
    type = virStoragePoolObjGetDef(obj)->type;
    virStoragePoolObjEndAPI(&obj);
    return type == VIR_STORAGE_POOL_DIR || type == VIR_STORAGE_POOL_FS ||
           type == VIR_STORAGE_POOL_NETFS;
}

static virStorageVolPtr
virStorageTemplateGateCreateXMLFrom(virStoragePoolPtr pool, const char *xml,
                                    virStorageVolPtr source, unsigned int flags)
{
    virStorageVolPtr vol;

    if (!virStorageTemplateGateIsFor(pool, source))
        return module.stock(pool, xml, source, flags);
    self.active = true;
    virStorageTemplateGateEnter();
    vol = module.stock(pool, xml, source, flags);
    virStorageTemplateGateLeave();
    self.active = false;
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
    if (!found.data || !dladdr(found.data, &there) || !dladdr(known.data, &here) ||
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
