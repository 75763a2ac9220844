/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-fs.h"
#include "vt-qcow2-format.h"
#include "vt-qcow2-layout.h"
#include "vt-qcow2.h"
#include "vt-sparse.h"

#include <fcntl.h>
#include <glib/gstdio.h>

#define MIB (UINT64_C(1) << 20)

typedef struct {
    char *dir;
} Dir;

static void
dir_setup(Dir *dir, gconstpointer data)
{
    dir->dir = g_dir_make_tmp("vt-qcow2-XXXXXX", NULL);
}

static void
dir_teardown(Dir *dir, gconstpointer data)
{
    g_autoptr(GDir) list = g_dir_open(dir->dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(list))) {
        g_autofree char *path = g_build_filename(dir->dir, name, NULL);

        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_assert_cmpint(g_rmdir(dir->dir), ==, 0);
    g_free(dir->dir);
}

/* Runs a command in the directory; it must succeed. Returns: (transfer full): its output */
G_GNUC_PRINTF(2, 3)
static char *
run(const Dir *dir, const char *format, ...)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command = NULL, *complaint = NULL;
    char *output = NULL;
    int status = 0;
    va_list args;

    va_start(args, format);
    command = g_strdup_vprintf(format, args);
    va_end(args);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    g_spawn_sync(dir->dir, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, &complaint,
                 &status, &error);
    g_assert_no_error(error);
    if (status != 0)
        g_error("%s: %s%s", command, output, complaint);
    return output;
}

static void
write_file(const Dir *dir, const char *name, GBytes *bytes, uint64_t size)
{
    g_autofree char *path = g_build_filename(dir->dir, name, NULL);
    g_autoptr(GError) error = NULL;
    vt_autofd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    vt_sparse_write(fd, bytes, size, name, &error);
    g_assert_no_error(error);
}

/* ---- overlays ---- */

static void
make_overlay(const Dir *dir, const char *name, uint64_t capacity, bool subclusters)
{
    g_autofree char *base = g_build_filename(dir->dir, "base.qcow2", NULL);
    const VtQcow2Overlay overlay = {capacity, subclusters, base, "qcow2"};
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(VtQcow2Info) info = {0};
    uint64_t size = 0;
    gsize length;

    vt_qcow2_overlay_encode(&overlay, &bytes, &size, &error);
    g_assert_no_error(error);
    length = MIN(g_bytes_get_size(bytes), VT_QCOW2_HEADER_MAX);
    g_assert_true(vt_qcow2_parse(g_bytes_get_data(bytes, NULL), length, &info, &error));
    g_assert_cmpuint(info.capacity, ==, capacity);
    g_assert_cmpuint(info.cluster_bits, ==, subclusters ? 17 : 16);
    g_assert_cmpint(info.extended_l2, ==, subclusters);
    g_assert_cmpstr(info.backing_file, ==, base);
    g_assert_cmpstr(info.backing_format, ==, "qcow2");
    write_file(dir, name, bytes, size);
}

/* What `qemu-img info` and `map` say of an image, without its name and the size of the file */
static char *
describe(const Dir *dir, const char *name)
{
    return run(dir,
               "qemu-img check -q %s && qemu-img info %s | grep -vE '^(image|disk size):'"
               " && qemu-img map --output=json %s",
               name, name, name);
}

