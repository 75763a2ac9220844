/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-instance-template.h"
#include "vt-iso.h"

#include <string.h>

#define UUID "6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f"
#define SEED "<v:seed path='/pool/web1-seed.iso'/>"
#define KEY  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleWtleWtleWtleWtleWtleWtleWtleWtl anna@h"
#define DATA "#cloud-config\npackages: [vim]\n"

static GBytes *
domain(const char *elements)
{
    char *xml = g_strdup_printf(
        "<domain type='qemu'><name>web1</name><uuid>" UUID "</uuid><metadata>"
        "<other xmlns='urn:other'/>"
        "<v:instance xmlns:v='urn:virt-template:instance:1'>%s</v:instance></metadata>"
        "<devices><interface type='network'><mac address='52:54:00:00:00:0A'/></interface>"
        "<interface type='network'><mac "
        "address='52:54:00:00:00:0b'/></interface></devices></domain>",
        elements);

    return g_bytes_new_take(xml, strlen(xml));
}

static VtInstance *
parse(const char *elements)
{
    g_autoptr(GBytes) xml = domain(elements);
    g_autoptr(GError) error = NULL;
    VtInstance *instance = NULL;

    g_assert_true(vt_instance_parse(xml, &instance, &error));
    g_assert_no_error(error);
    g_assert_nonnull(instance);
    return instance;
}

static void
assert_json(const json_t *value, const char *expected)
{
    json_auto_t *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
    char *shown = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    g_assert_nonnull(wanted);
    if (!json_equal(wanted, (json_t *)value))
        g_error("expected %s\nfound    %s", expected, shown);
    free(shown);
}

static void
test_all(void)
{
    g_autoptr(VtInstance) instance = parse(
        SEED "<v:hostname>web1.example</v:hostname>"
             "<v:user name='anna' sudo='yes' groups='adm,users' shell='/bin/sh' "
             "password-hash='$6$salt1234$abcdefghij'>"
             "<v:ssh-key>" KEY "</v:ssh-key></v:user>"
             "<v:package>nginx</v:package><v:package>vim=2:9.0</v:package>"
             "<v:file path='/etc/motd' mode='0600' owner='anna:users'>a: \"b\"\n</v:file>"
             "<v:command>echo 'x: y' &gt; /tmp/z</v:command>"
             "<v:service>nginx</v:service><v:service state='disabled'>cron.service</v:service>"
             "<v:locale>de_DE.UTF-8</v:locale><v:timezone>Europe/Berlin</v:timezone>");

    g_assert_cmpstr(instance->domain, ==, "web1");
    g_assert_cmpstr(instance->uuid, ==, UUID);
    g_assert_cmpstr(instance->seed_path, ==, "/pool/web1-seed.iso");
    g_assert_cmpstr(instance->hostname, ==, "web1.example");
    g_assert_cmpint(instance->source, ==, VT_SEED_NOCLOUD);
    assert_json(
        instance->config,
        "{\"users\": [{\"name\": \"anna\", \"shell\": \"/bin/sh\", \"groups\": \"adm,users\","
        "\"hashed_passwd\": \"$6$salt1234$abcdefghij\", \"lock_passwd\": false,"
        "\"sudo\": \"ALL=(ALL) NOPASSWD:ALL\", \"ssh_authorized_keys\": [\"" KEY "\"]}],"
        "\"packages\": [\"nginx\", \"vim=2:9.0\"],"
        "\"write_files\": [{\"path\": \"/etc/motd\", \"permissions\": \"0600\","
        "\"owner\": \"anna:users\", \"content\": \"a: \\\"b\\\"\\n\", \"defer\": true}],"
        "\"runcmd\": [[\"sh\", \"-c\", \"echo 'x: y' > /tmp/z\"],"
        "[\"systemctl\", \"enable\", \"--now\", \"nginx\"],"
        "[\"systemctl\", \"disable\", \"--now\", \"cron.service\"]],"
        "\"locale\": \"de_DE.UTF-8\", \"timezone\": \"Europe/Berlin\"}");
}

