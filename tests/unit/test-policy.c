/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-policy.h"

#include <string.h>

#define REJECT           "[{\"type\":\"reject\"}]"
#define ACCEPT           "[{\"type\":\"insecureAcceptAnything\"}]"
#define KEY              "[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/k.pub\"}]"
#define POLICY           "{\"default\":" REJECT ",\"transports\":"
#define DOCKER(scopes)   POLICY "{\"docker\":{" scopes "}}}"
#define OCI(scopes)      POLICY "{\"oci\":{" scopes "}}}"
#define SIGNED(fields)   "{\"default\":[{\"type\":\"sigstoreSigned\"" fields "}]}"
#define IDENTITY(fields) SIGNED(",\"keyPath\":\"/k\",\"signedIdentity\":{" fields "}")

static VtPolicy *
policy_of(const char *text)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(text, strlen(text));
    g_autoptr(GError) error = NULL;
    VtPolicy *policy = NULL;

    g_assert_true(vt_policy_parse(bytes, "policy.json", &policy, &error));
    g_assert_no_error(error);
    return policy;
}

static const VtRequirement *
look_up(const VtPolicy *policy, VtTransport transport, const char *scope, const char *tag)
{
    const GPtrArray *found = vt_policy_lookup(policy, transport, scope, tag);

    g_assert_cmpuint(found->len, >, 0);
    return g_ptr_array_index(found, 0);
}

/* One policy with a scope on each level: taking away the most specific shows the next */
static void
test_lookup(void)
{
    static const char *const scopes[] = {"r.a.example:5000/g/web:1.0.0",
                                         "r.a.example:5000/g/web",
                                         "r.a.example:5000/g",
                                         "r.a.example:5000",
                                         "*.a.example",
                                         "*.example",
                                         ""};

    for (gsize first = 0; first <= G_N_ELEMENTS(scopes); first++) {
        g_autoptr(GString) text = g_string_new(POLICY "{\"docker\":{\"x.example/y\":" REJECT);
        g_autofree char *place = NULL;
        g_autoptr(VtPolicy) policy = NULL;
        const VtRequirement *requirement;

        for (gsize i = G_N_ELEMENTS(scopes); i-- > first;)
            g_string_append_printf(text, ",\"%s\":" ACCEPT, scopes[i]);
        g_string_append(text, "}}}");
        policy = policy_of(text->str);
        requirement = look_up(policy, VT_TRANSPORT_DOCKER, "r.a.example:5000/g/web", "1.0.0");
        if (first == G_N_ELEMENTS(scopes)) {
            g_assert_cmpstr(requirement->where, ==, "policy.json: default[0]");
            break;
        }
        place = g_strdup_printf("policy.json: transports.docker.\"%s\"[0]", scopes[first]);
        g_assert_cmpstr(requirement->where, ==, place);
        g_assert_cmpint(requirement->type, ==, VT_REQUIREMENT_ACCEPT_ANYTHING);
    }
}

static const struct {
    const char *scope, *tag;
    VtTransport transport;
    VtRequirementType type;
} lookups[] = {
    {"r.example/golden/web", "1.0.0", VT_TRANSPORT_DOCKER, VT_REQUIREMENT_SIGSTORE_SIGNED},
    {"r.example/golden", NULL, VT_TRANSPORT_DOCKER, VT_REQUIREMENT_SIGSTORE_SIGNED},
    {"r.example/goldenx/web", NULL, VT_TRANSPORT_DOCKER, VT_REQUIREMENT_REJECT},
    {"r.example", NULL, VT_TRANSPORT_DOCKER, VT_REQUIREMENT_REJECT},
    {"r.example:5000/golden/web", NULL, VT_TRANSPORT_DOCKER, VT_REQUIREMENT_REJECT},
    {"x.r.example/golden/web", NULL, VT_TRANSPORT_DOCKER, VT_REQUIREMENT_REJECT},
    {"/srv/golden", "web/1.0.0", VT_TRANSPORT_OCI, VT_REQUIREMENT_ACCEPT_ANYTHING},
    {"/srv/golden/deep", NULL, VT_TRANSPORT_OCI, VT_REQUIREMENT_ACCEPT_ANYTHING},
    {"/srv/goldenx", NULL, VT_TRANSPORT_OCI, VT_REQUIREMENT_REJECT},
    {"/srv", NULL, VT_TRANSPORT_OCI, VT_REQUIREMENT_REJECT},
    /* what one transport allows says nothing about the other */
    {"/srv/golden", NULL, VT_TRANSPORT_DOCKER, VT_REQUIREMENT_REJECT},
    {"r.example/golden/web", NULL, VT_TRANSPORT_OCI, VT_REQUIREMENT_REJECT},
};

