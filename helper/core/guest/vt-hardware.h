/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-hardware.h: the hardware that a guest gets: the profile of a template, and what changes it */
#pragma once

#include "vt-json.h"

/* 16 TiB and 4096 are more than QEMU's machines take; larger numbers are slips */
#define VT_HARDWARE_MEMORY_MAX_MIB (1u << 24)
#define VT_HARDWARE_VCPUS_MAX      4096
/* q35 has 31 slots, and disks and consoles need some */
#define VT_HARDWARE_INTERFACES_MAX 16
/* libvirt's names of networks; those of bridges and devices are the kernel's, IFNAMSIZ - 1 */
#define VT_HARDWARE_SOURCE_MAX 64
#define VT_HARDWARE_DEVICE_MAX 15

typedef enum {
    VT_LINK_NETWORK,
    VT_LINK_BRIDGE,
    VT_LINK_DIRECT,
} VtHardwareLink;

/**
 * VtHardwareInterface:
 * @source: name of libvirt's network, of the bridge, or of the host's device
 * @model: as for <model type='...'>
 * @mac: lower case; "": libvirt chooses one
 */
typedef struct {
    VtHardwareLink link;
    char source[VT_HARDWARE_SOURCE_MAX + 1];
    char model[VT_JSON_WORD_MAX + 1];
    char mac[sizeof("52:54:00:00:00:01")];
} VtHardwareInterface;

/**
 * VtHardware: a plain value, to be copied by assignment; words that are chosen from a list are
 * static
 * @cpu: `host-model`, `host-passthrough`, `maximum`, a model's name; "": host-model under KVM, else
 *   what the machine has
 * @machine: as for <type machine='...'>
 * @firmware: `bios` or `efi`
 * @secure_boot: firmware that runs signed systems only; needs `efi`
 * @tpm: `none` or `2.0`
 * @disk_bus: `virtio`, `scsi`, `sata` or `ide`
 * @disk_cache: as for <driver cache='...'>; `default`: the hypervisor's
 * @video: `none`, or as for <model type='...'>
 * @clock: `utc` or `localtime`
 * @hyperv: tells a Windows guest that it is one, and by which timers
 */
typedef struct {
    unsigned memory_mib;
    unsigned vcpus;
    char cpu[VT_JSON_WORD_MAX + 1];
    char machine[VT_JSON_WORD_MAX + 1];
    const char *firmware;
    bool secure_boot;
    const char *tpm;
    const char *disk_bus;
    const char *disk_cache;
    const char *video;
    const char *clock;
    bool hyperv;
    unsigned interface_count;
    VtHardwareInterface interfaces[VT_HARDWARE_INTERFACES_MAX];
} VtHardware;

/** vt_hardware_default: Returns: what a cloud image of Linux needs, on the network `default` */
VtHardware vt_hardware_default(void);

/**
 * vt_hardware_parse:
 * @object: e.g. `{"memory": 4096, "disk": {"bus": "scsi"}, "interfaces": [{"bridge": "br0"}]}`;
 *   no member is required. See virt-template-hardware(5)
 * @hardware: (in) (out): members that are not in @object stay; `interfaces` replaces all of them
 * @error: %VT_ERROR_INVALID naming the member and what is allowed
 */
bool vt_hardware_parse(const VtJson *object, VtHardware *hardware, GError **error);

/**
 * vt_hardware_from_text:
 * @text: `memory=4096,vcpus=4,disk.bus=scsi`, all members but `interfaces`
 * @ret_object: (out) (transfer full): for vt_hardware_parse()
 * @error: %VT_ERROR_INVALID
 */
bool vt_hardware_from_text(const char *text, json_t **ret_object, GError **error);

/** vt_hardware_check: Refuses what cannot be together, when all layers have been parsed */
bool vt_hardware_check(const VtHardware *hardware, GError **error);

/** vt_hardware_has_mac: Returns: whether an address is given, so that this fits only one guest */
bool vt_hardware_has_mac(const VtHardware *hardware);

/** vt_hardware_keys: Returns: (transfer full): the keys of vt_hardware_from_text(), one a line */
char *vt_hardware_keys(void);