static void
test_network(void)
{
    g_autoptr(VtInstance) instance =
        parse(SEED "<v:interface><v:address>192.0.2.5/24</v:address><v:address>2001:db8::5/64"
                   "</v:address><v:gateway>192.0.2.1</v:gateway><v:dns>192.0.2.53</v:dns>"
                   "</v:interface><v:interface mac='52:54:00:00:00:0B'><v:dhcp/></v:interface>");

    assert_json(
        instance->network,
        "{\"version\": 2, \"ethernets\": {"
        "\"eth0\": {\"match\": {\"macaddress\": \"52:54:00:00:00:0a\"}, \"set-name\": \"eth0\","
        "\"addresses\": [\"192.0.2.5/24\", \"2001:db8::5/64\"],"
        "\"routes\": [{\"to\": \"0.0.0.0/0\", \"via\": \"192.0.2.1\"}],"
        "\"nameservers\": {\"addresses\": [\"192.0.2.53\"]}},"
        "\"eth1\": {\"match\": {\"macaddress\": \"52:54:00:00:00:0b\"}, \"set-name\": \"eth1\","
        "\"dhcp4\": true, \"dhcp-identifier\": \"mac\"}}}");
}

/* Two interfaces in a bond, with a VLAN on it */
#define TWO "<v:seed path='/pool/w-seed.iso' datasource='configdrive'/><v:interface/><v:interface/>"
#define BOND                                                                                       \
    TWO "<v:bond name='bond0' mode='802.3ad'><v:member>eth0</v:member><v:member>eth1</v:member>"   \
        "<v:dhcp/></v:bond><v:vlan name='storage' id='7' link='bond0'>"                            \
        "<v:address>192.0.2.5/20</v:address><v:address>2001:db8::5/64</v:address>"                 \
        "<v:gateway>192.0.0.1</v:gateway><v:gateway>2001:db8::1</v:gateway>"                       \
        "<v:dns>192.0.2.53</v:dns></v:vlan>"

static void
test_links(void)
{
    g_autoptr(VtInstance) instance = parse(BOND);

    assert_json(
        instance->network,
        "{\"version\": 2, \"ethernets\": {"
        "\"eth0\": {\"match\": {\"macaddress\": \"52:54:00:00:00:0a\"}, \"set-name\": \"eth0\"},"
        "\"eth1\": {\"match\": {\"macaddress\": \"52:54:00:00:00:0b\"}, \"set-name\": \"eth1\"}},"
        "\"bonds\": {\"bond0\": {\"interfaces\": [\"eth0\", \"eth1\"],"
        "\"parameters\": {\"mode\": \"802.3ad\"}, \"dhcp4\": true, \"dhcp-identifier\": \"mac\"}},"
        "\"vlans\": {\"storage\": {\"id\": 7, \"link\": \"bond0\","
        "\"addresses\": [\"192.0.2.5/20\", \"2001:db8::5/64\"],"
        "\"routes\": [{\"to\": \"0.0.0.0/0\", \"via\": \"192.0.0.1\"},"
        "{\"to\": \"::/0\", \"via\": \"2001:db8::1\"}],"
        "\"nameservers\": {\"addresses\": [\"192.0.2.53\"]}}}}");
}

static void
test_foreign(void)
{
    static const char *const foreign[] = {
        "<domain><name>x</name><uuid>" UUID "</uuid></domain>",
        "<domain><name>x</name><uuid>" UUID "</uuid><metadata/></domain>",
        "<domain><name>x</name><uuid>" UUID "</uuid><metadata><instance/></metadata></domain>",
        "<domain><name>x</name><uuid>" UUID
        "</uuid><metadata><instance xmlns='urn:virt-template:instance:2'/></metadata></domain>",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(foreign); i++) {
        g_autoptr(GBytes) xml = g_bytes_new_static(foreign[i], strlen(foreign[i]));
        g_autoptr(GError) error = NULL;
        VtInstance *instance = NULL;

        g_assert_true(vt_instance_parse(xml, &instance, &error));
        g_assert_no_error(error);
        g_assert_null(instance);
    }
}

#define IF(text) SEED "<v:interface>" text "</v:interface>"

