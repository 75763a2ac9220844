/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-fs.h"
#include "vt-instance-secret.h"
#include "vt-instance-template.h"
#include "vt-secrets.h"
#include "vt-seed-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define UUID  "6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f"
#define OTHER "6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e60"
#define SEED  "<v:seed path='/pool/web1-seed.iso'/>"
#define HASH  "$6$salt1234$abcdefghij"
/* Shows up in no message */
#define CANARY "5ecret"

static GBytes *
bytes_of(const char *text)
{
    return text ? g_bytes_new_static(text, strlen(text)) : NULL;
}

/* ---- the file's text ---- */

static void
test_round_trip(void)
{
    static const char *const values[] = {
        "x",
        " a: [b] #c {d} !e &f *g \"h\" '\\",
        "one\ntwo\r\n\tthree\n",
        "no",
        "0123",
        "~",
        "\x01\x7f\xc2\x85\xe2\x80\xa8\xef\xbb\xbf",
        "\xC3\xBC\xF0\x9D\x84\x9E\xEF\xBF\xBF",
    };
    json_auto_t *secrets = json_object(), *back = NULL;
    g_autoptr(GBytes) text = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *longest = g_strnfill(VT_SECRET_VALUE_MAX, '\x01');

    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *key = g_strdup_printf("k%zu", i);

        g_assert_cmpint(json_object_set_new(secrets, key, json_string(values[i])), ==, 0);
    }
    json_object_set_new(secrets, "no", json_string(longest));
    g_assert_true(vt_secrets_format(secrets, &text, &error));
    g_assert_no_error(error);
    g_assert_true(vt_secrets_load(text, "secrets", &back, &error));
    g_assert_no_error(error);
    g_assert_true(json_equal(secrets, back));
}

static void
test_text(void)
{
    json_auto_t *secrets =
        json_pack("{s:s, s:s}", "b", "\xC3\xB6 \"\\\n\xF0\x9D\x84\x9E", "a", "x: y");
    g_autoptr(GBytes) text = NULL;
    const char *expected = "\"a\": \"x: y\"\n\"b\": \"\\xf6 \\\"\\\\\\x0a\\U0001d11e\"\n";

    g_assert_true(vt_secrets_format(secrets, &text, NULL));
    g_assert_cmpmem(g_bytes_get_data(text, NULL), g_bytes_get_size(text), expected,
                    strlen(expected));
}

static void
test_nothing(void)
{
    static const char *const none[] = {NULL, ""};

    for (gsize i = 0; i < G_N_ELEMENTS(none); i++) {
        g_autoptr(GBytes) bytes = bytes_of(none[i]);
        json_auto_t *secrets = NULL;

        g_assert_true(vt_secrets_load(bytes, "secrets", &secrets, NULL));
        g_assert_cmpuint(json_object_size(secrets), ==, 0);
    }
}

