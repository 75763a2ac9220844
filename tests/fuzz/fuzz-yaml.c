/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-yaml.c: what is read has passed the check, and is JSON that is read back the same */
#include "fuzz.h"
#include "vt-yaml.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size ? (const char *)data : "", size);
    g_autoptr(GError) error = NULL, refused = NULL;
    json_t *value = NULL, *again;
    char *json;

    if (!vt_yaml_load(text, "doc", &value, &error)) {
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        return 0;
    }
    g_assert_true(vt_yaml_check(text, "doc", &refused));
    json = json_dumps(value, JSON_COMPACT);
    /* deeper than Jansson reads: aliases within aliases */
    again = json_loads(json, 0, NULL);
    if (again)
        g_assert_true(json_equal(value, again));
    json_decref(again);
    free(json);
    json_decref(value);
    return 0;
}
