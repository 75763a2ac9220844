/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-yaml.c: what is accepted is accepted again as it was written, with any value in any place */
#include "fuzz.h"
#include "vt-yaml.h"

static bool
replace(void *user, const char *text, char **ret_text, GError **error)
{
    *ret_text = g_strdup(user);
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size ? (const char *)data : "", size), *out = NULL;
    g_autoptr(GError) error = NULL, again = NULL;

    if (!vt_yaml_rewrite(text, "doc", replace, (void *)(uintptr_t) "a: [}\n- *x", &out, &error)) {
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        return 0;
    }
    if (!vt_yaml_rewrite(out, "result", NULL, NULL, NULL, &again))
        g_error("%s:\n%s", again->message, out);
    return 0;
}
