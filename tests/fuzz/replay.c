/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* replay.c FOLDER [FLIPS]: runs a fuzz target over each file of its corpus, whole, cut and with
 * bits flipped
 */
#include "fuzz.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

/* Cuts and flips for each file: enough to reach every field of a small one; fewer flips where each
 * takes long */
#define CUTS   64
#define FLIPS  2048
#define MERGED "merged-"

/* An own buffer of the exact size, so that a sanitizer sees each byte that is read too far */
static void
run_copy(const char *data, gsize size)
{
    g_autofree uint8_t *copy = g_malloc(size);

    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
}

static void
vary(char *data, gsize size, int flips)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (int i = 0; i < CUTS; i++)
        run_copy(data, size * (gsize)i / CUTS);
    for (int i = 0; i < flips && size > 0; i++) {
        /* Mostly near the beginning, where the headers are */
        gsize range = i % 4 ? MIN(size, 512) : size;
        gsize at = (gsize)g_rand_int(rand) % range;
        char before = data[at];

        data[at] ^= (char)(1 << i % 8);
        run_copy(data, size);
        data[at] = before;
    }
}

static void
replay(const char *folder, const char *name, int flips)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *data = NULL;
    gsize size = 0;

    g_file_get_contents(path, &data, &size, &error);
    g_assert_no_error(error);
    run_copy(data, size);
    if (!g_str_has_prefix(name, MERGED))
        vary(data, size, flips);
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) folder = NULL;
    const int flips = argc == 3 ? atoi(argv[2]) : FLIPS;
    unsigned count = 0;
    const char *name;

    if (argc < 2 || argc > 3) {
        g_printerr("usage: %s FOLDER [FLIPS]\n", argv[0]);
        return 2;
    }
    folder = g_dir_open(argv[1], 0, &error);
    g_assert_no_error(error);
    while ((name = g_dir_read_name(folder))) {
        replay(argv[1], name, flips);
        count++;
    }
    g_print("%u files replayed\n", count);
    /* An empty corpus proves nothing */
    return count > 0 ? 0 : 1;
}
