/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-payload.c: no bytes make the reader of signed payloads go wrong */
#include "fuzz.h"
#include "vt-identity.h"
#include "vt-payload.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const VtRequirement requirement = {.identity = VT_IDENTITY_REPO_DIGEST_OR_EXACT};
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size), written = NULL;
    g_autoptr(VtPayload) payload = NULL, again = NULL;
    VtIdentity identity = {.repository = "r.example/golden/web", .tag = "1.0.0"};

    if (!vt_payload_parse(bytes, &payload, NULL))
        return 0;
    identity.digest = &payload->digest;
    if (vt_identity_match(&requirement, &identity, payload->docker_reference, NULL))
        g_assert_true(g_str_has_prefix(payload->docker_reference, identity.repository));
    written = vt_payload_format(payload->docker_reference, &payload->digest);
    g_assert_true(vt_payload_parse(written, &again, NULL));
    g_assert_cmpstr(payload->docker_reference, ==, again->docker_reference);
    return 0;
}
