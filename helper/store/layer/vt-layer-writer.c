/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-writer.c: decoded frames go to their places in the QCOW2 file, in large writes
 *
 * Theory of operation
 *
 * Blocks that occur again, and blocks that an ancestor has elsewhere, lie scattered among blocks
 * that do neither. Written alone they would be many small writes, and they would cut the large
 * ones. So blocks that have copies are remembered when their frame comes, and whoever writes the
 * stretch around a copy or a move takes it along:
 *
 *     file      | primary of frame 7 | copy of a block of frame 2 | primary of frame 7 | move |
 *     pwritev   { content,             remembered,                  content,             room }
 *
 * Each copy is claimed once, under the lock. What nobody passed by is written at the end.
 */
#include "vt-layer-writer.h"

#include "vt-fs.h"
#include "vt-layer-file.h"
#include "vt-pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define BLOCK VT_INDEX_BLOCK_SIZE
/* Remembered at most; copies of other blocks are written when their frame comes */
#define REMEMBER_MAX (32u << 20)
/* Pieces in one write; IOV_MAX is 1024 */
#define PIECES_MAX 512
/* Each move fits the room, and none is taken from what could be shared */
G_STATIC_ASSERT(VT_LAYER_GATHER_ALONE_MIN <= VT_LAYER_WRITER_ROOM);
G_STATIC_ASSERT(VT_LAYER_GATHER_ALONE_MIN <= VT_PIECES_SHARE_MIN);

/* Literal blocks [source, source + blocks) are remembered from block @at of the memory on */
typedef struct {
    uint64_t source;
    uint64_t blocks;
    uint64_t at;
} Remembered;

/* Part of a write. @data: (nullable): %NULL where it is at @from of the file @fd */
typedef struct {
    uint64_t offset;
    const uint8_t *data;
    uint64_t bytes;
    uint64_t from;
    int fd;
} Piece;

struct VtLayerWriter {
    int fd;
    const VtLayerMap *map;
    const VtLayerGather *gather;
    const VtChain *chain;
    GArray *remembered;
    uint8_t *memory;
    /* numbers of the copies, ordered by offset */
    guint *by_offset;
    GMutex lock;
    /* for each copy, under the lock */
    bool *claimed;
    /* for each frame, under the lock: its copies are in memory */
    bool *ready;
};

static const VtTarget *
copy_at(const VtLayerWriter *writer, guint number)
{
    return &g_array_index(writer->map->copies.all, VtTarget, number);
}