static void
test_refuse_text(void)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"- " CANARY "\n", "line 1: not a mapping"},
        {CANARY, "not a mapping"},
        {"# nothing\n", "not a mapping"},
        {"a: '" CANARY "\n", "secrets: line "},
        {"a: " CANARY "\na: " CANARY "\n", "line 2: a key that is there twice"},
        {"A: " CANARY, "the key of secret number 1 is not at most 64 small letters"},
        {"a: x\n" CANARY ": x", "the key of secret number 2 is not"},
        {"'': " CANARY, "the key of secret number 1 is not"},
        {"pin: 0123", "the secret 'pin' is not a string: write it in quotes"},
        {"a: no", "the secret 'a' is not a string"},
        {"a: [" CANARY "]", "the secret 'a' is not a string"},
        {"a:", "the secret 'a' is not a string"},
        {"a: ''", "the secret 'a' is empty"},
        {"a: !!str " CANARY, "tags"},
        {"a: \"" CANARY "\\0\"", "a NUL character"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = bytes_of(bad[i].text);
        g_autoptr(GError) error = NULL;
        json_t *secrets = NULL;

        g_assert_false(vt_secrets_load(bytes, "secrets", &secrets, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        if (!strstr(error->message, bad[i].message))
            g_error("'%s' is refused with: %s", bad[i].text, error->message);
        g_assert_null(strstr(error->message, CANARY));
    }
}

/* @count values of @length characters @fill */
static bool
format_many(int count, gsize length, char fill, GError **error)
{
    json_auto_t *secrets = json_object();
    g_autofree char *value = g_strnfill(length, fill);
    g_autoptr(GBytes) bytes = NULL;

    for (int i = 0; i < count; i++) {
        g_autofree char *key = g_strdup_printf("k%d", i);

        json_object_set_new(secrets, key, json_string(value));
    }
    return vt_secrets_format(secrets, &bytes, error);
}

static void
test_limits(void)
{
    static const struct {
        int count;
        gsize length;
        char fill;
        const char *message; /* NULL: it fits */
    } cases[] = {
        {100, 4096, 'x', NULL},
        {101, 1, 'x', "101 secrets, at most 100"},
        {1, 4097, 'x', "the secret 'k0' has 4097 bytes, at most 4096"},
        {100, 4096, '\x01', "the secrets together are larger than"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        const bool ok = format_many(cases[i].count, cases[i].length, cases[i].fill, &error);

        g_assert_true(ok == !cases[i].message);
        if (ok)
            continue;
        g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
        g_assert_nonnull(strstr(error->message, cases[i].message));
    }
}

/* ---- what they become ---- */

#define CONFIG                                                                                     \
    "{\"name\": \"web\", \"parameters\": ["                                                        \
    "{\"name\": \"token\", \"type\": \"secret\", \"required\": true},"                             \
    "{\"name\": \"hash\", \"type\": \"password-hash\"},"                                           \
    "{\"name\": \"port\", \"type\": \"integer\", \"default\": 80},"                                \
    "{\"name\": \"tools\", \"type\": \"list\"}],"                                                  \
    "\"user-data\": {\"t\": \"${token}\", \"h\": \"${hash}\", \"p\": \"${port}\","                 \
    "\"l\": \"${tools}\"}}"
#define TEMPLATE "<v:template name='web' version='1.0.0'/>"

static VtInstance *
parse(const char *elements)
{
    g_autofree char *xml =
        g_strdup_printf("<domain type='qemu'><name>web1</name><uuid>" UUID "</uuid><metadata>"
                        "<v:instance xmlns:v='" VT_INSTANCE_NAMESPACE "'>%s</v:instance></metadata>"
                        "<os><type arch='x86_64'>hvm</type></os></domain>",
                        elements);
    g_autoptr(GBytes) bytes = g_bytes_new_static(xml, strlen(xml));
    g_autoptr(GError) error = NULL;
    VtInstance *instance = NULL;

    g_assert_true(vt_instance_parse(bytes, &instance, &error));
    g_assert_no_error(error);
    return instance;
}

static bool
complete(VtInstance *instance, const char *defaults, const char *secrets, GError **error)
{
    g_autoptr(GBytes) config = bytes_of(CONFIG), pool = bytes_of(defaults), own = bytes_of(secrets);
    const VtInstanceDocuments documents = {instance->template ? config : NULL, pool, own};

    return vt_instance_complete(instance, &documents, error);
}

static void
assert_json(const json_t *value, const char *expected)
{
    json_auto_t *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
    g_autofree char *shown = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (!json_equal(wanted, (json_t *)value))
        g_error("expected %s\nfound    %s", expected, shown);
}

/* They count as values of the instance: before the pool's, but what stands in the XML stays */
static void
test_parameters(void)
{
    g_autoptr(VtInstance) all = parse(SEED TEMPLATE "<v:parameter name='port'>81</v:parameter>");
    g_autoptr(VtInstance) pool = parse(SEED TEMPLATE);
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_instance_asks(all));
    g_assert_true(complete(all, "token: pool\n",
                           "token: 'own'\nport: '82'\nhash: " HASH "\ntools: git\n", &error));
    g_assert_no_error(error);
    assert_json(all->template_config,
                "{\"t\": \"own\", \"h\": \"" HASH "\", \"p\": 81, \"l\": [\"git\"]}");
    g_assert_true(complete(pool, "token: pool\n", NULL, &error));
    assert_json(pool->template_config, "{\"t\": \"pool\", \"p\": 80}");
}

static void
test_references(void)
{
    g_autoptr(VtInstance) instance =
        parse(SEED "<v:user name='anna' password-hash-secret='pw'/>"
                   "<v:user name='bob' password-hash-secret='pw'/><v:user name='eve'/>");
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_instance_asks(instance));
    g_assert_true(complete(instance, NULL, "pw: " HASH, &error));
    g_assert_no_error(error);
    assert_json(instance->config,
                "{\"users\": [{\"shell\": \"/bin/bash\", \"name\": \"anna\","
                "\"ssh_authorized_keys\": [], \"hashed_passwd\": \"" HASH "\","
                "\"lock_passwd\": false}, {\"shell\": \"/bin/bash\", \"name\": \"bob\","
                "\"ssh_authorized_keys\": [], \"hashed_passwd\": \"" HASH "\","
                "\"lock_passwd\": false}, {\"shell\": \"/bin/bash\", \"name\": \"eve\","
                "\"ssh_authorized_keys\": []}]}");
}

