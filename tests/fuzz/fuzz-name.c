/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-name.c: names, versions, references, digests and base64: what is accepted keeps its form
 *
 * An input is lines; each is tried as everything, and with the line before it where two are wanted.
 */
#include "fuzz.h"
#include "vt-address.h"
#include "vt-base64.h"
#include "vt-name.h"
#include "vt-oci-name.h"
#include "vt-size.h"

#include <string.h>

static void
check_error(const GError *error)
{
    g_assert_nonnull(error);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
}

static void
try_reference(const char *text)
{
    g_autofree char *name = NULL, *version = NULL, *volume = NULL, *name2 = NULL, *version2 = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_reference_parse(text, &name, &version, &error)) {
        check_error(error);
        g_assert_true(!name && !version);
        return;
    }
    g_assert_cmpuint(strlen(name), <=, VT_NAME_MAX);
    g_assert_true(vt_oci_repository_check(name, NULL));
    volume = vt_volume_name(name, version);
    g_assert_cmpuint(strlen(volume), <, 255);
    g_assert_null(strchr(volume, '/'));
    g_assert_true(vt_volume_name_parse(volume, &name2, &version2, NULL));
    g_assert_cmpstr(name, ==, name2);
    g_assert_cmpstr(version, ==, version2);
}

static int
sign(int number)
{
    return (number > 0) - (number < 0);
}

static void
try_versions(const char *a, const char *b)
{
    g_autofree char *tag = NULL;
    int order;

    if (!vt_version_check(a, NULL))
        return;
    tag = vt_version_tag(a);
    g_assert_true(vt_oci_tag_check(tag, NULL));
    g_assert_cmpint(vt_version_compare(a, a), ==, 0);
    if (!vt_version_check(b, NULL))
        return;
    order = vt_version_compare(a, b);
    g_assert_cmpint(sign(vt_version_compare(b, a)), ==, -sign(order));
    g_assert_cmpint(order == 0, ==, strcmp(a, b) == 0);
}

static void
try_oci(const char *text)
{
    g_autoptr(GError) error = NULL;
    char shown[VT_DIGEST_STRING_MAX];
    VtDigest digest;

    if (vt_oci_repository_check(text, NULL))
        g_assert_true(!strstr(text, "..") && *text != '/' && !g_str_has_suffix(text, "/"));
    if (vt_oci_tag_check(text, NULL))
        g_assert_true(vt_oci_reference_check(text, NULL));
    else if (!vt_oci_reference_check(text, &error))
        check_error(error);
    g_clear_error(&error);
    if (vt_digest_parse(text, &digest, &error))
        g_assert_cmpstr(vt_digest_format(&digest, shown), ==, text);
    else
        check_error(error);
    if (vt_oci_is_digest_tag(text))
        g_assert_true(g_str_has_prefix(text, "sha256-"));
}

static void
try_values(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *again = NULL;
    VtAddress address;
    uint64_t number;

    if (vt_base64_decode(text, "it", &bytes, NULL)) {
        again = vt_base64_encode(bytes);
        g_assert_cmpstr(again, ==, text);
    }
    g_clear_pointer(&bytes, g_bytes_unref);
    if (!vt_base64_decode_any(text, "it", &bytes, &error))
        check_error(error);
    if (vt_address_parse(text, true, &address)) {
        g_assert_cmpuint(address.prefix, <=, address.bits);
        g_assert_true(vt_address_in_one_subnet(&address, &address));
    }
    g_clear_error(&error);
    if (vt_rate_parse(text, &number, &error)) {
        g_assert_cmpuint(number, >=, VT_RATE_MIN);
        g_assert_true(vt_size_parse(text, &number));
    } else {
        check_error(error);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size ? (const char *)data : "", size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 16);
    const char *before = "1.0.0";

    for (char **line = lines; *line; line++) {
        try_reference(*line);
        try_versions(*line, before);
        try_oci(*line);
        try_values(*line);
        before = *line;
    }
    return 0;
}
