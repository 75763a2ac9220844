/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-json.h"
#include "vtc-exit.h"
#include "vtc-guest-secrets.h"
#include "vtc-secrets.h"

#include <glib/gstdio.h>
#include <string.h>

/* Shows up in no message */
#define CANARY "5ecret"
#define PROFILE                                                                                    \
    "{\"parameters\": [{\"name\": \"token\", \"type\": \"secret\", \"required\": true},"           \
    " {\"name\": \"extra\", \"type\": \"secret\"}, {\"name\": \"port\", \"type\": \"integer\"}]}"

static json_t *
load(const char *text)
{
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;

    g_assert_true(!text || root);
    return root;
}

static VtProfile *
profile_of(const char *text)
{
    json_auto_t *root = load(text);
    VtJson object = vt_json_root(root, "config");
    VtProfile *profile = NULL;

    g_assert_true(!root || vt_profile_parse(&object, &profile, NULL));
    return profile;
}

typedef struct {
    const char *settings; /* divided by blanks */
    const char *profile;
    const char *secrets;
    const char *defaults;
    const char *message; /* NULL: accepted */
} Case;

static void
check(const Case *test)
{
    g_autoptr(VtProfile) profile = profile_of(test->profile);
    g_auto(GStrv) settings = g_strsplit(test->settings, " ", -1);
    json_auto_t *secrets = load(test->secrets), *defaults = load(test->defaults);
    const VtcDomain domain = {
        .template_name = "debian", .profile = profile, .settings = *settings ? settings : NULL};
    g_autoptr(GError) error = NULL;
    const bool ok = vtc_guest_secrets_check(&domain, secrets, defaults, &error);

    if (!test->message) {
        g_assert_no_error(error);
        g_assert_true(ok);
        return;
    }
    g_assert_false(ok);
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    if (!strstr(error->message, test->message))
        g_error("'%s' is not in '%s'", test->message, error->message);
    g_assert_null(strstr(error->message, CANARY));
}

#define TOKEN "{\"token\": \"" CANARY "\"}"
#define ANNA  "user=anna password-hash-secret=anna"

static void
test_check(void)
{
    static const Case cases[] = {
        {"", PROFILE, TOKEN, "{}", NULL},
        {"", PROFILE, NULL, TOKEN, NULL},
        /* the pool's are not known: it may have it */
        {"", PROFILE, NULL, NULL, NULL},
        {"", "{}", NULL, "{}", NULL},
        {ANNA, PROFILE, "{\"anna\": \"x\", \"token\": \"y\", \"port\": \"80\"}", "{}", NULL},
        /* nothing is known: the start tells */
        {"", NULL, "{\"any\": \"x\"}", "{}", NULL},
        {"", PROFILE, NULL, "{}",
         "the parameter 'token' has no value, and is a secret: give it with --secrets FILE; the "
         "template has: token (secret, required), extra (secret), port"},
        {"", PROFILE, "{\"extra\": \"x\"}", "{}", "the parameter 'token' has no value"},
        {ANNA, PROFILE, TOKEN, "{}", "there is no secret 'anna': give it with --secrets FILE"},
        {ANNA, NULL, NULL, NULL, "there is no secret 'anna'"},
        {"password-secret=b", "{}", "{\"anna\": \"x\"}", "{}", "there is no secret 'b'"},
        {"product-key-secret=c", "{}", NULL, "{}", "there is no secret 'c'"},
        {"user=anna password-hash-secret=" CANARY "+", PROFILE, TOKEN, "{}",
         "does not name a secret by its key"},
        {"", "{}", TOKEN, "{}",
         "nothing asks for the secret 'token'; asked for: none by --set; parameters of the "
         "template: none"},
        {ANNA, PROFILE, "{\"anna\": \"x\", \"token\": \"y\", \"annna\": \"" CANARY "\"}", "{}",
         "nothing asks for the secret 'annna'; asked for: anna; parameters of the template: token "
         "(secret, required)"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        check(&cases[i]);
}

/* ---- --set ---- */

static void
test_set(void)
{
    g_autoptr(VtProfile) profile = profile_of(PROFILE);
    const VtHardware hardware = vt_hardware_default();
    char *settings[] = {(char[]){"token=" CANARY}, NULL};
    VtcDomain domain = {.name = "web",
                        .virt_type = "qemu",
                        .hardware = &hardware,
                        .template_name = "debian",
                        .template_version = "1.0.0",
                        .profile = profile,
                        .disk = "/pool/web.qcow2",
                        .seed = "/pool/web-seed.iso",
                        .settings = settings};
    g_autoptr(GError) error = NULL, windows = NULL;
    g_autofree char *xml = NULL;

    g_assert_false(vtc_domain_format(&domain, &xml, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, "--set token=...: it is a secret"));
    g_assert_nonnull(strstr(error->message, "--secrets FILE"));
    g_assert_null(strstr(error->message, CANARY));

    domain.settings = NULL;
    domain.datasource = "unattend";
    g_assert_false(vtc_domain_format(&domain, &xml, &windows));
    g_assert_nonnull(strstr(windows->message, "of debian@1.0.0: take another --datasource"));

    domain.datasource = "configdrive";
    g_assert_true(vtc_domain_format(&domain, &xml, NULL));
    g_assert_nonnull(strstr(xml, "datasource=\"configdrive\""));
}

/* ---- files ---- */

typedef bool (*Loader)(const char *path, json_t **ret, GError **error);

static void
write_private(const char *path, const char *text)
{
    g_assert_true(
        g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
}

static void
refuses(Loader load_file, const char *path, const char *text, const char *message)
{
    json_t *loaded = NULL;
    g_autoptr(GError) error = NULL;

    write_private(path, text);
    g_assert_false(load_file(path, &loaded, &error));
    g_assert_null(loaded);
    if (!strstr(error->message, message))
        g_error("'%s' is not in '%s'", message, error->message);
    g_assert_null(strstr(error->message, CANARY));
}

static void
test_files(void)
{
    g_autofree char *dir = g_dir_make_tmp("secrets-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "secrets.yaml", NULL);
    json_auto_t *secrets = NULL, *members = NULL;
    json_t *none = NULL;
    g_autoptr(GError) error = NULL, denied = NULL;

    g_assert_false(vtc_secrets_load(path, &none, &error));
    g_assert_error(error, VTC_ERROR, VTC_ERROR_USAGE);
    refuses(vtc_secrets_load, path, "", "there is no secret");
    refuses(vtc_secrets_load, path, "token: [" CANARY "]", "'token' is not a string");
    refuses(vtc_secrets_load_members, path, "token: " CANARY,
            "number 1 is not the name of an instance with its secrets below");
    refuses(vtc_secrets_load_members, path, "db: {token: 1}", "'token' is not a string");
    refuses(vtc_secrets_load_members, path, "- " CANARY, "not a mapping");

    write_private(path, "token: x\n");
    g_assert_true(vtc_secrets_load(path, &secrets, NULL));
    g_assert_cmpstr(json_string_value(json_object_get(secrets, "token")), ==, "x");
    write_private(path, "db: {token: x}\n");
    g_assert_true(vtc_secrets_load_members(path, &members, NULL));
    g_assert_cmpuint(json_object_size(json_object_get(members, "db")), ==, 1);
    g_assert_cmpint(chmod(path, 0640), ==, 0);
    g_assert_false(vtc_secrets_load(path, &none, &denied));
    g_assert_error(denied, VT_ERROR, VT_ERROR_DENIED);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest-secrets/check", test_check);
    g_test_add_func("/guest-secrets/set", test_set);
    g_test_add_func("/guest-secrets/files", test_files);
    return g_test_run();
}
