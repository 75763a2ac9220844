/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pieces.c: parts of some files become parts of another one
 *
 * Theory of operation
 *
 * First the file system is asked to share what is long enough. Holes in between are taken along: a
 * disk of one layer is one range. What it does not share is copied in spans: pieces that follow
 * each other in the new file, from wherever they come, become one write.
 *
 *     pieces    | a 4..6 | b 0..3 | a 9..10 |      | c 2..7 |
 *     spans     |            one              |    |  one   |
 */
#include "vt-pieces.h"

#include "vt-direct.h"
#include "vt-fs.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

/* One write; longer ones are not faster, and each thread has a buffer of it */
#define SPAN_MAX (1u << 20)
/* Space is reserved in such steps ahead of the writes, which can then run side by side; what
 * reserves has to wait for the writes under way */
#define RESERVE_STEP (64u << 20)
/* Shorter spans get their space when they are written */
#define RESERVE_MIN (128u << 10)
/* Some wait for the disk while others read */
#define THREADS_PER_CPU 2
#define THREADS_MAX     8
#define PROGRESS_MS     100

/* Pieces [first, first + count) go to [to, to + bytes) */
typedef struct {
    uint64_t to;
    uint64_t bytes;
    guint first;
    guint count;
} Span;

typedef struct {
    const VtPiecesWrite *request;
    GArray *pieces; /* VtPiece: cut where a write ends */
    GArray *spans;  /* Span */
    GMutex lock;
    GCond changed;
    guint next;     /* span; under lock */
    guint reserved; /* spans; under lock */
    guint running;  /* threads; under lock */
    uint64_t done;  /* under lock */
    bool can_reserve;
    GError *failure; /* under lock */
} Writer;

static void
writer_clear(Writer *writer)
{
    g_clear_pointer(&writer->pieces, g_array_unref);
    g_clear_pointer(&writer->spans, g_array_unref);
    g_mutex_clear(&writer->lock);
    g_cond_clear(&writer->changed);
    g_clear_error(&writer->failure);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Writer, writer_clear)

static VtPiece *
piece_at(const GArray *pieces, guint number)
{
    return &g_array_index(pieces, VtPiece, number);
}

void
vt_pieces_add(GArray *pieces, VtPiece piece, bool only_holes)
{
    VtPiece *last = pieces->len ? piece_at(pieces, pieces->len - 1) : NULL;

    piece.joined = last && only_holes && last->fd == piece.fd &&
                   piece.from - last->from == piece.to - last->to;
    if (piece.joined && last->to + last->bytes == piece.to)
        last->bytes += piece.bytes;
    else
        g_array_append_val(pieces, piece);
}

/* ---- sharing ---- */

/* Shares the pieces [first, end), which are one range in both files. *@ret_can: false where the
 * file system does not do it */
static bool
share_range(int fd, const VtPiece *first, const VtPiece *last, bool *ret_can, GError **error)
{
    const struct file_clone_range range = {.src_fd = first->fd,
                                           .src_offset = first->from,
                                           .src_length = last->from + last->bytes - first->from,
                                           .dest_offset = first->to};

    *ret_can = ioctl(fd, FICLONERANGE, &range) == 0;
    if (*ret_can || (errno != ENOSPC && errno != EDQUOT && errno != EIO))
        return true;
    return vt_throw_errno(error, errno, "cannot share blocks");
}

/* Where the pieces end that are joined to @first; @ret_bytes: of them */
static guint
joined_end(const GArray *pieces, guint first, uint64_t *ret_bytes)
{
    guint end = first;

    *ret_bytes = 0;
    do
        *ret_bytes += piece_at(pieces, end++)->bytes;
    while (end < pieces->len && piece_at(pieces, end)->joined);
    return end;
}

bool
vt_pieces_share(int fd, GArray *pieces, bool all, uint64_t *ret_shared, GError **error)
{
    guint left = 0, end;
    bool can = true;

    *ret_shared = 0;
    for (guint i = 0; i < pieces->len; i = end) {
        bool shared = false;
        uint64_t bytes;

        end = joined_end(pieces, i, &bytes);
        if (can && (all || bytes >= VT_PIECES_SHARE_MIN)) {
            if (!share_range(fd, piece_at(pieces, i), piece_at(pieces, end - 1), &can, error))
                return false;
            shared = can;
        }
        if (shared)
            *ret_shared += bytes;
        for (guint k = i; !shared && k < end; k++)
            *piece_at(pieces, left++) = *piece_at(pieces, k);
    }
    g_array_set_size(pieces, left);
    return true;
}

/* ---- writing ---- */

