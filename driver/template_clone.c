/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_clone.c: new volumes from templates */
#include "template_file.h"

#include <unistd.h>

VIR_LOG_INIT("storage.template_clone");

/* The helper runs as many jobs as it may: tried again after this */
#define BUSY_WAIT_US (G_USEC_PER_SEC / 5)

/* What is made of a template; @flags: of libvirt's call */
typedef struct {
    bool full;
    unsigned int flags;
} virStorageTemplateKind;

static const virStorageBackend *
virStorageTemplateStockOf(virStoragePoolObj *pool)
{
    return virStorageTemplateStock(virStoragePoolObjGetDef(pool)->type);
}

/* Whether the overlay that the helper writes is what the XML asks for: qcow2 without any option */
static bool
virStorageTemplateIsPlainOverlay(const virStorageVolDef *vol, unsigned int flags)
{
    const virStorageSource *target = &vol->target;

    return target->format == VIR_STORAGE_FILE_QCOW2 && !target->encryption && !target->features &&
           (!target->compat || STREQ(target->compat, "1.1")) && !target->clusterSize &&
           !(flags & ~VIR_TEMPLATE_FLAGS_ALREADY_USED);
}

static void
virStorageTemplateRemoveFile(virStorageVolDef *vol)
{
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (virFileRemove(vol->target.path, vol->target.perms->uid, vol->target.perms->gid) < 0)
        VIR_WARN("cannot remove '%s' after a failure", vol->target.path);
    virErrorRestore(&saved);
}

static bool
virStorageTemplateTell(const virStorageTemplateRef *ref, virStorageTemplateCall *call,
                       GError **error)
{
    g_autoptr(GVariant) reply = NULL;

    call->deadline = virStorageTemplateDeadline();
    return virStorageTemplatePoolCall(ref->pool, virStorageTemplateDriverGet()->client, call,
                                      &reply, error);
}

/* The helper gets a copy of the descriptor */
static bool
virStorageTemplateWriteOverlay(const virStorageTemplateRef *ref, const virStorageTemplateFile *file,
                               GError **error)
{
    const virStorageSource *target = &file->vol->target;
    virStorageTemplateCall call = {.method = "MakeOverlay", .reply_type = "(s)", .fds = file->fds};

    call.arguments =
        g_variant_new("(ssshts@a{sv})", ref->pool->target, ref->name, ref->version, 0,
                      (guint64)target->capacity, target->path,
                      file->hidden ? g_variant_new_parsed("{'hidden': <%s>}", file->path)
                                   : g_variant_new_parsed("@a{sv} {}"));
    return virStorageTemplateTell(ref, &call, error);
}

/* Whether a full copy is one that the helper makes: without any option, but --reflink may be asked
 * for */
static bool
virStorageTemplateIsPlainCopy(const virStorageVolDef *vol, unsigned int flags)
{
    const virStorageSource *target = &vol->target;

    if (target->encryption ||
        flags & ~(VIR_TEMPLATE_FLAGS_ALREADY_USED | VIR_STORAGE_VOL_CREATE_REFLINK))
        return false;
    if (target->format == VIR_STORAGE_FILE_RAW)
        return vol->type == VIR_STORAGE_VOL_FILE;
    return target->format == VIR_STORAGE_FILE_QCOW2 && !target->clusterSize &&
           (!target->features || virBitmapIsAllClear(target->features)) &&
           (!target->compat || STREQ(target->compat, "1.1"));
}

