/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_pool.h: the template pools that run, and what is known of their templates */
#pragma once

#include "template_client.h"
#include "template_pool_conf.h"

/* What the catalog says of one version of a template, at the last refresh */
typedef struct {
    char *name;
    char *version;
    unsigned long long capacity;
    unsigned long long allocation;
    guint32 flags; /* virStorageTemplateFlags */
} virStorageTemplate;

/**
 * virStorageTemplatePool:
 * @target: folder of the pool
 * @full: clones are full copies
 * @settings: as RegisterPool takes them
 * @templates: (element-type utf8 virStorageTemplate): by "NAME@VERSION"
 * @current: (element-type utf8 virStorageTemplate): by NAME, entries of @templates
 *
 * Never altered once it is in the registry: a refresh puts another one in its place.
 */
typedef struct {
    char *target;
    bool full;
    GVariant *settings;
    GHashTable *templates;
    GHashTable *current;
} virStorageTemplatePool;

/** virStorageTemplatePoolNew: Returns: (transfer full): a pool of @def's settings, no templates */
virStorageTemplatePool *virStorageTemplatePoolNew(const virStoragePoolDef *def);
void virStorageTemplatePoolUnref(virStorageTemplatePool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStorageTemplatePool, virStorageTemplatePoolUnref)

/**
 * virStorageTemplatePoolAdd:
 * @pool: not in the registry yet
 * @entry: (transfer none): copied
 *
 * Returns: the copy; %NULL if its name or version would not make a volume name
 */
virStorageTemplate *virStorageTemplatePoolAdd(virStorageTemplatePool *pool,
                                              const virStorageTemplate *entry);

/** virStorageTemplatePoolRegister: make the pool known to the helper */
bool virStorageTemplatePoolRegister(const virStorageTemplatePool *pool,
                                    virStorageTemplateClient *client, gint64 deadline,
                                    GError **error);

/**
 * virStorageTemplatePoolCall:
 *
 * As virStorageTemplateClientCall(), for a method about @pool. A helper that lost its state gets to
 * know the pool again.
 */
bool virStorageTemplatePoolCall(const virStorageTemplatePool *pool,
                                virStorageTemplateClient *client,
                                const virStorageTemplateCall *call, GVariant **ret_reply,
                                GError **error);

/** virStorageTemplateRegistry: all template pools that run; used by any thread */
typedef struct _virStorageTemplateRegistry virStorageTemplateRegistry;
virStorageTemplateRegistry *virStorageTemplateRegistryNew(void);
void virStorageTemplateRegistryPut(virStorageTemplateRegistry *registry,
                                   virStorageTemplatePool *pool);
void virStorageTemplateRegistryRemove(virStorageTemplateRegistry *registry, const char *target);

/** virStorageTemplateRegistryGet: Returns: (transfer full) (nullable): the pool of this folder */
virStorageTemplatePool *virStorageTemplateRegistryGet(virStorageTemplateRegistry *registry,
                                                      const char *target);

/** virStorageTemplateRegistrySetBuilding: whether this module writes the volume @path now */
void virStorageTemplateRegistrySetBuilding(virStorageTemplateRegistry *registry, const char *path,
                                           bool building);

/** virStorageTemplateRegistrySetHidden: where a volume is until it is whole; it is marked as being
 * written; @hidden: (nullable): it is at @path */
void virStorageTemplateRegistrySetHidden(virStorageTemplateRegistry *registry, const char *path,
                                         const char *hidden);

/** virStorageTemplateRegistryGetBuilding: Returns: (transfer full) (nullable): where the volume
 * @path is being written now, %NULL if it is not */
char *virStorageTemplateRegistryGetBuilding(virStorageTemplateRegistry *registry, const char *path);

/** virStorageTemplateRegistryIsHidden: Returns: whether a volume is being written into the file
 * @name of any folder; its path may lead through links */
bool virStorageTemplateRegistryIsHidden(virStorageTemplateRegistry *registry, const char *name);

/** virStorageTemplateRegistrySetForeign: there was a file already where the volume @path was to be
 * made, which is not to be deleted when libvirt deletes that volume */
void virStorageTemplateRegistrySetForeign(virStorageTemplateRegistry *registry, const char *path);

/** virStorageTemplateRegistryTakeForeign: Returns: whether it is, and forgets it */
bool virStorageTemplateRegistryTakeForeign(virStorageTemplateRegistry *registry, const char *path);

/**
 * virStorageTemplateRef:
 * @pool: where the template is
 * @name: of the template
 * @version: the concrete one, also when the path was that of the current version
 * @path: `<target>/NAME@VERSION.qcow2`
 */
typedef struct {
    virStorageTemplatePool *pool;
    char *name;
    char *version;
    char *path;
} virStorageTemplateRef;

void virStorageTemplateRefFree(virStorageTemplateRef *ref);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStorageTemplateRef, virStorageTemplateRefFree)

/**
 * virStorageTemplateRegistryFind:
 * @path: of a volume, or any absolute path
 *
 * `NAME@VERSION.qcow2` in the folder of a template pool is always a template. `NAME.qcow2` is one
 * if the catalog has a current version of NAME and there is no file of this name.
 *
 * Returns: (transfer full) (nullable): the template, %NULL if @path is not one
 */
virStorageTemplateRef *virStorageTemplateRegistryFind(virStorageTemplateRegistry *registry,
                                                      const char *path);

/** virStorageTemplateRefGet: Returns: (nullable): the catalog's entry, kept alive by @ref */
const virStorageTemplate *virStorageTemplateRefGet(const virStorageTemplateRef *ref);

/**
 * virStorageTemplateNameParse:
 * @volume: name of a file
 * @ret_name: (out) (transfer full)
 * @ret_version: (out) (transfer full) (nullable): %NULL for the form without version
 *
 * Returns: whether it has one of the forms `NAME@VERSION.qcow2` and `NAME.qcow2`
 */
bool virStorageTemplateNameParse(const char *volume, char **ret_name, char **ret_version);

/** virStorageTemplateNameIsVersion: Returns: whether @volume has the form `NAME@VERSION.qcow2` */
bool virStorageTemplateNameIsVersion(const char *volume);