static void
test_overlay(Dir *dir, gconstpointer data)
{
    static const char *const options[] = {"cluster_size=64k", "cluster_size=128k,extended_l2=on"};
    const bool subclusters = GPOINTER_TO_INT(data);

    g_free(run(dir, "qemu-img create -q -f qcow2 base.qcow2 64M"));
    g_free(run(dir, "qemu-io -c 'write -P 7 1M 3M' base.qcow2"));
    for (uint64_t capacity = 64 * MIB; capacity <= 16 * MIB * MIB; capacity *= 64) {
        g_autofree char *ours = NULL, *theirs = NULL;

        make_overlay(dir, "ours", capacity, subclusters);
        g_free(run(dir,
                   "qemu-img create -q -f qcow2 -o %s -F qcow2 -b \"$PWD/base.qcow2\" theirs "
                   "%" G_GUINT64_FORMAT,
                   options[subclusters], capacity));
        ours = describe(dir, "ours");
        theirs = describe(dir, "theirs");
        g_assert_cmpstr(ours, ==, theirs);
    }
    make_overlay(dir, "ours", 64 * MIB, subclusters);
    g_free(run(dir, "qemu-io -c 'read -P 7 1M 3M' -c 'read -P 0 0 1M' -c 'write -P 9 2M 4k' ours"));
    g_free(run(dir, "qemu-io -c 'read -P 9 2M 4k' -c 'read -P 7 2052k 1M' -c 'write -P 1 60M 4M'"
                    " -c 'read -P 1 60M 4M' ours"));
    g_free(run(dir, "qemu-img check -q ours && qemu-io -r -c 'read -P 7 2M 4k' base.qcow2"));
}

static void
test_overlay_refuses(void)
{
    g_autofree char *longest = g_strnfill(1023, 'a'), *longer = g_strnfill(1024, 'a');
    const struct {
        VtQcow2Overlay overlay;
        VtError code;
    } cases[] = {
        {{0, true, "/b", "qcow2"}, VT_ERROR_INVALID},
        {{513, true, "/b", "qcow2"}, VT_ERROR_INVALID},
        {{VT_QCOW2_CAPACITY_MAX + 512, true, "/b", "qcow2"}, VT_ERROR_INVALID},
        {{512, true, "b", "qcow2"}, VT_ERROR_INVALID},
        {{512, true, "nbd://host/b", "raw"}, VT_ERROR_INVALID},
        {{512, true, "", "raw"}, VT_ERROR_INVALID},
        {{512, true, "/b", "vmdk"}, VT_ERROR_INVALID},
        {{512, true, "/b", ""}, VT_ERROR_INVALID},
        {{512, true, longer, "qcow2"}, VT_ERROR_TOO_LARGE},
    };
    const VtQcow2Overlay largest = {VT_QCOW2_CAPACITY_MAX, false, longest, "raw"};
    g_autoptr(GBytes) bytes = NULL;
    uint64_t size = 0;

    longest[0] = longer[0] = '/';
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_qcow2_overlay_encode(&cases[i].overlay, &bytes, &size, &error));
        g_assert_error(error, VT_ERROR, (int)cases[i].code);
        g_assert_null(bytes);
    }
    g_assert_true(vt_qcow2_overlay_encode(&largest, &bytes, &size, NULL));
}

/* ---- headers from outside ---- */

typedef struct {
    const char *create;
    const char *refused;
} Made;

/* What qemu-img makes, and which of it is refused */
static const Made made[] = {
    {"-f qcow2 x 10M", NULL},
    {"-f qcow2 -o compat=0.10 x 10M", NULL},
    {"-f qcow2 -o cluster_size=2M,compression_type=zstd x 1T", NULL},
    {"-f qcow2 -o extended_l2=on,cluster_size=128k x 1T", NULL},
    {"-f qcow2 -o lazy_refcounts=on,refcount_bits=1 x 10M", NULL},
    {"-f qcow2 -o data_file=y x 10M", "data in another file"},
    {"-f qcow2 -u -b y -F raw x 10M", "backing file"},
    {"-f qcow2 --object secret,id=s,data=x -o encrypt.format=aes,encrypt.key-secret=s x 10M",
     "encrypted"},
    {"-f qcow2 x 10M && qemu-img snapshot -c s x", "1 internal snapshots"},
    {"-f qcow2 x 10M && qemu-img bitmap --add x b", "autoclear_features"},
    {"-f qcow2 x 32T", "QCOW2 size"},
    {"-f vmdk x 10M", "not a QCOW2"},
    {"-f raw x 10M", "not a QCOW2"},
};