/* The job that fills a copy, or nothing when the helper runs as many jobs as it may */
static bool
virStorageTemplateStartCopy(const virStorageTemplateRef *ref, virStorageTemplateCall *call,
                            guint64 *ret_job, bool *ret_busy, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GVariant) reply = NULL;

    call->deadline = virStorageTemplateDeadline();
    *ret_busy = false;
    if (virStorageTemplatePoolCall(ref->pool, virStorageTemplateDriverGet()->client, call, &reply,
                                   &failure)) {
        g_variant_get(reply, "(t)", ret_job);
        return true;
    }
    *ret_busy = virStorageTemplateErrorIs(failure, "Busy");
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* The helper gets a copy of the descriptor */
static bool
virStorageTemplateWriteCopy(const virStorageTemplateRef *ref, const virStorageTemplateFile *file,
                            unsigned int flags, GError **error)
{
    const virStorageVolDef *vol = file->vol;
    const char *format = vol->target.format == VIR_STORAGE_FILE_RAW ? "raw" : "qcow2";
    const char *options =
        flags & VIR_STORAGE_VOL_CREATE_REFLINK ? "{'reflink': <true>}" : "@a{sv} {}";
    bool busy = false, lost = false;
    guint64 job = 0;

    do {
        virStorageTemplateCall call = {.method = "MakeCopy", .reply_type = "(t)", .fds = file->fds};

        if (busy) {
            g_clear_error(error);
            g_usleep(BUSY_WAIT_US);
        }
        call.arguments = g_variant_new("(ssshsts@a{sv})", ref->pool->target, ref->name,
                                       ref->version, 0, format, (guint64)vol->target.capacity,
                                       vol->target.path, g_variant_new_parsed(options));
        if (virStorageTemplateStartCopy(ref, &call, &job, &busy, error))
            return virStorageTemplateJobRun(job, &lost, error);
    } while (busy);
    return false;
}

static bool
virStorageTemplateWrite(const virStorageTemplateRef *ref, const virStorageTemplateFile *file,
                        const virStorageTemplateKind *kind, GError **error)
{
    return kind->full ? virStorageTemplateWriteCopy(ref, file, kind->flags, error)
                      : virStorageTemplateWriteOverlay(ref, file, error);
}

/* The helper checks before each clone that the template is complete and trusted, so one that
 * seems to be here is not asked for first: that would double the time of a clone. */
static int
virStorageTemplateFetchMissing(const virStorageTemplateRef *ref)
{
    return access(ref->path, F_OK) == 0 ? 0 : virStorageTemplateFetch(ref);
}

/* The file with what the helper writes into it, or none */
static bool
virStorageTemplateMakeFile(virStoragePoolObj *pool, virStorageVolDef *vol,
                           const virStorageTemplateRef *ref, const virStorageTemplateKind *kind,
                           GError **error)
{
    g_auto(virStorageTemplateFile) file = {.fds = NULL};

    if (virStorageTemplateFileCreate(pool, vol, &file) < 0)
        return false;
    if (virStorageTemplateWrite(ref, &file, kind, error) &&
        virStorageTemplateFileFinish(&file) == 0)
        return true;
    virStorageTemplateFileRemove(&file);
    return false;
}

static bool
virStorageTemplateMayBeFetched(const GError *error)
{
    return error && (virStorageTemplateErrorIs(error, "NotFound") ||
                     virStorageTemplateErrorIs(error, "Untrusted"));
}

static int
virStorageTemplateFail(const GError *error)
{
    if (error)
        virStorageTemplateReportError(error);
    return -1;
}

/* A helper that has lost its state has to see the catalog first, and one whose policy has changed
 * may need signatures that are not kept with the layer: Fetch asks the store for both, which may
 * take long. There is no file meanwhile. */
static int
virStorageTemplateTryMake(virStoragePoolObj *pool, virStorageVolDef *vol,
                          const virStorageTemplateRef *ref, const virStorageTemplateKind *kind)
{
    g_autoptr(GError) error = NULL, again = NULL;

    if (virStorageTemplateFetchMissing(ref) < 0)
        return -1;
    if (virStorageTemplateMakeFile(pool, vol, ref, kind, &error))
        return 0;
    if (!virStorageTemplateMayBeFetched(error))
        return virStorageTemplateFail(error);
    if (virStorageTemplateFetch(ref) < 0)
        return -1;
    return virStorageTemplateMakeFile(pool, vol, ref, kind, &again) ? 0
                                                                    : virStorageTemplateFail(again);
}

/* After a failure there is no file of ours: what is there was put there meanwhile */
static int
virStorageTemplateMake(virStoragePoolObj *pool, virStorageVolDef *vol,
                       const virStorageTemplateRef *ref, const virStorageTemplateKind *kind)
{
    if (virStorageTemplateTryMake(pool, vol, ref, kind) == 0)
        return 0;
    virStorageTemplateFileDisown(vol->target.path);
    return -1;
}

/* Before libvirt makes the volume itself, whatever is there by now: fetching may take long */
static int
virStorageTemplateFetchFor(const virStorageTemplateRef *ref, const virStorageVolDef *vol)
{
    if (virStorageTemplateFetch(ref) == 0)
        return virStorageTemplateFileCheck(vol->target.path);
    virStorageTemplateFileDisown(vol->target.path);
    return -1;
}

