/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-disk-copy.c: a chain of layers becomes one file that reads the same */
#include "layer-fixture.h"

#include "vt-disk-copy.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BLOCK  4096u
#define LAYERS 3
#define ROUNDS 12
/* Some hundred KiB: more than a cluster, less than what takes long */
#define BLOCKS_MAX 700

/* A chain in unnamed files; layer 0 is the full one */
typedef struct {
    guint count;
    LayerFixture layers[LAYERS];
    int fds[LAYERS];
    int images[LAYERS];
    VtAncestor ancestors[LAYERS];
} Chain;

static int
new_file(void)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static char *
path_of(int fd)
{
    return g_strdup_printf("/proc/%d/fd/%d", (int)getpid(), fd);
}

static void
put(int fd, uint64_t at, uint64_t value)
{
    uint64_t words[BLOCK / 8] = {0};

    for (guint i = 0; value && i < G_N_ELEMENTS(words); i++)
        words[i] = value * 2654435761u + i / 3;
    g_assert_cmpint(pwrite(fd, words, BLOCK, (off_t)(at * BLOCK)), ==, BLOCK);
}

/* The disk of @from, or none, with runs that are new, zero, or of elsewhere */
static int
new_image(int from, uint64_t blocks, GRand *rand)
{
    int fd = new_file();
    char block[BLOCK];

    g_assert_cmpint(ftruncate(fd, (off_t)(blocks * BLOCK)), ==, 0);
    for (uint64_t i = 0; from >= 0 && i < blocks; i++) {
        memset(block, 0, BLOCK);
        g_assert_cmpint(pread(from, block, BLOCK, (off_t)(i * BLOCK)), >=, 0);
        g_assert_cmpint(pwrite(fd, block, BLOCK, (off_t)(i * BLOCK)), ==, BLOCK);
    }
    for (int run = g_rand_int_range(rand, 1, 14); run > 0; run--) {
        uint64_t at = (uint64_t)g_rand_int_range(rand, 0, (gint32)blocks);
        const gint32 kind = g_rand_int_range(rand, 0, 3);
        const uint64_t value = g_rand_int(rand) | 1u;

        for (int i = g_rand_int_range(rand, 1, 90); i > 0 && at < blocks; i--, at++)
            put(fd, at, kind == 0 ? 0 : value + (kind == 1 ? at : at * 7));
    }
    return fd;
}

static void
chain_add(Chain *chain, int image)
{
    const guint number = chain->count++;
    LayerFixture *layer = &chain->layers[number];
    VtEncodeOptions options = {.frame_size = 64u << 10, .blob_max = 1u << 20, .threads = 2};
    g_autoptr(VtChain) below = NULL;
    g_autoptr(GError) error = NULL;

    layer_fixture_init(layer);
    if (number > 0) {
        options.parent = chain->layers[number - 1].result.index_digest;
        vt_chain_new(&options.parent, chain->ancestors, number, &below, &error);
        g_assert_no_error(error);
        options.chain = below;
        layer->ancestors = chain->ancestors;
        layer->ancestor_count = number;
        layer->backing = "/nowhere";
    }
    layer_fixture_encode(layer, image, &options);
    chain->images[number] = image;
    chain->fds[number] = new_file();
    layer_fixture_unpack(layer, chain->fds[number], false, &error);
    g_assert_no_error(error);
    memmove(chain->ancestors + 1, chain->ancestors, number * sizeof(VtAncestor));
    chain->ancestors[0] = (VtAncestor){layer->result.index, chain->fds[number]};
}

static void
chain_clear(Chain *chain)
{
    for (guint i = 0; i < chain->count; i++) {
        layer_fixture_clear(&chain->layers[i]);
        close(chain->fds[i]);
        close(chain->images[i]);
    }
}

static VtDiskCopy
copy_of(const Chain *chain, int output)
{
    return (VtDiskCopy){.top = chain->layers[chain->count - 1].result.index_digest,
                        .layers = chain->ancestors,
                        .layer_count = chain->count,
                        .output_fd = output};
}

static void G_GNUC_PRINTF(1, 2) run_qemu_img(const char *format, ...)
{
    g_autofree char *arguments = NULL, *command = NULL, *out = NULL, *err = NULL;
    g_autoptr(GError) error = NULL;
    int status = -1;
    va_list list;

    va_start(list, format);
    arguments = g_strdup_vprintf(format, list);
    va_end(list);
    command = g_strconcat("qemu-img ", arguments, NULL);
    g_spawn_command_line_sync(command, &out, &err, &status, &error);
    g_assert_no_error(error);
    if (status != 0)
        g_error("%s: %s%s", command, out, err);
}

static uint64_t
blocks_of(int fd)
{
    struct stat st;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    return (uint64_t)st.st_size / BLOCK;
}

static void
assert_raw(int image, int copy, uint64_t blocks)
{
    char here[BLOCK], there[BLOCK];

    g_assert_cmpuint(blocks_of(copy), ==, blocks);
    for (uint64_t i = 0; i < blocks; i++) {
        memset(here, 0, BLOCK);
        g_assert_cmpint(pread(image, here, BLOCK, (off_t)(i * BLOCK)), >=, 0);
        g_assert_cmpint(pread(copy, there, BLOCK, (off_t)(i * BLOCK)), ==, BLOCK);
        g_assert_cmpmem(here, BLOCK, there, BLOCK);
    }
}

static void
remember_last(void *user, uint64_t done, uint64_t total)
{
    uint64_t *last = user;

    g_assert_cmpuint(done, <=, total);
    g_assert_cmpuint(done, >=, last[0]);
    last[0] = done;
    last[1] = total;
}