static const struct {
    const char *elements, *message;
} bad[] = {
    {"", "<seed path='...'/> is missing"},
    {SEED SEED, "<seed>: is there twice"},
    {"<v:seed/>", "'path' is missing"},
    {"<v:seed path='relative-seed.iso'/>", "not an absolute path"},
    {"<v:seed path='/a//b-seed.iso'/>", "not an absolute path"},
    {"<v:seed path='/a' datasource='ec2'/>", "neither 'nocloud' nor 'configdrive'"},
    {"<v:seed path='/a' kind='/b'/>", "unknown attribute 'kind'"},
    {SEED "<v:parameter name='x'>1</v:parameter>", "has <parameter> without <template"},
    {SEED "<v:template name='web'/>", "the attributes 'name' and 'version' are needed"},
    {SEED "<v:template name='../x' version='1.0.0'/>", "<template>: "},
    {SEED "<v:template name='web' version='latest'/>", "<template>: "},
    {SEED "<v:template name='web' version='1.0.0'/><v:parameter>x</v:parameter>",
     "the attribute 'name' is missing"},
    {SEED "<v:hostnam>x</v:hostnam>", "<hostnam>: unknown; known: seed, hostname, user"},
    {SEED "<hostname>x</hostname>", "<hostname>: unknown"},
    {SEED "<v:hostname/>", "is empty"},
    {SEED "<v:hostname>-x</v:hostname>", "'-x' is not a host name"},
    {SEED "<v:hostname>a_b</v:hostname>", "not a host name"},
    {SEED "<v:hostname>a\n</v:hostname>", "not a host name"},
    {SEED "<v:hostname><v:b/></v:hostname>", "holds <b>"},
    {SEED "<v:user/>", "'name' is missing"},
    {SEED "<v:user name='Anna'/>", "not a user name"},
    {SEED "<v:user name='a' sudo='maybe'/>", "neither 'yes' nor 'no'"},
    {SEED "<v:user name='a' password-hash='secret'/>", "'password-hash' is not a hash"},
    {SEED "<v:user name='a'><v:ssh-key>not a key</v:ssh-key></v:user>", "not an SSH public key"},
    {SEED "<v:user name='a'><v:ssh-key>" KEY "\nssh-rsa x</v:ssh-key></v:user>",
     "not an SSH public key"},
    {SEED "<v:user name='a'><v:key>x</v:key></v:user>", "known: ssh-key"},
    {SEED "<v:package>a; rm -rf /</v:package>", "not the name of a package"},
    {SEED "<v:file>x</v:file>", "'path' is missing"},
    {SEED "<v:file path='/x' mode='644'>x</v:file>", "not an octal mode"},
    {SEED "<v:file path='/x' owner='0; x'>x</v:file>", "not an owner"},
    {SEED "<v:service state='on'>x</v:service>", "neither 'enabled' nor 'disabled'"},
    {SEED "<v:locale>de DE</v:locale>", "not a locale"},
    {SEED "<v:timezone>../etc</v:timezone>", "not a time zone"},
    {SEED "<v:user-data>packages: [x]</v:user-data>", "does not begin with"},
    {SEED "<v:user-data>#cloud-config\n- x\n</v:user-data>", "not a mapping"},
    {SEED "<v:user-data>#cloud-config \n- x\n</v:user-data>", "not a mapping"},
    {SEED "<v:user-data>#cloud-config\na: [1\n</v:user-data>", "<user-data>: line"},
    {SEED "<v:network-config>- x</v:network-config>", "<network-config>: line 1: not a mapping"},
    {IF(""), "neither <dhcp/> nor <address>"},
    {IF("<v:address>192.0.2.5</v:address>"), "not an address with its prefix"},
    {IF("<v:address>192.0.2.5/33</v:address>"), "not an address with its prefix"},
    {IF("<v:address>192.0.2.256/24</v:address>"), "not an address with its prefix"},
    {IF("<v:address>192.0.2.5/24</v:address><v:address>192.0.2.6/25</v:address>"), "one subnet"},
    {IF("<v:dhcp/><v:gateway>x</v:gateway>"), "'x' is not an address"},
    {IF("<v:vlan/>"), "known: dhcp, address, gateway, dns"},
    {SEED "<v:interface mac='52:54:00:00:00:0c'><v:dhcp/></v:interface>",
     "no interface with the MAC"},
    {SEED "<v:interface mac='x'><v:dhcp/></v:interface>", "not a MAC address"},
    {IF("<v:dhcp/>") "<v:interface mac='52:54:00:00:00:0a'><v:dhcp/></v:interface>", "there twice"},
    {IF("<v:dhcp/>") "<v:interface><v:dhcp/></v:interface><v:interface><v:dhcp/></v:interface>",
     "2 interfaces, this is number 3"},
    {IF("<v:dhcp/>") "<v:network-config>version: 2</v:network-config>", "both <interface> and"},
    {"<v:seed path='/a' datasource='configdrive'/><v:network-config>version: 2</v:network-config>",
     "<network-config> needs the datasource 'nocloud'"},
    {IF("<v:dhcp/><v:member>eth0</v:member>"), "known: dhcp, address, gateway, dns"},
    {TWO "<v:bond name='bond0'><v:member>eth0</v:member><v:member>eth1</v:member></v:bond>",
     "bond0 has neither <dhcp/> nor <address>"},
    {TWO "<v:bond name='bond0'><v:dhcp/></v:bond>", "<bond>: has no <member>"},
    {TWO "<v:bond><v:member>eth0</v:member></v:bond>", "'name' is missing"},
    {TWO "<v:bond name='a b'><v:member>eth0</v:member></v:bond>", "not the name of an interface"},
    {TWO "<v:bond name='eth1'><v:member>eth0</v:member></v:bond>", "'eth1' is there twice"},
    {TWO "<v:bond name='b' mode='7'><v:member>eth0</v:member></v:bond>",
     "mode='7' is none of: balance-rr, active-backup"},
    {TWO "<v:bond name='b'><v:member>eth2</v:member></v:bond>", "no <interface> before it"},
    {TWO "<v:bond name='b'><v:dhcp/><v:member>eth0</v:member><v:member>eth0</v:member></v:bond>",
     "'eth0' is in a bond already"},
    {IF("<v:dhcp/>") "<v:bond name='b'><v:member>eth0</v:member></v:bond>",
     "'eth0' has addresses; they belong to the bond"},
    {TWO, "eth0 has neither"},
    {IF("<v:dhcp/>") "<v:vlan name='v' id='0' link='eth0'/>", "not a number from 1 to 4094"},
    {IF("<v:dhcp/>") "<v:vlan name='v' id='4095' link='eth0'/>", "not a number from 1 to 4094"},
    {IF("<v:dhcp/>") "<v:vlan name='v' link='eth0'/>", "'id' and 'link' are needed"},
    {IF("<v:dhcp/>") "<v:vlan name='v' id='7' link='eth1'/>", "no <interface> or <bond> before"},
    {IF("<v:dhcp/>") "<v:vlan name='v' id='7' link='eth0'/>", "v has neither"},
    {IF("<v:address>192.0.2.5/24</v:address>") "<v:vlan name='v' id='7' link='eth0'>"
                                               "<v:address>192.0.2.6/24</v:address></v:vlan>",
     "in one subnet"},
};

