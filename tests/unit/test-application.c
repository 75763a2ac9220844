/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-application.h"

#include <string.h>

#define NAME_28        "abcdefghijklmnopqrstuvwxyz01"
#define APP(instances) "{\"application\":\"shop\",\"instances\":{" instances "}}"
#define ONE(members)   APP("\"db\":{\"template\":\"d@1.0.0\"," members "}")

static bool
parse(const char *text, VtApplication **ret, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(text, strlen(text));
    json_t *root = NULL;

    g_assert_true(vt_json_parse(bytes, "shop.json", 1 << 20, &root, NULL));
    return vt_application_parse(root, "shop.json", ret, error);
}

static VtApplication *
taken(const char *text)
{
    VtApplication *application = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(parse(text, &application, &error));
    g_assert_no_error(error);
    return application;
}

static const VtApplicationInstance *
at(const VtApplication *application, guint i)
{
    g_assert_cmpuint(i, <, application->instances->len);
    return application->instances->pdata[i];
}

static void
test_members(void)
{
    g_autoptr(VtApplication) application = taken(
        APP("\"db\":{\"template\":\"debian-12@1.0.0\",\"count\":2,\"size\":\"20G\","
            "\"strategy\":\"full\",\"pool\":\"fast\",\"template-pool\":\"golden\","
            "\"datasource\":\"configdrive\","
            "\"user-data\":\"#cloud-config\\n\",\"hardware\":{\"memory\":4096},"
            "\"set\":{\"user\":\"anna\",\"sudo\":true,\"port\":8080,\"package\":[\"a\",\"b\"]}},"
            "\"web\":{\"template\":\"debian\",\"needs\":[\"db\"],"
            "\"set\":[{\"user\":\"a=b\"},{\"user\":\"c\",\"sudo\":false}]}"));
    g_autofree char *second = NULL, *only = NULL, *settings = NULL, *ordered = NULL;
    const VtApplicationInstance *db, *web;

    g_assert_cmpstr(application->name, ==, "shop");
    db = at(application, 0);
    web = at(application, 1);
    g_assert_cmpstr(db->template, ==, "debian-12@1.0.0");
    g_assert_cmpuint(db->count, ==, 2);
    g_assert_cmpstr(db->size, ==, "20G");
    g_assert_cmpstr(db->strategy, ==, "full");
    g_assert_cmpstr(db->pool, ==, "fast");
    g_assert_cmpstr(db->template_pool, ==, "golden");
    g_assert_cmpstr(db->datasource, ==, "configdrive");
    g_assert_cmpstr(db->user_data, ==, "#cloud-config\n");
    g_assert_cmpint(json_integer_value(json_object_get(db->hardware, "memory")), ==, 4096);
    settings = g_strjoinv(" ", (char **)db->settings->pdata);
    g_assert_cmpstr(settings, ==, "user=anna sudo=yes port=8080 package=a package=b");
    ordered = g_strjoinv(" ", (char **)web->settings->pdata);
    g_assert_cmpstr(ordered, ==, "user=a=b user=c sudo=no");
    g_assert_null(web->pool);
    second = vt_application_guest(application, db, 1);
    g_assert_cmpstr(second, ==, "shop-db-2");
    only = vt_application_guest(application, web, 0);
    g_assert_cmpstr(only, ==, "shop-web");
}

static void
test_waves(void)
{
    g_autoptr(VtApplication) application =
        taken(APP("\"d\":{\"template\":\"d\",\"needs\":[\"b\",\"c\"]},"
                  "\"c\":{\"template\":\"d\",\"needs\":[\"b\",\"b\"]},"
                  "\"b\":{\"template\":\"d\",\"needs\":[]},"
                  "\"a\":{\"template\":\"d\"}"));

    g_assert_cmpuint(application->waves, ==, 3);
    g_assert_cmpuint(at(application, 0)->wave, ==, 2);
    g_assert_cmpuint(at(application, 1)->wave, ==, 1);
    g_assert_cmpuint(at(application, 2)->wave, ==, 0);
    g_assert_cmpuint(at(application, 3)->wave, ==, 0);
}

