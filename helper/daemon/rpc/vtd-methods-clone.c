/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-clone.c: clones of templates */
#include "vtd-visit.h"

#include "vt-fs.h"
#include "vt-name.h"
#include "vt-qcow2.h"
#include "vtd-event.h"
#include "vtd-records.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

/* What file systems allocate at least */
#define OVERLAY_BLOCK ((gsize)4096)
/* Arguments: the paths of clones */
#define COPY_PATH   6
#define RECORD_PATH 3

/* What was cloned. @manifest: (nullable) */
typedef struct {
    VtdCloneKind kind;
    const char *version;
    const VtDigest *manifest;
    const char *path;
} VtdCloned;

/* ---- making ---- */

static bool
take_file(VtdCall *call, gint handle, int *ret_fd, GError **error)
{
    GDBusMessage *message = g_dbus_method_invocation_get_message(call->invocation);
    GUnixFDList *fds = g_dbus_message_get_unix_fd_list(message);

    if (!fds || handle < 0 || handle >= g_unix_fd_list_get_length(fds))
        return vt_throw(error, VT_ERROR_INVALID, "no descriptor came with the call");
    *ret_fd = g_unix_fd_list_get(fds, handle, error);
    return *ret_fd >= 0;
}

/* In the directory's thread: it may be on a server, too */
static bool
check_empty(int fd, GError **error)
{
    const int mode = fcntl(fd, F_GETFL);
    struct stat st;

    if (mode < 0 || fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the file");
    if (!S_ISREG(st.st_mode) || st.st_size != 0)
        return vt_throw(error, VT_ERROR_INVALID, "the file that came is not an empty regular file");
    if ((mode & O_ACCMODE) == O_RDONLY || (mode & (O_APPEND | O_PATH)))
        return vt_throw(error, VT_ERROR_INVALID, "the file that came is not open for writing");
    return true;
}

/* An option that a method has: one of @ret_boolean, and @ret_path: (transfer full) */
typedef struct {
    const char *name;
    bool *ret_boolean;
    char **ret_path;
} VtdOption;

static bool
take_option(const VtdOption *option, GVariant *value, GError **error)
{
    const GVariantType *type = option->ret_boolean ? G_VARIANT_TYPE_BOOLEAN : G_VARIANT_TYPE_STRING;

    if (!g_variant_is_of_type(value, type))
        return vt_throw(error, VT_ERROR_INVALID, "unknown option '%s' of type %s", option->name,
                        g_variant_get_type_string(value));
    if (option->ret_boolean) {
        *option->ret_boolean = g_variant_get_boolean(value);
        return true;
    }
    if (!vtd_check_path(g_variant_get_string(value, NULL), error))
        return false;
    g_free(*option->ret_path);
    *option->ret_path = g_variant_dup_string(value, NULL);
    return true;
}

/* @known: ends with one without a name */
static bool
take_options(GVariant *options, const VtdOption *known, GError **error)
{
    GVariantIter iter;
    const char *name;
    GVariant *child;

    g_variant_iter_init(&iter, options);
    while (g_variant_iter_next(&iter, "{&sv}", &name, &child)) {
        g_autoptr(GVariant) value = child;
        const VtdOption *option = known;

        while (option->name && !g_str_equal(option->name, name))
            option++;
        if (!option->name)
            return vt_throw(error, VT_ERROR_INVALID, "unknown option '%s' of type %s", name,
                            g_variant_get_type_string(value));
        if (!take_option(option, value, error))
            return false;
    }
    return true;
}

/* Three of its blocks are not zeros; all others stay holes, which is quicker and takes no space */
static bool
write_overlay(int fd, const VtQcow2Overlay *overlay, GError **error)
{
    static const uint8_t zeros[OVERLAY_BLOCK];
    g_autoptr(GBytes) bytes = NULL;
    const uint8_t *data;
    uint64_t file_size;
    gsize size;

    if (!vt_qcow2_overlay_encode(overlay, &bytes, &file_size, error))
        return false;
    data = g_bytes_get_data(bytes, &size);
    for (gsize at = 0; at < size; at += OVERLAY_BLOCK) {
        const gsize length = MIN(size - at, OVERLAY_BLOCK);

        if (memcmp(data + at, zeros, length) != 0 &&
            !vt_fs_pwrite_all(fd, data + at, length, (off_t)at, "overlay", error))
            return false;
    }
    if (ftruncate(fd, (off_t)MAX(file_size, size)) < 0)
        return vt_throw_errno(error, errno, "cannot set the size of the overlay");
    return true;
}

/* Counted, and told */
static void
account(VtdCall *call, const VtdTarget *target, const VtdCloned *cloned)
{
    static const char *const how[] = {[VTD_CLONE_LINKED] = "is a linked clone",
                                      [VTD_CLONE_RECORDED] = "was made by others as a clone"};
    const VtdEventFields fields = {.pool = target->target,
                                   .name = target->name,
                                   .version = cloned->version,
                                   .digest = cloned->manifest,
                                   .path = cloned->path,
                                   .peer_uid = &call->peer_uid};

    vtd_monitor_add(call->daemon->config->workers.monitor, VTD_COUNT_CLONES, cloned->kind, 1);
    vtd_event_log(VTD_EVENT_CLONED, &fields, "'%s' %s of %s@%s in '%s'", cloned->path,
                  how[cloned->kind], target->name, cloned->version, target->target);
}

static bool
check_capacity(const VtCatalogEntry *entry, uint64_t capacity, GError **error)
{
    if (capacity != 0 && capacity < entry->capacity)
        return vt_throw(error, VT_ERROR_INVALID,
                        "a clone of %" G_GUINT64_FORMAT
                        " bytes is smaller than its template, which has %" G_GUINT64_FORMAT,
                        capacity, entry->capacity);
    return true;
}

/* ---- a linked clone ---- */

/**
 * Overlay: one in the making
 * @hidden: (nullable): where the file is until it is at @path
 * @resealing: whether seals may be missing that will be there soon
 * @seal_first: (out): they are; @volume and @layers: of what
 * @reference: (out): NAME@VERSION of the template
 * @tidy: (out): whether records are to be looked at
 */
typedef struct {
    int fd;
    const char *path;
    guint64 capacity;
    bool subclusters;
    char *hidden;
    bool resealing;
    bool seal_first;
    bool tidy;
    char *volume;
    char *backing;
    char *reference;
    VtdLocal local;
} Overlay;

static void
overlay_free(void *user)
{
    Overlay *overlay = user;

    vt_close_fd(&overlay->fd);
    g_free(overlay->hidden);
    g_free(overlay->volume);
    g_free(overlay->backing);
    g_free(overlay->reference);
    g_free(overlay);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Overlay, overlay_free)

/* The call begins anew: whatever it depends on may have changed */
static void
sealed_first(void *user)
{
    VtdCall *call = user;
    GError *error = NULL;

    call->sealed = true;
    vtd_call_waited(call);
    if (!vtd_method_make_overlay(call, &error))
        vtd_call_throw(call, error);
}

static bool
seal_first(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    const Overlay *overlay = visit->user;

    if (!vtd_call_may_wait(visit->call))
        return vt_throw(error, VT_ERROR_BUSY, "%s is being sealed: try again", overlay->reference);
    vtd_pool_seal_first(visit->target.pool, overlay->volume, overlay->local.layers, sealed_first,
                        visit->call);
    return true;
}

static bool
overlay_begin(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    ((Overlay *)visit->user)->resealing = visit->target.pool->resealing > 0;
    return true;
}

static bool
fill_overlay(const VtdCallVisit *visit, VtdLook *look, Overlay *overlay, GError **error)
{
    const VtCatalogEntry *entry = overlay->local.entry;
    const VtQcow2Overlay header = {.backing_format = "qcow2",
                                   .backing_file = overlay->backing,
                                   .capacity =
                                       overlay->capacity ? overlay->capacity : entry->capacity,
                                   .subclusters = overlay->subclusters};

    if (!vt_clones_record(look->files, visit->target.name, entry->version, overlay->path, error) ||
        !write_overlay(overlay->fd, &header, error))
        return false;
    if (overlay->hidden || !vtd_records_has_name(overlay->path, overlay->fd))
        vtd_records_pending(look->here, overlay->reference, overlay->path, overlay->hidden);
    overlay->tidy = vtd_records_count(look->here);
    /* Which may write it to a server */
    vt_close_fd(&overlay->fd);
    return true;
}

static bool
overlay_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    const VtdTarget *target = &visit->target;
    Overlay *overlay = visit->user;
    const char *version;

    if (!check_empty(overlay->fd, error) || !vtd_look_open(look, error) ||
        !vtd_look_use(look, target->name, target->version, &overlay->local, error) ||
        !check_capacity(overlay->local.entry, overlay->capacity, error))
        return false;
    version = overlay->local.entry->version;
    overlay->reference = g_strdup_printf("%s@%s", target->name, version);
    overlay->volume = vt_volume_name(target->name, version);
    overlay->backing = vt_pool_version_path(look->files, target->name, version);
    overlay->seal_first = overlay->resealing &&
                          !vt_pool_is_sealed(look->files, overlay->volume, overlay->local.layers);
    return overlay->seal_first || fill_overlay(visit, look, overlay, error);
}