static void
test_refuse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) xml = domain(bad[i].elements);
        g_autoptr(GError) error = NULL;
        VtInstance *instance = NULL;

        g_assert_false(vt_instance_parse(xml, &instance, &error));
        g_assert_null(instance);
        if (!strstr(error->message, bad[i].message))
            g_error("%s\nis refused with: %s\ninstead of: %s", bad[i].elements, error->message,
                    bad[i].message);
        /* secrets are not repeated */
        g_assert_null(strstr(error->message, "secret"));
    }
}

static void
test_malformed(void)
{
    static const char *const malformed[] = {"",
                                            "x",
                                            "<domain>",
                                            "<pool/>",
                                            "<domain><name>x</name></domain>",
                                            "<domain><name>x</name><uuid>y</uuid></domain>"};

    for (gsize i = 0; i < G_N_ELEMENTS(malformed); i++) {
        g_autoptr(GBytes) xml = g_bytes_new_static(malformed[i], strlen(malformed[i]));
        g_autoptr(GError) error = NULL;
        VtInstance *instance = NULL;

        g_assert_false(vt_instance_parse(xml, &instance, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    }
}

/* ---- the files ---- */

static const uint8_t random_bytes[VT_SEED_RANDOM] = {1, 2, 3};

static char *
file_text(GPtrArray *files, const char *path)
{
    for (guint i = 0; i < files->len; i++) {
        const VtSeedFile *file = files->pdata[i];

        /* add_text() keeps the NUL outside; all of ours end with a line end */
        if (g_str_equal(file->path, path))
            return g_strndup(g_bytes_get_data(file->bytes, NULL), g_bytes_get_size(file->bytes));
    }
    return NULL;
}

static void
test_nocloud(void)
{
    g_autoptr(VtInstance) instance = parse(IF("<v:dhcp/>") "<v:hostname>web1.example</v:hostname>");
    g_autoptr(GPtrArray) files = vt_seed_files(instance, random_bytes);
    g_autofree char *meta = file_text(files, "meta-data"), *user = file_text(files, "user-data"),
                    *network = file_text(files, "network-config");
    json_auto_t *config = NULL;

    g_assert_cmpstr(vt_seed_label(instance->source), ==, "CIDATA");
    g_assert_cmpstr(meta, ==,
                    "{\"instance-id\":\"" UUID "\",\"local-hostname\":\"web1.example\"}\n");
    g_assert_true(g_str_has_prefix(user, "#cloud-config\n{"));
    config = json_loads(user + strlen("#cloud-config\n"), 0, NULL);
    g_assert_cmpstr(json_string_value(json_object_get(config, "hostname")), ==, "web1");
    g_assert_cmpstr(json_string_value(json_object_get(config, "fqdn")), ==, "web1.example");
    g_assert_nonnull(json_object_get(config, "random_seed"));
    g_assert_nonnull(strstr(network, "\"dhcp4\":true"));
}

#define CONFIG                                                                                     \
    "{\"name\": \"web\", \"parameters\": ["                                                        \
    "{\"name\": \"admin\", \"type\": \"string\", \"required\": true},"                             \
    "{\"name\": \"zone\", \"type\": \"string\", \"default\": \"UTC\"},"                            \
    "{\"name\": \"tools\", \"type\": \"list\"}],"                                                  \
    "\"user-data\": {\"users\": [{\"name\": \"${admin}\"}], \"timezone\": \"${zone}\","            \
    "\"packages\": [\"vim\", \"${tools}\"], \"hostname\": \"golden\", \"manage_etc_hosts\": "      \
    "\"localhost\", \"chpasswd\": {\"expire\": false}}}"
#define TEMPLATE "<v:template name='web' version='1.0.0'/>"

static bool
set_template(VtInstance *instance, const char *defaults, GError **error)
{
    g_autoptr(GBytes) config = g_bytes_new_static(CONFIG, strlen(CONFIG));
    g_autoptr(GBytes) pool = defaults ? g_bytes_new(defaults, strlen(defaults)) : NULL;

    return vt_instance_complete(
        instance, &(const VtInstanceDocuments){.config = config, .defaults = pool}, error);
}

/* The template's user-data is below what the elements say; lists are joined */
static void
test_template(void)
{
    g_autoptr(VtInstance) instance =
        parse(SEED TEMPLATE "<v:parameter name='admin'>a: [&amp;x]</v:parameter>"
                            "<v:parameter name='tools'>git</v:parameter>"
                            "<v:parameter name='tools'>jq</v:parameter>"
                            "<v:user name='anna'/><v:package>nginx</v:package>");
    g_autoptr(GPtrArray) files = NULL;
    g_autofree char *user = NULL;
    g_autoptr(GError) error = NULL;
    json_auto_t *config = NULL;

    g_assert_cmpstr(instance->template, ==, "web@1.0.0");
    g_assert_true(set_template(instance, "zone: Europe/Berlin\nelse: 1\n", &error));
    g_assert_no_error(error);
    files = vt_seed_files(instance, random_bytes);
    user = file_text(files, "user-data");
    config = json_loads(user + strlen("#cloud-config\n"), 0, NULL);
    json_object_del(config, "random_seed");
    assert_json(config, "{\"hostname\": \"web1\", \"manage_etc_hosts\": \"localhost\","
                        "\"timezone\": \"Europe/Berlin\", \"chpasswd\": {\"expire\": false},"
                        "\"users\": [{\"name\": \"a: [&x]\"}, {\"name\": \"anna\", \"shell\": "
                        "\"/bin/bash\", \"ssh_authorized_keys\": []}],"
                        "\"packages\": [\"vim\", \"git\", \"jq\", \"nginx\"]}");
}

static const struct {
    const char *elements, *defaults, *message;
} bad_template[] = {
    {"", NULL, "the parameter 'admin' has no value; the template has: admin (string, required)"},
    {"<v:parameter name='admin'>x</v:parameter><v:parameter name='nope'>x</v:parameter>", NULL,
     "the template has no parameter 'nope'"},
    {"<v:parameter name='admin'>x</v:parameter><v:parameter name='admin'>y</v:parameter>", NULL,
     "is given 2 times"},
    {"<v:parameter name='admin'>x</v:parameter>", "- x\n", "defaults of the pool: line 1"},
    {"<v:parameter name='admin'>x</v:parameter>", "zone: [a, b]\n",
     "default of the pool: parameter 'zone'"},
};

static void
test_refuse_template(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad_template); i++) {
        g_autofree char *text = g_strconcat(SEED TEMPLATE, bad_template[i].elements, NULL);
        g_autoptr(VtInstance) instance = parse(text);
        g_autoptr(GError) error = NULL;

        g_assert_false(set_template(instance, bad_template[i].defaults, &error));
        g_assert_null(instance->template_config);
        g_assert_nonnull(strstr(error->message, bad_template[i].message));
    }
}

