/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-instance-secret.h"
#include "vt-instance-template.h"
#include "vt-secrets.h"
#include "vt-seed.h"

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <string.h>

#define UUID "6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f"
#define SEED "<v:seed path='/pool/win1-seed.iso' datasource='unattend'/>"
#define ROOT "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\"/>"
/* Shows up in no message */
#define SECRET "5ecret"

static GBytes *
domain_of(const char *arch, const char *elements)
{
    char *xml = g_strdup_printf(
        "<domain type='kvm'><name>win1</name><uuid>" UUID "</uuid><metadata>"
        "<v:instance xmlns:v='urn:virt-template:instance:1'>%s</v:instance></metadata>"
        "<os><type arch='%s'>hvm</type></os><devices><interface type='network'>"
        "<mac address='52:54:00:00:00:0A'/></interface></devices></domain>",
        elements, arch);

    return g_bytes_new_take(xml, strlen(xml));
}

static const struct {
    const char *key, *value;
} all_secrets[] = {
    {"admin", "P&ss \"w<rd>' \xC3\xBC\xF0\x9D\x84\x9E"},
    {"anna", "Pa55word"},
    {"short", "x"},
    {"key", "AAAAA-BBBBB-CCCCC-DDDDD-12345"},
};

/* Those that the domain asks for */
static void
complete(VtInstance *instance)
{
    json_auto_t *secrets = json_object();
    VtInstanceDocuments documents = {0};
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(all_secrets); i++) {
        if (vt_secrets_refers(instance, all_secrets[i].key))
            json_object_set_new(secrets, all_secrets[i].key, json_string(all_secrets[i].value));
    }
    g_assert_true(vt_secrets_format(secrets, &bytes, &error));
    documents.secrets = bytes;
    g_assert_true(vt_instance_complete(instance, &documents, &error));
    g_assert_no_error(error);
}

static VtInstance *
parse(GBytes *xml)
{
    g_autoptr(GError) error = NULL;
    VtInstance *instance = NULL;

    g_assert_true(vt_instance_parse(xml, &instance, &error));
    g_assert_no_error(error);
    g_assert_nonnull(instance);
    g_assert_cmpint(instance->source, ==, VT_SEED_UNATTEND);
    complete(instance);
    g_assert_nonnull(instance->answer);
    return instance;
}

static VtInstance *
parse_elements(const char *elements)
{
    g_autoptr(GBytes) xml = domain_of("x86_64", elements);

    return parse(xml);
}

