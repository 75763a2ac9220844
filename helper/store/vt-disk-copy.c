/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-disk-copy.c: the disk of a template as a file that needs no other
 *
 * Theory of operation
 *
 * The indexes of the chain say where each block of the disk is, so no QCOW2 file is parsed: the
 * disk is a list of pieces, each of them in one piece in a layer's file and in the new one. In a
 * raw file they are where the guest has them; a QCOW2 file gets the layout of a full layer.
 *
 *     layer B       | b1 |      | b2 |
 *     layer A  | a1      | a2        | a3 |        pieces: a1 b1 a2 b2 a3
 *
 * First the file system is asked to share what is long enough. Holes in between, zeros of the same
 * layer, are taken along: a disk of one layer is one range. What it does not share is copied by
 * some threads in spans: pieces that follow each other in the new file and become one write.
 */
#include "vt-disk-copy.h"

#include "vt-direct.h"
#include "vt-fs.h"
#include "vt-qcow2-layout.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#define BLOCK  ((uint64_t)VT_INDEX_BLOCK_SIZE)
#define SECTOR 512u
/* One write; longer ones are not faster, and each thread has a buffer of it */
#define SPAN_MAX (1u << 20)
/* Sharing less takes longer than copying it, and leaves a file in many extents */
#define REFLINK_MIN (64u << 10)
/* Space is reserved in such steps ahead of the writes, which can then run side by side; what
 * reserves has to wait for the writes under way */
#define RESERVE_STEP (64u << 20)
/* Shorter spans get their space when they are written */
#define RESERVE_MIN (128u << 10)
/* Some wait for the disk while others read */
#define THREADS_PER_CPU 2
#define THREADS_MAX     8
#define PROGRESS_MS     100

/* Bytes [@from, @from + @bytes) of file @fd go to @to. @joined: the same distance lies before it in
 * both files, and nothing but a hole */
typedef struct {
    uint64_t from;
    uint64_t to;
    uint64_t bytes;
    int fd;
    bool joined;
} Piece;

/* Pieces [first, first + count) go to [to, to + bytes) */
typedef struct {
    uint64_t to;
    uint64_t bytes;
    guint first;
    guint count;
} Span;

typedef struct {
    const VtDiskCopy *request;
    VtChain *chain;
    VtQcow2Layout *layout; /* NULL: raw */
    uint64_t capacity;
    GArray *ranges; /* VtBlockRange: what has data */
    GArray *pieces; /* Piece: in the order of the new file */
    GArray *spans;  /* Span: what is to be copied */
    uint64_t total;
    GMutex lock;
    GCond changed;
    guint next;     /* span; under lock */
    guint reserved; /* spans; under lock */
    guint running;  /* threads; under lock */
    uint64_t done;  /* under lock */
    bool can_reserve;
    GError *failure; /* under lock */
} Copier;

static void
copier_clear(Copier *copier)
{
    g_clear_pointer(&copier->chain, vt_chain_free);
    g_clear_pointer(&copier->layout, vt_qcow2_layout_free);
    g_clear_pointer(&copier->ranges, g_array_unref);
    g_clear_pointer(&copier->pieces, g_array_unref);
    g_clear_pointer(&copier->spans, g_array_unref);
    g_mutex_clear(&copier->lock);
    g_cond_clear(&copier->changed);
    g_clear_error(&copier->failure);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Copier, copier_clear)

static Piece *
piece_at(const Copier *copier, guint number)
{
    return &g_array_index(copier->pieces, Piece, number);
}

/* ---- what goes where ---- */

static void
find_ranges(Copier *copier)
{
    const uint64_t blocks = vt_chain_blocks(copier->chain, 1);
    uint64_t block = 0;

    while (block < blocks) {
        const VtChainRun run = vt_chain_locate(copier->chain, 1, block);
        const VtBlockRange range = {block, MIN(run.blocks, blocks - block)};
        const guint len = copier->ranges->len;
        VtBlockRange *last = len ? &g_array_index(copier->ranges, VtBlockRange, len - 1) : NULL;

        block += range.count;
        if (run.fd < 0)
            continue;
        copier->total += range.count * BLOCK;
        if (last && last->first + last->count == range.first)
            last->count += range.count;
        else
            g_array_append_val(copier->ranges, range);
    }
}

