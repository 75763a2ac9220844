/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_file.h: the file of a new clone, which has a hidden name until it is whole */
#pragma once

#include "storage_backend_template.h"

#include <gio/gunixfdlist.h>

/**
 * virStorageTemplateFile:
 * @fds: one, open for reading and writing. The only one of the file while it is locked: this
 * process gives up all locks of a file with any of its descriptors
 * @path: where it is now
 * @hidden: it gets the name of its volume by virStorageTemplateFileFinish()
 * @vol: that it is made for
 */
typedef struct {
    GUnixFDList *fds;
    char *path;
    bool hidden;
    const virStorageVolDef *vol;
} virStorageTemplateFile;

/** virStorageTemplateFileDisown: what is at @path is not ours: it stays when libvirt deletes the
 * volume that it could not make */
void virStorageTemplateFileDisown(const char *path);

/** virStorageTemplateFileCheck: reports an error if there is a file of a volume that is to be made,
 * and disowns it */
int virStorageTemplateFileCheck(const char *path);

/**
 * virStorageTemplateFileCreate: an empty file in @pool; its volume is marked as being built
 * @file: (out): for virStorageTemplateFileClear(), also on failure; there is no file then
 */
int virStorageTemplateFileCreate(virStoragePoolObj *pool, const virStorageVolDef *vol,
                                 virStorageTemplateFile *file);

/** virStorageTemplateFileFinish: give it the name of its volume. Never replaces another file */
int virStorageTemplateFileFinish(virStorageTemplateFile *file);

/** virStorageTemplateFileRemove: remove it; keeps the last error */
void virStorageTemplateFileRemove(const virStorageTemplateFile *file);

void virStorageTemplateFileClear(virStorageTemplateFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(virStorageTemplateFile, virStorageTemplateFileClear)

/** virStorageTemplateFileSweep: remove from @folder what a libvirtd that was killed has left */
void virStorageTemplateFileSweep(const char *folder);