static char *
read_case(const char *kind, const char *name)
{
    g_autofree char *file = g_strdup_printf("%s-%s.xml", kind, name);
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "data", "unattend", file, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static VtInstance *
parse_case(const char *name)
{
    char *text = read_case("domain", name);
    g_autoptr(GBytes) xml = g_bytes_new_take(text, strlen(text));

    return parse(xml);
}

/* ---- parsed back ---- */

static xmlDoc *
read_answer(const char *answer)
{
    xmlDoc *document = xmlReadMemory(answer, (int)strlen(answer), NULL, NULL, XML_PARSE_NONET);

    g_assert_nonnull(document);
    return document;
}

static void
assert_valid(const char *answer)
{
    xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewParserCtxt(VT_SCHEMA);
    xmlRelaxNG *schema = xmlRelaxNGParse(parser);
    xmlRelaxNGValidCtxt *context;
    xmlDoc *document = read_answer(answer);

    g_assert_nonnull(schema);
    context = xmlRelaxNGNewValidCtxt(schema);
    g_assert_cmpint(xmlRelaxNGValidateDoc(context, document), ==, 0);
    xmlFreeDoc(document);
    xmlRelaxNGFreeValidCtxt(context);
    xmlRelaxNGFree(schema);
    xmlRelaxNGFreeParserCtxt(parser);
}

/* The string value of @path, in which the elements have the prefix 'u' */
static char *
value_at(const char *answer, const char *path)
{
    xmlDoc *document = read_answer(answer);
    xmlXPathContext *context = xmlXPathNewContext(document);
    g_autofree char *call = g_strdup_printf("string(%s)", path);
    xmlXPathObject *object;
    char *value;

    xmlXPathRegisterNs(context, (const xmlChar *)"u",
                       (const xmlChar *)"urn:schemas-microsoft-com:unattend");
    object = xmlXPathEvalExpression((const xmlChar *)call, context);
    g_assert_nonnull(object);
    value = g_strdup((const char *)object->stringval);
    xmlXPathFreeObject(object);
    xmlXPathFreeContext(context);
    xmlFreeDoc(document);
    return value;
}

static void
assert_value(const char *answer, const char *path, const char *expected)
{
    g_autofree char *value = value_at(answer, path);

    g_assert_cmpstr(value, ==, expected);
}

/* What Windows makes of <Value>: bytes, UTF-16, and the element's name cut off */
static void
assert_password(const char *answer, const char *element, const char *expected)
{
    g_autofree char *path = g_strdup_printf("(//u:%s/u:Value)[1]", element);
    g_autofree char *value = value_at(answer, path), *text = NULL;
    gsize size;
    g_autofree guchar *bytes = g_base64_decode(value, &size);

    text = g_convert((const char *)bytes, (gssize)size, "UTF-8", "UTF-16LE", NULL, NULL, NULL);
    g_assert_nonnull(text);
    g_assert_true(g_str_has_suffix(text, element));
    text[strlen(text) - strlen(element)] = '\0';
    g_assert_cmpstr(text, ==, expected);
}

/* ---- cases ---- */

static void
test_golden(gconstpointer data)
{
    g_autoptr(VtInstance) first = parse_case(data), second = parse_case(data);
    g_autofree char *expected = read_case("accept", data);

    g_assert_cmpstr(first->answer, ==, expected);
    g_assert_cmpstr(first->answer, ==, second->answer);
    assert_valid(first->answer);
}

static void
test_values(void)
{
    static const char *const values[][2] = {
        {"//u:ComputerName", "WIN-1"},
        {"//u:DNSDomain", "corp.example"},
        {"//u:TimeZone", "W. Europe Standard Time"},
        {"//u:ProductKey", "AAAAA-BBBBB-CCCCC-DDDDD-12345"},
        {"//u:UILanguage", "de-DE"},
        {"//u:settings[@pass='specialize']//u:Extend", "true"},
        {"count(//u:LocalAccount)", "3"},
        {"//u:LocalAccount[u:Name='Anna Smith']/u:Group", "Administrators;Remote Desktop Users"},
        {"//u:LocalAccount[u:Name='bob']/u:Group", "Users"},
        {"//u:LocalAccount[u:Name='R&D']/u:Group", "Users;Backup Operators"},
        {"//u:RunSynchronousCommand[u:Order=2]/u:Path",
         "cmd.exe /s /c \"if not exist \"C:\\A & B\" mkdir \"C:\\A & B\" > %TEMP%\\out.txt 2<&1\""},
        {"count(//u:component[@processorArchitecture='amd64'])", "5"},
        {"//u:HideLocalAccountScreen", "true"},
    };
    g_autoptr(VtInstance) instance = parse_case("all");

    for (gsize i = 0; i < G_N_ELEMENTS(values); i++)
        assert_value(instance->answer, values[i][0], values[i][1]);
    assert_password(instance->answer, "AdministratorPassword",
                    "P&ss \"w<rd>' \xC3\xBC\xF0\x9D\x84\x9E");
    assert_password(instance->answer, "Password", "Pa55word");
    g_assert_null(strstr(instance->answer, "Pa55word"));
}

static void
test_network(void)
{
    static const char *const values[][2] = {
        {"//u:UnicastIpAddresses/u:IpAddress[@*='1']", "192.0.2.5/24"},
        {"//u:UnicastIpAddresses/u:IpAddress[@*='2']", "2001:db8::5/64"},
        {"//u:Route[u:Prefix='0.0.0.0/0']/u:NextHopAddress", "192.0.2.1"},
        {"//u:Route[u:Prefix='::/0']/u:NextHopAddress", "2001:db8::1"},
        {"//u:DNSServerSearchOrder/u:IpAddress[@*='1']", "192.0.2.53"},
        {"//u:Interface[u:Identifier='52-54-00-00-00-0A']/u:Ipv4Settings/u:DhcpEnabled", "false"},
        {"//u:Interface[u:Identifier='52-54-00-00-00-0A']/u:Ipv6Settings/u:DhcpEnabled", "false"},
        {"//u:Interface[u:Identifier='52-54-00-00-00-0B']/u:Ipv4Settings/u:DhcpEnabled", "true"},
        {"count(//u:Interface[u:Identifier='52-54-00-00-00-0B']/*)", "2"},
    };
    g_autoptr(VtInstance) instance = parse_case("network");

    for (gsize i = 0; i < G_N_ELEMENTS(values); i++)
        assert_value(instance->answer, values[i][0], values[i][1]);
}

/* The owner's own answer file is not touched; white space before <?xml is no part of it */
static void
test_complete(void)
{
    static const char *const answers[] = {
        ROOT,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n" ROOT "\n",
        ("<!-- a < b & \"c\" -->\n<u:unattend xmlns:u='urn:schemas-microsoft-com:unattend'>\n"
         "  <u:settings pass='specialize'><x><![CDATA[<&>]]></x></u:settings></u:unattend>\n"),
    };

    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++) {
        g_autofree char *escaped = g_markup_escape_text(answers[i], -1);
        g_autofree char *elements =
            g_strdup_printf(SEED "<v:unattend>\n  %s</v:unattend>", escaped);
        g_autoptr(VtInstance) instance = parse_elements(elements);
        g_autoptr(GPtrArray) files = vt_seed_files(instance, (const uint8_t[VT_SEED_RANDOM]){0});
        const VtSeedFile *file = files->pdata[0];

        g_assert_cmpuint(files->len, ==, 1);
        g_assert_cmpstr(file->path, ==, "Unattend.xml");
        g_assert_cmpmem(g_bytes_get_data(file->bytes, NULL), g_bytes_get_size(file->bytes),
                        answers[i], strlen(answers[i]));
    }
}

