/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-payload.h"

#include <string.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TYPE   "cosign container image signature"

#define PAYLOAD(identity, image, type, optional)                                                   \
    "{\"critical\":{\"identity\":" identity ",\"image\":" image ",\"type\":" type "}" optional "}"
#define IDENTITY           "{\"docker-reference\":\"r.example/golden/web\"}"
#define IMAGE              "{\"docker-manifest-digest\":\"" DIGEST "\"}"
#define GOOD               PAYLOAD(IDENTITY, IMAGE, "\"" TYPE "\"", ",\"optional\":null")
#define OPTIONAL(optional) PAYLOAD(IDENTITY, IMAGE, "\"" TYPE "\"", ",\"optional\":" optional)

static void
test_format(void)
{
    g_autoptr(VtPayload) payload = NULL;
    g_autoptr(GBytes) bytes = NULL;
    VtDigest digest;

    g_assert_true(vt_digest_parse(DIGEST, &digest, NULL));
    bytes = vt_payload_format("r.example/golden/web", &digest);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), GOOD, strlen(GOOD));
    g_assert_true(vt_payload_parse(bytes, &payload, NULL));
    g_assert_cmpstr(payload->docker_reference, ==, "r.example/golden/web");
    g_assert_true(vt_digest_equal(&payload->digest, &digest));
}

static const char *const good[] = {
    GOOD,
    OPTIONAL("{}"),
    OPTIONAL("{\"creator\":\"x\",\"timestamp\":1700000000,\"any\":[1,{}]}"),
};

static const char *const bad[] = {
    "",
    "{}",
    "{\"critical\":{}}",
    "{\"critical\":{},\"optional\":null}",
    PAYLOAD(IDENTITY, IMAGE, "\"" TYPE "\"", ""),
    PAYLOAD(IDENTITY, IMAGE, "\"" TYPE "\"", ",\"optional\":null,\"more\":1"),
    PAYLOAD(IDENTITY, IMAGE, "\"" TYPE "\"", ",\"optional\":null,\"optional\":null"),
    PAYLOAD(IDENTITY, IMAGE, "\"" TYPE "\"", ",\"Optional\":null,\"optional\":null"),
    PAYLOAD(IDENTITY, IMAGE, "\"" TYPE "\",\"more\":1", ",\"optional\":null"),
    PAYLOAD(IDENTITY, IMAGE, "\"atomic container signature\"", ",\"optional\":null"),
    PAYLOAD(IDENTITY, IMAGE, "1", ",\"optional\":null"),
    PAYLOAD("{}", IMAGE, "\"" TYPE "\"", ",\"optional\":null"),
    PAYLOAD("{\"docker-reference\":1}", IMAGE, "\"" TYPE "\"", ",\"optional\":null"),
    PAYLOAD("{\"docker-reference\":\"x\",\"y\":1}", IMAGE, "\"" TYPE "\"", ",\"optional\":null"),
    PAYLOAD(IDENTITY, "{}", "\"" TYPE "\"", ",\"optional\":null"),
    PAYLOAD(IDENTITY, "{\"Docker-manifest-digest\":\"" DIGEST "\"}", "\"" TYPE "\"",
            ",\"optional\":null"),
    PAYLOAD(IDENTITY, "{\"docker-manifest-digest\":\"sha256:0\"}", "\"" TYPE "\"",
            ",\"optional\":null"),
    PAYLOAD(IDENTITY,
            "{\"docker-manifest-digest\":\"" DIGEST "\",\"docker-manifest-digest\":\"" DIGEST "\"}",
            "\"" TYPE "\"", ",\"optional\":null"),
    OPTIONAL("1"),
    OPTIONAL("\"x\""),
    OPTIONAL("{\"creator\":1}"),
    OPTIONAL("{\"timestamp\":1.5}"),
    OPTIONAL("{\"timestamp\":\"1\"}"),
    GOOD "x",
    GOOD GOOD,
};

static void
test_parse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GBytes) bytes = g_bytes_new_static(good[i], strlen(good[i]));
        g_autoptr(VtPayload) payload = NULL;

        g_assert_true(vt_payload_parse(bytes, &payload, NULL));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = g_bytes_new_static(bad[i], strlen(bad[i]));
        g_autoptr(GError) error = NULL;
        VtPayload *payload = NULL;

        g_test_message("%s", bad[i]);
        g_assert_false(vt_payload_parse(bytes, &payload, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_true(g_str_has_prefix(error->message, "signed payload: "));
        g_assert_null(payload);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/payload/format", test_format);
    g_test_add_func("/payload/parse", test_parse);
    return g_test_run();
}
