/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* storage_backend_template.h: what the callbacks of the module share */
#pragma once

#include "template_pool.h"

/**
 * virStorageTemplateDriver:
 * @client: of virttemplated
 * @registry: of the template pools that run
 *
 * One for the process. libvirt's callbacks carry no pointer of ours, so it has to be found by
 * virStorageTemplateDriverGet().
 */
typedef struct {
    virStorageTemplateClient *client;
    virStorageTemplateRegistry *registry;
} virStorageTemplateDriver;

virStorageTemplateDriver *virStorageTemplateDriverGet(void);

/** virStorageTemplateStock: Returns: the callbacks that libvirt itself has for pools of @type */
const virStorageBackend *virStorageTemplateStock(int type);

/* template_refresh.c */

/**
 * virStorageTemplateRefreshPool:
 *
 * List the templates and the other files of a template pool; the pool is locked. Fails only when
 * the folder itself cannot be read.
 */
int virStorageTemplateRefreshPool(virStoragePoolObj *pool);

/* template_volume.c */

/* Templates are sealed. Who copies a template's XML to describe a clone (virsh vol-clone) asks for
 * this mode without meaning it. */
#define VIR_STORAGE_TEMPLATE_MODE 0444

/** virStorageTemplateVolumeNew: Returns: (transfer full): the volume of @entry; @alias: NAME.qcow2
 */
virStorageVolDef *virStorageTemplateVolumeNew(const virStorageTemplatePool *pool,
                                              const virStorageTemplate *entry, bool alias);

/** virStorageTemplateVolumeRefresh: bring sizes up to date; never fails */
void virStorageTemplateVolumeRefresh(const virStorageTemplateRef *ref, virStorageVolDef *vol);

/** virStorageTemplateVolumeEvict: remove the local copy, and list the volume again */
int virStorageTemplateVolumeEvict(virStoragePoolObj *pool, const virStorageTemplateRef *ref,
                                  virStorageVolDef *vol, unsigned int flags);

/** virStorageTemplateFetch: bring the template here, however long it takes */
int virStorageTemplateFetch(const virStorageTemplateRef *ref);

/**
 * virStorageTemplateJobRun: wait until a job of the helper ends
 * @ret_lost: (out): the helper does not know the job, or is gone; untouched otherwise
 */
bool virStorageTemplateJobRun(guint64 job, bool *ret_lost, GError **error);

/* template_clone.c */

/** virStorageTemplateBuildOver: vol-create with a template as backing store */
int virStorageTemplateBuildOver(virStoragePoolObj *pool, virStorageVolDef *vol,
                                const virStorageTemplateRef *ref, unsigned int flags);

/** virStorageTemplateBuildFrom: vol-create-from with a template as source @inputvol */
int virStorageTemplateBuildFrom(virStoragePoolObj *pool, virStorageVolDef *vol,
                                virStorageVolDef *inputvol, const virStorageTemplateRef *ref,
                                unsigned int flags);