/* Nothing to be asked for: one round less for most guests */
static void
test_asks(void)
{
    g_autoptr(VtInstance) plain = parse(SEED "<v:user name='anna'/>");
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_instance_asks(plain));
    g_assert_true(complete(plain, NULL, NULL, &error));
    g_assert_no_error(error);
}

#define WINDOWS "<v:seed path='/pool/w-seed.iso' datasource='unattend'/>"

static const struct {
    const char *elements, *defaults, *secrets, *message;
} bad[] = {
    {TEMPLATE "<v:parameter name='token'>" CANARY "</v:parameter>", NULL, NULL,
     "parameter 'token' is a secret, and everybody can read the domain's XML: give it with "
     "'virt-template instance secrets'"},
    {TEMPLATE "<v:parameter name='token'>" CANARY "</v:parameter>", NULL, "token: " CANARY,
     "parameter 'token' is a secret"},
    {TEMPLATE, NULL, NULL,
     "the parameter 'token' has no value: give it with 'virt-template instance secrets'; the "
     "template has: token (secret, required)"},
    {TEMPLATE, "token: x", "tokn: " CANARY,
     "nothing asks for the secret 'tokn': no element refers to it, and the parameters are: token"},
    {TEMPLATE, NULL, "token: \"" CANARY "\\n\"", "parameter 'token': what was given is not one"},
    {TEMPLATE, "token: x", "hash: " CANARY, "parameter 'hash': what was given is not a hash"},
    {TEMPLATE, "token: x", "- " CANARY, "secrets of the domain: line 1"},
    {TEMPLATE, "token: x", "token: 5", "secrets of the domain: the secret 'token' is not a string"},
    {"<v:user name='a' password-hash-secret='pw'/>", NULL, NULL,
     "<instance>: line 1: <user>: the domain has no secret 'pw': give it with 'virt-template "
     "instance secrets' /pool/web1-seed.iso " UUID},
    {"<v:user name='a' password-hash-secret='pw'/>", NULL, "pw: " CANARY,
     "<user>: the secret 'pw' is not a hash as in crypt(5)"},
    {"<v:user name='a' password-hash-secret='pw'/>", NULL, "pw: " HASH "\npx: " CANARY,
     "nothing asks for the secret 'px'"},
    {WINDOWS "<v:user name='a' password-secret='pw'/>", NULL, "px: " CANARY,
     "nothing asks for the secret 'px': no element refers to it, and the parameters are: none"},
    {WINDOWS "<v:user name='a' password-secret='pw'/>", NULL, NULL,
     "<user>: the domain has no secret 'pw'"},
    {WINDOWS "<v:user name='Administrator' password-secret='pw'/>", NULL, "pw: \"" CANARY "\\t\"",
     "<user>: the secret 'pw' is not 1 to 127 printable characters"},
    {WINDOWS "<v:product-key secret='pw'/>", NULL, "pw: " CANARY,
     "<product-key>: the secret 'pw' is not of the form XXXXX-XXXXX"},
};

