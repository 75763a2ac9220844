/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-hardware.h"

#include <string.h>

#define WORD_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static bool
parse(const char *text, VtHardware *hardware, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(text, strlen(text));
    json_t *root = NULL;
    VtJson object;
    bool ok;

    g_assert_true(vt_json_parse(bytes, "profile", 1 << 16, &root, NULL));
    object = vt_json_root(root, "profile");
    ok = vt_hardware_parse(&object, hardware, error);
    json_decref(root);
    return ok;
}

static VtHardware
taken(const char *text)
{
    VtHardware hardware = vt_hardware_default();
    g_autoptr(GError) error = NULL;

    g_assert_true(parse(text, &hardware, &error));
    g_assert_no_error(error);
    return hardware;
}

static void
test_each_member(void)
{
    VtHardware hardware =
        taken("{\"memory\":4096,\"vcpus\":8,\"cpu\":\"Skylake-Client-noTSX-IBRS\",\"machine\":\"pc-"
              "q35-7.2\","
              "\"firmware\":\"efi\",\"secure_boot\":true,\"tpm\":\"2.0\","
              "\"disk\":{\"bus\":\"scsi\",\"cache\":\"writeback\"},\"video\":\"vga\","
              "\"clock\":\"localtime\",\"hyperv\":true,\"interfaces\":[{\"network\":\"my lan\"},"
              "{\"bridge\":\"br0\",\"model\":\"e1000e\",\"mac\":\"52:54:00:AB:cd:01\"},"
              "{\"direct\":\"eth0\"},{}]}");

    g_assert_cmpuint(hardware.memory_mib, ==, 4096);
    g_assert_cmpuint(hardware.vcpus, ==, 8);
    g_assert_cmpstr(hardware.cpu, ==, "Skylake-Client-noTSX-IBRS");
    g_assert_cmpstr(hardware.machine, ==, "pc-q35-7.2");
    g_assert_cmpstr(hardware.firmware, ==, "efi");
    g_assert_true(hardware.secure_boot);
    g_assert_cmpstr(hardware.tpm, ==, "2.0");
    g_assert_cmpstr(hardware.disk_bus, ==, "scsi");
    g_assert_cmpstr(hardware.disk_cache, ==, "writeback");
    g_assert_cmpstr(hardware.video, ==, "vga");
    g_assert_cmpstr(hardware.clock, ==, "localtime");
    g_assert_true(hardware.hyperv);
    g_assert_cmpuint(hardware.interface_count, ==, 4);
    g_assert_cmpstr(hardware.interfaces[0].source, ==, "my lan");
    g_assert_cmpint(hardware.interfaces[1].link, ==, VT_LINK_BRIDGE);
    g_assert_cmpstr(hardware.interfaces[1].source, ==, "br0");
    g_assert_cmpstr(hardware.interfaces[1].model, ==, "e1000e");
    g_assert_cmpstr(hardware.interfaces[1].mac, ==, "52:54:00:ab:cd:01");
    g_assert_cmpint(hardware.interfaces[2].link, ==, VT_LINK_DIRECT);
    g_assert_cmpstr(hardware.interfaces[3].source, ==, "default");
    g_assert_cmpstr(hardware.interfaces[3].model, ==, "virtio");
    g_assert_true(vt_hardware_has_mac(&hardware));
    g_assert_true(vt_hardware_check(&hardware, NULL));
}

/* Each layer changes what it names, and a layer that is refused nothing */
static void
test_layers(void)
{
    VtHardware hardware = taken("{\"memory\":512,\"disk\":{\"cache\":\"none\"}}");

    g_assert_true(parse("{\"disk\":{\"bus\":\"sata\"},\"vcpus\":1}", &hardware, NULL));
    g_assert_cmpuint(hardware.memory_mib, ==, 512);
    g_assert_cmpuint(hardware.vcpus, ==, 1);
    g_assert_cmpstr(hardware.disk_bus, ==, "sata");
    g_assert_cmpstr(hardware.disk_cache, ==, "none");
    g_assert_cmpuint(hardware.interface_count, ==, 1);
    g_assert_false(vt_hardware_has_mac(&hardware));
    g_assert_true(parse("{\"interfaces\":[]}", &hardware, NULL));
    g_assert_cmpuint(hardware.interface_count, ==, 0);
    g_assert_true(parse("{}", &hardware, NULL));
    g_assert_false(parse("{\"memory\":1,\"vcpus\":0}", &hardware, NULL));
    g_assert_cmpuint(hardware.memory_mib, ==, 512);
    g_assert_cmpuint(hardware.vcpus, ==, 1);
}

