/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-profile.h"

#include <string.h>

#define DECLARED                                                                                   \
    "{\"parameters\": ["                                                                           \
    "{\"name\": \"admin\", \"type\": \"string\", \"required\": true, \"pattern\": \"[a-z]+\"},"    \
    "{\"name\": \"motd\", \"type\": \"text\"},"                                                    \
    "{\"name\": \"port\", \"type\": \"integer\", \"default\": 80, \"minimum\": 1,"                 \
    " \"maximum\": 65535, \"description\": \"of the server\"},"                                    \
    "{\"name\": \"tls\", \"type\": \"boolean\", \"default\": false},"                              \
    "{\"name\": \"size\", \"type\": \"enum\", \"values\": [\"small\", \"large\"],"                 \
    " \"default\": \"small\"},"                                                                    \
    "{\"name\": \"tools\", \"type\": \"list\", \"default\": [\"vim\"], \"pattern\": \"[a-z-]+\"}," \
    "{\"name\": \"token\", \"type\": \"secret\"},"                                                 \
    "{\"name\": \"key\", \"type\": \"ssh-key\"},"                                                  \
    "{\"name\": \"hash\", \"type\": \"password-hash\"},"                                           \
    "{\"name\": \"resolver\", \"type\": \"ip\"},"                                                  \
    "{\"name\": \"net\", \"type\": \"cidr\"},"                                                     \
    "{\"name\": \"nic\", \"type\": \"mac\"}]"

static VtProfile *
parse(const char *text, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    json_auto_t *document = NULL;
    VtProfile *profile = NULL;
    VtJson root;
    bool ok;

    g_assert_true(vt_json_parse(bytes, "config", 1 << 20, &document, error));
    root = vt_json_root(document, "config");
    ok = vt_profile_parse(&root, &profile, error);
    g_assert_true(ok == (profile != NULL) && ok == (*error == NULL));
    return profile;
}

/* "name=value" */
static GHashTable *
given(const char *const *settings)
{
    GHashTable *table =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);

    for (; *settings; settings++) {
        g_auto(GStrv) parts = g_strsplit(*settings, "=", 2);
        GPtrArray *texts = g_hash_table_lookup(table, parts[0]);

        if (!texts) {
            texts = g_ptr_array_new_with_free_func(g_free);
            g_ptr_array_add(texts, NULL);
            g_hash_table_insert(table, g_strdup(parts[0]), texts);
        }
        g_ptr_array_insert(texts, (int)texts->len - 1, g_strdup(parts[1]));
    }
    return table;
}

static json_t *
values(const VtProfile *profile, const char *defaults, const char *const *settings, GError **error)
{
    g_autoptr(GHashTable) table = given(settings);
    json_auto_t *pool = defaults ? json_loads(defaults, 0, NULL) : NULL;
    json_t *result = NULL;

    g_assert_true(vt_profile_values(profile, pool, table, &result, error) == (*error == NULL));
    return result;
}

static void
assert_json(json_t *value, const char *expected)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

    g_assert_cmpstr(text, ==, expected);
    free(text);
    json_decref(value);
}

static json_t *
expand(const VtProfile *profile, const json_t *set)
{
    g_autoptr(GError) error = NULL;
    json_t *config = NULL;

    g_assert_true(vt_profile_expand(profile, set, &config, &error));
    g_assert_no_error(error);
    return config;
}

