/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_volume.c: one template as a volume */
#include "storage_backend_template.h"

#include <sys/stat.h>

VIR_LOG_INIT("storage.template_volume");

/* How long one JobWait answers at most; the job itself may take hours */
#define JOB_WAIT_MS 1000
/* A fetch goes on in a helper that was restarted in the middle of it */
#define FETCH_ATTEMPTS 3

virStorageVolDef *
virStorageTemplateVolumeNew(const virStorageTemplatePool *pool, const virStorageTemplate *entry,
                            bool alias)
{
    virStorageVolDef *vol = g_new0(virStorageVolDef, 1);

    vol->name =
        g_strdup_printf("%s%s%s.qcow2", entry->name, alias ? "" : "@", alias ? "" : entry->version);
    vol->key = g_strdup_printf("%s/%s", pool->target, vol->name);
    vol->type = VIR_STORAGE_VOL_FILE;
    vol->target.type = VIR_STORAGE_TYPE_FILE;
    vol->target.path = g_strdup(vol->key);
    vol->target.format = VIR_STORAGE_FILE_QCOW2;
    vol->target.compat = g_strdup("1.1");
    vol->target.capacity = entry->capacity;
    vol->target.allocation = entry->allocation;
    vol->target.physical = entry->allocation;
    vol->target.perms = g_new0(virStoragePerms, 1);
    vol->target.perms->mode = VIR_STORAGE_TEMPLATE_MODE;
    return vol;
}

/* How far the fetch of a template is, in bytes; 0 if there is none */
static guint64
virStorageTemplateProgress(const virStorageTemplateRef *ref, gint64 deadline)
{
    virStorageTemplateCall call = {
        .method = "ListJobs",
        .reply_type = "(aa{sv})",
        .arguments = g_variant_new("()"),
        .deadline = deadline,
    };
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GVariant) jobs = NULL;
    guint64 done = 0;

    if (!virStorageTemplateClientCall(virStorageTemplateDriverGet()->client, &call, &reply, NULL))
        return 0;
    jobs = g_variant_get_child_value(reply, 0);
    for (size_t i = 0; i < g_variant_n_children(jobs); i++) {
        g_autoptr(GVariant) job = g_variant_get_child_value(jobs, i);
        const char *kind = "", *state = "", *target = "", *name = "", *version = "";

        g_variant_lookup(job, "kind", "&s", &kind);
        g_variant_lookup(job, "state", "&s", &state);
        g_variant_lookup(job, "target", "&s", &target);
        g_variant_lookup(job, "name", "&s", &name);
        g_variant_lookup(job, "version", "&s", &version);
        if (STREQ(kind, "fetch") && STREQ(state, "running") && STREQ(target, ref->pool->target) &&
            STREQ(name, ref->name) && STREQ(version, ref->version))
            g_variant_lookup(job, "done", "t", &done);
    }
    return done;
}

/* What the helper knows of a template whose file is not there; false if it does not answer */
static bool
virStorageTemplateAsk(const virStorageTemplateRef *ref, virStorageVolDef *vol)
{
    virStorageTemplateClient *client = virStorageTemplateDriverGet()->client;
    virStorageTemplateCall call = {
        .method = "GetTemplate",
        .arguments = g_variant_new("(sss)", ref->pool->target, ref->name, ref->version),
        .reply_type = "(a{sv})",
        .deadline = virStorageTemplateDeadline(),
    };
    g_autoptr(GVariant) reply = NULL, info = NULL;
    g_autoptr(GError) error = NULL;
    guint64 size = 0;
    guint32 flags = 0;

    if (!virStorageTemplatePoolCall(ref->pool, client, &call, &reply, &error)) {
        VIR_DEBUG("%s: %s", ref->path, error->message);
        return false;
    }
    info = g_variant_get_child_value(reply, 0);
    if (g_variant_lookup(info, "capacity", "t", &size))
        vol->target.capacity = size;
    size = 0;
    g_variant_lookup(info, "allocation", "t", &size);
    g_variant_lookup(info, "flags", "u", &flags);
    if (size == 0 && flags & VIR_STORAGE_TEMPLATE_FETCHING)
        size = virStorageTemplateProgress(ref, call.deadline);
    vol->target.allocation = vol->target.physical = size;
    return true;
}

/* Returns: whether the file is there */
static bool
virStorageTemplateMeasure(const virStorageTemplateRef *ref, virStorageVolDef *vol)
{
    struct stat sb;

    if (stat(ref->path, &sb) < 0)
        return false;
    vol->target.allocation = (unsigned long long)sb.st_blocks * 512;
    vol->target.physical = sb.st_size;
    return true;
}

void
virStorageTemplateVolumeRefresh(const virStorageTemplateRef *ref, virStorageVolDef *vol)
{
    virStorageTemplateClient *client = virStorageTemplateDriverGet()->client;
    const virStorageTemplate *entry = virStorageTemplateRefGet(ref);

    if (entry && entry->capacity)
        vol->target.capacity = entry->capacity;
    vol->target.format = VIR_STORAGE_FILE_QCOW2;
    if (virStorageTemplateMeasure(ref, vol))
        return;
    if (entry && !virStorageTemplateClientMayAsk(client))
        return;
    if (virStorageTemplateClientIsHanging(client) || !virStorageTemplateAsk(ref, vol))
        vol->target.allocation = vol->target.physical = 0;
    /* A fetch may end between the questions */
    if (vol->target.allocation == 0)
        (void)virStorageTemplateMeasure(ref, vol);
}