static bool
overlay_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    Overlay *overlay = visit->user;
    const VtCatalogEntry *entry = overlay->local.entry;

    if (overlay->seal_first)
        return seal_first(visit, look, error);
    account(visit->call, &visit->target,
            &(const VtdCloned){VTD_CLONE_LINKED, entry->version, &entry->manifest, overlay->path});
    vtd_call_return(visit->call, g_variant_new("(s)", overlay->backing));
    if (overlay->tidy)
        vtd_records_tidy(visit->target.pool, overlay->reference);
    return true;
}

bool
vtd_method_make_overlay(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {overlay_begin, overlay_work, overlay_reply};
    static const VtdCallSteps sealed_steps = {NULL, overlay_work, overlay_reply};
    g_autoptr(Overlay) overlay = g_new0(Overlay, 1);
    const VtdOption known[] = {{"subclusters", &overlay->subclusters, NULL},
                               {"hidden", NULL, &overlay->hidden},
                               {NULL, NULL, NULL}};
    g_autoptr(GVariant) options = NULL;
    VtdTarget target;
    gint handle;

    *overlay = (Overlay){.fd = -1, .subclusters = true};
    g_variant_get(call->arguments, "(&s&s&sht&s@a{sv})", NULL, NULL, NULL, &handle,
                  &overlay->capacity, &overlay->path, &options);
    if (!vtd_call_target(call, &target, error) || !vtd_check_path(overlay->path, error) ||
        !take_options(options, known, error) || !take_file(call, handle, &overlay->fd, error))
        return false;
    return vtd_call_visit(
        &(const VtdCallVisit){call, target, g_steal_pointer(&overlay), overlay_free},
        call->sealed ? &sealed_steps : &steps, error);
}