/* Cuts the pieces where a write ends, and groups them */
static void
find_spans(Writer *writer, const GArray *whole)
{
    Span span = {0};

    for (guint i = 0; i < whole->len; i++) {
        VtPiece piece = *piece_at(whole, i);

        while (piece.bytes > 0) {
            VtPiece part = piece;

            if (span.bytes == SPAN_MAX || (span.bytes > 0 && span.to + span.bytes != piece.to)) {
                g_array_append_val(writer->spans, span);
                span.bytes = 0;
            }
            if (span.bytes == 0)
                span = (Span){.to = piece.to, .first = writer->pieces->len};
            part.bytes = MIN(piece.bytes, SPAN_MAX - span.bytes);
            g_array_append_val(writer->pieces, part);
            span.count++;
            span.bytes += part.bytes;
            piece.from += part.bytes;
            piece.to += part.bytes;
            piece.bytes -= part.bytes;
        }
    }
    if (span.bytes > 0)
        g_array_append_val(writer->spans, span);
}

static bool
reserve_range(Writer *writer, const uint64_t range[2], GError **error)
{
    return range[1] - range[0] < RESERVE_MIN || !writer->can_reserve ||
           vt_direct_fallocate(writer->request->fd, 0, range, &writer->can_reserve, error);
}

/* Reserves the space of the next spans, if the one that comes now has none. Locked. */
static bool
reserve(Writer *writer, GError **error)
{
    uint64_t range[2] = {0, 0}, step = 0;

    if (writer->next < writer->reserved)
        return true;
    while (writer->reserved < writer->spans->len && step < RESERVE_STEP) {
        const Span *span = &g_array_index(writer->spans, Span, writer->reserved);

        if (span->to != range[1]) {
            if (!reserve_range(writer, range, error))
                return false;
            range[0] = span->to;
        }
        range[1] = span->to + span->bytes;
        step += span->bytes;
        writer->reserved++;
    }
    return reserve_range(writer, range, error);
}

static bool
take_span(Writer *writer, Span *ret_span)
{
    GError *error = NULL;
    bool any;

    g_mutex_lock(&writer->lock);
    any = !writer->failure && writer->next < writer->spans->len;
    if (any && !reserve(writer, &error)) {
        writer->failure = error;
        any = false;
    }
    if (any)
        *ret_span = g_array_index(writer->spans, Span, writer->next++);
    g_mutex_unlock(&writer->lock);
    return any;
}

static bool
write_span(const Writer *writer, const Span *span, uint8_t *buffer, GError **error)
{
    for (guint i = span->first; i < span->first + span->count; i++) {
        const VtPiece *piece = piece_at(writer->pieces, i);

        if (!vt_fs_pread_all(piece->fd, buffer + (piece->to - span->to), piece->bytes,
                             (off_t)piece->from, "layer", error))
            return false;
    }
    return vt_fs_pwrite_all(writer->request->fd, buffer, span->bytes, (off_t)span->to, "copy",
                            error);
}

static gpointer
write_spans(gpointer data)
{
    vt_autoaligned uint8_t *buffer = vt_aligned_new(SPAN_MAX);
    Writer *writer = data;
    GError *error = NULL;
    Span span;

    while (!error && take_span(writer, &span)) {
        if (!write_span(writer, &span, buffer, &error))
            continue;
        g_mutex_lock(&writer->lock);
        writer->done += span.bytes;
        g_mutex_unlock(&writer->lock);
    }
    g_mutex_lock(&writer->lock);
    if (error && !writer->failure)
        writer->failure = error;
    else
        g_clear_error(&error);
    writer->running--;
    g_cond_signal(&writer->changed);
    g_mutex_unlock(&writer->lock);
    return NULL;
}

/* Reports until all threads have ended */
static void
follow(Writer *writer)
{
    g_mutex_lock(&writer->lock);
    while (writer->running > 0) {
        const gint64 until = g_get_monotonic_time() + PROGRESS_MS * 1000;
        uint64_t done;

        if (g_cond_wait_until(&writer->changed, &writer->lock, until) || !writer->request->progress)
            continue;
        done = writer->done;
        g_mutex_unlock(&writer->lock);
        writer->request->progress(writer->request->user, done);
        g_mutex_lock(&writer->lock);
    }
    g_mutex_unlock(&writer->lock);
}

bool
vt_pieces_write(const VtPiecesWrite *request, const GArray *pieces, GError **error)
{
    g_auto(Writer) writer = {.request = request, .can_reserve = request->reserve};
    unsigned count = request->threads;
    GThread *threads[THREADS_MAX];

    g_mutex_init(&writer.lock);
    g_cond_init(&writer.changed);
    writer.pieces = g_array_new(false, false, sizeof(VtPiece));
    writer.spans = g_array_new(false, false, sizeof(Span));
    find_spans(&writer, pieces);
    if (count == 0)
        count = g_get_num_processors() * THREADS_PER_CPU;
    count = MIN(MIN(count, THREADS_MAX), writer.spans->len);
    writer.running = count;
    for (unsigned i = 0; i < count; i++)
        threads[i] = g_thread_new("copy", write_spans, &writer);
    follow(&writer);
    for (unsigned i = 0; i < count; i++)
        g_thread_join(threads[i]);
    if (!writer.failure)
        return true;
    g_propagate_error(error, g_steal_pointer(&writer.failure));
    return false;
}