static void
add_piece(Copier *copier, Piece piece, bool only_holes)
{
    const guint len = copier->pieces->len;
    Piece *last = len ? piece_at(copier, len - 1) : NULL;

    piece.joined = last && only_holes && last->fd == piece.fd &&
                   piece.from - last->from == piece.to - last->to;
    if (piece.joined && last->to + last->bytes == piece.to)
        last->bytes += piece.bytes;
    else
        g_array_append_val(copier->pieces, piece);
}

static void
find_pieces(Copier *copier)
{
    const uint64_t blocks = vt_chain_blocks(copier->chain, 1);
    uint32_t layer = 0;
    bool only_holes = false;
    uint64_t block = 0;

    while (block < blocks) {
        const VtChainRun run = vt_chain_locate(copier->chain, 1, block);
        const uint64_t count = MIN(run.blocks, blocks - block);

        /* What one layer has under another one's zeros is no hole */
        only_holes = only_holes && run.layer == layer;
        if (run.fd >= 0) {
            add_piece(copier,
                      (Piece){.from = run.offset,
                              .to = copier->layout ? vt_qcow2_layout_offset(copier->layout, block)
                                                   : block * BLOCK,
                              .bytes = count * BLOCK,
                              .fd = run.fd},
                      only_holes);
            layer = run.layer;
            only_holes = true;
        }
        block += count;
    }
}

static bool
plan(Copier *copier, GError **error)
{
    const VtDiskCopy *request = copier->request;
    uint64_t disk;

    if (!vt_chain_new(&request->top, request->layers, request->layer_count, &copier->chain, error))
        return false;
    disk = vt_chain_blocks(copier->chain, 1) * BLOCK;
    copier->capacity = request->capacity ? request->capacity : disk;
    if (copier->capacity < disk || copier->capacity > VT_INDEX_CAPACITY_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "a copy of %" G_GUINT64_FORMAT " bytes: the template has %" G_GUINT64_FORMAT
                        ", and none may have more than %" G_GUINT64_FORMAT,
                        copier->capacity, disk, VT_INDEX_CAPACITY_MAX);
    copier->capacity += -copier->capacity % SECTOR;
    find_ranges(copier);
    if (request->format == VT_DISK_QCOW2)
        copier->layout = vt_qcow2_layout_flat(copier->capacity, copier->ranges);
    find_pieces(copier);
    return true;
}

/* ---- sharing ---- */

static void
report(const Copier *copier, uint64_t done)
{
    if (copier->request->progress)
        copier->request->progress(copier->request->user, done, copier->total);
}

/* Shares the pieces [first, end), which are one range in both files. *@ret_can: false where the
 * file system does not do it */
static bool
share_range(const Copier *copier, guint first, guint end, bool *ret_can, GError **error)
{
    const Piece *from = piece_at(copier, first), *last = piece_at(copier, end - 1);
    const struct file_clone_range range = {.src_fd = from->fd,
                                           .src_offset = from->from,
                                           .src_length = last->from + last->bytes - from->from,
                                           .dest_offset = from->to};

    *ret_can = ioctl(copier->request->output_fd, FICLONERANGE, &range) == 0;
    if (*ret_can || (errno != ENOSPC && errno != EDQUOT && errno != EIO))
        return true;
    return vt_throw_errno(error, errno, "cannot share the blocks of the template");
}

static guint
joined_end(const Copier *copier, guint first)
{
    guint end = first + 1;

    while (end < copier->pieces->len && piece_at(copier, end)->joined)
        end++;
    return end;
}

/* Takes the pieces that it could share from the list */
static bool
share(Copier *copier, GError **error)
{
    g_autoptr(GArray) left = g_array_new(false, false, sizeof(Piece));
    bool can = true;
    guint end;

    for (guint i = 0; i < copier->pieces->len; i = end) {
        uint64_t bytes = 0;
        bool shared = false;

        end = joined_end(copier, i);
        for (guint k = i; k < end; k++)
            bytes += piece_at(copier, k)->bytes;
        if (can && (bytes >= REFLINK_MIN || copier->request->must_reflink)) {
            if (!share_range(copier, i, end, &can, error))
                return false;
            shared = can;
        }
        if (shared)
            copier->done += bytes;
        else
            g_array_append_vals(left, piece_at(copier, i), end - i);
    }
    if (left->len > 0 && copier->request->must_reflink)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "the file system of the copy cannot share blocks with that of the template "
                        "(XFS and btrfs can, on one file system): make it without reflink");
    g_array_unref(copier->pieces);
    copier->pieces = g_steal_pointer(&left);
    report(copier, copier->done);
    return true;
}