/* Complete user-data stands behind ours, byte for byte */
static void
test_archive(void)
{
    g_autoptr(VtInstance) instance =
        parse(SEED "<v:package>nginx</v:package><v:user-data>" DATA "</v:user-data>");
    g_autoptr(GPtrArray) files = vt_seed_files(instance, random_bytes);
    g_autofree char *user = file_text(files, "user-data");
    json_auto_t *parts = NULL;

    g_assert_true(g_str_has_prefix(user, "#cloud-config-archive\n["));
    parts = json_loads(user + strlen("#cloud-config-archive\n"), 0, NULL);
    g_assert_cmpuint(json_array_size(parts), ==, 2);
    g_assert_nonnull(
        strstr(json_string_value(json_object_get(json_array_get(parts, 0), "content")), "nginx"));
    g_assert_cmpstr(json_string_value(json_object_get(json_array_get(parts, 1), "content")), ==,
                    DATA);
}

static void
test_config_drive(void)
{
    g_autoptr(VtInstance) instance =
        parse("<v:seed path='/pool/w-seed.iso' datasource='configdrive'/>");
    g_autoptr(GPtrArray) files = vt_seed_files(instance, random_bytes);
    g_autofree char *meta = file_text(files, "openstack/latest/meta_data.json");

    g_assert_cmpstr(vt_seed_label(instance->source), ==, "config-2");
    g_assert_cmpstr(meta, ==, "{\"uuid\":\"" UUID "\",\"name\":\"web1\",\"hostname\":\"web1\"}\n");
}