static void
test_lookup_table(void)
{
    g_autoptr(VtPolicy) policy = policy_of(POLICY "{\"docker\":{\"r.example/golden\":" KEY "},"
                                                  "\"oci\":{\"/srv/golden\":" ACCEPT "},"
                                                  "\"docker-daemon\":{\"\":" ACCEPT "}}}");

    for (gsize i = 0; i < G_N_ELEMENTS(lookups); i++)
        g_assert_cmpint(
            look_up(policy, lookups[i].transport, lookups[i].scope, lookups[i].tag)->type, ==,
            lookups[i].type);
}

static void
test_keys(void)
{
    static const struct {
        const char *text;
        guint paths, inline_keys;
    } keys[] = {
        {SIGNED(",\"keyPath\":\"/a.pub\""), 1, 0},
        {SIGNED(",\"keyPaths\":[\"/a.pub\",\"/b.pub\"]"), 2, 0},
        {SIGNED(",\"keyData\":\"UEVN\""), 0, 1},
        {SIGNED(",\"keyDatas\":[\"UEVN\",\"UEVN\",\"UEVN\"]"), 0, 3},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autoptr(VtPolicy) policy = policy_of(keys[i].text);
        const VtRequirement *requirement = look_up(policy, VT_TRANSPORT_OCI, "/srv", NULL);

        g_assert_cmpint(requirement->type, ==, VT_REQUIREMENT_SIGSTORE_SIGNED);
        g_assert_cmpint(requirement->identity, ==, VT_IDENTITY_REPO_DIGEST_OR_EXACT);
        g_assert_cmpuint(requirement->key_paths ? g_strv_length(requirement->key_paths) : 0, ==,
                         keys[i].paths);
        g_assert_cmpuint(requirement->key_datas ? requirement->key_datas->len : 0, ==,
                         keys[i].inline_keys);
        if (keys[i].inline_keys) {
            GBytes *data = requirement->key_datas->pdata[0];

            g_assert_cmpmem(g_bytes_get_data(data, NULL), g_bytes_get_size(data), "PEM", 3);
        }
    }
}

