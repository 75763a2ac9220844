/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-hardware-xml.c: the hardware of a guest as libvirt's XML */
#include "vtc-hardware-xml.h"

#include <string.h>

/*
 * Beside what the profile says: what a cloud image needs (a serial console, a source of randomness,
 * the channel of the guest agent), and advice that a clone is one (a generation id).
 */

/* ---- machine ---- */

static void
add_os(const VtHardware *hardware, xmlNode *domain)
{
    static const char *const wanted[] = {"secure-boot", "enrolled-keys"};
    xmlNode *os = vtc_xml_child(domain, "os", NULL), *features, *feature;

    if (g_str_equal(hardware->firmware, "efi"))
        vtc_xml_attribute(os, "firmware", "efi");
    vtc_xml_attribute(vtc_xml_child(os, "type", "hvm"), "machine", hardware->machine);
    if (!hardware->secure_boot)
        return;
    /* libvirt chooses a firmware with both: without keys in it, it would run everything */
    features = vtc_xml_child(os, "firmware", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++) {
        feature = vtc_xml_attribute(vtc_xml_child(features, "feature", NULL), "enabled", "yes");
        vtc_xml_attribute(feature, "name", wanted[i]);
    }
}

/* What virt-install writes for Windows 10 and 11 */
static void
add_hyperv(xmlNode *features)
{
    xmlNode *hyperv = vtc_xml_child(features, "hyperv", NULL), *spinlocks;

    vtc_xml_attribute(vtc_xml_child(hyperv, "relaxed", NULL), "state", "on");
    vtc_xml_attribute(vtc_xml_child(hyperv, "vapic", NULL), "state", "on");
    spinlocks = vtc_xml_attribute(vtc_xml_child(hyperv, "spinlocks", NULL), "state", "on");
    vtc_xml_attribute(spinlocks, "retries", "8191");
}

/*
 * As virt-install has them. With an HPET, a guest whose TSC cannot be trusted, under TCG each with
 * two processors, takes that for its clock: each look at it is a way out of the guest and a lock,
 * and to boot takes a fifth longer.
 */
static const struct {
    const char *name;
    const char *attribute;
    const char *value;
    bool hyperv;
} timers[] = {{"rtc", "tickpolicy", "catchup", false},
              {"pit", "tickpolicy", "delay", false},
              {"hpet", "present", "no", false},
              {"hypervclock", "present", "yes", true}};

static void
add_clock(const VtHardware *hardware, xmlNode *domain)
{
    const bool is_pc =
        g_str_has_prefix(hardware->machine, "pc") || g_str_equal(hardware->machine, "q35");
    xmlNode *clock = vtc_xml_child(domain, "clock", NULL), *timer;

    vtc_xml_attribute(clock, "offset", hardware->clock);
    for (gsize i = 0; is_pc && i < G_N_ELEMENTS(timers); i++) {
        if (timers[i].hyperv && !hardware->hyperv)
            continue;
        timer = vtc_xml_attribute(vtc_xml_child(clock, "timer", NULL), "name", timers[i].name);
        vtc_xml_attribute(timer, timers[i].attribute, timers[i].value);
    }
}

static void
add_cpu(const VtHardware *hardware, const char *virt_type, xmlNode *domain)
{
    static const char *const modes[] = {"host-model", "host-passthrough", "maximum", NULL};
    const char *cpu = hardware->cpu;
    xmlNode *node;

    if (!*cpu && !g_str_equal(virt_type, "kvm"))
        return;
    node = vtc_xml_child(domain, "cpu", NULL);
    if (!*cpu || g_strv_contains(modes, cpu)) {
        vtc_xml_attribute(node, "mode", *cpu ? cpu : modes[0]);
        return;
    }
    vtc_xml_attribute(vtc_xml_attribute(node, "mode", "custom"), "match", "exact");
    vtc_xml_attribute(vtc_xml_child(node, "model", cpu), "fallback", "forbid");
}

void
vtc_hardware_xml_machine(const VtHardware *hardware, const char *virt_type, xmlNode *domain)
{
    xmlNode *features;

    vtc_xml_attribute(vtc_xml_number(domain, "memory", hardware->memory_mib), "unit", "MiB");
    vtc_xml_number(domain, "vcpu", hardware->vcpus);
    add_os(hardware, domain);
    features = vtc_xml_child(domain, "features", NULL);
    vtc_xml_child(features, "acpi", NULL);
    vtc_xml_child(features, "apic", NULL);
    if (hardware->hyperv)
        add_hyperv(features);
    /* A clone is told that it is one: new keys, new random numbers */
    vtc_xml_child(domain, "genid", NULL);
    add_cpu(hardware, virt_type, domain);
    add_clock(hardware, domain);
}

/* ---- devices ---- */

/* letter: of the seed's device when the clone has the one before. No IDE or SATA disk can be
 * read-only, but a CD-ROM is. On virtio the seed is no CD-ROM, which some guests find only after
 * cloud-init has looked. */
static const struct {
    const char *bus;
    const char *disk;
    const char *seed;
    const char *seed_device;
} buses[] = {
    {"virtio", "vda", "vdb", "disk"},
    {"scsi", "sda", "sdb", "disk"},
    {"sata", "sda", "sdb", "cdrom"},
    {"ide", "hda", "hdb", "cdrom"},
};

/* Windows Setup reads removable media only, and has a driver of its own for this bus */
#define REMOVABLE_BUS "sata"