static const struct {
    const char *text;
    const char *says;
} refused[] = {
    {"{\"memory\":0}", "profile: memory: 0 is not between 1 and 16777216"},
    {"{\"memory\":16777217}", "memory: 16777217 is not between"},
    {"{\"memory\":-1}", "memory: is negative"},
    {"{\"memory\":\"2048\"}", "memory: is a string; it must be an integer"},
    {"{\"memory\":20.5}", "memory: is a number; it must be an integer"},
    {"{\"vcpus\":0}", "vcpus: 0 is not between 1 and 4096"},
    {"{\"vcpus\":4097}", "vcpus: 4097 is not between"},
    {"{\"cpu\":\"\"}", "cpu: is not a word"},
    {"{\"cpu\":\"a b\"}", "cpu: is not a word"},
    {"{\"cpu\":\"" WORD_64 "a\"}", "cpu: is not a word of at most 64"},
    {"{\"machine\":\"q35'/>\"}", "machine: is not a word"},
    {"{\"machine\":1}", "machine: is an integer; it must be a string"},
    {"{\"firmware\":\"uefi\"}", "firmware: \"uefi\" is none of: bios, efi"},
    {"{\"firmware\":true}", "firmware: is a boolean"},
    {"{\"secure_boot\":\"yes\"}", "secure_boot: is neither true nor false"},
    {"{\"tpm\":\"1.2\"}", "tpm: \"1.2\" is none of: none, 2.0"},
    {"{\"tpm\":2.0}", "tpm: is a number; it must be a string"},
    {"{\"disk\":\"scsi\"}", "disk: is a string; it must be an object"},
    {"{\"disk\":{\"bus\":\"nvme\"}}", "disk.bus: \"nvme\" is none of: virtio, scsi, sata, ide"},
    {"{\"disk\":{\"cache\":\"on\"}}", "disk.cache: \"on\" is none of: default, none, writeback"},
    {"{\"disk\":{\"memory\":1}}", "disk: unknown field \"memory\"; known: bus, cache"},
    {"{\"bus\":\"scsi\"}", "unknown field \"bus\"; known: disk, interfaces, memory, vcpus"},
    {"{\"\":1}", "unknown field \"\"; known"},
    {"{\"video\":\"cga\"}", "video: \"cga\" is none of: none, virtio"},
    {"{\"clock\":\"UTC\"}", "clock: \"UTC\" is none of: utc, localtime"},
    {"{\"hyperv\":1}", "hyperv: is neither true nor false"},
    {"{\"interfaces\":{}}", "interfaces: is an object; it must be an array"},
    {"{\"interfaces\":[1]}", "interfaces[0]: is an integer; it must be an object"},
    {"{\"interfaces\":[{},{\"net\":\"a\"}]}", "interfaces[1]: unknown field \"net\""},
    {"{\"interfaces\":[{\"network\":\"a/b\"}]}", "interfaces[0].network: is not the name of a l"},
    {"{\"interfaces\":[{\"network\":\"\"}]}", "interfaces[0].network: is not the name"},
    {"{\"interfaces\":[{\"network\":7}]}", "interfaces[0].network: is an integer"},
    {"{\"interfaces\":[{\"bridge\":\"sixteen-letters-\"}]}", "bridge: is not the name of a bridge"},
    {"{\"interfaces\":[{\"direct\":\"e 0\"}]}", "direct: is not the name of a network device"},
    {"{\"interfaces\":[{\"network\":\"a\",\"bridge\":\"b\"}]}",
     "interfaces[0]: has both \"network\" and \"bridge\""},
    {"{\"interfaces\":[{\"model\":\"a b\"}]}", "interfaces[0].model: is not a word"},
    {"{\"interfaces\":[{\"mac\":\"52:54:00:00:00\"}]}", "mac: is not a unicast address like 52:54"},
    {"{\"interfaces\":[{\"mac\":\"52:54:00:00:00:0a\"},{},{\"mac\":\"52:54:00:00:00:0A\"}]}",
     "interfaces[2]: has the MAC address 52:54:00:00:00:0a of interfaces[0]"},
    {"{\"interfaces\":[{\"mac\":\"53:54:00:00:00:01\"}]}", "mac: is not a unicast address"},
    {"{\"interfaces\":[{\"mac\":\"52:54:00:00:00:01\\n\"}]}", "mac: is not a unicast address"},
    {"{\"interfaces\":[{\"mac\":null}]}", "mac: is null; it must be a string"},
    {"{\"interfaces\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]}",
     "interfaces: has 17 elements, at most 16 are allowed"},
};