/* ---- other clones ---- */

static bool
take_format(const char *text, VtDiskFormat *ret_format, GError **error)
{
    static const char *const names[] = {[VT_DISK_RAW] = "raw", [VT_DISK_QCOW2] = "qcow2"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(names[i], text)) {
            *ret_format = (VtDiskFormat)i;
            return true;
        }
    }
    return vt_throw(error, VT_ERROR_INVALID, "format '%s' is neither 'raw' nor 'qcow2'", text);
}

static void
free_copy(void *copy)
{
    vtd_copy_free(copy);
}

static bool
copy_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    const VtdTarget *target = &visit->target;
    VtdCopy *copy = visit->user;
    VtdLocal local;

    if (!check_empty(copy->output_fd, error) || !vtd_look_open(look, error) ||
        !vtd_look_use(look, target->name, target->version, &local, error) ||
        !check_capacity(local.entry, copy->capacity, error))
        return false;
    copy->target = g_strdup(target->target);
    copy->name = g_strdup(target->name);
    copy->version = g_strdup(local.entry->version);
    copy->layers = g_array_copy((GArray *)local.layers);
    return true;
}

static bool
copy_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    VtdCopy *copy = g_steal_pointer(&visit->user);
    const VtdJobSpec spec = {0,          "copy",        copy->target,
                             copy->name, copy->version, visit->call->peer_uid};
    const char *path;
    uint64_t id;

    path = vtd_call_string(visit->call, COPY_PATH);
    if (!vtd_daemon_copy(visit->call->daemon, &spec, copy, path, &id, error))
        return false;
    vtd_call_return(visit->call, g_variant_new("(t)", id));
    return true;
}

bool
vtd_method_make_copy(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {NULL, copy_work, copy_reply};
    g_autoptr(VtdCopy) copy = g_new0(VtdCopy, 1);
    const VtdOption known[] = {{"reflink", &copy->must_reflink, NULL}, {NULL, NULL, NULL}};
    g_autoptr(GVariant) options = NULL;
    const char *format, *path;
    VtdTarget target;
    gint handle;

    copy->output_fd = -1;
    g_variant_get(call->arguments, "(&s&s&sh&st&s@a{sv})", NULL, NULL, NULL, &handle, &format,
                  &copy->capacity, &path, &options);
    if (!vtd_call_target(call, &target, error) || !vtd_check_path(path, error) ||
        !take_format(format, &copy->format, error) || !take_options(options, known, error) ||
        !take_file(call, handle, &copy->output_fd, error))
        return false;
    return vtd_call_visit(&(const VtdCallVisit){call, target, g_steal_pointer(&copy), free_copy},
                          &steps, error);
}

static bool
record_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    VtdTarget *target = &visit->target;
    const char *path = vtd_call_string(visit->call, RECORD_PATH);
    g_autofree char *reference = NULL;
    const VtCatalogEntry *entry;

    /* A version that is no longer in the catalog has clones all the same */
    if (!*target->version) {
        if (!vtd_look_find(look, target->name, NULL, &entry, error))
            return false;
        target->version = entry->version;
    }
    if (!vtd_look_open(look, error))
        return false;
    if (!vt_pool_stat_version(look->files, target->name, target->version, NULL))
        return vt_throw(error, VT_ERROR_NOT_FOUND, "%s@%s is not here: fetch it first",
                        target->name, target->version);
    if (!vt_clones_record(look->files, target->name, target->version, path, error))
        return false;
    reference = g_strdup_printf("%s@%s", target->name, target->version);
    vtd_records_pending(look->here, reference, path, NULL);
    return true;
}

static bool
record_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    const VtdCloned cloned = {VTD_CLONE_RECORDED, visit->target.version, NULL,
                              vtd_call_string(visit->call, RECORD_PATH)};

    account(visit->call, &visit->target, &cloned);
    vtd_call_return(visit->call, NULL);
    return true;
}

bool
vtd_method_record_clone(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {NULL, record_work, record_reply};
    VtdTarget target;

    return vtd_call_target(call, &target, error) &&
           vtd_check_path(vtd_call_string(call, RECORD_PATH), error) &&
           vtd_call_visit(&(const VtdCallVisit){call, target}, &steps, error);
}