static void
test_medium(void)
{
    g_autoptr(VtInstance) iso = parse_case("minimal"), floppy = parse_case("x86");

    g_assert_false(vt_seed_is_floppy(iso));
    g_assert_true(vt_seed_is_floppy(floppy));
    g_assert_cmpstr(vt_seed_label(iso->source), ==, "UNATTEND");
    g_assert_cmpstr(iso->hostname, ==, "win1");
}

static void
test_accept(void)
{
    static const char *const good[] = {
        "<v:timezone>UTC</v:timezone>",
        "<v:timezone>UTC-11</v:timezone>",
        "<v:timezone>Central Standard Time (Mexico)</v:timezone>",
        "<v:timezone>Pacific Standard Time_dstoff</v:timezone>",
        "<v:locale>en-US</v:locale>",
        "<v:locale>zh_Hans_CN.utf8</v:locale>",
        "<v:locale>es_419</v:locale>",
        "<v:hostname>a12345678901234</v:hostname>",
        "<v:hostname>1a.example</v:hostname>",
        "<v:user name='a' sudo='no' password-secret='anna'/>",
        "<v:user name='Jürgen Ä. Müller 12' password-secret='short'/>",
        "<v:product-key secret='key'/>",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *elements = g_strconcat(SEED, good[i], NULL);
        g_autoptr(VtInstance) instance = parse_elements(elements);

        assert_valid(instance->answer);
    }
}

/* ---- refused ---- */

#define USER(attributes) SEED "<v:user " attributes "/>"
#define ANSWER(text)     SEED "<v:unattend>" text "</v:unattend>"