static xmlNode *
add_file(xmlNode *devices, const char *device, const char *path, const char *format)
{
    xmlNode *disk = vtc_xml_child(devices, "disk", NULL), *driver;

    vtc_xml_attribute(vtc_xml_attribute(disk, "type", "file"), "device", device);
    driver = vtc_xml_attribute(vtc_xml_child(disk, "driver", NULL), "name", "qemu");
    vtc_xml_attribute(driver, "type", format);
    vtc_xml_attribute(vtc_xml_child(disk, "source", NULL), "file", path);
    return disk;
}

static void
add_target(xmlNode *disk, const char *name, const char *bus)
{
    xmlNode *target = vtc_xml_attribute(vtc_xml_child(disk, "target", NULL), "dev", name);

    vtc_xml_attribute(target, "bus", bus);
}

static void
add_seed(const char *path, gsize bus, bool removable, xmlNode *devices)
{
    const bool other = removable && !g_str_equal(buses[bus].seed_device, "cdrom");
    xmlNode *disk = add_file(devices, other ? "cdrom" : buses[bus].seed_device, path, "raw");

    /* "sdb", also behind "vda": a name that no disk of another bus has */
    add_target(disk, other ? "sdb" : buses[bus].seed, other ? REMOVABLE_BUS : buses[bus].bus);
    vtc_xml_child(disk, "readonly", NULL);
}

static void
add_disks(const VtHardware *hardware, const char *path, const char *seed, bool removable,
          xmlNode *devices)
{
    xmlNode *disk = add_file(devices, "disk", path, "qcow2"), *driver = disk->children;
    gsize bus = 0;

    while (!g_str_equal(buses[bus].bus, hardware->disk_bus))
        bus++;
    if (!g_str_equal(hardware->disk_cache, "default"))
        vtc_xml_attribute(driver, "cache", hardware->disk_cache);
    vtc_xml_attribute(driver, "discard", "unmap");
    add_target(disk, buses[bus].disk, buses[bus].bus);
    if (seed)
        add_seed(seed, bus, removable, devices);
    if (g_str_equal(hardware->disk_bus, "scsi")) {
        disk = vtc_xml_attribute(vtc_xml_child(devices, "controller", NULL), "type", "scsi");
        vtc_xml_attribute(disk, "model", "virtio-scsi");
    }
}

static void
add_interface(const VtHardwareInterface *interface, xmlNode *devices)
{
    static const struct {
        const char *type;
        const char *attribute;
    } kinds[] = {[VT_LINK_NETWORK] = {"network", "network"},
                 [VT_LINK_BRIDGE] = {"bridge", "bridge"},
                 [VT_LINK_DIRECT] = {"direct", "dev"}};
    xmlNode *node = vtc_xml_child(devices, "interface", NULL), *source;

    vtc_xml_attribute(node, "type", kinds[interface->link].type);
    if (*interface->mac)
        vtc_xml_attribute(vtc_xml_child(node, "mac", NULL), "address", interface->mac);
    source = vtc_xml_child(node, "source", NULL);
    vtc_xml_attribute(source, kinds[interface->link].attribute, interface->source);
    if (interface->link == VT_LINK_DIRECT)
        vtc_xml_attribute(source, "mode", "bridge");
    vtc_xml_attribute(vtc_xml_child(node, "model", NULL), "type", interface->model);
}

static void
add_tpm(xmlNode *devices, const char *version)
{
    xmlNode *tpm = vtc_xml_child(devices, "tpm", NULL), *backend;

    vtc_xml_attribute(tpm, "model", "tpm-crb");
    backend = vtc_xml_attribute(vtc_xml_child(tpm, "backend", NULL), "type", "emulator");
    vtc_xml_attribute(backend, "version", version);
}

/* A picture needs somebody who shows it; libvirt's configuration says who may see it */
static void
add_video(xmlNode *devices, const char *model)
{
    xmlNode *video = vtc_xml_child(devices, "video", NULL);

    vtc_xml_attribute(vtc_xml_child(video, "model", NULL), "type", model);
    vtc_xml_attribute(vtc_xml_child(devices, "graphics", NULL), "type", "vnc");
}

static void
add_agent(xmlNode *devices)
{
    xmlNode *channel = vtc_xml_child(devices, "channel", NULL), *target;

    vtc_xml_attribute(channel, "type", "unix");
    target = vtc_xml_attribute(vtc_xml_child(channel, "target", NULL), "type", "virtio");
    vtc_xml_attribute(target, "name", "org.qemu.guest_agent.0");
}

void
vtc_hardware_xml_devices(const VtHardware *hardware, const char *disk, const char *seed,
                         bool removable, xmlNode *domain)
{
    xmlNode *devices = vtc_xml_child(domain, "devices", NULL), *rng;

    add_disks(hardware, disk, seed, removable, devices);
    for (unsigned i = 0; i < hardware->interface_count; i++)
        add_interface(&hardware->interfaces[i], devices);
    vtc_xml_attribute(vtc_xml_child(devices, "console", NULL), "type", "pty");
    add_agent(devices);
    rng = vtc_xml_attribute(vtc_xml_child(devices, "rng", NULL), "model", "virtio");
    vtc_xml_attribute(vtc_xml_child(rng, "backend", "/dev/urandom"), "model", "random");
    if (!g_str_equal(hardware->tpm, "none"))
        add_tpm(devices, hardware->tpm);
    if (!g_str_equal(hardware->video, "none"))
        add_video(devices, hardware->video);
}