static void
test_refused(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        VtHardware hardware = vt_hardware_default();
        g_autoptr(GError) error = NULL;

        g_test_message("%s", refused[i].text);
        g_assert_false(parse(refused[i].text, &hardware, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, refused[i].says));
    }
}

static void
test_limits_are_allowed(void)
{
    VtHardware hardware = taken("{\"memory\":16777216,\"vcpus\":4096,\"cpu\":\"" WORD_64 "\","
                                "\"interfaces\":[{\"network\":\"" WORD_64 "\"},"
                                "{\"bridge\":\"fifteen-letters\"}]}");

    g_assert_cmpstr(hardware.cpu, ==, WORD_64);
    g_assert_cmpstr(hardware.interfaces[0].source, ==, WORD_64);
    g_assert_cmpstr(hardware.interfaces[1].source, ==, "fifteen-letters");
}

static void
test_together(void)
{
    VtHardware hardware = taken("{\"secure_boot\":true}");
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_hardware_check(&hardware, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_assert_cmpstr(error->message, ==, "secure_boot needs the firmware 'efi'");
    hardware = vt_hardware_default();
    g_assert_true(vt_hardware_check(&hardware, NULL));
}

static void
assert_text(const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;
    json_t *object = NULL;

    g_assert_true(vt_hardware_from_text(text, &object, &error));
    g_assert_no_error(error);
    bytes = vt_json_format(object);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), expected,
                    strlen(expected));
    json_decref(object);
}

static void
test_text(void)
{
    static const struct {
        const char *text;
        const char *says;
    } wrong[] = {
        {"", "'' is not KEY=VALUE with one of:\n  memory "},
        {"memory", "'memory' is not KEY=VALUE"},
        {"memory=1,", "'' is not KEY=VALUE"},
        {"mem=1", "'mem=1' is not KEY=VALUE"},
        {"bus=scsi", "  disk.bus       virtio, scsi, sata, ide\n"},
        {"vcpus=1,vcpus=2", "'vcpus' is there twice"},
        {"cpu=\xff", "not UTF-8"},
    };

    assert_text("memory=4096,vcpus=4,tpm=2.0,disk.bus=scsi,disk.cache=none,hyperv=yes",
                "{\"memory\":4096,\"vcpus\":4,\"tpm\":\"2.0\","
                "\"disk\":{\"bus\":\"scsi\",\"cache\":\"none\"},\"hyperv\":true}");
    /* a model of digits is a name; what is wrong is left to the parser */
    assert_text("cpu=486,memory=4G,secure_boot=no,hyperv=maybe",
                "{\"cpu\":\"486\",\"memory\":\"4G\",\"secure_boot\":false,\"hyperv\":\"maybe\"}");
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        json_t *object = NULL;

        g_assert_false(vt_hardware_from_text(wrong[i].text, &object, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_nonnull(strstr(error->message, wrong[i].says));
        g_assert_null(object);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hardware/each-member", test_each_member);
    g_test_add_func("/hardware/layers", test_layers);
    g_test_add_func("/hardware/refused", test_refused);
    g_test_add_func("/hardware/limits", test_limits_are_allowed);
    g_test_add_func("/hardware/together", test_together);
    g_test_add_func("/hardware/text", test_text);
    return g_test_run();
}
