/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool.h: the directory of a pool: layers, the names of versions, and records of clones */
#pragma once

#include "vt-digest.h"
#include "vt-seal.h"

#include <stdint.h>
#include <sys/stat.h>

/*
 * TARGET/
 *   debian-12@1.2.0.qcow2               hard link to its layer: 0444, root, sealed
 *   .layers/<index hex>.qcow2           the layer; 0711 directory, guests pass through it. With
 *                                       another mode it is not committed, and nobody's
 *   .layers/<index hex>.index           what `verify` compares it with
 *   .layers/.partial/<index hex>        download in progress, or cut off; 0700
 *   .layers/.partial/<index hex>.old    a damaged layer, while another file takes its names
 *   .layers/.partial/<index hex>.gone   what was a version, while its layers are removed
 *   .layers/manifests/<hex>.json        manifest of a version that is here
 *   .layers/manifests/<hex>.config      its config document
 *   .layers/manifests/<hex>.proofs      the signatures that were found for it
 *   .clones/<NAME@VERSION>~<16 hex>     symbolic link to a clone; hex: of SHA-256 of its path
 *
 * Layers are the truth about layers: a version is here if its name is there.
 */
#define VT_POOL_LAYERS ".layers"

typedef struct VtPool VtPool;

/**
 * vt_pool_open:
 * @target: absolute path of an existing directory
 * @error: %VT_ERROR_NOT_FOUND, %VT_ERROR_DENIED
 */
bool vt_pool_open(const char *target, VtPool **ret_pool, GError **error);
void vt_pool_free(VtPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtPool, vt_pool_free)

/** vt_pool_prepare: Makes the directories above; fails on a read-only file system */
bool vt_pool_prepare(VtPool *pool, GError **error);

const char *vt_pool_target(const VtPool *pool);
/** vt_pool_dir_fd: Returns: descriptor of the target directory, owned by @pool */
int vt_pool_dir_fd(const VtPool *pool);
/** vt_pool_version_path: Returns: (transfer full): `TARGET/NAME@VERSION.qcow2` */
char *vt_pool_version_path(const VtPool *pool, const char *name, const char *version);
/** vt_pool_layer_path: Returns: (transfer full): `TARGET/.layers/<hex>.qcow2` */
char *vt_pool_layer_path(const VtPool *pool, const VtDigest *index);

/**
 * vt_pool_scan:
 * @ret_volumes: (out) (transfer full) (element-type utf8 utf8): a set of the names in the target
 *   directory that have the form of a version's volume; nothing else is looked at
 */
bool vt_pool_scan(VtPool *pool, GHashTable **ret_volumes, GError **error);

/**
 * vt_pool_stat_version:
 * @ret_stat: (out) (nullable)
 * Returns: whether `NAME@VERSION.qcow2` is here as a regular file with a second link, and committed
 */
bool vt_pool_stat_version(VtPool *pool, const char *name, const char *version,
                          struct stat *ret_stat);

/** vt_pool_capacity: Returns: virtual size that the version's own header says; 0 if it is none */
uint64_t vt_pool_capacity(VtPool *pool, const char *name, const char *version);

/**
 * vt_pool_check_version:
 * @index: digest of the index of the layer that it must be
 * @error: %VT_ERROR_NOT_FOUND, or %VT_ERROR_CORRUPT when something else has the name
 */
bool vt_pool_check_version(VtPool *pool, const char *name, const char *version,
                           const VtDigest *index, GError **error);

/** vt_pool_has_layer: Returns: whether the layer is complete here, for whichever version */
bool vt_pool_has_layer(VtPool *pool, const VtDigest *index);

/**
 * vt_pool_partial_open:
 * @ret_fd: (out): the named partial file, read-write, locked until it is closed
 * @ret_resumed: (out): whether it holds data of an earlier attempt
 * @error: %VT_ERROR_BUSY: somebody else fetches this layer now
 */
bool vt_pool_partial_open(VtPool *pool, const VtDigest *index, int *ret_fd, bool *ret_resumed,
                          GError **error);
/**
 * vt_pool_partial_sweep: Removes downloads that were cut off and that nobody went on with
 * @older_than: seconds since the last write
 */
void vt_pool_partial_sweep(VtPool *pool, int64_t older_than);

/** vt_pool_partial_remove: It was corrupt, or is not needed any more */
void vt_pool_partial_remove(VtPool *pool, const VtDigest *index);

/**
 * VtPoolLayer: a layer that is here, or on its way
 * @partial_fd: (transfer none): -1 when it is here already, else its verified content
 */
typedef struct {
    VtDigest index;
    GBytes *index_bytes;
    int *partial_fd;
} VtPoolLayer;

/**
 * VtPoolCommit: a version that may get its name
 * @layers: of its chain, base first
 */
typedef struct {
    const char *name;
    const char *version;
    const VtPoolLayer *layers;
    guint layer_count;
    VtDigest manifest;
    GBytes *manifest_bytes;
    GBytes *config_bytes;
    GBytes *proofs;
} VtPoolCommit;

