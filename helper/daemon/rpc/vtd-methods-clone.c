/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-clone.c: clones of templates, and the end of a local copy */
#include "vtd-methods.h"

#include "vt-fs.h"
#include "vt-qcow2.h"
#include "vtd-event.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

/* A clone that is being made gets its name within this time; so long its record counts although
 * there is no such file */
#define PENDING_TIME (G_USEC_PER_SEC * 10)
/* Records of clones after which those of deleted ones are looked for */
#define TIDY_MIN 256
/* What file systems allocate at least */
#define OVERLAY_BLOCK ((gsize)4096)
/* Clones that an error names */
#define NAMED_MAX 8

/* What was cloned. @manifest: (nullable) */
typedef struct {
    VtdCloneKind kind;
    const char *version;
    const VtDigest *manifest;
    const char *path;
} VtdCloned;

/* ---- making ---- */

static bool
take_empty_file(VtdCall *call, gint handle, int *ret_fd, GError **error)
{
    GDBusMessage *message = g_dbus_method_invocation_get_message(call->invocation);
    GUnixFDList *fds = g_dbus_message_get_unix_fd_list(message);
    vt_autofd fd = -1;
    struct stat st;
    int mode;

    if (!fds || handle < 0 || handle >= g_unix_fd_list_get_length(fds))
        return vt_throw(error, VT_ERROR_INVALID, "no descriptor came with the call");
    fd = g_unix_fd_list_get(fds, handle, error);
    if (fd < 0)
        return false;
    mode = fcntl(fd, F_GETFL);
    if (mode < 0 || fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the file");
    if (!S_ISREG(st.st_mode) || st.st_size != 0)
        return vt_throw(error, VT_ERROR_INVALID, "the file that came is not an empty regular file");
    if ((mode & O_ACCMODE) == O_RDONLY || (mode & (O_APPEND | O_PATH)))
        return vt_throw(error, VT_ERROR_INVALID, "the file that came is not open for writing");
    *ret_fd = vt_steal_fd(&fd);
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

static bool
has_name(const char *path, int fd)
{
    struct stat named;
    struct stat st;

    return fd >= 0 && stat(path, &named) == 0 && fstat(fd, &st) == 0 && named.st_ino == st.st_ino &&
           named.st_dev == st.st_dev;
}

/* A clone that is written under another name first is not "gone" until it has its own. @hidden:
 * (transfer full) (nullable) */
static void
remember_pending(const VtdTarget *target, const char *version, const char *path, char *hidden)
{
    VtdPending *pending = g_new0(VtdPending, 1);

    pending->until = g_get_monotonic_time() + PENDING_TIME;
    pending->reference = g_strdup_printf("%s@%s", target->name, version);
    pending->hidden = hidden;
    g_hash_table_insert(target->pool->pending, g_strdup(path), pending);
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

/* Paths of clones that may still get their name; forgets the others. A hidden file counts for as
 * long as it is there: whoever makes it may have been stopped. */
static gboolean
is_over(gpointer path, gpointer data, gpointer now)
{
    const VtdPending *pending = data;
    struct stat st;

    if (stat(path, &st) == 0)
        return TRUE;
    if (pending->hidden && lstat(pending->hidden, &st) == 0)
        return FALSE;
    return pending->until < *(gint64 *)now || (pending->hidden && errno == ENOENT);
}

static bool
find_clones(VtdTarget *target, VtPool *files, const VtDigest *index, bool prune, char ***ret_paths,
            GError **error)
{
    const VtClonesQuery query = {.name = target->name,
                                 .version = target->version,
                                 .index = index,
                                 .keep = target->pool->pending,
                                 .prune = prune};
    gint64 now = g_get_monotonic_time();

    g_hash_table_foreach_remove(target->pool->pending, is_over, &now);
    return vt_clones_list(files, &query, ret_paths, error);
}

/* A clone that is deleted leaves its record. Looking at all of them takes as long as there are
 * clones, so it is done after as many have been made. */
static void
tidy_records(VtdTarget target, VtPool *files, const char *version)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) paths = NULL;
    VtDigest index;

    if (++target.pool->recorded < MAX(target.pool->clones, TIDY_MIN))
        return;
    target.version = version;
    target.pool->recorded = 0;
    if (vt_pool_find_layer(files, target.name, version, &index, &error) &&
        find_clones(&target, files, &index, true, &paths, &error))
        target.pool->clones = g_strv_length(paths);
    else
        g_info("records of clones in '%s' stay: %s", target.target, error->message);
}

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

/* @files: (transfer full) */
static bool
seal_first(VtdCall *call, VtPool *files, const VtdTarget *target, const VtdLocal *local,
           GError **error)
{
    g_autoptr(VtPool) owned = files;

    if (!vtd_call_may_wait(call))
        return vt_throw(error, VT_ERROR_BUSY, "%s@%s is being sealed: try again", target->name,
                        local->entry->version);
    vtd_pool_seal_first(g_steal_pointer(&owned), target->name, local, sealed_first, call);
    return true;
}

bool
vtd_method_make_overlay(VtdCall *call, GError **error)
{
    bool subclusters = true;
    g_autofree char *hidden = NULL;
    const VtdOption known[] = {
        {"subclusters", &subclusters, NULL}, {"hidden", NULL, &hidden}, {NULL, NULL, NULL}};
    g_autoptr(GVariant) options = NULL;
    g_autofree char *backing = NULL;
    g_autoptr(VtPool) files = NULL;
    VtQcow2Overlay overlay = {.backing_format = "qcow2"};
    vt_autofd fd = -1;
    VtdTarget target;
    const char *path;
    guint64 capacity;
    VtdLocal local;
    gint handle;

    g_variant_get(call->arguments, "(&s&s&sht&s@a{sv})", NULL, NULL, NULL, &handle, &capacity,
                  &path, &options);
    if (!vtd_call_target(call, &target, error) || !vtd_check_path(path, error) ||
        !take_options(options, known, error) || !take_empty_file(call, handle, &fd, error))
        return false;
    if (!vt_pool_open(target.target, &files, error) ||
        !vtd_pool_use(target.pool, files, target.name, target.version, &local, error) ||
        !check_capacity(local.entry, capacity, error))
        return false;
    if (!call->sealed && !vtd_pool_is_sealed(target.pool, files, target.name, &local))
        return seal_first(call, g_steal_pointer(&files), &target, &local, error);
    backing = vt_pool_version_path(files, target.name, local.entry->version);
    overlay.capacity = capacity ? capacity : local.entry->capacity;
    overlay.subclusters = subclusters;
    overlay.backing_file = backing;
    if (!vt_clones_record(files, target.name, local.entry->version, path, error) ||
        !write_overlay(fd, &overlay, error))
        return false;
    if (hidden || !has_name(path, fd))
        remember_pending(&target, local.entry->version, path, g_steal_pointer(&hidden));
    account(
        call, &target,
        &(const VtdCloned){VTD_CLONE_LINKED, local.entry->version, &local.entry->manifest, path});
    vtd_call_return(call, g_variant_new("(s)", backing));
    tidy_records(target, files, local.entry->version);
    return true;
}

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

bool
vtd_method_make_copy(VtdCall *call, GError **error)
{
    g_autoptr(VtdCopy) copy = g_new0(VtdCopy, 1);
    const VtdOption known[] = {{"reflink", &copy->must_reflink, NULL}, {NULL, NULL, NULL}};
    g_autoptr(GVariant) options = NULL;
    g_autoptr(VtPool) files = NULL;
    const char *format, *path;
    VtdJobSpec spec;
    VtdTarget target;
    VtdLocal local;
    gint handle;
    uint64_t id;

    copy->output_fd = -1;
    g_variant_get(call->arguments, "(&s&s&sh&st&s@a{sv})", NULL, NULL, NULL, &handle, &format,
                  &copy->capacity, &path, &options);
    if (!vtd_call_target(call, &target, error) || !vtd_check_path(path, error) ||
        !take_format(format, &copy->format, error) || !take_options(options, known, error) ||
        !take_empty_file(call, handle, &copy->output_fd, error))
        return false;
    if (!vt_pool_open(target.target, &files, error) ||
        !vtd_pool_use(target.pool, files, target.name, target.version, &local, error) ||
        !check_capacity(local.entry, copy->capacity, error))
        return false;
    copy->target = g_strdup(target.target);
    copy->name = g_strdup(target.name);
    copy->version = g_strdup(local.entry->version);
    copy->layers = g_array_copy((GArray *)local.layers);
    spec = (VtdJobSpec){0, "copy", copy->target, copy->name, copy->version, call->peer_uid};
    if (!vtd_daemon_copy(call->daemon, &spec, g_steal_pointer(&copy), path, &id, error))
        return false;
    vtd_call_return(call, g_variant_new("(t)", id));
    return true;
}

bool
vtd_method_record_clone(VtdCall *call, GError **error)
{
    const VtCatalogEntry *entry = NULL;
    g_autoptr(VtPool) files = NULL;
    VtdTarget target;
    const char *path;

    g_variant_get(call->arguments, "(&s&s&s&s)", NULL, NULL, NULL, &path);
    if (!vtd_call_target(call, &target, error) || !vtd_check_path(path, error))
        return false;
    /* A version that is no longer in the catalog has clones all the same */
    if (!*target.version) {
        if (!vtd_pool_find(target.pool, target.name, NULL, &entry, error))
            return false;
        target.version = entry->version;
    }
    if (!vt_pool_open(target.target, &files, error))
        return false;
    if (!vt_pool_stat_version(files, target.name, target.version, NULL))
        return vt_throw(error, VT_ERROR_NOT_FOUND, "%s@%s is not here: fetch it first", target.name,
                        target.version);
    if (!vt_clones_record(files, target.name, target.version, path, error))
        return false;
    remember_pending(&target, target.version, path, NULL);
    account(call, &target, &(const VtdCloned){VTD_CLONE_RECORDED, target.version, NULL, path});
    vtd_call_return(call, NULL);
    return true;
}

/* ---- listing and evicting ---- */

/* The version that is meant, whether the catalog has it or the directory alone */
static bool
resolve(VtdTarget *target, const VtCatalogEntry **ret_entry, GError **error)
{
    *ret_entry = NULL;
    if (target->pool->catalog)
        *ret_entry = vt_catalog_find(target->pool->catalog, target->name,
                                     *target->version ? target->version : NULL);
    if (!*target->version && !*ret_entry)
        return vtd_pool_find(target->pool, target->name, NULL, ret_entry, error);
    if (*ret_entry)
        target->version = (*ret_entry)->version;
    return true;
}

bool
vtd_method_list_clones(VtdCall *call, GError **error)
{
    const VtCatalogEntry *entry;
    g_autoptr(VtPool) files = NULL;
    g_auto(GStrv) paths = NULL;
    VtdTarget target;
    VtDigest index;
    bool has_index;

    if (!vtd_call_target(call, &target, error) || !resolve(&target, &entry, error) ||
        !vt_pool_open(target.target, &files, error))
        return false;
    has_index = vt_pool_find_layer(files, target.name, target.version, &index, NULL);
    if (!find_clones(&target, files, has_index ? &index : NULL, false, &paths, error))
        return false;
    vtd_call_return(call, g_variant_new("(^as)", paths));
    return true;
}

static bool
throw_in_use(const VtdTarget *target, char **paths, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);
    const guint count = g_strv_length(paths);

    for (guint i = 0; i < MIN(count, NAMED_MAX); i++)
        g_string_append_printf(names, "%s'%s'", i > 0 ? ", " : "", paths[i]);
    if (count > NAMED_MAX)
        g_string_append_printf(names, " and %u more", count - NAMED_MAX);
    return vt_throw(error, VT_ERROR_BUSY, "%s@%s is needed by %u clone%s: %s", target->name,
                    target->version, count, count == 1 ? "" : "s", names->str);
}

