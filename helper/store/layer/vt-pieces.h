/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pieces.h: parts of some files become parts of another one */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/* Sharing less takes longer than copying it, and leaves a file in many extents; bytes */
#define VT_PIECES_SHARE_MIN (64u << 10)

/**
 * VtPiece: bytes [@from, @from + @bytes) of file @fd go to @to; all multiples of 4096
 * @joined: it lies behind the piece before it at the same distance in both files, and between them
 * is nothing but a hole in both
 */
typedef struct {
    uint64_t from;
    uint64_t to;
    uint64_t bytes;
    int fd;
    bool joined;
} VtPiece;

/** vt_pieces_add: Appends @piece, whose @to is behind those before it; @only_holes: between it and
 * the last one. Merges them where that can be */
void vt_pieces_add(GArray *pieces, VtPiece piece, bool only_holes);

/**
 * vt_pieces_share:
 * @pieces: (element-type VtPiece): those that could be shared are removed
 * @all: also those that are so short that copying them is quicker
 * @ret_shared: (out): bytes
 *
 * Asks the file system to share the blocks. One that cannot is no error; %VT_ERROR_NO_SPACE
 */
bool vt_pieces_share(int fd, GArray *pieces, bool all, uint64_t *ret_shared, GError **error);

/**
 * VtPiecesWrite:
 * @fd: with O_DIRECT or not; open for writing
 * @reserve: reserve space ahead of the writes
 * @threads: 0: what fits the machine
 * @progress: (nullable): called by the calling thread, with the bytes written so far
 */
typedef struct {
    int fd;
    bool reserve;
    unsigned threads;
    void (*progress)(void *user, uint64_t done);
    void *user;
} VtPiecesWrite;

/** vt_pieces_write: Reads and writes @pieces (element-type VtPiece), by some threads, in large
 * writes
 */
bool vt_pieces_write(const VtPiecesWrite *write, const GArray *pieces, GError **error);
