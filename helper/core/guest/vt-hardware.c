/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-hardware.c: the hardware that a guest gets: the profile of a template, and what changes it */

/* The text that is parsed:
 *
 *     {"memory": 4096, "vcpus": 2, "cpu": "host-model", "machine": "q35", "firmware": "efi",
 *      "secure_boot": true, "tpm": "2.0", "disk": {"bus": "scsi", "cache": "none"},
 *      "interfaces": [{"network": "default", "model": "e1000e"}, {"bridge": "br0"}],
 *      "video": "vga", "clock": "localtime", "hyperv": true}
 */
#include "vt-hardware.h"

#include <string.h>

#define MAC_PATTERN "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"
/* libvirt keeps a network in a file of its name */
#define NETWORK_PATTERN "^[^/[:cntrl:]]{1,64}$"
#define DEVICE_PATTERN  "^[^/:\\s[:cntrl:]]{1,15}$"

static const char *const firmwares[] = {"bios", "efi", NULL};
static const char *const tpms[] = {"none", "2.0", NULL};
static const char *const buses[] = {"virtio", "scsi", "sata", "ide", NULL};
static const char *const caches[] = {"default",    "none",   "writeback", "writethrough",
                                     "directsync", "unsafe", NULL};
static const char *const videos[] = {"none", "virtio", "vga", "qxl", "bochs", "cirrus", NULL};
static const char *const clocks[] = {"utc", "localtime", NULL};

typedef enum {
    NUMBER, /* unsigned */
    WORD,   /* char[VT_JSON_WORD_MAX + 1] */
    CHOICE, /* const char *, of choices */
    FLAG,   /* bool */
} Kind;

/* group: the member that it is in, if not the document itself */
typedef struct {
    const char *group;
    const char *name;
    const char *meaning;
    Kind kind;
    size_t offset;
    unsigned max;
    const char *const *choices;
} Field;

#define AT(member) offsetof(VtHardware, member)

static const Field fields[] = {
    {"", "memory", "MiB", NUMBER, AT(memory_mib), VT_HARDWARE_MEMORY_MAX_MIB, NULL},
    {"", "vcpus", "processors", NUMBER, AT(vcpus), VT_HARDWARE_VCPUS_MAX, NULL},
    {"", "cpu", "host-model, host-passthrough, maximum or a model", WORD, AT(cpu), 0, NULL},
    {"", "machine", "machine type: q35", WORD, AT(machine), 0, NULL},
    {"", "firmware", NULL, CHOICE, AT(firmware), 0, firmwares},
    {"", "secure_boot", NULL, FLAG, AT(secure_boot), 0, NULL},
    {"", "tpm", NULL, CHOICE, AT(tpm), 0, tpms},
    {"disk", "bus", NULL, CHOICE, AT(disk_bus), 0, buses},
    {"disk", "cache", NULL, CHOICE, AT(disk_cache), 0, caches},
    {"", "video", NULL, CHOICE, AT(video), 0, videos},
    {"", "clock", NULL, CHOICE, AT(clock), 0, clocks},
    {"", "hyperv", NULL, FLAG, AT(hyperv), 0, NULL},
};

static const struct {
    const char *name;
    const char *pattern;
    const char *expected;
} links[] = {
    [VT_LINK_NETWORK] = {"network", NETWORK_PATTERN, "the name of a libvirt network"},
    [VT_LINK_BRIDGE] = {"bridge", DEVICE_PATTERN, "the name of a bridge"},
    [VT_LINK_DIRECT] = {"direct", DEVICE_PATTERN, "the name of a network device of the host"},
};

static const VtHardwareInterface default_interface = {
    .link = VT_LINK_NETWORK, .source = "default", .model = "virtio"};

VtHardware
vt_hardware_default(void)
{
    return (VtHardware){
        .memory_mib = 2048,
        .vcpus = 2,
        .machine = "q35",
        .firmware = firmwares[0],
        .tpm = tpms[0],
        .disk_bus = buses[0],
        .disk_cache = caches[0],
        .video = videos[0],
        .clock = clocks[0],
        .interface_count = 1,
        .interfaces = {default_interface},
    };
}

/* ---- single members ---- */

static void *
place_of(VtHardware *hardware, const Field *field)
{
    return (char *)hardware + field->offset;
}

static bool
take_number(const VtJson *at, const Field *field, VtHardware *hardware, GError **error)
{
    uint64_t value = 0;

    if (!vt_json_uint(at->parent, at->name, &value, error))
        return false;
    if (value < 1 || value > field->max)
        return vt_json_throw(at, error, "%" G_GUINT64_FORMAT " is not between 1 and %u",
                             (guint64)value, field->max);
    *(unsigned *)place_of(hardware, field) = (unsigned)value;
    return true;
}

static bool
take_word(const VtJson *at, const Field *field, VtHardware *hardware, GError **error)
{
    const char *text = NULL;

    if (!vt_json_word(at->parent, at->name, &text, error))
        return false;
    g_strlcpy(place_of(hardware, field), text, VT_JSON_WORD_MAX + 1);
    return true;
}