/* ---- copying ---- */

/* Cuts the pieces where a write ends, and groups them */
static void
find_spans(Copier *copier)
{
    g_autoptr(GArray) whole = g_steal_pointer(&copier->pieces);
    Span span = {0};

    copier->pieces = g_array_new(false, false, sizeof(Piece));
    for (guint i = 0; i < whole->len; i++) {
        Piece piece = g_array_index(whole, Piece, i);

        while (piece.bytes > 0) {
            Piece part = piece;

            if (span.bytes == SPAN_MAX || (span.bytes > 0 && span.to + span.bytes != piece.to)) {
                g_array_append_val(copier->spans, span);
                span.bytes = 0;
            }
            if (span.bytes == 0)
                span = (Span){.to = piece.to, .first = copier->pieces->len};
            part.bytes = MIN(piece.bytes, SPAN_MAX - span.bytes);
            g_array_append_val(copier->pieces, part);
            span.count++;
            span.bytes += part.bytes;
            piece.from += part.bytes;
            piece.to += part.bytes;
            piece.bytes -= part.bytes;
        }
    }
    if (span.bytes > 0)
        g_array_append_val(copier->spans, span);
}

/* Early, and with the figures */
static bool
check_space(const Copier *copier, GError **error)
{
    const uint64_t needed = copier->total - copier->done;
    struct statvfs fs;

    if (fstatvfs(copier->request->output_fd, &fs) < 0)
        return vt_throw_errno(error, errno, "cannot tell the space for the copy");
    /* memory files have no size */
    if (fs.f_blocks > 0 && fs.f_bavail < needed / fs.f_frsize)
        return vt_throw(error, VT_ERROR_NO_SPACE,
                        "the file system of the copy has %" G_GUINT64_FORMAT
                        " bytes left, the copy needs %" G_GUINT64_FORMAT,
                        (uint64_t)fs.f_bavail * fs.f_frsize, needed);
    return true;
}

/* Reserves the space of the next spans, if the one that comes now has none. Locked. */
static bool
reserve(Copier *copier, GError **error)
{
    uint64_t range[2] = {0, 0}, step = 0;

    if (copier->next < copier->reserved)
        return true;
    while (copier->reserved < copier->spans->len && step < RESERVE_STEP) {
        const Span *span = &g_array_index(copier->spans, Span, copier->reserved);

        if (span->to != range[1]) {
            if (range[1] - range[0] >= RESERVE_MIN && copier->can_reserve &&
                !vt_direct_fallocate(copier->request->output_fd, 0, range, &copier->can_reserve,
                                     error))
                return false;
            range[0] = span->to;
        }
        range[1] = span->to + span->bytes;
        step += span->bytes;
        copier->reserved++;
    }
    return range[1] - range[0] < RESERVE_MIN || !copier->can_reserve ||
           vt_direct_fallocate(copier->request->output_fd, 0, range, &copier->can_reserve, error);
}

static bool
take_span(Copier *copier, Span *ret_span)
{
    GError *error = NULL;
    bool any;

    g_mutex_lock(&copier->lock);
    any = !copier->failure && copier->next < copier->spans->len;
    if (any && !reserve(copier, &error)) {
        copier->failure = error;
        any = false;
    }
    if (any)
        *ret_span = g_array_index(copier->spans, Span, copier->next++);
    g_mutex_unlock(&copier->lock);
    return any;
}

static bool
copy_span(const Copier *copier, const Span *span, uint8_t *buffer, GError **error)
{
    for (guint i = span->first; i < span->first + span->count; i++) {
        const Piece *piece = piece_at(copier, i);

        if (!vt_fs_pread_all(piece->fd, buffer + (piece->to - span->to), piece->bytes,
                             (off_t)piece->from, "layer", error))
            return false;
    }
    return vt_fs_pwrite_all(copier->request->output_fd, buffer, span->bytes, (off_t)span->to,
                            "copy", error);
}

