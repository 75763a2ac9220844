/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-iso.c: a few small files as an ISO 9660 image, written by libisofs */
#include "vt-iso.h"

#include <libburn/libburn.h>
#include <libisofs/libisofs.h>
#include <stdlib.h>
#include <string.h>

/* 1980-01-01: the first day of FAT, which every reader takes. As ECMA-119 8.4.26.1 has it, too. */
#define TIMESTAMP      ((time_t)315532800)
#define TIMESTAMP_TEXT "1980010100000000"
#define FILE_MODE      ((mode_t)0444)
#define DIR_MODE       ((mode_t)0555)
/* What the writer thread may be ahead, in sectors; 32 is the least */
#define FIFO_SECTORS 32
#define SECTOR       2048
/* Level 3 would allow files of 4 GiB; 2 allows the names that we have */
#define ISO_LEVEL 2

typedef struct {
    IsoImage *image;
    IsoWriteOpts *options;
    struct burn_source *source;
} Writer;

static void
writer_clear(Writer *writer)
{
    if (writer->source) {
        writer->source->free_data(writer->source);
        free(writer->source);
    }
    if (writer->options)
        iso_write_opts_free(writer->options);
    if (writer->image)
        iso_image_unref(writer->image);
    iso_finish();
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Writer, writer_clear)

static bool
check(int code, const char *what, GError **error)
{
    return code >= 0 || vt_throw(error, VT_ERROR_FAILED, "cannot make the ISO image: %s: %s", what,
                                 iso_error_to_msg(code));
}

/* The directory @name in @parent, made when it is first needed */
static bool
enter_dir(IsoDir *parent, const char *name, IsoDir **ret_dir, GError **error)
{
    IsoNode *node = NULL;

    if (iso_dir_get_node(parent, name, &node) == 1 && iso_node_get_type(node) == LIBISO_DIR) {
        *ret_dir = (IsoDir *)node;
        return true;
    }
    return check(iso_tree_add_new_dir(parent, name, ret_dir), name, error);
}

static bool
add_file(IsoDir *dir, const char *name, GBytes *bytes, int weight, GError **error)
{
    const gsize size = g_bytes_get_size(bytes);
    /* The stream frees it with free() */
    unsigned char *copy = malloc(size + 1);
    IsoStream *stream = NULL;
    IsoFile *file;

    g_assert(copy);
    memcpy(copy, g_bytes_get_data(bytes, NULL), size);
    if (!check(iso_memory_stream_new(copy, size, &stream), name, error)) {
        free(copy);
        return false;
    }
    if (!check(iso_tree_add_new_file(dir, name, stream, &file), name, error)) {
        iso_stream_unref(stream);
        return false;
    }
    /* Else a counter of the library decides whose content comes first */
    iso_node_set_sort_weight((IsoNode *)file, weight);
    return true;
}

static bool
add_path(IsoDir *dir, const VtSeedFile *file, int weight, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(file->path, "/", -1);
    char **part = parts;

    for (; part[1]; part++) {
        if (!enter_dir(dir, *part, &dir, error))
            return false;
    }
    return add_file(dir, *part, file->bytes, weight, error);
}

static bool
set_options(Writer *writer, GError **error)
{
    IsoWriteOpts *options;
    char volume_uuid[] = TIMESTAMP_TEXT;

    if (!check(iso_write_opts_new(&writer->options, 0), "options", error))
        return false;
    options = writer->options;
    iso_write_opts_set_iso_level(options, ISO_LEVEL);
    iso_write_opts_set_rockridge(options, 1);
    /* Without the file serial numbers of 1.12, which come from a counter of the library */
    iso_write_opts_set_rrip_version_1_10(options, 1);
    iso_write_opts_set_joliet(options, 1);
    /* Labels and names as they are: cloud-init looks for "config-2" */
    iso_write_opts_set_relaxed_vol_atts(options, 1);
    iso_write_opts_set_replace_mode(options, 2, 2, 2, 2);
    iso_write_opts_set_default_dir_mode(options, DIR_MODE);
    iso_write_opts_set_default_file_mode(options, FILE_MODE);
    iso_write_opts_set_default_uid(options, 0);
    iso_write_opts_set_default_gid(options, 0);
    iso_write_opts_set_replace_timestamps(options, 2);
    iso_write_opts_set_default_timestamp(options, TIMESTAMP);
    iso_write_opts_set_always_gmt(options, 1);
    iso_write_opts_set_fifo_size(options, FIFO_SECTORS);
    return check(iso_write_opts_set_pvd_times(options, TIMESTAMP, TIMESTAMP, 0, 0, volume_uuid),
                 "dates", error);
}

static bool
read_image(struct burn_source *source, GBytes **ret_bytes, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    unsigned char sector[SECTOR];
    int n;

    while ((n = source->read_xt ? source->read_xt(source, sector, SECTOR)
                                : source->read(source, sector, SECTOR)) > 0)
        g_byte_array_append(bytes, sector, (guint)n);
    if (n < 0)
        return vt_throw(error, VT_ERROR_FAILED, "cannot make the ISO image");
    *ret_bytes = g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
    return true;
}

bool
vt_iso_write(const char *label, GPtrArray *files, GBytes **ret_bytes, GError **error)
{
    g_auto(Writer) writer = {NULL};
    gsize total = 0;

    for (guint i = 0; i < files->len; i++)
        total += g_bytes_get_size(((const VtSeedFile *)files->pdata[i])->bytes);
    if (total > VT_ISO_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the seed has %zu bytes, at most %u are allowed",
                        total, VT_ISO_MAX);
    if (!check(iso_init(), "start", error) ||
        !check(iso_image_new(label, &writer.image), "image", error))
        return false;
    for (guint i = 0; i < files->len; i++) {
        if (!add_path(iso_image_get_root(writer.image), files->pdata[i], -(int)i, error))
            return false;
    }
    return set_options(&writer, error) &&
           check(iso_image_create_burn_source(writer.image, writer.options, &writer.source),
                 "writer", error) &&
           read_image(writer.source, ret_bytes, error);
}
