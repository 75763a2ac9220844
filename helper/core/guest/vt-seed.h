/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seed.h: the files of a seed: NoCloud, OpenStack's config drive, Windows' answer file */
#pragma once

#include "vt-instance.h"

/* Bytes of randomness for the guest's generator */
#define VT_SEED_RANDOM 64

/* What a seed's name ends in, behind at least one character: an ISO image, and a floppy */
#define VT_SEED_SUFFIX        "-seed.iso"
#define VT_SEED_FLOPPY_SUFFIX "-seed.img"

/**
 * VtSeedFile: a file of the medium
 * @path: relative, parts separated by '/'
 */
typedef struct {
    char *path;
    GBytes *bytes;
} VtSeedFile;

/** vt_seed_label: Returns: (transfer none): the volume label that cloud-init looks for; Windows
 * does not look */
const char *vt_seed_label(VtSeedSource source);

/** vt_seed_is_floppy: Whether the medium is a floppy and not an ISO image */
bool vt_seed_is_floppy(const VtInstance *instance);

/**
 * vt_seed_files:
 * @random: new for each boot
 *
 * What the elements of the instance say is a cloud-config; complete user-data of the owner's comes
 * behind it and is merged by cloud-init's own rules. The instance-id follows from the domain's
 * UUID: it stays over restarts, and a clone of the domain has another one.
 *
 * Returns: (transfer full) (element-type VtSeedFile): equal for equal arguments
 */
GPtrArray *vt_seed_files(const VtInstance *instance, const uint8_t random[VT_SEED_RANDOM]);