static void
test_made(Dir *dir, gconstpointer data)
{
    const Made *m = data;
    g_autofree char *path = g_build_filename(dir->dir, "x", NULL);
    g_autoptr(GError) error = NULL;
    uint8_t header[VT_QCOW2_HEADER_MAX];
    vt_autofd fd = -1;
    ssize_t length;
    bool ok;

    g_free(run(dir, "qemu-img create -q %s", m->create));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = read(fd, header, sizeof(header));
    g_assert_cmpint(length, >, 0);
    ok = vt_qcow2_check_standalone(header, (size_t)length, &error);
    if (!m->refused) {
        g_assert_no_error(error);
        g_assert_true(ok);
        return;
    }
    g_assert_false(ok);
    g_assert_nonnull(error);
    if (!strstr(error->message, m->refused))
        g_error("'%s' does not say '%s'", error->message, m->refused);
}

/* A good header with one field changed */
typedef struct {
    size_t offset;
    unsigned width;
    uint64_t value;
    VtError code;
    const char *message;
} Changed;

static const Changed changed[] = {
    {QCOW2_MAGIC, 4, 0, VT_ERROR_INVALID, "not a QCOW2"},
    {QCOW2_VERSION, 4, 1, VT_ERROR_UNSUPPORTED, "version 1"},
    {QCOW2_VERSION, 4, 4, VT_ERROR_UNSUPPORTED, "version 4"},
    {QCOW2_CLUSTER_BITS, 4, 8, VT_ERROR_INVALID, "cluster_bits is 8"},
    {QCOW2_CLUSTER_BITS, 4, 22, VT_ERROR_INVALID, "cluster_bits is 22"},
    {QCOW2_CLUSTER_BITS, 4, UINT32_MAX, VT_ERROR_INVALID, "cluster_bits"},
    {QCOW2_CAPACITY, 8, 0, VT_ERROR_INVALID, "size 0"},
    {QCOW2_CAPACITY, 8, 513, VT_ERROR_INVALID, "size 513"},
    {QCOW2_CAPACITY, 8, UINT64_MAX, VT_ERROR_INVALID, "size"},
    {QCOW2_CRYPT, 4, 1, VT_ERROR_UNSUPPORTED, "crypt_method 1"},
    {QCOW2_L1_SIZE, 4, 0, VT_ERROR_INVALID, "l1_size 0"},
    {QCOW2_L1_SIZE, 4, UINT32_MAX, VT_ERROR_INVALID, "l1_size"},
    {QCOW2_L1_OFFSET, 8, 0x30001, VT_ERROR_INVALID, "do not start at a cluster"},
    {QCOW2_L1_OFFSET, 8, 0, VT_ERROR_INVALID, "do not start at a cluster"},
    {QCOW2_REFTABLE_OFFSET, 8, 512, VT_ERROR_INVALID, "do not start at a cluster"},
    {QCOW2_REFTABLE_CLUSTERS, 4, 0, VT_ERROR_INVALID, "refcount_table_clusters is 0"},
    {QCOW2_REFTABLE_CLUSTERS, 4, UINT32_MAX, VT_ERROR_INVALID, "refcount_table_clusters"},
    {QCOW2_SNAPSHOTS, 4, 3, VT_ERROR_UNSUPPORTED, "3 internal snapshots"},
    {QCOW2_INCOMPATIBLE, 8, 1, VT_ERROR_UNSUPPORTED, "dirty"},
    {QCOW2_INCOMPATIBLE, 8, 2, VT_ERROR_UNSUPPORTED, "corrupt"},
    {QCOW2_INCOMPATIBLE, 8, 4, VT_ERROR_UNSUPPORTED, "another file"},
    {QCOW2_INCOMPATIBLE, 8, 32, VT_ERROR_UNSUPPORTED, "incompatible_features are 0x20"},
    {QCOW2_AUTOCLEAR, 8, 1, VT_ERROR_UNSUPPORTED, "autoclear_features are 0x1"},
    {QCOW2_REFCOUNT_ORDER, 4, 7, VT_ERROR_INVALID, "refcount_order is 7"},
    {QCOW2_HEADER_LENGTH, 4, 103, VT_ERROR_INVALID, "header_length is 103"},
    {QCOW2_HEADER_LENGTH, 4, 106, VT_ERROR_INVALID, "header_length is 106"},
    {QCOW2_HEADER_LENGTH, 4, UINT32_MAX, VT_ERROR_INVALID, "header_length"},
    {QCOW2_COMPRESSION, 1, 2, VT_ERROR_UNSUPPORTED, "compression_type is 2"},
    {QCOW2_BACKING_OFFSET, 8, 200, VT_ERROR_UNSUPPORTED, "backing file"},
    {QCOW2_BACKING_OFFSET, 8, UINT64_MAX, VT_ERROR_INVALID, "backing file name"},
    {QCOW2_BACKING_SIZE, 4, 5, VT_ERROR_UNSUPPORTED, "backing file"},
    {QCOW2_HEADER_3_FULL, 4, QCOW2_EXTENSION_BACKING_FORMAT, VT_ERROR_UNSUPPORTED, "the format"},
    {QCOW2_HEADER_3_FULL, 4, QCOW2_EXTENSION_DATA_FILE, VT_ERROR_UNSUPPORTED, "data file"},
    {QCOW2_HEADER_3_FULL, 4, QCOW2_EXTENSION_ENCRYPTION, VT_ERROR_UNSUPPORTED, "encrypted"},
    {QCOW2_HEADER_3_FULL, 4, QCOW2_EXTENSION_BITMAPS, VT_ERROR_UNSUPPORTED, "bitmaps"},
    {QCOW2_HEADER_3_FULL, 4, 5, VT_ERROR_UNSUPPORTED, "0x00000005 is unknown"},
    {QCOW2_HEADER_3_FULL, 8, UINT64_MAX, VT_ERROR_INVALID, "larger than the header"},
};

