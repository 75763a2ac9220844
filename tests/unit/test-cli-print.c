/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vtc-print.h"

#include <string.h>

static void
test_size(void)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1, "1 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        /* rounds up to the next unit, not to 1024.0 */
        {(1u << 20) - 1, "1.0 MiB"},
        {(1u << 20) - 51, "1.0 MiB"},
        {(1u << 20) - 52, "1023.9 KiB"},
        {UINT64_C(463) << 20, "463.0 MiB"},
        {UINT64_C(4) << 30, "4.0 GiB"},
        {UINT64_C(16) << 40, "16.0 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = vtc_print_size(cases[i].bytes);

        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

static void
test_duration(void)
{
    static const struct {
        int64_t microseconds;
        const char *text;
    } cases[] = {
        {-5, "0.0 s"},           {0, "0.0 s"},
        {440000, "0.4 s"},       {9900000, "9.9 s"},
        {10000000, "10 s"},      {59999999, "59 s"},
        {60000000, "1:00"},      {185000000, "3:05"},
        {3600000000, "1:00:00"}, {INT64_C(86400000000) * 2, "2 d"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = vtc_print_duration(cases[i].microseconds);

        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

/* What comes from a store or a helper must not drive the terminal */
static void
test_plain(void)
{
    g_autofree char *escape = vtc_print_plain("a\033[31mb\r\nc\x7f");
    g_autofree char *broken = vtc_print_plain("a\xff"
                                              "b");
    g_autofree char *umlaut = vtc_print_plain("Grüße");

    g_assert_cmpstr(escape, ==, "a?[31mb? c?");
    g_assert_true(g_utf8_validate(broken, -1, NULL));
    g_assert_cmpstr(umlaut, ==, "Grüße");
}

static void
test_table(void)
{
    static const char *const titles[] = {"NAME", ">SIZE", "STATE", NULL};
    static const char *const first[] = {"debian-12", "1 B", "", NULL};
    static const char *const second[] = {"ü", "1.5 KiB", "cur\nrent", NULL};
    g_autoptr(VtcTable) table = vtc_table_new(titles);
    g_autofree char *empty = vtc_table_format(table), *text = NULL;

    g_assert_cmpstr(empty, ==, "NAME  SIZE  STATE\n");
    vtc_table_add(table, first);
    vtc_table_add(table, second);
    text = vtc_table_format(table);
    g_assert_cmpstr(text, ==,
                    "NAME          SIZE  STATE\n"
                    "debian-12      1 B\n"
                    "ü          1.5 KiB  cur rent\n");
}

static void
test_variant(void)
{
    g_autoptr(GVariant) value = g_variant_ref_sink(g_variant_new_parsed(
        "[{'name': <'a\"b'>, 'done': <uint64 5>, 'big': <uint64 18446744073709551615>,"
        " 'flags': <uint32 3>, 'yes': <true>, 'list': <['x', 'y']>, 'sub': <{'k': <'v'>}>}]"));
    json_t *json = vtc_print_variant(value);
    char *text = json_dumps(json, JSON_COMPACT);

    g_assert_cmpstr(text, ==,
                    "[{\"big\":9223372036854775807,\"done\":5,\"flags\":3,\"list\":[\"x\",\"y\"],"
                    "\"name\":\"a\\\"b\",\"sub\":{\"k\":\"v\"},\"yes\":true}]");
    free(text);
    json_decref(json);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli-print/size", test_size);
    g_test_add_func("/cli-print/duration", test_duration);
    g_test_add_func("/cli-print/plain", test_plain);
    g_test_add_func("/cli-print/table", test_table);
    g_test_add_func("/cli-print/variant", test_variant);
    return g_test_run();
}