static void
test_network_data(void)
{
    g_autoptr(VtInstance) instance = parse(BOND);
    g_autoptr(GPtrArray) files = vt_seed_files(instance, random_bytes);
    g_autofree char *text = file_text(files, "openstack/latest/network_data.json");
    json_auto_t *network = json_loads(text, 0, NULL);

    assert_json(
        network,
        "{\"links\": [{\"id\": \"eth0\", \"type\": \"phy\","
        " \"ethernet_mac_address\": \"52:54:00:00:00:0a\"},"
        "{\"id\": \"eth1\", \"type\": \"phy\", \"ethernet_mac_address\": \"52:54:00:00:00:0b\"},"
        "{\"id\": \"bond0\", \"type\": \"bond\", \"ethernet_mac_address\": \"52:54:00:00:00:0a\","
        " \"bond_links\": [\"eth0\", \"eth1\"], \"bond_mode\": \"802.3ad\"},"
        "{\"id\": \"storage\", \"type\": \"vlan\", \"vlan_mac_address\": \"52:54:00:00:00:0a\","
        " \"vlan_link\": \"bond0\", \"vlan_id\": 7}],"
        "\"networks\": [{\"id\": \"bond0-0\", \"link\": \"bond0\", \"type\": \"ipv4_dhcp\"},"
        "{\"id\": \"storage-1\", \"link\": \"storage\", \"type\": \"ipv4\","
        " \"ip_address\": \"192.0.2.5\", \"netmask\": \"255.255.240.0\", \"routes\": ["
        "{\"network\": \"0.0.0.0\", \"netmask\": \"0.0.0.0\", \"gateway\": \"192.0.0.1\"}]},"
        "{\"id\": \"storage-2\", \"link\": \"storage\", \"type\": \"ipv6\","
        " \"ip_address\": \"2001:db8::5\", \"netmask\": \"ffff:ffff:ffff:ffff::\", \"routes\": ["
        "{\"network\": \"::\", \"netmask\": \"::\", \"gateway\": \"2001:db8::1\"}]}],"
        "\"services\": [{\"type\": \"dns\", \"address\": \"192.0.2.53\"}]}");
}