static int
compare_offsets(gconstpointer a, gconstpointer b, gpointer user)
{
    const VtTarget *x = copy_at(user, *(const guint *)a), *y = copy_at(user, *(const guint *)b);

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Which literal blocks have copies: the copies are ordered by source, and may overlap there */
static uint64_t
plan_memory(VtLayerWriter *writer)
{
    uint64_t used = 0;

    for (guint i = 0; i < writer->map->copies.all->len; i++) {
        const VtTarget *copy = copy_at(writer, i);
        const guint len = writer->remembered->len;
        Remembered *last = len ? &g_array_index(writer->remembered, Remembered, len - 1) : NULL;
        const uint64_t end = copy->source + copy->blocks;
        Remembered next = {copy->source, copy->blocks, used};

        if (last && copy->source <= last->source + last->blocks) {
            uint64_t more = end - MIN(end, last->source + last->blocks);

            last->blocks += more;
            used += more;
        } else {
            g_array_append_val(writer->remembered, next);
            used += copy->blocks;
        }
    }
    return used;
}

VtLayerWriter *
vt_layer_writer_new(int fd, const VtLayerMap *map, const VtLayerGather *gather,
                    const VtChain *chain)
{
    VtLayerWriter *writer = g_new0(VtLayerWriter, 1);
    const guint copies = map->copies.all->len;
    uint64_t bytes;

    writer->fd = fd;
    writer->map = map;
    writer->gather = gather;
    writer->chain = chain;
    writer->remembered = g_array_new(false, false, sizeof(Remembered));
    bytes = plan_memory(writer) * BLOCK;
    writer->memory = vt_aligned_new(CLAMP(bytes, BLOCK, REMEMBER_MAX));
    writer->by_offset = g_new(guint, copies + 1);
    for (guint i = 0; i < copies; i++)
        writer->by_offset[i] = i;
    g_qsort_with_data(writer->by_offset, (int)copies, sizeof(guint), compare_offsets, writer);
    g_mutex_init(&writer->lock);
    writer->claimed = g_new0(bool, copies + 1);
    writer->ready = g_new0(bool, map->frame_count + 1);
    return writer;
}

void
vt_layer_writer_free(VtLayerWriter *writer)
{
    if (!writer)
        return;
    g_array_unref(writer->remembered);
    free(writer->memory);
    g_free(writer->by_offset);
    g_mutex_clear(&writer->lock);
    g_free(writer->claimed);
    g_free(writer->ready);
    g_free(writer);
}

/* Where the blocks of @copy are remembered; %NULL if there was no room */
static uint8_t *
memory_of(const VtLayerWriter *writer, const VtTarget *copy)
{
    guint low = 0, high = writer->remembered->len;
    const Remembered *range;
    uint64_t at;

    /* The last range that begins at or before it */
    while (high - low > 1) {
        guint middle = low + (high - low) / 2;

        if (g_array_index(writer->remembered, Remembered, middle).source <= copy->source)
            low = middle;
        else
            high = middle;
    }
    range = &g_array_index(writer->remembered, Remembered, low);
    at = range->at + (copy->source - range->source);
    return (at + copy->blocks) * BLOCK <= REMEMBER_MAX ? writer->memory + at * BLOCK : NULL;
}

static void
add_piece(GArray *pieces, uint64_t offset, const uint8_t *data, uint64_t bytes)
{
    const Piece piece = {.offset = offset, .data = data, .bytes = bytes};

    g_array_append_val(pieces, piece);
}

static int
compare_pieces(gconstpointer a, gconstpointer b)
{
    const Piece *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Remembers what has copies in one frame; @content: of this frame. Copies for which there is no
 * room become pieces. */
static void
remember(VtLayerWriter *writer, const uint8_t *content, uint64_t frame, GArray *pieces)
{
    const VtTargets *copies = &writer->map->copies;
    const uint64_t first_block = frame * writer->map->frame_blocks;

    for (guint i = copies->first[frame]; i < copies->first[frame + 1]; i++) {
        const VtTarget *copy = copy_at(writer, i);
        const uint8_t *data = content + (copy->source - first_block) * BLOCK;
        uint8_t *memory = memory_of(writer, copy);

        if (memory) {
            memcpy(memory, data, copy->blocks * BLOCK);
            continue;
        }
        writer->claimed[i] = true;
        add_piece(pieces, copy->offset, data, copy->blocks * BLOCK);
    }
    writer->ready[frame] = true;
}

/* Number, in the order of offsets, of the first copy at or behind @offset */
static guint
find_copy(const VtLayerWriter *writer, uint64_t offset)
{
    guint low = 0, high = writer->map->copies.all->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (copy_at(writer, writer->by_offset[middle])->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Adds the copies that follow each other from @offset on and can be written now. Behind data of a
 * frame this fills the gap to what comes next, or a part of it. */
static void
claim_copies(VtLayerWriter *writer, uint64_t offset, GArray *pieces)
{
    for (guint i = find_copy(writer, offset); i < writer->map->copies.all->len; i++) {
        const guint number = writer->by_offset[i];
        const VtTarget *copy = copy_at(writer, number);

        if (copy->offset != offset || writer->claimed[number] ||
            !writer->ready[copy->source / writer->map->frame_blocks])
            return;
        writer->claimed[number] = true;
        add_piece(pieces, offset, memory_of(writer, copy), copy->blocks * BLOCK);
        offset += copy->blocks * BLOCK;
    }
}

/* Writes pieces that follow each other in the file */
static bool
write_run(int fd, struct iovec *parts, int count, uint64_t offset, GError **error)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, parts, count, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return vt_throw_errno(error, n < 0 ? errno : ENOSPC,
                                  "cannot write at offset %" G_GUINT64_FORMAT " of the layer",
                                  offset);
        offset += (uint64_t)n;
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return true;
}

/* Makes @parts of the pieces from *@next on that follow each other in the file, and fit: moved
 * blocks are read into @room. Returns: how many, at least one; 0 when one cannot be read */
static int
gather_run(const GArray *pieces, guint *next, uint8_t *room, struct iovec *parts, GError **error)
{
    uint64_t end = g_array_index(pieces, Piece, *next).offset, used = 0;
    int count = 0;

    for (; *next < pieces->len && count < PIECES_MAX; count++, (*next)++) {
        const Piece *piece = &g_array_index(pieces, Piece, *next);
        const uint8_t *data = piece->data ? piece->data : room + used;

        if (piece->offset != end || (!piece->data && piece->bytes > VT_LAYER_WRITER_ROOM - used))
            break;
        if (!piece->data) {
            if (!vt_fs_pread_all(piece->fd, room + used, piece->bytes, (off_t)piece->from, "layer",
                                 error))
                return 0;
            used += piece->bytes;
        }
        parts[count] = (struct iovec){(void *)data, piece->bytes};
        end += piece->bytes;
    }
    return count;
}

/* @room: (nullable): where no piece is in another file */
static bool
write_pieces(int fd, GArray *pieces, uint8_t *room, GError **error)
{
    struct iovec parts[PIECES_MAX];

    g_array_sort(pieces, compare_pieces);
    for (guint i = 0; i < pieces->len;) {
        const uint64_t offset = g_array_index(pieces, Piece, i).offset;
        const int count = gather_run(pieces, &i, room, parts, error);

        if (count == 0 || !write_run(fd, parts, count, offset, error))
            return false;
    }
    return true;
}

static void
add_primaries(const VtLayerWriter *writer, const uint8_t *content, uint64_t first_frame,
              uint64_t end_frame, GArray *pieces)
{
    const VtTargets *primary = &writer->map->primary;
    const uint64_t first_block = first_frame * writer->map->frame_blocks;

    for (guint i = primary->first[first_frame]; i < primary->first[end_frame]; i++) {
        const VtTarget *target = &g_array_index(primary->all, VtTarget, i);

        add_piece(pieces, target->offset, content + (target->source - first_block) * BLOCK,
                  target->blocks * BLOCK);
    }
}

static void
add_moves(const VtLayerWriter *writer, uint64_t first_frame, uint64_t end_frame, GArray *pieces)
{
    g_autoptr(GArray) moved = g_array_new(false, false, sizeof(VtPiece));
    const VtLayerGather *gather = writer->gather;

    for (guint i = gather->first[first_frame]; i < gather->first[end_frame]; i++)
        vt_layer_file_locate_move(&g_array_index(gather->beside, VtMove, i), writer->chain, moved);
    for (guint i = 0; i < moved->len; i++) {
        const VtPiece *from = &g_array_index(moved, VtPiece, i);
        const Piece piece = {
            .offset = from->to, .bytes = from->bytes, .from = from->from, .fd = from->fd};

        g_array_append_val(pieces, piece);
    }
}

bool
vt_layer_writer_add(VtLayerWriter *writer, const VtLayerBatch *batch, GError **error)
{
    g_autoptr(GArray) pieces = g_array_new(false, false, sizeof(Piece));
    const uint64_t frame_bytes = writer->map->frame_blocks * BLOCK;
    const uint64_t first = batch->first_frame, end = first + batch->frame_count;
    guint known;

    add_primaries(writer, batch->content, first, end, pieces);
    add_moves(writer, first, end, pieces);
    known = pieces->len;
    g_mutex_lock(&writer->lock);
    for (uint64_t i = 0; i < batch->frame_count; i++)
        remember(writer, batch->content + i * frame_bytes, first + i, pieces);
    for (guint i = 0; i < known; i++) {
        const Piece *piece = &g_array_index(pieces, Piece, i);

        claim_copies(writer, piece->offset + piece->bytes, pieces);
    }
    g_mutex_unlock(&writer->lock);
    return write_pieces(writer->fd, pieces, batch->room, error);
}

bool
vt_layer_writer_keep(VtLayerWriter *writer, const uint8_t *content, uint64_t frame, GError **error)
{
    g_autoptr(GArray) pieces = g_array_new(false, false, sizeof(Piece));

    g_mutex_lock(&writer->lock);
    remember(writer, content, frame, pieces);
    g_mutex_unlock(&writer->lock);
    return write_pieces(writer->fd, pieces, NULL, error);
}

bool
vt_layer_writer_finish(VtLayerWriter *writer, GError **error)
{
    g_autoptr(GArray) pieces = g_array_new(false, false, sizeof(Piece));

    for (guint i = 0; i < writer->map->copies.all->len; i++) {
        const VtTarget *copy = copy_at(writer, i);

        if (!writer->claimed[i])
            add_piece(pieces, copy->offset, memory_of(writer, copy), copy->blocks * BLOCK);
    }
    return write_pieces(writer->fd, pieces, NULL, error);
}