/**
 * vt_pool_commit:
 * @ret_seal: (out)
 * @ret_reason: (out) (transfer full) (nullable): why it is not a stronger seal
 *
 * Gives the version its name and seals the layers; durable when this returns true. The partial
 * files are closed. Done for a version that is here already, it changes nothing.
 *
 * @error: %VT_ERROR_EXISTS when another file has the name; %VT_ERROR_BUSY when a layer that was
 * here has been removed meanwhile
 */
bool vt_pool_commit(VtPool *pool, const VtPoolCommit *commit, VtSeal *ret_seal, char **ret_reason,
                    GError **error);

/**
 * vt_pool_replace:
 * @layers: whose partial files take the place of those that are here; @partial_fd is closed. With
 *   -1, the index alone is written anew
 *
 * Gives them the names of the layers, and of the versions that these are; seals them. Who has the
 * old files open keeps them. Durable when this returns true; when it fails, each layer has either
 * file; when it was interrupted, vt_pool_recover() brings it to its end.
 */
bool vt_pool_replace(VtPool *pool, const VtPoolLayer *layers, guint count, GError **error);

/**
 * vt_pool_recover: Makes of a directory in which somebody was interrupted one of which nothing
 * tells that: repairs and evictions are brought to their end, a layer that did not get its version
 * is a partial download again, and documents of what is not here are removed. Seals nothing, which
 * may take long: vt_pool_reseal() has to follow. Does not wait for a lock.
 *
 * Returns: how many repairs and evictions that were
 */
guint vt_pool_recover(VtPool *pool);

/**
 * VtPoolUse: of the disk that a pool is on
 * @versions: that are here
 * @layers: and what they take, allocated
 * @partial_bytes: of downloads that run or were cut off
 * @free_bytes: left for root's and other's files
 */
typedef struct {
    uint64_t versions;
    uint64_t layers;
    uint64_t layer_bytes;
    uint64_t partial_bytes;
    uint64_t free_bytes;
} VtPoolUse;
/** vt_pool_measure: Looks at the attributes of each layer's file */
bool vt_pool_measure(VtPool *pool, VtPoolUse *ret_use, GError **error);

/**
 * vt_pool_reseal: Seals the layers, under all their names, that are not: after a reboot, which
 * read-only mounts do not survive, or when somebody was interrupted. Gives them back to root
 * before. May take seconds
 */
void vt_pool_reseal(VtPool *pool);
/**
 * vt_pool_reseal_version: The same for a version alone
 * @layers: (element-type VtDigest): of its chain
 */
void vt_pool_reseal_version(VtPool *pool, const char *volume, const GArray *layers);
/** vt_pool_is_sealed: Returns: whether that would leave it as it is */
bool vt_pool_is_sealed(VtPool *pool, const char *volume, const GArray *layers);

/**
 * vt_pool_chain:
 * @ret_layers: (out) (transfer full) (element-type VtDigest): @top, its parent, and so on, as the
 *   kept indexes say
 */
bool vt_pool_chain(VtPool *pool, const VtDigest *top, GArray **ret_layers, GError **error);

/**
 * vt_pool_mark:
 * @marks: (element-type VtDigest gpointer): of layers
 * @ret_inodes: (out) (transfer full) (element-type guint64 gpointer): of the layers that are here
 *   and have a mark themselves, or through one that is below them: inode, and the mark
 *
 * Reads the directory once, and the parent of each layer at most once.
 */
bool vt_pool_mark(VtPool *pool, GHashTable *marks, GHashTable **ret_inodes, GError **error);

/** vt_pool_open_layer: Opens the file of a complete layer for reading */
bool vt_pool_open_layer(VtPool *pool, const VtDigest *index, int *ret_fd, GError **error);

/** vt_pool_read_index: The kept index blob; the caller checks its digest */
bool vt_pool_read_index(VtPool *pool, const VtDigest *index, GBytes **ret_bytes, GError **error);
/** vt_pool_read_manifest: The kept manifest and proofs; the caller checks them */
bool vt_pool_read_manifest(VtPool *pool, const VtDigest *manifest, GBytes **ret_manifest,
                           GBytes **ret_proofs, GError **error);
/** vt_pool_read_config: The kept config of the version with that manifest; the caller checks it */
bool vt_pool_read_config(VtPool *pool, const VtDigest *manifest, GBytes **ret_bytes,
                         GError **error);
/** vt_pool_write_proofs: Keeps other signatures for a manifest that is here */
bool vt_pool_write_proofs(VtPool *pool, const VtDigest *manifest, GBytes *proofs, GError **error);

/**
 * vt_pool_evict:
 * @index: its layer, which is removed when no other version has it
 * @manifest: (nullable): its manifest if known
 *
 * Removes the version. The caller has made sure that no clone needs it. When it was interrupted,
 * vt_pool_recover() brings it to its end. When it fails, vt_pool_reseal() has to follow.
 */
bool vt_pool_evict(VtPool *pool, const char *name, const char *version, const VtDigest *index,
                   const VtDigest *manifest, GError **error);

/**
 * vt_pool_find_layer:
 * @ret_index: (out): the layer that the version's name is a link of, found by inode
 */
bool vt_pool_find_layer(VtPool *pool, const char *name, const char *version, VtDigest *ret_index,
                        GError **error);