static void
test_identities(void)
{
    static const struct {
        const char *text;
        VtIdentityMatch match;
        const char *value, *signed_prefix;
    } identities[] = {
        {IDENTITY("\"type\":\"matchExact\""), VT_IDENTITY_EXACT, NULL, NULL},
        {IDENTITY("\"type\":\"matchRepoDigestOrExact\""), VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL,
         NULL},
        {IDENTITY("\"type\":\"matchRepository\""), VT_IDENTITY_REPOSITORY, NULL, NULL},
        {IDENTITY("\"type\":\"matchDigestOnly\""), VT_IDENTITY_DIGEST_ONLY, NULL, NULL},
        {IDENTITY("\"type\":\"exactReference\",\"dockerReference\":\"r.e/x:1\""),
         VT_IDENTITY_EXACT_REFERENCE, "r.e/x:1", NULL},
        {IDENTITY("\"type\":\"exactRepository\",\"dockerRepository\":\"r.e/x\""),
         VT_IDENTITY_EXACT_REPOSITORY, "r.e/x", NULL},
        {IDENTITY("\"type\":\"remapIdentity\",\"prefix\":\"m.e\",\"signedPrefix\":\"r.e/x\""),
         VT_IDENTITY_REMAP, "m.e", "r.e/x"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(identities); i++) {
        g_autoptr(VtPolicy) policy = policy_of(identities[i].text);
        const VtRequirement *requirement = look_up(policy, VT_TRANSPORT_OCI, "/srv", NULL);

        g_assert_cmpint(requirement->identity, ==, identities[i].match);
        g_assert_cmpstr(requirement->identity_value, ==, identities[i].value);
        g_assert_cmpstr(requirement->identity_signed, ==, identities[i].signed_prefix);
    }
}

/* All requirements of a scope are kept, in order: the reader must satisfy each */
static void
test_several(void)
{
    g_autoptr(VtPolicy) policy =
        policy_of(DOCKER("\"\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/a\"},"
                         "{\"type\":\"sigstoreSigned\",\"keyPath\":\"/b\"}]"));
    const GPtrArray *found = vt_policy_lookup(policy, VT_TRANSPORT_DOCKER, "r.example/x", NULL);

    g_assert_cmpuint(found->len, ==, 2);
    g_assert_cmpstr(((VtRequirement *)found->pdata[1])->key_paths[0], ==, "/b");
}

static const struct {
    const char *text, *message;
} bad[] = {
    {"", "policy.json: empty"},
    {"[]", "policy.json: not a JSON object"},
    {"{}", "policy.json: default: missing"},
    {"{\"transports\":{}}", "default: missing"},
    {"{\"default\":[]}", "default: is empty"},
    {"{\"default\":{\"type\":\"reject\"}}", "default: is an object"},
    {"{\"default\":" REJECT ",\"default\":" ACCEPT "}", "duplicate object key"},
    {"{\"default\":" REJECT ",\"Default\":" ACCEPT "}", "unknown field \"Default\""},
    {"{\"default\":" REJECT ",\"comment\":\"x\"}", "unknown field \"comment\""},
    {"{\"default\":[1]}", "default[0]: is an integer"},
    {"{\"default\":[{}]}", "default[0].type: missing"},
    {"{\"default\":[{\"type\":\"accept\"}]}", "default[0]: unknown type \"accept\""},
    {"{\"default\":[{\"type\":\"reject\",\"x\":1}]}", "default[0]: unknown field \"x\""},
    {"{\"default\":[{\"type\":\"insecureAcceptAnything\",\"keyPath\":\"/k\"}]}",
     "unknown field \"keyPath\""},
    {"{\"default\":[{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"/k\"}]}",
     "default[0]: \"signedBy\" is not implemented"},
    {"{\"default\":" REJECT ",\"transports\":[]}", "transports: is an array"},
    {POLICY "{\"ocii\":{}}}", "transports.ocii: unknown transport"},
    {POLICY "{\"oci\":[]}}", "transports.oci: is an array"},
    {POLICY "{\"dir\":{\"\":[]}}}", "transports.dir.\"\": is empty"},
    {POLICY "{\"docker-daemon\":{\"\":[{\"type\":\"signedBy\"}]}}}", "not implemented"},
    {DOCKER("\"r.example/x/\":" KEY), "transports.docker.\"r.example/x/\": this scope can never"},
    {DOCKER("\"r.example/x@sha256:00\":" REJECT), "scopes with a digest are not supported"},
    {DOCKER("\"docker://r.example\":" KEY), "without 'docker://'"},
    {DOCKER("\"r.example\":{}"), "transports.docker.\"r.example\": is an object"},
    {OCI("\"/\":" KEY), "write \"\" to cover every layout"},
    {OCI("\"srv\":" KEY), "it is not an absolute path"},
    {SIGNED(""), "default[0]: no key"},
    {SIGNED(",\"keyPath\":\"/a\",\"keyData\":\"UEVN\""), "both \"keyPath\" and \"keyData\""},
    {SIGNED(",\"keyPath\":\"a\""), "default[0].keyPath: is not an absolute path"},
    {SIGNED(",\"keyPath\":1"), "default[0].keyPath: is an integer"},
    {SIGNED(",\"keyPaths\":[]"), "default[0].keyPaths: is empty"},
    {SIGNED(",\"keyPaths\":\"/a\""), "default[0].keyPaths: is a string"},
    {SIGNED(",\"keyPaths\":[\"/a\",2]"), "default[0].keyPaths[1]: is an integer"},
    {SIGNED(",\"keyData\":\"-----BEGIN\""), "default[0].keyData: the key: not canonical base64"},
    {SIGNED(",\"keyDatas\":[\"\"]"), "default[0].keyDatas[0]: the key: empty"},
    {SIGNED(",\"keypath\":\"/a\""), "unknown field \"keypath\""},
    {SIGNED(",\"fulcio\":{}"), "\"fulcio\" is not implemented"},
    {SIGNED(",\"pki\":{}"), "\"pki\" is not implemented"},
    {SIGNED(",\"keyPath\":\"/a\",\"rekorPublicKeyPath\":\"/r\""), "\"rekorPublicKeyPath\" is not"},
    {SIGNED(",\"keyPath\":\"/a\",\"rekorPublicKeyPaths\":[]"), "\"rekorPublicKeyPaths\" is not"},
    {SIGNED(",\"keyPath\":\"/a\",\"rekorPublicKeyData\":\"\""), "\"rekorPublicKeyData\" is not"},
    {SIGNED(",\"keyPath\":\"/a\",\"rekorPublicKeyDatas\":[]"), "\"rekorPublicKeyDatas\" is not"},
    {SIGNED(",\"keyPath\":\"/a\",\"signedIdentity\":\"matchExact\""), "signedIdentity: is a str"},
    {IDENTITY(""), "signedIdentity.type: missing"},
    {IDENTITY("\"type\":\"matchAll\""), "signedIdentity: unknown type \"matchAll\""},
    {IDENTITY("\"type\":\"matchExact\",\"dockerReference\":\"r.e/x:1\""),
     "unknown field \"dockerReference\""},
    {IDENTITY("\"type\":\"exactReference\""), "dockerReference: missing"},
    {IDENTITY("\"type\":\"exactReference\",\"dockerReference\":\"r.e/x\""), "is not of the form"},
    {IDENTITY("\"type\":\"exactRepository\",\"dockerRepository\":\"r.e/x:1\""),
     "is not of the form"},
    {IDENTITY("\"type\":\"exactRepository\",\"dockerRepository\":\"debian\""),
     "is not of the form"},
    {IDENTITY("\"type\":\"remapIdentity\",\"prefix\":\"m.e\""), "signedPrefix: missing"},
    {IDENTITY("\"type\":\"remapIdentity\",\"prefix\":\"m.e/\",\"signedPrefix\":\"r.e\""),
     "signedIdentity.prefix: is not of the form"},
};

static void
test_refuse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = g_bytes_new_static(bad[i].text, strlen(bad[i].text));
        g_autoptr(GError) error = NULL;
        VtPolicy *policy = NULL;

        g_test_message("%s", bad[i].text);
        g_assert_false(vt_policy_parse(bytes, "policy.json", &policy, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_POLICY);
        if (!strstr(error->message, bad[i].message))
            g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, bad[i].message));
        g_assert_nonnull(strstr(error->message, "everything is rejected"));
        g_assert_null(policy);
    }
}

/* Each example of the manual page, from "    {" to "    }", is a policy that is accepted */
static void
test_manual(void)
{
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "..", "docs", "man", "virt-template-policy.5.rst", NULL);
    g_autofree char *text = NULL;
    guint examples = 0;
    char *at;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (at = strstr(text, "\n    {\n"); at; at = strstr(at, "\n    {\n")) {
        char *end = strstr(at, "\n    }\n");
        g_autofree char *example = NULL;
        g_autoptr(VtPolicy) policy = NULL;

        g_assert_nonnull(end);
        example = g_strndup(at, (gsize)(end - at) + strlen("\n    }"));
        policy = policy_of(example);
        at = end;
        examples++;
    }
    g_assert_cmpuint(examples, ==, 5);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/lookup", test_lookup);
    g_test_add_func("/policy/lookup-table", test_lookup_table);
    g_test_add_func("/policy/keys", test_keys);
    g_test_add_func("/policy/identities", test_identities);
    g_test_add_func("/policy/several", test_several);
    g_test_add_func("/policy/refuse", test_refuse);
    g_test_add_func("/policy/manual", test_manual);
    return g_test_run();
}