/* The instance counts before the pool, the pool before the template */
static void
test_precedence(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VtProfile) profile = parse(DECLARED "}", &error);
    const char *const least[] = {"admin=anna", NULL};
    const char *const more[] = {"admin=anna", "port=8443", "tools=git", "tools=jq", NULL};
    const char *pool = "{\"port\": 8080, \"tools\": [\"nano\"], \"size\": \"large\","
                       " \"tls\": true, \"of-another-template\": [{}]}";

    assert_json(values(profile, NULL, least, &error),
                "{\"admin\":\"anna\",\"port\":80,\"size\":\"small\",\"tls\":false,"
                "\"tools\":[\"vim\"]}");
    assert_json(values(profile, pool, least, &error),
                "{\"admin\":\"anna\",\"port\":8080,\"size\":\"large\",\"tls\":true,"
                "\"tools\":[\"nano\"]}");
    assert_json(values(profile, pool, more, &error),
                "{\"admin\":\"anna\",\"port\":8443,\"size\":\"large\",\"tls\":true,"
                "\"tools\":[\"git\",\"jq\"]}");
    g_assert_no_error(error);
}

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfNsQ0"

static void
test_types(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VtProfile) profile = parse(DECLARED "}", &error);
    const char *const all[] = {"admin=anna",
                               "motd=a: b\n# c\n",
                               "port=65535",
                               "tls=yes",
                               "size=large",
                               "tools=a-b",
                               "token=: #{}[]!&*",
                               "key=" KEY " anna@home\n",
                               "hash=$6$saltsalt$0123456789abcdef",
                               "resolver=2001:db8::53",
                               "net=192.0.2.0/24",
                               "nic=52:54:00:12:34:56",
                               NULL};

    assert_json(values(profile, NULL, all, &error),
                "{\"admin\":\"anna\",\"hash\":\"$6$saltsalt$0123456789abcdef\",\"key\":\"" KEY
                " anna@home\",\"motd\":\"a: b\\n# c\\n\",\"net\":\"192.0.2.0/24\","
                "\"nic\":\"52:54:00:12:34:56\",\"port\":65535,\"resolver\":\"2001:db8::53\","
                "\"size\":\"large\",\"tls\":true,\"token\":\": #{}[]!&*\",\"tools\":[\"a-b\"]}");
    g_assert_no_error(error);
}

static const struct {
    const char *setting, *message;
} bad_values[] = {
    {"admin=Anna", "parameter 'admin': 'Anna' is not what its pattern allows: [a-z]+"},
    {"admin=a\nb", "is not one line"},
    {"admin=", "is not what its pattern allows"},
    {"port=0", "'0' is not a whole number from 1 to 65535"},
    {"port=80x", "is not a whole number"},
    {"port=99999999999999999999", "is not a whole number"},
    {"tls=maybe", "'maybe' is not true or false"},
    {"size=huge", "'huge' is not one of: small, large"},
    {"tools=two words", "is not what its pattern allows"},
    {"token=a\nb", "parameter 'token': what was given is not one line"},
    {"key=ssh-rsa nothing", "is not an SSH public key"},
    {"hash=secret", "parameter 'hash': what was given is not a hash as in crypt(5)"},
    {"resolver=192.0.2.256", "is not an address"},
    {"resolver=192.0.2.1/24", "is not an address"},
    {"net=192.0.2.1", "is not an address with its prefix"},
    {"net=192.0.2.1/33", "is not an address with its prefix"},
    {"nic=52:54", "is not a MAC address"},
    {"colour=red", "the template has no parameter 'colour'; it has: admin (string, required), "
                   "motd (text), port (integer, default 80), tls (boolean, default false)"},
};