static void
test_refuse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        const bool windows = g_str_has_prefix(bad[i].elements, WINDOWS);
        g_autofree char *elements = g_strconcat(windows ? "" : SEED, bad[i].elements, NULL);
        g_autoptr(VtInstance) instance = parse(elements);
        g_autoptr(GError) error = NULL;

        g_assert_false(complete(instance, bad[i].defaults, bad[i].secrets, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        if (!strstr(error->message, bad[i].message))
            g_error("refused with: %s\ninstead of: %s", error->message, bad[i].message);
        g_assert_null(strstr(error->message, CANARY));
        g_assert_null(instance->answer);
    }
}

/* ---- where they are kept ---- */

typedef struct {
    char *dir;
    char *seed;
    char *records;
    char *file;
} Pool;

static void
set_up(Pool *pool, gconstpointer data)
{
    pool->dir = g_dir_make_tmp("vt-secrets-XXXXXX", NULL);
    pool->seed = g_build_filename(pool->dir, "web-seed.iso", NULL);
    pool->records = g_build_filename(pool->dir, ".seeds", NULL);
    pool->file = g_build_filename(pool->records, "web-seed.iso." UUID ".secrets", NULL);
}

static void
tear_down(Pool *pool, gconstpointer data)
{
    g_remove(pool->file);
    g_assert_cmpint(g_rmdir(pool->records), ==, 0);
    g_assert_cmpint(g_rmdir(pool->dir), ==, 0);
    g_free(pool->dir);
    g_free(pool->seed);
    g_free(pool->records);
    g_free(pool->file);
}

static bool
set(const Pool *pool, const char *owner, const char *text, GError **error)
{
    g_autoptr(GBytes) bytes = bytes_of(text);

    return vt_seed_set_secrets(pool->seed, owner, bytes, error);
}

/* Asserts what @owner gets; %NULL: nothing */
static void
assert_secrets(const Pool *pool, const char *owner, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;

    g_assert_true(vt_seed_read_secrets(pool->seed, owner, &bytes, &error));
    g_assert_no_error(error);
    g_assert_true((bytes != NULL) == (expected != NULL));
    if (bytes)
        g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), expected,
                        strlen(expected));
}

static void
assert_mode(const char *path, mode_t mode)
{
    struct stat st;

    g_assert_cmpint(lstat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, mode);
    g_assert_cmpuint(st.st_uid, ==, geteuid());
}

static void
test_keep(Pool *pool, gconstpointer data)
{
    const mode_t mask = umask(0);
    g_autoptr(GError) error = NULL;

    assert_secrets(pool, UUID, NULL);
    g_assert_true(set(pool, "6B2E5A1C-9D70-4C2B-8D5F-0A1B2C3D4E5F", "a: b", &error));
    g_assert_no_error(error);
    assert_mode(pool->records, 0700);
    assert_mode(pool->file, 0600);
    assert_secrets(pool, UUID, "a: b");
    assert_secrets(pool, OTHER, NULL);
    g_assert_true(set(pool, UUID, "c: d", &error));
    assert_mode(pool->file, 0600);
    assert_secrets(pool, UUID, "c: d");
    g_assert_true(set(pool, OTHER, NULL, &error));
    assert_secrets(pool, UUID, "c: d");
    g_assert_true(set(pool, UUID, NULL, &error));
    assert_secrets(pool, UUID, NULL);
    g_assert_true(set(pool, UUID, NULL, &error));
    g_assert_no_error(error);
    umask(mask);
}

