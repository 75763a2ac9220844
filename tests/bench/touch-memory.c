/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* touch-memory.c: uses free memory once, so that who comes next gets memory that is there
 *
 * touch-memory MIB: at most half of what is free. A host takes what a virtual machine has free; to
 * get a page back costs some µs, of which a short job pays a lot and a long one little.
 */
#include <glib.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes;
    char *memory;

    g_assert_cmpint(argc, ==, 2);
    bytes =
        MIN((size_t)strtoul(argv[1], NULL, 10) << 20, (size_t)sysconf(_SC_AVPHYS_PAGES) / 2 * page);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(memory != MAP_FAILED);
    for (size_t at = 0; at < bytes; at += page)
        memory[at] = 1;
    return 0;
}