static void
test_refuse_values(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VtProfile) profile = parse(DECLARED "}", &error);
    g_autofree char *long_line = g_strnfill(5000, 'a'),
                    *setting = g_strconcat("admin=", long_line, NULL);
    const char *const twice[] = {"admin=anna", "admin=bert", NULL};
    const char *const too_long[] = {setting, NULL};
    const char *const none[] = {NULL};

    for (gsize i = 0; i < G_N_ELEMENTS(bad_values); i++) {
        const bool admin = g_str_has_prefix(bad_values[i].setting, "admin=");
        const char *const settings[] = {bad_values[i].setting, admin ? NULL : "admin=anna", NULL};

        g_assert_null(values(profile, NULL, settings, &error));
        g_assert_nonnull(strstr(error->message, bad_values[i].message));
        g_clear_error(&error);
    }
    g_assert_null(values(profile, NULL, none, &error));
    g_assert_nonnull(strstr(error->message, "the parameter 'admin' has no value; the template has: "
                                            "admin (string, required)"));
    g_clear_error(&error);
    g_assert_null(values(profile, NULL, twice, &error));
    g_assert_nonnull(strstr(error->message, "'admin' is given 2 times; it takes one value"));
    g_clear_error(&error);
    g_assert_null(values(profile, NULL, too_long, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
    g_clear_error(&error);
    g_assert_null(values(profile, "{\"admin\": \"anna\", \"port\": \"x\"}", none, &error));
    g_assert_nonnull(strstr(error->message, "default of the pool: parameter 'port': 'x'"));
    g_clear_error(&error);
    g_assert_null(values(profile, "{\"admin\": {}}", none, &error));
    g_assert_nonnull(strstr(error->message, "a value must be a string, a whole number"));
}

static const struct {
    const char *user_data, *expanded;
} expansions[] = {
    {"{\"a\": \"${port}\", \"b\": \"port ${port}!\", \"c\": \"${tls}\", \"d\": \"x${tls}\"}",
     "{\"a\":80,\"b\":\"port 80!\",\"c\":false,\"d\":\"xfalse\"}"},
    /* lists: a value, and items among others */
    {"{\"a\": \"${tools}\", \"b\": [\"one\", \"${tools}\", \"two\"]}",
     "{\"a\":[\"git\",\"jq\"],\"b\":[\"one\",\"git\",\"jq\",\"two\"]}"},
    /* without a value */
    {"{\"a\": \"${motd}\", \"b\": [\"${motd}\", 1], \"c\": \"<${motd}>\"}",
     "{\"b\":[1],\"c\":\"<>\"}"},
    /* no value becomes anything but a string, and keys stay */
    {"{\"a\": \"${token}\", \"b\": [{\"c\": \"${token}${token}\"}], \"${port}\": null}",
     "{\"${port}\":null,\"a\":\"a: [}\\n\\\"# ${port}\",\"b\":[{\"c\":\"a: [}\\n\\\"# ${port}a: "
     "[}\\n\\\"# ${port}\"}]}"},
    {"{\"a\": \"$${port} $$ $ $x\", \"b\": \"cost: 5$\", \"c\": \"\", \"d\": 1.5, \"e\": true}",
     "{\"a\":\"${port} $$ $ $x\",\"b\":\"cost: 5$\",\"c\":\"\",\"d\":1.5,\"e\":true}"},
};

static void
test_expand(void)
{
    json_auto_t *set = json_pack("{s:i, s:b, s:[ss], s:s}", "port", 80, "tls", 0, "tools", "git",
                                 "jq", "token", "a: [}\n\"# ${port}");

    for (gsize i = 0; i < G_N_ELEMENTS(expansions); i++) {
        g_autofree char *text =
            g_strconcat(DECLARED ", \"user-data\": ", expansions[i].user_data, "}", NULL);
        g_autoptr(GError) error = NULL;
        g_autoptr(VtProfile) profile = parse(text, &error);

        g_assert_no_error(error);
        assert_json(expand(profile, set), expansions[i].expanded);
    }
}

/* A value of 200 KiB, wherever it stands: 99 times is 19.8 MB */
static void
test_expand_large(void)
{
    static const char *const forms[] = {"\"x${note}\"", "\"${note}\"",
                                        "[\"${note}\", \"${note}${note}\"]"};
    g_autofree char *note = g_strnfill(200 << 10, 'x');
    json_auto_t *set = json_pack("{s:s}", "note", note);

    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_autoptr(GString) text = g_string_new(
            "{\"parameters\": [{\"name\": \"note\", \"type\": \"text\"}], \"user-data\": {");
        g_autoptr(VtProfile) profile = NULL;
        g_autoptr(GError) error = NULL;
        json_t *config = NULL;

        for (int j = 0; j < 99; j++)
            g_string_append_printf(text, "\"k%d\": %s,", j, forms[i]);
        g_string_append(text, "\"end\": 1}}");
        profile = parse(text->str, &error);
        g_assert_no_error(error);
        g_assert_false(vt_profile_expand(profile, set, &config, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
        g_assert_null(config);
    }
}

static const struct {
    const char *text, *message;
} bad[] = {
    {"{\"parameters\": {}}", "config: parameters: is an object; it must be an array"},
    {"{\"parameters\": [1]}", "parameters[0]"},
    {"{\"parameters\": [{\"name\": \"a\"}]}", "type: missing"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"float\"}]}",
     "unknown type; known: string, text, integer"},
    {"{\"parameters\": [{\"name\": \"A\", \"type\": \"string\"}]}", "name 'A'"},
    {"{\"parameters\": [{\"name\": \"hostname\", \"type\": \"string\"}]}",
     "means something else for every guest"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"string\", \"colour\": 1}]}",
     "unknown field \"colour\""},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"text\"}, {\"name\": \"a\", \"type\": "
     "\"text\"}]}",
     "parameters[1]: 'a' is declared twice"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"string\", \"pattern\": \"[\"}]}", "pattern:"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"string\", \"pattern\": 1}]}",
     "pattern: is an integer"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"enum\"}]}", "an enum needs 'values'"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"enum\", \"values\": []}]}", "is empty"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"string\", \"values\": [\"b\"]}]}",
     "'values' is for the type enum"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"string\", \"minimum\": 1}]}",
     "'minimum' is a whole number, for the type integer"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"integer\", \"minimum\": 2, \"maximum\": 1}]}",
     "'minimum' is above 'maximum'"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"integer\", \"default\": \"x\"}]}",
     "'default': parameter 'a': 'x' is not"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"integer\", \"default\": 1, \"required\": "
     "true}]}",
     "has a default, and is required"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"integer\", \"required\": 1}]}",
     "'required' is true or false"},
    {"{\"parameters\": [{\"name\": \"a\", \"type\": \"secret\", \"default\": \"x\"}]}",
     "a secret has no default"},
    {"{\"user-data\": []}", "user-data: is an array; it must be an object"},
    {"{\"hardware\": 1}", "hardware: is an integer"},
    {DECLARED ", \"user-data\": {\"a\": [\"${nobody}\"]}}",
     "user-data.a[0]: ${nobody}: no such parameter is declared; there are: admin"},
    {DECLARED ", \"user-data\": {\"a\": \"echo ${HOME}\"}}",
     "user-data.a: '${HOME}' is no placeholder: write ${name}, or $${ for ${ itself"},
    {DECLARED ", \"user-data\": {\"a\": \"${port\"}}", "is no placeholder"},
    {DECLARED ", \"user-data\": {\"a\": \"x ${tools}\"}}",
     "${tools}: a list has to be a value of its own"},
};

static void
test_refuse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(parse(bad[i].text, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, bad[i].message));
    }
}

static void
test_empty(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VtProfile) profile = parse("{\"name\": \"debian-12\"}", &error);
    g_autofree char *described = NULL;
    const char *const none[] = {NULL};
    json_t *set;

    g_assert_no_error(error);
    described = vt_profile_describe(profile);
    g_assert_cmpstr(described, ==, "none");
    set = values(profile, "{\"port\": 1}", none, &error);
    assert_json(expand(profile, set), "{}");
    assert_json(set, "{}");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/profile/precedence", test_precedence);
    g_test_add_func("/profile/types", test_types);
    g_test_add_func("/profile/refuse-values", test_refuse_values);
    g_test_add_func("/profile/expand", test_expand);
    g_test_add_func("/profile/expand-large", test_expand_large);
    g_test_add_func("/profile/refuse", test_refuse);
    g_test_add_func("/profile/empty", test_empty);
    return g_test_run();
}
