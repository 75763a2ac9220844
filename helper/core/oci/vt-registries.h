/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registries.h: which hosts stand for a registry: containers-registries.conf(5) */
#pragma once

#include "vt-error.h"

#include <jansson.h>

/* Distributions ship some hundred aliases; rules are few */
#define VT_REGISTRIES_FILE_MAX (1u << 20)

/**
 * VtMirror:
 * @location: `host[:port][/path]`, in the place of the rule's prefix
 * @insecure: plain HTTP is accepted
 * @by_tag_only: `pull-from-mirror = "tag-only"`
 */
typedef struct {
    char *location;
    bool insecure;
    bool by_tag_only;
} VtMirror;

/**
 * VtRegistryRule: a `[[registry]]`
 * @prefix: `host[:port][/path]`, or `*.domain`
 * @location: (nullable): what stands for the prefix at the registry itself
 * @mirrors: (element-type VtMirror): in the order in which they are asked
 */
typedef struct {
    char *prefix;
    char *location;
    bool blocked;
    bool insecure;
    GPtrArray *mirrors;
} VtRegistryRule;

/** VtRegistries: rules of all files; a rule of a later file takes the place of one with its prefix
 */
typedef struct VtRegistries VtRegistries;

VtRegistries *vt_registries_new(void);
void vt_registries_free(VtRegistries *registries);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtRegistries, vt_registries_free)

/**
 * vt_registries_add:
 * @bytes: a file in TOML, version 2
 * @document: its name, for messages
 * @error: %VT_ERROR_INVALID; members of a rule that are not known are refused, all others ignored
 */
bool vt_registries_add(VtRegistries *registries, GBytes *bytes, const char *document,
                       GError **error);

/** vt_registries_is_empty: Returns: whether there is no rule */
bool vt_registries_is_empty(const VtRegistries *registries);

/** vt_registries_find: Returns: (transfer none) (nullable): the rule with the longest prefix of
 *  `HOST/REPOSITORY` */
const VtRegistryRule *vt_registries_find(const VtRegistries *registries, const char *host,
                                         const char *repository);

/**
 * vt_registries_place:
 * @location: (nullable): of @rule or of one of its mirrors; %NULL: nothing changes
 *
 * Returns: (transfer full): where `HOST/REPOSITORY` is with it, in the same form
 */
char *vt_registries_place(const VtRegistryRule *rule, const char *location, const char *host,
                          const char *repository);

/** vt_registries_keep: Drops the rules that hold neither for @repository nor for any below it */
void vt_registries_keep(VtRegistries *registries, const char *host, const char *repository);

/** vt_registries_hosts: Returns: (transfer full) (array zero-terminated=1): all hosts in locations
 *  that may be asked for something */
char **vt_registries_hosts(const VtRegistries *registries);

/** vt_registries_to_json: Returns: (transfer full): an object that vt_registries_read_json() reads
 */
json_t *vt_registries_to_json(const VtRegistries *registries);
bool vt_registries_read_json(VtRegistries *registries, const json_t *root, const char *document,
                             GError **error);