static gpointer
copy_spans(gpointer data)
{
    vt_autoaligned uint8_t *buffer = vt_aligned_new(SPAN_MAX);
    Copier *copier = data;
    GError *error = NULL;
    Span span;

    while (!error && take_span(copier, &span)) {
        if (!copy_span(copier, &span, buffer, &error))
            continue;
        g_mutex_lock(&copier->lock);
        copier->done += span.bytes;
        g_mutex_unlock(&copier->lock);
    }
    g_mutex_lock(&copier->lock);
    if (error && !copier->failure)
        copier->failure = error;
    else
        g_clear_error(&error);
    copier->running--;
    g_cond_signal(&copier->changed);
    g_mutex_unlock(&copier->lock);
    return NULL;
}

/* Reports until all threads have ended */
static void
follow(Copier *copier)
{
    g_mutex_lock(&copier->lock);
    while (copier->running > 0) {
        const gint64 until = g_get_monotonic_time() + PROGRESS_MS * 1000;
        uint64_t done;

        if (g_cond_wait_until(&copier->changed, &copier->lock, until))
            continue;
        done = copier->done;
        g_mutex_unlock(&copier->lock);
        report(copier, done);
        g_mutex_lock(&copier->lock);
    }
    g_mutex_unlock(&copier->lock);
}

static bool
copy_rest(Copier *copier, GError **error)
{
    unsigned count = copier->request->threads;
    GThread *threads[THREADS_MAX];

    find_spans(copier);
    if (copier->spans->len == 0)
        return true;
    if (!check_space(copier, error))
        return false;
    if (count == 0)
        count = g_get_num_processors() * THREADS_PER_CPU;
    count = MIN(MIN(count, THREADS_MAX), copier->spans->len);
    copier->running = count;
    vt_direct_set(copier->request->output_fd, true);
    for (unsigned i = 0; i < count; i++)
        threads[i] = g_thread_new("copy", copy_spans, copier);
    follow(copier);
    for (unsigned i = 0; i < count; i++)
        g_thread_join(threads[i]);
    vt_direct_set(copier->request->output_fd, false);
    if (copier->failure)
        g_propagate_error(error, g_steal_pointer(&copier->failure));
    else
        report(copier, copier->done);
    return copier->done == copier->total;
}

/* ---- the file ---- */

/* The last thing: a file without it is not taken for a disk */
static bool
write_metadata(const Copier *copier, GError **error)
{
    const uint32_t cluster = copier->layout->cluster;
    vt_autoaligned uint8_t *buffer = vt_aligned_new(cluster);

    for (uint64_t i = copier->layout->metadata_clusters; i > 0; i--) {
        vt_qcow2_layout_metadata(copier->layout, i - 1, buffer);
        if (!vt_fs_pwrite_all(copier->request->output_fd, buffer, cluster,
                              (off_t)((i - 1) * cluster), "copy", error))
            return false;
    }
    return true;
}

bool
vt_disk_copy(const VtDiskCopy *copy, GError **error)
{
    g_auto(Copier) copier = {.request = copy, .can_reserve = true};
    uint64_t size;

    g_mutex_init(&copier.lock);
    g_cond_init(&copier.changed);
    copier.ranges = g_array_new(false, false, sizeof(VtBlockRange));
    copier.pieces = g_array_new(false, false, sizeof(Piece));
    copier.spans = g_array_new(false, false, sizeof(Span));
    if (!plan(&copier, error))
        return false;
    size = copier.layout ? copier.layout->file_size : copier.capacity;
    if (ftruncate(copy->output_fd, (off_t)size) < 0)
        return vt_throw_errno(error, errno, "cannot make a file of %" G_GUINT64_FORMAT " bytes",
                              size);
    if (!share(&copier, error) || !copy_rest(&copier, error) ||
        (copier.layout && !write_metadata(&copier, error)))
        return false;
    if (fdatasync(copy->output_fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the copy durable");
    return true;
}
