/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-pool-conf.c: the settings of a template pool, through libvirt's own XML code */
#include "template_pool_conf.h"

#define ERROR_MARK "<!-- error: "

/* In 11.3.0 and in 9.0.0 alike */
static virStoragePoolDef *
parse(const char *xml)
{
    virResetLastError();
    return virStoragePoolDefParse(xml, NULL, 0);
}

static char *
load(const char *name)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "data", "pool", name, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

/* What libvirt dumps and keeps is read again, with the same settings */
static void
test_accept(gconstpointer data)
{
    g_autofree char *xml = load(data), *first = NULL, *second = NULL;
    g_autoptr(virStoragePoolDef) def = parse(xml), again = NULL;
    virStorageTemplatePoolConf *conf, *conf_again;

    g_assert_cmpstr(virGetLastErrorMessage(), ==, "no error");
    g_assert_nonnull(def);
    g_assert_nonnull(def->namespaceData);
    conf = def->namespaceData;
    first = virStoragePoolDefFormat(def);
    g_assert_nonnull(strstr(first, "xmlns:template='" VIR_STORAGE_TEMPLATE_NAMESPACE_URI "'"));
    again = parse(first);
    g_assert_nonnull(again);
    conf_again = again->namespaceData;
    g_assert_cmpstr(conf->store, ==, conf_again->store);
    g_assert_cmpstr(conf->policy, ==, conf_again->policy);
    g_assert_cmpstr(conf->strategy, ==, conf_again->strategy);
    g_assert_cmpstr(conf->defaults, ==, conf_again->defaults);
    g_assert_cmpuint(conf->cacheBytes, ==, conf_again->cacheBytes);
    second = virStoragePoolDefFormat(again);
    g_assert_cmpstr(first, ==, second);
}

/* The second line of the file says which text the error has */
static void
test_refuse(gconstpointer data)
{
    g_autofree char *xml = load(data), *expected = NULL;
    g_autoptr(virStoragePoolDef) def = parse(xml);
    const char *mark = strstr(xml, ERROR_MARK);

    g_assert_null(def);
    g_assert_nonnull(mark);
    mark += strlen(ERROR_MARK);
    expected = g_strndup(mark, strstr(mark, " -->") - mark);
    if (!strstr(virGetLastErrorMessage(), expected))
        g_error("'%s' is not in the error '%s'", expected, virGetLastErrorMessage());
}

static void
test_values(void)
{
    g_autofree char *all = load("accept-all.xml"), *least = load("accept-layout.xml");
    g_autofree char *full = load("accept-full.xml");
    g_autoptr(virStoragePoolDef) def = parse(all), def_least = parse(least), def_full = parse(full);
    virStorageTemplatePoolConf *conf = def->namespaceData;

    g_assert_cmpstr(conf->store, ==, "docker://registry.example/golden");
    g_assert_cmpstr(conf->policy, ==, "/etc/virt-template/policy.json");
    g_assert_false(virStorageTemplatePoolConfIsFull(conf));
    g_assert_cmpuint(conf->cacheBytes, ==, 200ULL << 30);
    conf = def_least->namespaceData;
    g_assert_null(conf->policy);
    g_assert_cmpuint(conf->cacheBytes, ==, 0);
    g_assert_false(virStorageTemplatePoolConfIsFull(conf));
    g_assert_true(virStorageTemplatePoolConfIsFull(def_full->namespaceData));
}

/* Elements of others in a plain pool stay what they are for libvirt: ignored */
static void
test_plain(void)
{
    g_autoptr(virStoragePoolDef) def =
        parse("<pool type='dir' xmlns:template='urn:virt-template:pool:1' xmlns:o='urn:example'>"
              "<name>p</name><target><path>/p</path></target><store url='x'/><o:store/></pool>");
    g_autofree char *xml = NULL;

    g_assert_nonnull(def);
    g_assert_null(def->namespaceData);
    xml = virStoragePoolDefFormat(def);
    g_assert_null(strstr(xml, "xmlns"));
}

/* One test for each file; the prefix of its name says what is to happen */
static void
add_files(void)
{
    static const struct {
        const char *prefix;
        GTestDataFunc func;
    } kinds[] = {{"accept-", test_accept}, {"refuse-", test_refuse}, {"module-", test_refuse}};
    g_autofree char *folder = g_test_build_filename(G_TEST_DIST, "data", "pool", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
    const char *name;

    g_assert_no_error(error);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_strconcat("/pool-conf/", name, NULL);

        for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
            if (g_str_has_prefix(name, kinds[i].prefix))
                g_test_add_data_func_full(path, g_strdup(name), kinds[i].func, g_free);
        }
    }
}

static void
swallow(void *opaque, virErrorPtr error)
{
}

int
main(int argc, char **argv)
{
    virXMLNamespace ns = virStorageTemplatePoolNamespace;

    g_test_init(&argc, &argv, NULL);
    virInitialize();
    virSetErrorFunc(NULL, swallow);
    if (virStoragePoolOptionsPoolTypeSetXMLNamespace(VIR_STORAGE_POOL_DIR, &ns) < 0)
        return 1;
    add_files();
    g_test_add_func("/pool-conf/values", test_values);
    g_test_add_func("/pool-conf/plain", test_plain);
    return g_test_run();
}