static GVariant *
virStorageTemplateJobWait(guint64 job, GError **error)
{
    virStorageTemplateCall call = {
        .method = "JobWait",
        .arguments = g_variant_new("(tu)", job, JOB_WAIT_MS),
        .reply_type = "(a{sv})",
        .deadline = virStorageTemplateDeadline(),
    };
    g_autoptr(GVariant) reply = NULL;

    if (!virStorageTemplateClientCall(virStorageTemplateDriverGet()->client, &call, &reply, error))
        return NULL;
    return g_variant_get_child_value(reply, 0);
}

/* The error that a failed job carries, as if the call itself had failed */
static bool
virStorageTemplateJobFailed(GVariant *status, const char *state, GError **error)
{
    const char *name = "virttemplate.Error.Failed", *message = state;

    g_variant_lookup(status, "error", "&s", &name);
    g_variant_lookup(status, "message", "&s", &message);
    g_dbus_error_set_dbus_error(error, name, message, NULL);
    return false;
}

bool
virStorageTemplateJobRun(guint64 job, bool *ret_lost, GError **error)
{
    for (;;) {
        g_autoptr(GVariant) status = NULL;
        g_autoptr(GError) failure = NULL;
        const char *state = "failed";

        status = virStorageTemplateJobWait(job, &failure);
        if (!status) {
            /* One that hangs gets no second chance: it would take its time again */
            *ret_lost = g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
                        virStorageTemplateErrorIs(failure, "NotFound");
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        g_variant_lookup(status, "state", "&s", &state);
        if (STREQ(state, "done"))
            return true;
        if (STRNEQ(state, "running"))
            return virStorageTemplateJobFailed(status, state, error);
    }
}

static bool
virStorageTemplateFetchOnce(const virStorageTemplateRef *ref, bool *ret_lost, GError **error)
{
    virStorageTemplateCall call = {
        .method = "Fetch",
        .arguments = g_variant_new("(sss@a{sv})", ref->pool->target, ref->name, ref->version,
                                   g_variant_new_parsed("@a{sv} {}")),
        .reply_type = "(t)",
        .deadline = virStorageTemplateDeadline(),
    };
    g_autoptr(GVariant) reply = NULL;
    guint64 job;

    if (!virStorageTemplatePoolCall(ref->pool, virStorageTemplateDriverGet()->client, &call, &reply,
                                    error))
        return false;
    g_variant_get(reply, "(t)", &job);
    return virStorageTemplateJobRun(job, ret_lost, error);
}

int
virStorageTemplateFetch(const virStorageTemplateRef *ref)
{
    g_autoptr(GError) error = NULL;

    for (int attempt = 0; attempt < FETCH_ATTEMPTS; attempt++) {
        bool lost = false;

        g_clear_error(&error);
        if (virStorageTemplateFetchOnce(ref, &lost, &error))
            return 0;
        if (!lost)
            break;
    }
    virStorageTemplateReportError(error);
    return -1;
}

typedef struct {
    virStoragePoolObj *pool;
    virStorageVolDef *vol;
} virStorageTemplateRelist;

/* Waits for the lock that the caller of deleteVol() holds */
static void
virStorageTemplateRelistRun(void *opaque)
{
    g_autofree virStorageTemplateRelist *relist = opaque;

    virObjectLock(relist->pool);
    if (!virStoragePoolObjIsActive(relist->pool) ||
        virStoragePoolObjAddVol(relist->pool, relist->vol) < 0)
        virStorageVolDefFree(relist->vol);
    virStoragePoolObjEndAPI(&relist->pool);
}

/* libvirt takes a volume from its list when deleteVol() has succeeded, and has no way to say that
 * the volume stays. So it is listed again, by a thread, as soon as libvirt lets the pool go. */
static void
virStorageTemplateVolumeRelist(virStoragePoolObj *pool, const virStorageTemplateRef *ref,
                               virStorageVolDef *vol)
{
    const virStorageTemplate *entry = virStorageTemplateRefGet(ref);
    virStorageTemplateRelist *relist;
    virThread thread;

    if (!entry || entry->flags & (VIR_STORAGE_TEMPLATE_RETIRED | VIR_STORAGE_TEMPLATE_REFUSED))
        return;
    relist = g_new0(virStorageTemplateRelist, 1);
    relist->pool = virObjectRef(pool);
    relist->vol =
        virStorageTemplateVolumeNew(ref->pool, entry, !virStorageTemplateNameIsVersion(vol->name));
    relist->vol->target.allocation = relist->vol->target.physical = 0;
    if (virThreadCreateFull(&thread, false, virStorageTemplateRelistRun, "vol-relist", false,
                            relist) < 0) {
        VIR_WARN("'%s' is listed again at the next refresh of the pool", vol->name);
        virStorageVolDefFree(relist->vol);
        virObjectUnref(relist->pool);
        g_free(relist);
    }
}

int
virStorageTemplateVolumeEvict(virStoragePoolObj *pool, const virStorageTemplateRef *ref,
                              virStorageVolDef *vol, unsigned int flags)
{
    virStorageTemplateCall call = {
        .method = "Evict",
        .arguments = g_variant_new("(sss)", ref->pool->target, ref->name, ref->version),
        .reply_type = "()",
        .deadline = virStorageTemplateDeadline(),
    };
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GError) error = NULL;

    virCheckFlags(0, -1);

    if (!virStorageTemplatePoolCall(ref->pool, virStorageTemplateDriverGet()->client, &call, &reply,
                                    &error)) {
        virStorageTemplateReportError(error);
        return -1;
    }
    virStorageTemplateVolumeRelist(pool, ref, vol);
    return 0;
}