int
virStorageTemplateBuildOver(virStoragePoolObj *pool, virStorageVolDef *vol,
                            const virStorageTemplateRef *ref, unsigned int flags)
{
    virStorageTemplateCall call = {.method = "RecordClone", .reply_type = "()"};
    g_autoptr(GError) error = NULL;

    if (virStorageTemplateFileCheck(vol->target.path) < 0)
        return -1;
    if (virStorageTemplateIsPlainOverlay(vol, flags))
        return virStorageTemplateMake(pool, vol, ref, &(virStorageTemplateKind){.full = false});
    if (virStorageTemplateFetchFor(ref, vol) < 0 ||
        virStorageTemplateStockOf(pool)->buildVol(pool, vol, flags) < 0)
        return -1;
    call.arguments =
        g_variant_new("(ssss)", ref->pool->target, ref->name, ref->version, vol->target.path);
    if (virStorageTemplateTell(ref, &call, &error))
        return 0;
    virStorageTemplateReportError(error);
    virStorageTemplateRemoveFile(vol);
    return -1;
}

/* The listed volume, of which buildVolFrom() gets a copy only, tells its backing file at once */
static void
virStorageTemplateSetBacking(virStoragePoolObj *pool, virStorageVolDef *vol,
                             const virStorageTemplateRef *ref)
{
    virStorageVolDef *listed;

    virObjectLock(pool);
    listed = virStorageVolDefFindByName(pool, vol->name);
    if (listed && !listed->target.backingStore) {
        virStorageSource *backing = virStorageSourceNew();

        backing->type = VIR_STORAGE_TYPE_FILE;
        backing->path = g_strdup(ref->path);
        backing->format = VIR_STORAGE_FILE_QCOW2;
        listed->target.backingStore = backing;
    }
    virObjectUnlock(pool);
}

/* A backing store in the XML may only be the template itself */
static bool
virStorageTemplateIsOtherBacking(const virStorageVolDef *vol, const virStorageTemplateRef *ref)
{
    return vol->target.backingStore && STRNEQ_NULLABLE(vol->target.backingStore->path, ref->path);
}

/* libvirt's own full copy, for what the helper does not make, of the version's file and to a volume
 * that can be written */
static int
virStorageTemplateCopy(virStoragePoolObj *pool, virStorageVolDef *vol, virStorageVolDef *inputvol,
                       const virStorageTemplateRef *ref, unsigned int flags)
{
    virStorageVolDef from = *inputvol, to = *vol;
    virStoragePerms perms = *vol->target.perms;

    from.target.path = ref->path;
    to.target.perms = &perms;
    if (perms.mode == VIR_STORAGE_TEMPLATE_MODE)
        perms.mode = VIR_STORAGE_DEFAULT_VOL_PERM_MODE;
    return virStorageTemplateStockOf(pool)->buildVolFrom(pool, &to, &from, flags);
}

int
virStorageTemplateBuildFrom(virStoragePoolObj *pool, virStorageVolDef *vol,
                            virStorageVolDef *inputvol, const virStorageTemplateRef *ref,
                            unsigned int flags)
{
    if (virStorageTemplateFileCheck(vol->target.path) < 0)
        return -1;
    if (virStorageTemplateIsOtherBacking(vol, ref)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       "volume '%s' is made from '%s', so its backing store cannot be '%s'",
                       vol->name, ref->path, NULLSTR(vol->target.backingStore->path));
        return -1;
    }
    if (!ref->pool->full && virStorageTemplateIsPlainOverlay(vol, flags)) {
        if (virStorageTemplateMake(pool, vol, ref, &(virStorageTemplateKind){.full = false}) < 0)
            return -1;
        virStorageTemplateSetBacking(pool, vol, ref);
        return 0;
    }
    if (virStorageTemplateIsPlainCopy(vol, flags))
        return virStorageTemplateMake(pool, vol, ref,
                                      &(virStorageTemplateKind){.full = true, .flags = flags});
    if (virStorageTemplateFetchFor(ref, vol) < 0)
        return -1;
    return virStorageTemplateCopy(pool, vol, inputvol, ref, flags);
}