static bool
take_choice(const VtJson *at, const Field *field, VtHardware *hardware, GError **error)
{
    g_autofree char *known = NULL, *shown = NULL;
    const char *text = NULL;

    if (!vt_json_is_string(at, &text, error))
        return false;
    for (const char *const *choice = field->choices; *choice; choice++) {
        if (g_str_equal(*choice, text)) {
            *(const char **)place_of(hardware, field) = *choice;
            return true;
        }
    }
    known = g_strjoinv(", ", (char **)field->choices);
    shown = vt_json_shown(text);
    return vt_json_throw(at, error, "\"%s\" is none of: %s", shown, known);
}

static bool
take_flag(const VtJson *at, const Field *field, VtHardware *hardware, GError **error)
{
    if (!json_is_boolean(at->value))
        return vt_json_throw(at, error, "is neither true nor false");
    *(bool *)place_of(hardware, field) = json_is_true(at->value);
    return true;
}

static bool
take_field(const VtJson *at, const Field *field, VtHardware *hardware, GError **error)
{
    static bool (*const takers[])(const VtJson *, const Field *, VtHardware *, GError **) = {
        [NUMBER] = take_number, [WORD] = take_word, [CHOICE] = take_choice, [FLAG] = take_flag};

    return takers[field->kind](at, field, hardware, error);
}

/* ---- interfaces ---- */

static bool
take_source(const VtJson *object, VtHardwareInterface *interface, GError **error)
{
    const char *text = NULL, *found = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(links); i++) {
        VtJson at = vt_json_member(object, links[i].name);

        if (!at.value)
            continue;
        if (found)
            return vt_json_throw(object, error, "has both \"%s\" and \"%s\"", found, links[i].name);
        found = links[i].name;
        if (!vt_json_is_string(&at, &text, error))
            return false;
        if (!g_regex_match_simple(links[i].pattern, text, G_REGEX_DOLLAR_ENDONLY, 0) ||
            strlen(text) > VT_HARDWARE_SOURCE_MAX)
            return vt_json_throw(&at, error, "is not %s", links[i].expected);
        interface->link = (VtHardwareLink)i;
        g_strlcpy(interface->source, text, sizeof(interface->source));
    }
    return true;
}

/* A group address cannot be a card's own */
static bool
take_mac(const VtJson *object, VtHardwareInterface *interface, GError **error)
{
    VtJson at = vt_json_member(object, "mac");
    const char *text = NULL;

    if (!vt_json_string_if(object, "mac", &text, error) || !text)
        return !at.value;
    if (!g_regex_match_simple(MAC_PATTERN, text, G_REGEX_CASELESS | G_REGEX_DOLLAR_ENDONLY, 0) ||
        g_ascii_xdigit_value(text[1]) % 2 != 0)
        return vt_json_throw(&at, error, "is not a unicast address like 52:54:00:00:00:01");
    for (size_t i = 0; i < sizeof(interface->mac); i++)
        interface->mac[i] = g_ascii_tolower(text[i]);
    return true;
}

static bool
take_interface(const VtJson *at, VtHardwareInterface *interface, GError **error)
{
    static const char *const known[] = {"network", "bridge", "direct", "model", "mac", NULL};
    const char *model = NULL;

    *interface = default_interface;
    if (!vt_json_is_object(at, error) || !vt_json_exact_fields(at, known, error) ||
        !take_source(at, interface, error) || !take_mac(at, interface, error))
        return false;
    if (!json_object_get(at->value, "model"))
        return true;
    if (!vt_json_word(at, "model", &model, error))
        return false;
    g_strlcpy(interface->model, model, sizeof(interface->model));
    return true;
}

/* @array: whose elements are the interfaces */
static bool
check_macs(const VtJson *array, const VtHardware *hardware, size_t count, GError **error)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t other = 0; *hardware->interfaces[i].mac && other < i; other++) {
            VtJson at = vt_json_element(array, i);

            if (g_str_equal(hardware->interfaces[i].mac, hardware->interfaces[other].mac))
                return vt_json_throw(&at, error, "has the MAC address %s of interfaces[%zu]",
                                     hardware->interfaces[i].mac, other);
        }
    }
    return true;
}

static bool
take_interfaces(const VtJson *object, VtHardware *hardware, GError **error)
{
    VtJson array = {NULL};
    size_t count;

    if (!json_object_get(object->value, "interfaces"))
        return true;
    if (!vt_json_array(object, "interfaces", &array, error))
        return false;
    count = json_array_size(array.value);
    if (count > VT_HARDWARE_INTERFACES_MAX)
        return vt_json_throw(&array, error, "has %zu elements, at most %d are allowed", count,
                             VT_HARDWARE_INTERFACES_MAX);
    for (size_t i = 0; i < count; i++) {
        VtJson at = vt_json_element(&array, i);

        if (!take_interface(&at, &hardware->interfaces[i], error))
            return false;
    }
    hardware->interface_count = (unsigned)count;
    return check_macs(&array, hardware, count, error);
}

/* ---- the document ---- */

