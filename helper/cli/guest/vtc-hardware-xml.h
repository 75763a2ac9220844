/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-hardware-xml.h: the hardware of a guest as libvirt's XML */
#pragma once

#include "vt-hardware.h"
#include "vtc-xml.h"

/** vtc_hardware_xml_machine: Adds memory, processors, firmware, features and clock to a <domain>.
 *  @virt_type: `kvm` or `qemu` */
void vtc_hardware_xml_machine(const VtHardware *hardware, const char *virt_type, xmlNode *domain);

/**
 * vtc_hardware_xml_devices:
 * @disk: path of the clone, qcow2
 * @seed: (nullable): path of the seed
 * @removable: whether the seed is a CD-ROM, whatever the bus of the disk is
 *
 * Adds <devices> to a <domain>.
 */
void vtc_hardware_xml_devices(const VtHardware *hardware, const char *disk, const char *seed,
                              bool removable, xmlNode *domain);
