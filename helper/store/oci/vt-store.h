/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-store.h: a central store, an OCI registry or an OCI layout directory */
#pragma once

#include "vt-digest.h"
#include "vt-hosts.h"
#include "vt-source.h"
#include "vt-store-url.h"

#include <gio/gio.h>

/* Registries limit uploads; GHCR works well up to this size */
#define VT_BLOB_MAX (256u << 20)

typedef struct VtStore VtStore;

/**
 * VtStoreOptions:
 * @insecure: accept plain HTTP; loopback hosts are tried with HTTP without it
 * @ca_file: (nullable): PEM file of additional CAs
 * @auth_file: (nullable): containers-auth.json(5) with credentials
 * @writable: the store will be pushed to
 * @tries: how often one thing is asked for that a cut or a busy registry keeps from us; 0: 8
 * @patience_s: seconds; a transfer that brings less than 1 KiB/s for so long is ended; 0: 20
 * @hosts: (nullable): rules, certificates, proxies; %NULL: vt_hosts_read()
 * @layout_fd: O_PATH or O_DIRECTORY fd of the layout, or -1 to open the URL's path; not consumed
 */
typedef struct {
    bool insecure;
    const char *ca_file;
    const char *auth_file;
    bool writable;
    unsigned tries;
    unsigned patience_s;
    const VtHosts *hosts;
    int layout_fd;
} VtStoreOptions;

/** vt_store_open: Does no network access. A layout must exist (see vt_store_create_layout()) */
bool vt_store_open(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
                   GError **error);
/** vt_store_free: The @done of ranges that have not ended are not called */
void vt_store_free(VtStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtStore, vt_store_free)

/**
 * vt_store_create_layout: Makes an empty OCI layout at @path; an existing one is left alone
 * @error: %VT_ERROR_EXISTS if @path holds other content
 */
bool vt_store_create_layout(const char *path, GError **error);

/** vt_store_source: Returns: (transfer none): the document reader of @store, valid as long as it */
VtSource *vt_store_source(VtStore *store);

/* ---- reading bulk data ---- */

/**
 * VtRangeDone:
 * @user: as given to vt_store_start_range()
 * @error: (nullable) (transfer none): why the range failed; %NULL: all @length bytes are in
 * @buffer, or were given to the sink
 */
typedef void (*VtRangeDone)(void *user, const GError *error);

/** VtRangeProgress: @have: bytes of the range that are in the buffer; may become less again */
typedef void (*VtRangeProgress)(void *user, uint32_t have);

/** VtRangeRoom: Returns: whether the sink can take the next @length bytes, at most 64 KiB. If not,
 * it is asked again in each vt_store_dispatch() */
typedef bool (*VtRangeRoom)(void *user, uint32_t length);

/** VtRangeSink: takes the next @length bytes of the range; each is given once, in order. Returns:
 * false if nobody wants them or the rest: the range fails, and is not tried again */
typedef bool (*VtRangeSink)(void *user, const void *data, uint32_t length);

/**
 * VtStoreRange:
 * @repository: it is in
 * @digest: of the blob, `sha256:<hex>`
 * @blob_size: its size as the manifest says, bytes
 * @offset: first byte
 * @length: bytes, at least 1
 * @buffer: @length bytes, valid and untouched until @done is called; %NULL if there is a @sink
 * @user: passed to all functions
 * @progress: (nullable): called now and then while the bytes come into @buffer
 * @room: with @sink: asked before each call of it
 * @sink: (nullable): gets the bytes as they come, where vt_store_streams() is true
 */
typedef struct {
    const char *repository;
    const char *digest;
    uint64_t blob_size;
    uint64_t offset;
    uint32_t length;
    void *buffer;
    VtRangeDone done;
    void *user;
    VtRangeProgress progress;
    VtRangeRoom room;
    VtRangeSink sink;
} VtStoreRange;

/**
 * vt_store_start_range:
 * @range: copied, but for the buffer
 *
 * Starts reading a range. Several ranges run at once, over at most vt_store_connections(); @done is
 * called from vt_store_dispatch(). The content is not verified. Cut transfers are resumed where
 * they stopped, after pauses that grow; servers that ignore Range are served by reading the blob
 * once.
 */
void vt_store_start_range(VtStore *store, const VtStoreRange *range);

/** vt_store_read_range: vt_store_start_range() with the fields of #VtStoreRange as arguments */
static inline void
vt_store_read_range(VtStore *store, const char *repository, const char *digest, uint64_t blob_size,
                    uint64_t offset, uint32_t length, void *buffer, VtRangeDone done, void *user)
{
    const VtStoreRange range = {.repository = repository,
                                .digest = digest,
                                .blob_size = blob_size,
                                .offset = offset,
                                .length = length,
                                .buffer = buffer,
                                .done = done,
                                .user = user};

    vt_store_start_range(store, &range);
}