/* Whether @name is a member of @group, the document itself being "" */
static bool
is_known(const char *group, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (g_str_equal(fields[i].group, group) && g_str_equal(fields[i].name, name))
            return true;
        if (!*group && g_str_equal(fields[i].group, name))
            return *name;
    }
    return !*group && g_str_equal(name, "interfaces");
}

static bool
check_known(const VtJson *object, const char *group, GError **error)
{
    g_autofree char *shown = NULL;
    g_autoptr(GString) known = NULL;
    const char *key;
    json_t *value;

    json_object_foreach(object->value, key, value)
    {
        if (is_known(group, key))
            continue;
        shown = vt_json_shown(key);
        known = g_string_new(*group ? NULL : "disk, interfaces");
        for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
            if (g_str_equal(fields[i].group, group))
                g_string_append_printf(known, "%s%s", known->len ? ", " : "", fields[i].name);
        }
        return vt_json_throw(object, error, "unknown field \"%s\"; known: %s", shown, known->str);
    }
    return true;
}

static bool
take_group(const VtJson *object, const char *group, VtHardware *hardware, GError **error)
{
    if (!vt_json_is_object(object, error) || !check_known(object, group, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        VtJson at = vt_json_member(object, fields[i].name);

        if (at.value && g_str_equal(fields[i].group, group) &&
            !take_field(&at, &fields[i], hardware, error))
            return false;
    }
    return true;
}

bool
vt_hardware_parse(const VtJson *object, VtHardware *hardware, GError **error)
{
    VtHardware changed = *hardware;
    VtJson disk;

    if (!take_group(object, "", &changed, error))
        return false;
    disk = vt_json_member(object, "disk");
    if ((disk.value && !take_group(&disk, "disk", &changed, error)) ||
        !take_interfaces(object, &changed, error))
        return false;
    *hardware = changed;
    return true;
}

bool
vt_hardware_check(const VtHardware *hardware, GError **error)
{
    if (hardware->secure_boot && !g_str_equal(hardware->firmware, "efi"))
        return vt_throw(error, VT_ERROR_INVALID, "secure_boot needs the firmware 'efi'");
    return true;
}

bool
vt_hardware_has_mac(const VtHardware *hardware)
{
    for (unsigned i = 0; i < hardware->interface_count; i++) {
        if (*hardware->interfaces[i].mac)
            return true;
    }
    return false;
}

/* ---- "memory=4096,disk.bus=scsi" ---- */

static char *
key_of(const Field *field)
{
    return g_strconcat(field->group, *field->group ? "." : "", field->name, NULL);
}

char *
vt_hardware_keys(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        g_autofree char *key = key_of(&fields[i]), *choices = NULL;

        if (fields[i].choices)
            choices = g_strjoinv(", ", (char **)fields[i].choices);
        g_string_append_printf(text, "  %-14s %s\n", key,
                               choices                  ? choices
                               : fields[i].kind == FLAG ? "yes, no"
                                                        : fields[i].meaning);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static const Field *
find_field(const char *key)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        g_autofree char *name = key_of(&fields[i]);

        if (g_str_equal(name, key))
            return &fields[i];
    }
    return NULL;
}

/* What vt_hardware_parse() does not take for this field, it refuses with its own words */
static json_t *
value_of(const Field *field, const char *text)
{
    guint64 number = 0;

    if (field->kind == NUMBER && g_ascii_string_to_unsigned(text, 10, 0, INT64_MAX, &number, NULL))
        return json_integer((json_int_t)number);
    if (field->kind == FLAG && (g_str_equal(text, "yes") || g_str_equal(text, "true")))
        return json_true();
    if (field->kind == FLAG && (g_str_equal(text, "no") || g_str_equal(text, "false")))
        return json_false();
    return json_string(text);
}

static bool
set_pair(json_t *object, const char *pair, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(pair, "=", 2);
    const Field *field = parts[0] ? find_field(parts[0]) : NULL;
    g_autofree char *known = NULL;
    json_t *group = object;

    if (!field || !parts[1]) {
        known = vt_hardware_keys();
        return vt_throw(error, VT_ERROR_INVALID, "hardware: '%s' is not KEY=VALUE with one of:\n%s",
                        pair, known);
    }
    if (*field->group) {
        group = json_object_get(object, field->group);
        if (!group) {
            group = json_object();
            json_object_set_new(object, field->group, group);
        }
    }
    if (json_object_get(group, field->name))
        return vt_throw(error, VT_ERROR_INVALID, "hardware: '%s' is there twice", parts[0]);
    json_object_set_new(group, field->name, value_of(field, parts[1]));
    return true;
}

bool
vt_hardware_from_text(const char *text, json_t **ret_object, GError **error)
{
    g_auto(GStrv) pairs = NULL;
    json_t *object;

    if (!g_utf8_validate(text, -1, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "hardware: not UTF-8");
    /* an empty text is an empty pair, too */
    pairs = g_strsplit(*text ? text : ",", ",", 0);
    object = json_object();
    for (char **pair = pairs; *pair; pair++) {
        if (!set_pair(object, *pair, error)) {
            json_decref(object);
            return false;
        }
    }
    *ret_object = object;
    return true;
}