static const struct {
    const char *elements, *message;
} bad[] = {
    {SEED SEED, "<seed>: is there twice"},
    {"<v:seed datasource='unattend'/>", "'path' is missing"},
    {"<v:seed path='/p/x-seed.img'/>", "a floppy (NAME-seed.img) is for the datasource 'unattend'"},
    {"<v:seed path='/p/x-seed.img' datasource='configdrive'/>", "call it NAME-seed.iso"},
    {"<v:seed path='/p/x-seed.iso'/><v:product-key>" SECRET "</v:product-key>",
     "<product-key>: is for Windows: it needs <seed datasource='unattend'/>"},
    {"<v:seed path='/p/x-seed.iso'/><v:unattend>" ROOT "</v:unattend>",
     "<unattend>: is for Windows"},
    {"<v:seed path='/p/x-seed.iso'/><v:user name='a' password='" SECRET "'/>",
     "a password is for Windows (<seed datasource='unattend'/>)"},
    {"<v:seed path='/p/x-seed.iso'/><v:user name='a' password-secret='b'/>",
     "a password is for Windows (<seed datasource='unattend'/>)"},
    {"<v:seed path='/p/x-seed.iso'/><v:product-key secret='b'/>", "<product-key>: is for Windows"},
    {USER("name='a' password='" SECRET "'"), "'password' could be read by every user of the host"},
    {USER("name='a' password='" SECRET "' password-secret='b'"), "'password' could be read"},
    {USER("name='a' password-secret='" SECRET "'"), "does not name a secret by its key"},
    {USER("name='a' password-secret=''"), "does not name a secret by its key"},
    {USER("name='a' password-hash-secret='b'"), "'password-hash-secret' is not for Windows"},
    {SEED "<v:product-key secret='b'>x</v:product-key>", "has both a text and the attribute"},
    {SEED "<v:product-key secret='b c'/>", "does not name a secret by its key"},
    {SEED "<v:product-key/>", "is empty"},
    {SEED "<v:package>nginx</v:package>", "<package>: is not for Windows (datasource 'unattend')"},
    {SEED "<v:service>x</v:service>", "<service>: is not for Windows"},
    {SEED "<v:file path='/x'>x</v:file>", "<file>: is not for Windows"},
    {SEED "<v:user-data>#cloud-config\n</v:user-data>", "<user-data>: is not for Windows"},
    {SEED "<v:network-config>a: b</v:network-config>", "<network-config>: is not for Windows"},
    {USER("name='a' password='" SECRET "' shell='/bin/sh'"), "'shell' is not for Windows"},
    {USER("name='a' password-hash='$6$" SECRET "'"), "'password-hash' is not for Windows"},
    {SEED "<v:user name='a' password='" SECRET "'><v:ssh-key>x</v:ssh-key></v:user>",
     "<ssh-key>: is not for Windows"},
    {SEED "<v:hostnam>x</v:hostnam>", "<hostnam>: unknown; known with the datasource 'unattend': "},
    {SEED "<v:command run='1'>x</v:command>", "unknown attribute 'run'"},
    {SEED "<v:hostname>a_b</v:hostname>", "not a host name"},
    {SEED "<v:hostname>a123456789012345</v:hostname>", "more than 15 characters"},
    {SEED "<v:hostname>12345.example</v:hostname>", "digits only"},
    {SEED "<v:hostname>a</v:hostname><v:hostname>b</v:hostname>", "is there twice"},
    {USER("password='" SECRET "'"), "'name' is missing"},
    {USER("name='a'"), "'password-secret' is missing"},
    {USER("name='a\\b' password='" SECRET "'"), "not the name of a Windows account"},
    {USER("name='a.' password='" SECRET "'"), "not the name of a Windows account"},
    {USER("name='' password='" SECRET "'"), "not the name of a Windows account"},
    {USER("name='123456789012345678901' password-secret='x'"), "not the name of a Windows account"},
    {USER("name='WIN1' password-secret='x'"), "is called as the computer"},
    {USER("name='a' password-secret='x' sudo='maybe'"), "neither 'yes' nor 'no'"},
    {USER("name='a' password-secret='x' groups='Users;Guests'"), "not a list of groups"},
    {SEED "<v:user name='a' password-secret='x'/><v:user name='A' password-secret='x'/>",
     "'A' is there twice"},
    {SEED "<v:user name='administrator' password-secret='x'/><v:user name='Administrator' "
          "password-secret='x'/>",
     "is there twice"},
    {SEED "<v:timezone>Europe/Berlin</v:timezone>", "not a time zone of Windows"},
    {SEED "<v:locale>C.UTF-8</v:locale>", "not a language and a region"},
    {SEED "<v:locale>sr_RS@latin</v:locale>", "not a language and a region"},
    {SEED "<v:command>a\nb</v:command>", "is not one line"},
    {SEED "<v:command> </v:command>", "is not one line"},
    {SEED "<v:product-key>" SECRET "</v:product-key>", "is not of the form XXXXX-"},
    {SEED "<v:interface><v:dhcp/></v:interface><v:interface><v:dhcp/></v:interface>",
     "1 interfaces, this is number 2"},
    {ANSWER("x"), "is not well-formed XML"},
    {ANSWER("&lt;unattend/&gt;"), "its root is not <unattend xmlns='urn:schemas-microsoft-com:"},
    {ANSWER("&lt;x xmlns='urn:schemas-microsoft-com:unattend'/&gt;"), "its root is not"},
    {ANSWER("&lt;unattend xmlns='urn:schemas-microsoft-com:unattend'&gt;"), "not well-formed"},
    {ANSWER("&lt;!DOCTYPE unattend [&lt;!ENTITY a 'b'&gt;]&gt;&lt;unattend "
            "xmlns='urn:schemas-microsoft-com:unattend'/&gt;"),
     "has a document type"},
    {ANSWER("&lt;?xml version='1.0' encoding='iso-8859-1'?&gt;&lt;unattend "
            "xmlns='urn:schemas-microsoft-com:unattend'/&gt;"),
     "declares another encoding"},
    {ANSWER("&lt;?xml version='1.1'?&gt;&lt;unattend "
            "xmlns='urn:schemas-microsoft-com:unattend'/&gt;"),
     "declares another version"},
    {SEED "<v:unattend>" ROOT "</v:unattend>", "should hold text only"},
    {ANSWER("&lt;unattend xmlns='urn:schemas-microsoft-com:unattend'/&gt;") "<v:hostname>a</"
                                                                            "v:hostname>",
     "has both <unattend> and <hostname>"},
};