/**
 * vt_store_dispatch:
 * @extra_fd: also return when this fd is readable, -1 for none
 * @timeout_ms: return after this time at the latest; negative for no limit
 *
 * Moves data for all started ranges and calls their @done. Returns when at least one ended, when
 * @extra_fd is readable, or after @timeout_ms; now and then earlier.
 */
void vt_store_dispatch(VtStore *store, int extra_fd, int timeout_ms);

/**
 * vt_store_limit:
 * @connections: to one host, at least 1
 * @rate: bytes per second that all ranges together may receive; 0: no limit
 *
 * From now on; a store that is a directory has no use for it.
 */
void vt_store_limit(VtStore *store, unsigned connections, uint64_t rate);

/** vt_store_connections: Returns: ranges that can run at once; more of them wait */
unsigned vt_store_connections(const VtStore *store);

/** vt_store_streams: Returns: whether ranges may have a sink: each request costs such a store time,
 * so that long ranges are better */
bool vt_store_streams(const VtStore *store);

/** vt_store_requests: Returns: HTTP requests sent, or files opened, so far */
uint64_t vt_store_requests(const VtStore *store);
/** vt_store_retries: Returns: of them, those that repeated one that had failed */
uint64_t vt_store_retries(const VtStore *store);

/* ---- writing ---- */

/** vt_store_has_blob: @ret_has: (out): whether the store has the blob in @repository */
bool vt_store_has_blob(VtStore *store, const char *repository, const char *digest, bool *ret_has,
                       GError **error);

/**
 * vt_store_blob_begin:
 * @ret_fd: (out): an unnamed empty file to write the blob into, on the file system where it
 *   will end if the store is a layout; owned by the caller
 */
bool vt_store_blob_begin(VtStore *store, int *ret_fd, GError **error);

/**
 * VtStoreBlob:
 * @repository: to put it into
 * @fd: from vt_store_blob_begin(), now holding the whole blob; not closed
 * @digest: its SHA-256, `sha256:<hex>`; the caller computed it
 * @size: bytes
 * @progress: (nullable): called with the bytes sent so far
 * @user: passed to @progress
 */
typedef struct {
    const char *repository;
    int fd;
    const char *digest;
    uint64_t size;
    void (*progress)(void *user, uint64_t sent);
    void *user;
} VtStoreBlob;

/** vt_store_put_blob: Puts the blob into the store unless it has it; durable when this returns */
bool vt_store_put_blob(VtStore *store, const VtStoreBlob *blob, GError **error);

/** vt_store_blob_commit: vt_store_put_blob() with the fields of #VtStoreBlob as arguments */
static inline bool
vt_store_blob_commit(VtStore *store, const char *repository, int fd, const char *digest,
                     uint64_t size, void (*progress)(void *user, uint64_t sent), void *user,
                     GError **error)
{
    const VtStoreBlob blob = {repository, fd, digest, size, progress, user};

    return vt_store_put_blob(store, &blob, error);
}

/** vt_store_put_bytes: Puts a small blob. Returns: false on error */
bool vt_store_put_bytes(VtStore *store, const char *repository, const char *digest, GBytes *bytes,
                        GError **error);

/**
 * vt_store_put_manifest:
 * @tag: (nullable): the tag it gets; %NULL: reachable by digest only
 * @media_type: of the manifest
 * @bytes: the manifest, stored exactly
 *
 * If the manifest has a `subject`, the store lists it as a referrer: by itself, or in the
 * fallback tag `sha256-<hex>`, which this keeps up to date.
 * In a layout @tag becomes the ref.name annotation `NAME/TAG` of index.json, under a lock; that is
 * how skopeo (`oci:/path:NAME/TAG`) and oras (`--oci-layout /path:NAME/TAG`) address it. The
 * fallback tag and signature tags are `NAME/sha256-<hex>`, `NAME/sha256-<hex>.sig`. Read are also
 * `NAME:TAG`, which only skopeo can address, and the digest tags without `NAME/`.
 */
bool vt_store_put_manifest(VtStore *store, const char *repository, const char *tag,
                           const char *media_type, GBytes *bytes, GError **error);

/**
 * vt_store_list_tags: The tags of a repository; of one without a tag, or that is not there, none
 * @ret_tags: (out) (transfer full) (element-type utf8)
 * @error: %VT_ERROR_UNSUPPORTED by a layout, which has a lock instead
 */
bool vt_store_list_tags(VtStore *store, const char *repository, GPtrArray **ret_tags,
                        GError **error);