/* They are there for the next start, when the seed has gone */
static void
test_outlive_seed(Pool *pool, gconstpointer data)
{
    g_autoptr(GBytes) image = bytes_of("x");
    g_autoptr(GError) error = NULL;

    g_assert_true(set(pool, UUID, "a: b", &error));
    g_assert_true(vt_seed_place(pool->seed, UUID, image, &error));
    g_assert_true(vt_seed_remove(pool->seed, UUID, &error));
    g_assert_no_error(error);
    assert_secrets(pool, UUID, "a: b");
}

static void
assert_denied(const Pool *pool, VtError code, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;

    g_assert_false(vt_seed_read_secrets(pool->seed, UUID, &bytes, &error));
    g_assert_error(error, VT_ERROR, (int)code);
    if (!strstr(error->message, message))
        g_error("refused with: %s\ninstead of: %s", error->message, message);
    g_assert_null(bytes);
}

/* By hand they come with any mode and owner */
static void
test_private(Pool *pool, gconstpointer data)
{
    static const mode_t open_modes[] = {0644, 0640, 0604, 0620, 0602};
    g_autoptr(GError) error = NULL;

    g_assert_true(set(pool, UUID, "a: b", &error));
    for (gsize i = 0; i < G_N_ELEMENTS(open_modes); i++) {
        g_assert_cmpint(chmod(pool->file, open_modes[i]), ==, 0);
        assert_denied(pool, VT_ERROR_DENIED, "'chmod 0600' it");
    }
    g_assert_cmpint(chmod(pool->file, 0400), ==, 0);
    assert_secrets(pool, UUID, "a: b");
    g_assert_cmpint(chmod(pool->records, 0750), ==, 0);
    assert_denied(pool, VT_ERROR_DENIED, "/.seeds' holds secrets");
    g_assert_false(set(pool, UUID, "c: d", &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_DENIED);
    g_assert_cmpint(chmod(pool->records, 0700), ==, 0);
    assert_secrets(pool, UUID, "a: b");
    if (geteuid() == 0) {
        g_assert_cmpint(chown(pool->file, 65534, 65534), ==, 0);
        assert_denied(pool, VT_ERROR_DENIED, "'chown root'");
    }
}

static void
test_no_file(Pool *pool, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(set(pool, UUID, "a: b", &error));
    g_assert_cmpint(g_unlink(pool->file), ==, 0);
    g_assert_cmpint(symlink("/etc/hostname", pool->file), ==, 0);
    assert_denied(pool, VT_ERROR_DENIED, "holds secrets");
    g_assert_cmpint(g_unlink(pool->file), ==, 0);
    g_assert_cmpint(mkfifo(pool->file, 0600), ==, 0);
    assert_denied(pool, VT_ERROR_INVALID, "not a regular file");
    /* Replaced, not written into */
    g_assert_true(set(pool, UUID, "c: d", &error));
    assert_secrets(pool, UUID, "c: d");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/secrets/round-trip", test_round_trip);
    g_test_add_func("/secrets/text", test_text);
    g_test_add_func("/secrets/nothing", test_nothing);
    g_test_add_func("/secrets/refuse-text", test_refuse_text);
    g_test_add_func("/secrets/limits", test_limits);
    g_test_add_func("/secrets/parameters", test_parameters);
    g_test_add_func("/secrets/references", test_references);
    g_test_add_func("/secrets/asks", test_asks);
    g_test_add_func("/secrets/refuse", test_refuse);
#define ADD(path, function) g_test_add(path, Pool, NULL, set_up, function, tear_down)
    ADD("/secrets/keep", test_keep);
    ADD("/secrets/outlive-seed", test_outlive_seed);
    ADD("/secrets/private", test_private);
    ADD("/secrets/no-file", test_no_file);
    return g_test_run();
}
