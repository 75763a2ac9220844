/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance.h: what the owner of a domain says about its guest, in the domain's XML */
#pragma once

#include "vt-unattend-write.h"

#define VT_INSTANCE_NAMESPACE "urn:virt-template:instance:1"
/* A domain of many devices has 100 KiB, complete user-data 1 MiB */
#define VT_INSTANCE_XML_MAX (4u << 20)

typedef enum {
    VT_SEED_NOCLOUD,
    VT_SEED_CONFIG_DRIVE,
    VT_SEED_UNATTEND,
} VtSeedSource;

/** VtSecretReference: a place that a secret goes to, see vt-instance-secret.h */
typedef struct VtSecretReference VtSecretReference;
void vt_secret_reference_free(gpointer reference);

/**
 * VtInstance:
 * @domain: name of the domain
 * @uuid: of the domain; the instance-id follows from it
 * @seed_path: where the domain expects its seed
 * @template: (nullable): `NAME@VERSION` of the template whose parameters are meant
 * @parameters: (element-type utf8 GPtrArray): texts for each name; each array ends with %NULL
 * @template_config: (nullable): cloud-config: what the template says, with the parameters' values
 * @hostname: a host name, or a name with its domain
 * @config: cloud-config: what the elements say
 * @network: (nullable): network-config, version 2
 * @user_data: (nullable): complete user-data of the owner's
 * @network_text: (nullable): complete network-config of the owner's
 * @secrets: (element-type VtSecretReference): what is not filled in yet
 * @unattend: (nullable): what the answer file is made of, with %VT_SEED_UNATTEND
 * @answer: (nullable): the answer file of Windows Setup, with %VT_SEED_UNATTEND: the owner's own,
 *   else there is none before vt_instance_complete()
 */
typedef struct {
    char *domain;
    char *uuid;
    char *seed_path;
    VtSeedSource source;
    char *template;
    GHashTable *parameters;
    json_t *template_config;
    char *hostname;
    json_t *config;
    json_t *network;
    char *user_data;
    char *network_text;
    GPtrArray *secrets;
    VtUnattend *unattend;
    char *answer;
} VtInstance;

void vt_instance_free(VtInstance *instance);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtInstance, vt_instance_free)

/**
 * vt_instance_parse:
 * @xml: of a domain, as libvirt formats it; its <metadata> may have an <instance> in
 *   %VT_INSTANCE_NAMESPACE, see virt-template-instance(5)
 * @ret_instance: (out): %NULL if the domain has none
 * @error: %VT_ERROR_INVALID naming the element and what is expected; %VT_ERROR_TOO_LARGE
 */
bool vt_instance_parse(GBytes *xml, VtInstance **ret_instance, GError **error);
