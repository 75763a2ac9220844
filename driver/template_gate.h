/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_gate.h: clones that are made at the same time must not lock each other out */
#pragma once

#include "compat-libvirt.h"

/**
 * virStorageTemplateGateInstall:
 *
 * Put the gate before libvirt's storageVolCreateXMLFrom(), once; later calls cost nothing. Without
 * success libvirt is as it was, and the next call tries again.
 */
void virStorageTemplateGateInstall(void);

/** virStorageTemplateGateLeave: libvirt calls a backend: this thread waits for no pool */
void virStorageTemplateGateLeave(void);

/** virStorageTemplateGateEnter: buildVolFrom() ends: libvirt locks both pools again. Waits until
 *  they are free */
void virStorageTemplateGateEnter(void);