static const struct {
    const char *text;
    const char *says;
} refused[] = {
    {"{}", "shop.json: application: missing"},
    {"{\"application\":\"shop\"}", "instances: missing"},
    {"{\"application\":7,\"instances\":{}}", "application: is an integer"},
    {"{\"application\":\"Shop\",\"instances\":{}}", "application: is not a name of at most 28"},
    {"{\"application\":\"-a\",\"instances\":{}}", "application: is not a name"},
    {"{\"application\":\"a\\n\",\"instances\":{}}", "application: is not a name"},
    {"{\"application\":\"" NAME_28 "2\",\"instances\":{}}", "application: is not a name"},
    {"{\"application\":\"shop\",\"instances\":[]}", "instances: is an array"},
    {"{\"application\":\"shop\",\"version\":1,\"instances\":{}}", "unknown field \"version\""},
    {APP(""), "instances: has 0 instances; 1 to 100"},
    {APP("\"d b\":{}"), "instances.\"d b\": is not a name"},
    {APP("\"db\":7"), "instances.db: is an integer"},
    {APP("\"db\":{}"), "instances.db: \"template\" is missing"},
    {APP("\"db\":{\"template\":\"D!\"}"), "instances.db.template: "},
    {ONE("\"memory\":1"), "instances.db.memory: unknown; known: template, count, needs, set"},
    {ONE("\"count\":0"), "instances.db.count: is not between 1 and 1000"},
    {ONE("\"count\":1001"), "instances.db.count: is not between"},
    {ONE("\"count\":\"2\""), "instances.db.count: is a string"},
    {ONE("\"needs\":\"db\""), "instances.db.needs: is no list"},
    {ONE("\"needs\":[7]"), "instances.db.needs[0]: is an integer"},
    {ONE("\"needs\":[\"web\"]"), "instances.db: needs \"web\", which is no instance"},
    {ONE("\"needs\":[\"db\"]"), "instances: needs form a circle among: db"},
    {APP("\"a\":{\"template\":\"d\",\"needs\":[\"c\"]},\"b\":{\"template\":\"d\",\"needs\":[\"a\"]}"
         ","
         "\"c\":{\"template\":\"d\",\"needs\":[\"b\"]},\"d\":{\"template\":\"d\"}"),
     "instances: needs form a circle among: a, b, c"},
    {ONE("\"set\":\"a=b\""), "instances.db.set: is a string"},
    {ONE("\"set\":[\"a=b\"]"), "instances.db.set[0]: is a string"},
    {ONE("\"set\":{\"user\":{}}"), "instances.db.set.user: is no string, integer"},
    {ONE("\"set\":{\"user\":[[]]}"), "instances.db.set.user[0]: is no string"},
    {ONE("\"set\":{\"user\":null}"), "instances.db.set.user: is no string"},
    {ONE("\"set\":{\"user\":1.5}"), "instances.db.set.user: is no string"},
    {ONE("\"set\":{\"a=b\":\"c\"}"), "a key is neither empty nor has it '='"},
    {ONE("\"set\":{\"\":\"c\"}"), "a key is neither empty"},
    {ONE("\"hardware\":7"), "instances.db.hardware: is an integer"},
    {ONE("\"hardware\":{\"memory\":0}"), "instances.db.hardware.memory: 0 is not between"},
    {APP("\"a\":{\"template\":\"d\",\"hardware\":{\"interfaces\":[{\"mac\":\"52:54:00:00:00:01\"}]}"
         "},"
         "\"b\":{\"template\":\"d\"},"
         "\"c\":{\"template\":\"d\",\"hardware\":{\"interfaces\":[{},"
         "{\"mac\":\"52:54:00:00:00:01\"}]}}"),
     "instances.c.hardware: has the MAC address 52:54:00:00:00:01 of the instance 'a'"},
    {ONE("\"count\":2,\"hardware\":{\"interfaces\":[{\"mac\":\"52:54:00:00:00:01\"}]}"),
     "instances.db.hardware: a MAC address is for one guest, not for 2"},
    {ONE("\"user-data\":{}"), "instances.db.user-data: is an object"},
    {ONE("\"size\":20"), "instances.db.size: is an integer"},
    {ONE("\"pool\":null"), "instances.db.pool: is null"},
    {APP("\"web\":{\"template\":\"d\",\"count\":2},\"web-1\":{\"template\":\"d\"}"),
     "instances: two guests would be called 'shop-web-1'"},
    {APP("\"a\":{\"template\":\"d\",\"count\":1000},\"b\":{\"template\":\"d\"}"),
     "instances: has more than 1000 guests"},
};

static void
test_refused(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        VtApplication *application = NULL;
        g_autoptr(GError) error = NULL;

        g_test_message("%s", refused[i].text);
        g_assert_false(parse(refused[i].text, &application, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, refused[i].says));
        g_assert_null(application);
    }
}

static void
test_limits(void)
{
    g_autoptr(GString) text = g_string_new("{\"application\":\"" NAME_28 "\",\"instances\":{");
    g_autoptr(VtApplication) application = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *whole = NULL;
    VtApplication *more = NULL;

    /* the last first: the waves are found from behind */
    for (int i = VT_APPLICATION_INSTANCES_MAX; i > 1; i--)
        g_string_append_printf(text, "\"n%d\":{\"template\":\"d\",\"needs\":[\"n%d\"]},", i, i - 1);
    g_string_append(text, "\"n1\":{\"template\":\"d\",\"count\":901}");
    whole = g_strconcat(text->str, "}}", NULL);
    application = taken(whole);
    g_assert_cmpuint(application->waves, ==, VT_APPLICATION_INSTANCES_MAX);
    g_string_append(text, ",\"n0\":{\"template\":\"d\"}}}");
    g_assert_false(parse(text->str, &more, &error));
    g_assert_nonnull(strstr(error->message, "has 101 instances"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/application/members", test_members);
    g_test_add_func("/application/waves", test_waves);
    g_test_add_func("/application/refused", test_refused);
    g_test_add_func("/application/limits", test_limits);
    return g_test_run();
}
