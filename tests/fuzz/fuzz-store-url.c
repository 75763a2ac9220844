/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-store-url.c: store URLs and policy scopes: what is accepted has one form, and a scope
 *
 * An input is three lines: a URL, a scope, a tag.
 */
#include "fuzz.h"
#include "vt-oci-name.h"
#include "vt-scope.h"

#include <string.h>

static void
check_scopes(VtTransport transport, const char *scope, const char *tag)
{
    g_auto(GStrv) all = vt_scope_candidates(transport, scope, tag);
    const guint count = g_strv_length(all);

    g_assert_cmpuint(count, >=, 2);
    g_assert_cmpstr(all[count - 1], ==, "");
    g_assert_true(g_strv_contains((const char *const *)all, scope));
    /* each can be written into a policy */
    for (char **one = all; *one; one++)
        g_assert_cmpstr(vt_scope_problem(transport, *one), ==, NULL);
}

static void
try_url(const char *text, const char *tag)
{
    g_autofree char *canonical = NULL, *again = NULL, *scope = NULL, *identity = NULL;
    g_autoptr(VtStoreUrl) url = NULL, second = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_store_url_parse(text, &url, &error)) {
        g_assert_true(!url && g_utf8_validate(error->message, -1, NULL));
        return;
    }
    canonical = vt_store_url_format(url);
    g_assert_true(vt_store_url_parse(canonical, &second, NULL));
    again = vt_store_url_format(second);
    g_assert_cmpstr(canonical, ==, again);
    scope = vt_store_url_scope(url, "web");
    identity = vt_store_url_identity(url, "web");
    g_assert_true(g_str_has_suffix(identity, "/web"));
    check_scopes(url->transport, scope, vt_oci_tag_check(tag, NULL) ? tag : NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size ? (const char *)data : "", size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 3);

    if (g_strv_length(lines) < 3)
        return 0;
    try_url(lines[0], lines[2]);
    vt_scope_problem(VT_TRANSPORT_DOCKER, lines[1]);
    vt_scope_problem(VT_TRANSPORT_OCI, lines[1]);
    return 0;
}