/* Whether a clone is being made, whose file nobody can see yet */
static bool
check_pending(const VtdTarget *target, GError **error)
{
    g_autofree char *reference = g_strdup_printf("%s@%s", target->name, target->version);
    GHashTableIter iter;
    gpointer pending;
    gpointer path;

    g_hash_table_iter_init(&iter, target->pool->pending);
    while (g_hash_table_iter_next(&iter, &path, &pending)) {
        if (g_str_equal(((const VtdPending *)pending)->reference, reference))
            return vt_throw(error, VT_ERROR_BUSY, "a clone is being made at '%s': try again",
                            (const char *)path);
    }
    return true;
}

static void
log_evicted(const VtdCall *call, const VtdTarget *target, const VtCatalogEntry *entry)
{
    const VtdEventFields fields = {.pool = target->target,
                                   .name = target->name,
                                   .version = target->version,
                                   .digest = entry ? &entry->manifest : NULL,
                                   .peer_uid = &call->peer_uid};

    vtd_monitor_add(call->daemon->config->workers.monitor, VTD_COUNT_EVICTIONS, 0, 1);
    vtd_event_log(VTD_EVENT_EVICTED, &fields, "%s@%s was evicted from '%s'", target->name,
                  target->version, target->target);
}

bool
vtd_method_evict(VtdCall *call, GError **error)
{
    const VtCatalogEntry *entry;
    g_autoptr(VtPool) files = NULL;
    g_auto(GStrv) paths = NULL;
    VtdTarget target;
    VtDigest index;

    if (!vtd_call_target(call, &target, error) || !resolve(&target, &entry, error) ||
        !vt_pool_open(target.target, &files, error))
        return false;
    if (vtd_jobs_involves(call->daemon->jobs, target.target, target.name, target.version))
        return vt_throw(error, VT_ERROR_BUSY, "a job works on %s@%s: cancel it, or wait for it",
                        target.name, target.version);
    if (!vt_pool_find_layer(files, target.name, target.version, &index, error) ||
        !find_clones(&target, files, &index, true, &paths, error))
        return false;
    if (*paths)
        return throw_in_use(&target, paths, error);
    if (!check_pending(&target, error))
        return false;
    if (!vt_pool_evict(files, target.name, target.version, &index, entry ? &entry->manifest : NULL,
                       error)) {
        if (!g_error_matches(*error, VT_ERROR, VT_ERROR_BUSY))
            vtd_pool_reseal(target.pool);
        return false;
    }
    if (entry)
        vtd_pool_forget_verdict(target.pool, &entry->manifest);
    log_evicted(call, &target, entry);
    vtd_call_return(call, NULL);
    return true;
}