/* Both formats, with the template's size and with a larger one */
static void
assert_copies(const Chain *chain, unsigned threads)
{
    const int image = chain->images[chain->count - 1];
    const uint64_t blocks = blocks_of(image);
    g_autofree char *image_path = path_of(image);

    for (guint i = 0; i < 4; i++) {
        const uint64_t more = i < 2 ? 0 : 300000;
        vt_autofd output = new_file();
        g_autofree char *path = path_of(output);
        VtDiskCopy copy = copy_of(chain, output);
        g_autoptr(GError) error = NULL;
        uint64_t last[2] = {0, 0};

        copy.format = i % 2 ? VT_DISK_QCOW2 : VT_DISK_RAW;
        copy.capacity = more ? (blocks + more) * BLOCK : 0;
        copy.threads = threads;
        copy.progress = remember_last;
        copy.user = last;
        vt_disk_copy(&copy, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(last[0], ==, last[1]);
        if (copy.format == VT_DISK_RAW && !more)
            assert_raw(image, output, blocks);
        if (copy.format == VT_DISK_QCOW2)
            run_qemu_img("check -q -f qcow2 %s", path);
        run_qemu_img("compare -q -f %s -F raw %s %s", i % 2 ? "qcow2" : "raw", path, image_path);
    }
}

static void
test_random(void)
{
    for (guint32 seed = 0; seed < ROUNDS; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        Chain chain = {0};
        int image = -1;

        for (guint i = 0; i < LAYERS; i++) {
            image = new_image(image, (uint64_t)g_rand_int_range(rand, 1, BLOCKS_MAX), rand);
            chain_add(&chain, image);
        }
        assert_copies(&chain, seed % 4);
        chain_clear(&chain);
    }
}

/* A base alone has no clusters of another size */
static void
test_one_layer(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    Chain chain = {0};

    chain_add(&chain, new_image(-1, BLOCKS_MAX, rand));
    assert_copies(&chain, 0);
    chain_clear(&chain);
}

static void
test_empty_disk(void)
{
    Chain chain = {0};
    int image = new_file();

    g_assert_cmpint(ftruncate(image, 64 * BLOCK), ==, 0);
    chain_add(&chain, image);
    assert_copies(&chain, 0);
    chain_clear(&chain);
}

/* What is zeros takes no space, whichever layer says so */
static void
test_holes(void)
{
    Chain chain = {0};
    vt_autofd output = new_file();
    int before = new_file(), after = new_file();
    VtDiskCopy copy;
    g_autoptr(GError) error = NULL;
    struct stat st;

    g_assert_cmpint(ftruncate(before, 4096 * BLOCK), ==, 0);
    g_assert_cmpint(ftruncate(after, 4096 * BLOCK), ==, 0);
    for (uint64_t i = 0; i < 512; i++) {
        put(before, i, i + 1);
        put(after, i, i < 256 ? 0 : i + 1);
    }
    chain_add(&chain, before);
    chain_add(&chain, after);
    copy = copy_of(&chain, output);
    vt_disk_copy(&copy, &error);
    g_assert_no_error(error);
    assert_raw(after, output, 4096);
    g_assert_cmpint(fstat(output, &st), ==, 0);
    g_assert_cmpint(st.st_blocks * 512, <=, 256 * BLOCK + 65536);
    chain_clear(&chain);
}

static void
test_refused(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    vt_autofd output = new_file();
    g_autoptr(GError) error = NULL;
    VtDiskCopy copy;
    Chain chain = {0};

    chain_add(&chain, new_image(-1, 64, rand));
    chain_add(&chain, new_image(chain.images[0], 64, rand));
    copy = copy_of(&chain, output);
    copy.capacity = 63 * BLOCK;
    g_assert_false(vt_disk_copy(&copy, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, "a copy of 258048 bytes: the template has 262144"));
    g_clear_error(&error);

    copy.capacity = VT_INDEX_CAPACITY_MAX + 1;
    g_assert_false(vt_disk_copy(&copy, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_clear_error(&error);

    /* a chain without its base, and one that is another layer's */
    copy = copy_of(&chain, output);
    copy.layer_count = 1;
    g_assert_false(vt_disk_copy(&copy, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_clear_error(&error);
    copy = copy_of(&chain, output);
    copy.layers++;
    copy.layer_count = 1;
    g_assert_false(vt_disk_copy(&copy, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    chain_clear(&chain);
}

/* Memory files share no blocks */
static void
test_must_reflink(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    vt_autofd output = memfd_create("copy", MFD_CLOEXEC);
    g_autoptr(GError) error = NULL;
    VtDiskCopy copy;
    Chain chain = {0};

    chain_add(&chain, new_image(-1, 64, rand));
    copy = copy_of(&chain, output);
    copy.must_reflink = true;
    g_assert_false(vt_disk_copy(&copy, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, "cannot share blocks"));
    g_clear_error(&error);
    copy.must_reflink = false;
    vt_disk_copy(&copy, &error);
    g_assert_no_error(error);
    assert_raw(chain.images[0], output, 64);
    chain_clear(&chain);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk-copy/random", test_random);
    g_test_add_func("/disk-copy/one-layer", test_one_layer);
    g_test_add_func("/disk-copy/empty-disk", test_empty_disk);
    g_test_add_func("/disk-copy/holes", test_holes);
    g_test_add_func("/disk-copy/refused", test_refused);
    g_test_add_func("/disk-copy/must-reflink", test_must_reflink);
    return g_test_run();
}