static void
assert_refused(GBytes *xml, VtError code, const char *message)
{
    g_autoptr(GError) error = NULL;
    VtInstance *instance = NULL;

    g_assert_false(vt_instance_parse(xml, &instance, &error));
    g_assert_null(instance);
    g_assert_error(error, VT_ERROR, (int)code);
    if (!strstr(error->message, message))
        g_error("refused with: %s\ninstead of: %s", error->message, message);
    g_assert_null(strstr(error->message, SECRET));
}

static void
test_refuse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) xml = domain_of("x86_64", bad[i].elements);

        assert_refused(xml, VT_ERROR_INVALID, bad[i].message);
    }
}

static void
test_architecture(void)
{
    static const char *const none[] = {"riscv64", "", "s390x"};

    for (gsize i = 0; i < G_N_ELEMENTS(none); i++) {
        g_autoptr(GBytes) xml = domain_of(none[i], SEED);

        assert_refused(xml, VT_ERROR_INVALID, "no Windows for the domain's architecture");
    }
}

/* The longest command fits, one more character does not */
static void
test_command_length(void)
{
    const gsize longest = 259 - strlen("cmd.exe /s /c \"\"");

    for (gsize more = 0; more < 2; more++) {
        g_autofree char *command = g_strnfill(longest + more, 'x');
        g_autofree char *elements = g_strdup_printf(SEED "<v:command>%s</v:command>", command);
        g_autoptr(GBytes) xml = domain_of("x86_64", elements);

        if (more) {
            assert_refused(xml, VT_ERROR_INVALID, "has more than 243 characters");
        } else {
            g_autoptr(VtInstance) instance = parse(xml);

            assert_valid(instance->answer);
        }
    }
}

static void
test_large(void)
{
    g_autofree char *spaces = g_strnfill(1u << 20, ' ');
    g_autofree char *elements = g_strdup_printf(
        SEED "<v:unattend>&lt;unattend xmlns='urn:schemas-microsoft-com:unattend'/&gt;%s"
             "</v:unattend>",
        spaces);
    g_autoptr(GBytes) xml = domain_of("x86_64", elements);

    assert_refused(xml, VT_ERROR_TOO_LARGE, "at most 1048576 are allowed");
}

int
main(int argc, char **argv)
{
    static const char *const golden[] = {"minimal", "all", "network", "arm64", "x86"};

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(golden); i++) {
        g_autofree char *path = g_strconcat("/unattend/golden/", golden[i], NULL);

        g_test_add_data_func(path, golden[i], test_golden);
    }
    g_test_add_func("/unattend/values", test_values);
    g_test_add_func("/unattend/network", test_network);
    g_test_add_func("/unattend/complete", test_complete);
    g_test_add_func("/unattend/medium", test_medium);
    g_test_add_func("/unattend/accept", test_accept);
    g_test_add_func("/unattend/refuse", test_refuse);
    g_test_add_func("/unattend/architecture", test_architecture);
    g_test_add_func("/unattend/command-length", test_command_length);
    g_test_add_func("/unattend/large", test_large);
    return g_test_run();
}