static void
good_header(uint8_t data[1024])
{
    const Qcow2Header header = {10 * MIB, 16, 0, 0x10000, 1, 0x30000, 1};

    memset(data, 0, 1024);
    qcow2_put_header(data, &header);
}

static void
test_changed(void)
{
    uint8_t data[1024];

    good_header(data);
    g_assert_true(vt_qcow2_check_standalone(data, sizeof(data), NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(changed); i++) {
        g_autoptr(GError) error = NULL;
        uint8_t value[8];

        good_header(data);
        qcow2_put64(value, changed[i].value);
        memcpy(data + changed[i].offset, value + 8 - changed[i].width, changed[i].width);
        g_assert_false(vt_qcow2_check_standalone(data, sizeof(data), &error));
        if (!strstr(error->message, changed[i].message))
            g_error("'%s' does not say '%s'", error->message, changed[i].message);
        g_assert_error(error, VT_ERROR, (int)changed[i].code);
    }
}

static void
test_cut(void)
{
    uint8_t data[1024];

    good_header(data);
    for (size_t length = 0; length < QCOW2_HEADER_3; length++) {
        g_autofree uint8_t *copy = g_memdup2(data, length);
        g_autoptr(GError) error = NULL;
        VtQcow2Info info = {0};

        g_assert_false(vt_qcow2_parse(copy, length, &info, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    }
}

/* ---- layout ---- */

/* An index of extents {kind, length}, literals numbered as they come */
typedef struct {
    const char *name;
    struct {
        uint64_t length;
        bool data;
    } extents[8];
} Shape;

static const Shape shapes[] = {
    {"small", {{3, true}}},
    {"zero", {{262144, false}}},
    {"mixed", {{1, true}, {40, false}, {5, true}, {7, false}, {2, true}, {300, false}, {9, true}}},
    {"tables", {{131072, false}, {20, true}, {1048576, false}, {40, true}, {500000, false}}},
    {"edge", {{131071, false}, {2, true}}},
    /* data of more than one refcount block */
    {"large", {{600000, true}, {3, false}, {600000, true}}},
    {"largest", {{UINT32_MAX - 100, false}, {101, true}}},
};

static VtIndex *
index_of(const Shape *shape)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(VT_INDEX_FRAME_MAX);
    const uint32_t per_frame = VT_INDEX_FRAME_MAX / VT_INDEX_BLOCK_SIZE;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    VtIndex *index = NULL;
    uint64_t literal = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(shape->extents) && shape->extents[i].length > 0; i++) {
        const bool data = shape->extents[i].data;

        vt_index_builder_add_extent(builder, data ? VT_EXTENT_LITERAL : VT_EXTENT_ZERO,
                                    data ? literal : 0, (uint32_t)shape->extents[i].length);
        literal += data ? shape->extents[i].length : 0;
    }
    for (uint32_t i = 0; i * (uint64_t)per_frame < literal; i++) {
        const VtFrame frame = {.offset = i * 100,
                               .size = 100,
                               .blocks = (uint32_t)MIN(literal - i * per_frame, per_frame)};

        vt_index_builder_add_frame(builder, &frame);
    }
    bytes = vt_index_builder_finish(builder);
    vt_index_parse(bytes, &index, &error);
    g_assert_no_error(error);
    return index;
}

/* The metadata with holes for data: qemu-img finds no error, and data where the index has it */
static void
test_layout(Dir *dir, gconstpointer data)
{
    g_autoptr(VtIndex) index = index_of(data);
    g_autoptr(VtQcow2Layout) layout = vt_qcow2_layout_new(index, NULL);
    const size_t length = layout->metadata_clusters * layout->cluster;
    uint8_t *metadata = g_malloc(length);
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *map = NULL;
    VtExtentIter iter;
    VtExtent extent;

    for (uint64_t i = 0; i < layout->metadata_clusters; i++)
        vt_qcow2_layout_metadata(layout, i, metadata + i * layout->cluster);
    bytes = g_bytes_new_take(metadata, length);
    g_assert_true(vt_qcow2_check_standalone(metadata, layout->cluster, NULL));
    write_file(dir, "layer", bytes, layout->file_size);
    g_free(run(dir, "qemu-img check -q layer"));
    map = run(dir, "qemu-img map --output=json layer");
    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        const uint64_t block = extent.guest, offset = block * VT_INDEX_BLOCK_SIZE;
        g_autofree char *line = NULL;

        /* Where data starts a cluster, qemu begins a new entry and says where it is */
        if (extent.kind == VT_EXTENT_ZERO || offset % layout->cluster != 0)
            continue;
        line = g_strdup_printf("\"start\": %" G_GUINT64_FORMAT ",", offset);
        g_assert_nonnull(strstr(map, line));
        line = (g_free(line), g_strdup_printf("\"offset\": %" G_GUINT64_FORMAT "}",
                                              vt_qcow2_layout_offset(layout, block)));
        g_assert_nonnull(strstr(map, line));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/qcow2/overlay/plain", Dir, GINT_TO_POINTER(0), dir_setup, test_overlay,
               dir_teardown);
    g_test_add("/qcow2/overlay/subclusters", Dir, GINT_TO_POINTER(1), dir_setup, test_overlay,
               dir_teardown);
    g_test_add_func("/qcow2/overlay/refuses", test_overlay_refuses);
    for (size_t i = 0; i < G_N_ELEMENTS(made); i++) {
        g_autofree char *path = g_strdup_printf("/qcow2/standalone/%zu", i);

        g_test_add(path, Dir, &made[i], dir_setup, test_made, dir_teardown);
    }
    g_test_add_func("/qcow2/standalone/changed", test_changed);
    g_test_add_func("/qcow2/standalone/cut", test_cut);
    for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_autofree char *path = g_strdup_printf("/qcow2/layout/%s", shapes[i].name);

        g_test_add(path, Dir, &shapes[i], dir_setup, test_layout, dir_teardown);
    }
    return g_test_run();
}
