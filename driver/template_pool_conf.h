/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_pool_conf.h: the settings of a template pool in its XML */
#pragma once

#include "compat-libvirt.h"

#define VIR_STORAGE_TEMPLATE_NAMESPACE_URI "urn:virt-template:pool:1"

typedef struct {
    char *store;     /* URL */
    char *policy;    /* path of policy.json, NULL: the helper's own default */
    char *strategy;  /* "linked" or "full", NULL: linked */
    char *defaults;  /* path of a file of parameter values, or NULL */
    char *cacheMax;  /* as written, NULL: no limit */
    char *cacheUnit; /* as written, NULL: bytes */
    unsigned long long cacheBytes;
} virStorageTemplatePoolConf;

/**
 * virStorageTemplatePoolConfParse:
 * @ctxt: at the <pool> element, with the prefix "template" registered
 * @data: gets a virStorageTemplatePoolConf, or stays NULL for a pool without our elements
 *
 * Every element and attribute of the namespace has to be known, complete and valid; the error
 * names the one that is not.
 *
 * Returns: 0, or -1 with an error reported
 */
int virStorageTemplatePoolConfParse(xmlXPathContextPtr ctxt, void **data);

/** virStorageTemplatePoolConfFormat: the reverse of virStorageTemplatePoolConfParse() */
int virStorageTemplatePoolConfFormat(virBuffer *buf, void *data);

void virStorageTemplatePoolConfFree(void *data);

/** virStorageTemplatePoolConfIsFull: Returns: whether clones are full copies */
bool virStorageTemplatePoolConfIsFull(const virStorageTemplatePoolConf *conf);

/** virStorageTemplatePoolNamespace: the table that libvirt keeps for pools of type dir */
extern const virXMLNamespace virStorageTemplatePoolNamespace;
