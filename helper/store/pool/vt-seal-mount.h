/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seal-mount.h: read-only mounts over single files, where libvirt and QEMU see them */
#pragma once

#include "vt-seal-manager.h"

/**
 * vt_seal_mount:
 * @path: absolute path of a regular file
 * @manager: if there is none, the mount is made by this process
 *
 * Mounts the file over itself, read-only. A mount of this process would be invisible to libvirt
 * when a unit has put the process into a mount namespace, so where systemd runs it is asked to do
 * it. Returns: true when it is there
 */
bool vt_seal_mount(const char *path, VtSealManager *manager, GError **error);

/** vt_seal_unmount: Removes it; who has the file open through it keeps that */
bool vt_seal_unmount(const char *path, VtSealManager *manager, GError **error);

/** vt_seal_is_mount: Returns: whether the file that @fd has open was reached through a mount of its
 * own */
bool vt_seal_is_mount(int fd);

/** vt_seal_unit: Returns: (transfer full): name of the mount unit of @path, as systemd has it */
char *vt_seal_unit(const char *path);