static bool
contains(GBytes *bytes, const char *text)
{
    gsize size;
    const char *data = g_bytes_get_data(bytes, &size);

    return memmem(data, size, text, strlen(text)) != NULL;
}

/* ECMA-119: the primary volume descriptor is in sector 16, its label at byte 40 */
static void
test_iso(void)
{
    static const char *const labels[] = {"CIDATA", "config-2"};
    g_autoptr(VtInstance) instance =
        parse("<v:seed path='/pool/w-seed.iso' datasource='configdrive'/>");
    g_autoptr(GPtrArray) files = vt_seed_files(instance, random_bytes);

    for (gsize i = 0; i < G_N_ELEMENTS(labels); i++) {
        g_autoptr(GBytes) first = NULL, second = NULL;
        g_autoptr(GError) error = NULL;
        const char *data;
        gsize size;

        g_assert_true(vt_iso_write(labels[i], files, &first, &error));
        g_assert_no_error(error);
        g_usleep(1100 * 1000); /* dates have seconds */
        g_assert_true(vt_iso_write(labels[i], files, &second, &error));
        g_assert_true(g_bytes_equal(first, second));
        data = g_bytes_get_data(first, &size);
        g_assert_cmpuint(size % 2048, ==, 0);
        g_assert_cmpmem(data + 16 * 2048, 6, "\1CD001", 6);
        g_assert_cmpmem(data + 16 * 2048 + 40, strlen(labels[i]), labels[i], strlen(labels[i]));
        g_assert_true(contains(first, "meta_data.json"));
        g_assert_true(contains(first, UUID));
    }
}

static void
test_iso_large(void)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new();
    g_autoptr(GBytes) bytes = g_bytes_new_take(g_malloc0(VT_ISO_MAX + 1), VT_ISO_MAX + 1);
    VtSeedFile file = {(char *)(uintptr_t) "large", bytes};
    g_autoptr(GBytes) image = NULL;
    g_autoptr(GError) error = NULL;

    g_ptr_array_add(files, &file);
    g_assert_false(vt_iso_write("CIDATA", files, &image, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/instance/all", test_all);
    g_test_add_func("/instance/network", test_network);
    g_test_add_func("/instance/links", test_links);
    g_test_add_func("/instance/template", test_template);
    g_test_add_func("/instance/refuse-template", test_refuse_template);
    g_test_add_func("/instance/foreign", test_foreign);
    g_test_add_func("/instance/refuse", test_refuse);
    g_test_add_func("/instance/malformed", test_malformed);
    g_test_add_func("/seed/nocloud", test_nocloud);
    g_test_add_func("/seed/archive", test_archive);
    g_test_add_func("/seed/config-drive", test_config_drive);
    g_test_add_func("/seed/network-data", test_network_data);
    g_test_add_func("/iso/labels", test_iso);
    g_test_add_func("/iso/large", test_iso_large);
    return g_test_run();
}
