/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-protocol.h: what the daemon and its workers say to each other */
#pragma once

#include <stdint.h>

/* Both ends are of one version, see vtd_sandbox_greet(): structs in host byte order. */

/* The worker's end of the control channel */
#define VTD_WORKER_FD 3

typedef enum {
    /* text: store URL; tries; count: patience in seconds; fds: layout, credentials, CA,
     * vt_hosts_to_bytes() (flags tell) */
    VTD_FETCH_SETUP = 1,
    VTD_FETCH_MANIFEST,  /* fds: memfd for the document */
    VTD_FETCH_BLOB,      /* the same; limit */
    VTD_FETCH_REFERRERS, /* the same */
    VTD_FETCH_RING,      /* fds: ring, ring socket, blob table; count */
    VTD_FETCH_STATUS,
    VTD_FETCH_LIMIT, /* count: connections; limit: bytes per second, 0: none. No reply */
} VtdFetchOp;

#define VTD_FETCH_INSECURE   1u
#define VTD_FETCH_HAS_LAYOUT 2u
#define VTD_FETCH_HAS_AUTH   4u
#define VTD_FETCH_HAS_CA     8u
#define VTD_FETCH_HAS_HOSTS  16u

/* host, prefix and name; vt-store-url.c allows 255 and 3900 */
#define VTD_TEXT_MAX      4096
#define VTD_REFERENCE_MAX 192
/* QCOW2 allows 1023 bytes */
#define VTD_BACKING_MAX 1024

typedef struct {
    uint32_t op;
    uint32_t flags;
    uint32_t uid;
    uint32_t gid;
    uint32_t count;
    uint32_t tries;
    uint64_t limit;
    char text[VTD_TEXT_MAX]; /* repository, or URL */
    char reference[VTD_REFERENCE_MAX];
} VtdFetchRequest;

/* @code: -1 for success, else a VtError; @length: bytes in the memfd; @requests: sent so far */
typedef struct {
    int32_t code;
    uint32_t retries;
    uint64_t length;
    uint64_t requests;
    char message[512];
} VtdFetchReply;

/* fds: index, output, ring, ring socket, blob table. Then a message for each ancestor; and if
 * @wait, VTD_UNPACK_READY, a byte, when their files are complete */
typedef struct {
    uint32_t uid;
    uint32_t gid;
    uint32_t count;
    uint32_t resume;
    uint32_t ancestors;
    uint32_t wait;
    uint32_t streams;
    uint32_t reserved;
    uint64_t index_size;
    char backing[VTD_BACKING_MAX]; /* empty: a full layer */
} VtdUnpackSetup;

#define VTD_UNPACK_READY 1

/* The parent first, see vtd-ancestors.h. fds: index, layer */
typedef struct {
    uint64_t index_size;
} VtdUnpackAncestor;

/* ---- the copy worker. fds: the output. Then a message as above for each layer, the top first;
 * back come reports, as from the unpack worker ---- */

typedef struct {
    uint32_t uid;
    uint32_t gid;
    uint32_t layers;
    uint32_t format; /* VtDiskFormat */
    uint32_t must_reflink;
    uint32_t reserved;
    uint64_t capacity;
    uint8_t top[32]; /* digest of the first layer's index */
} VtdCopySetup;

/* @ended: 0 progress, 1 the end; @code as above */
typedef struct {
    uint32_t ended;
    int32_t code;
    uint64_t done;
    uint64_t total;
    uint64_t received;
    char message[512];
} VtdUnpackReport;

/* ---- the seed worker: a message at once, one with the domain, one back; if the domain names a
 * template or refers to secrets, that one asks for the documents, they come, and another one goes
 * back ---- */

/* of libvirt's UNIX paths */
#define VTD_SEED_PATH_MAX 4096
/* Bytes of a template's config, of a file of defaults, and of the domain's secrets */
#define VTD_SEED_DOCUMENT_MAX (1u << 20)

typedef struct {
    uint32_t uid;
    uint32_t gid;
} VtdSeedSetup;

/* fds: the domain's XML; an empty memfd for the image, or none if only the path is wanted */
typedef struct {
    uint64_t xml_size;
    uint8_t random[64];
} VtdSeedRequest;

typedef enum {
    VTD_SEED_CONFIG,
    VTD_SEED_DEFAULTS,
    VTD_SEED_SECRETS,
    VTD_SEED_DOCUMENTS,
} VtdSeedDocument;

/* fds: in this order, of those whose size is not 0 */
typedef struct {
    uint64_t sizes[VTD_SEED_DOCUMENTS];
} VtdSeedDocuments;

/* asks: for the domain's secrets, and the documents of @reference, NAME@VERSION or empty. path:
 * empty if the domain has no instance in its metadata */
typedef struct {
    int32_t code; /* -1 is success, else a VtError */
    uint32_t asks;
    uint64_t size;
    char path[VTD_SEED_PATH_MAX];
    char owner[40]; /* UUID of the domain */
    char reference[256];
    char message[504];
} VtdSeedReply;

/* ---- the upload worker: one message with fds, one back ---- */

/* fds: what was uploaded, read-only; an empty memfd for the image */
typedef struct {
    uint32_t uid;
    uint32_t gid;
    uint64_t size;
    char name[256];
} VtdUploadRequest;

/* size: of the image; 0: there is nothing to be made */
typedef struct {
    int32_t code; /* -1 is success, else a VtError */
    uint32_t reserved;
    uint64_t size;
    char message[496];
} VtdUploadReply;
