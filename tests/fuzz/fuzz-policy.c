/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-policy.c: no bytes make the reader of policies go wrong; each accepted one has an answer */
#include "fuzz.h"
#include "vt-policy.h"

static void
check(const VtPolicy *policy, VtTransport transport, const char *scope, const char *tag)
{
    const GPtrArray *found = vt_policy_lookup(policy, transport, scope, tag);

    g_assert_nonnull(found);
    g_assert_cmpuint(found->len, >, 0);
    for (guint i = 0; i < found->len; i++) {
        const VtRequirement *requirement = g_ptr_array_index(found, i);

        g_assert_nonnull(requirement->where);
        if (requirement->type == VT_REQUIREMENT_SIGSTORE_SIGNED)
            g_assert_true((requirement->key_paths == NULL) != (requirement->key_datas == NULL));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(VtPolicy) policy = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_policy_parse(bytes, "policy.json", &policy, &error)) {
        g_assert_error(error, VT_ERROR, VT_ERROR_POLICY);
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        return 0;
    }
    check(policy, VT_TRANSPORT_DOCKER, "r.example:5000/golden/web", "1.0.0");
    check(policy, VT_TRANSPORT_OCI, "/srv/golden", "web/1.0.0");
    return 0;
}
