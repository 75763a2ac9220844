/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-report.c: what the guest of virt-template prepare says that it did */
#include "vtc-report.h"

#include "vtc-print.h"

#include <string.h>

/* The longest line has this many words */
#define WORDS 4

void
vtc_report_init(VtcReport *report)
{
    *report = (VtcReport){.roots = g_ptr_array_new_with_free_func(g_free),
                          .notes = g_ptr_array_new_with_free_func(g_free),
                          .paths = g_ptr_array_new_with_free_func(g_free)};
}

void
vtc_report_clear(VtcReport *report)
{
    g_clear_pointer(&report->roots, g_ptr_array_unref);
    g_clear_pointer(&report->notes, g_ptr_array_unref);
    g_clear_pointer(&report->paths, g_ptr_array_unref);
    g_clear_pointer(&report->failure, g_free);
}

static bool
take_hello(VtcReport *report, char **words)
{
    return report->hello = true;
}

static bool
take_cleaned(VtcReport *report, char **words)
{
    return report->cleaned = true;
}

static bool
take_finished(VtcReport *report, char **words)
{
    return report->finished = true;
}

static bool
take_root(VtcReport *report, char **words)
{
    g_ptr_array_add(report->roots, vtc_print_plain(words[1]));
    return true;
}

static bool
take_note(VtcReport *report, char **words)
{
    g_ptr_array_add(report->notes, vtc_print_plain(words[1]));
    return true;
}

static bool
take_path(VtcReport *report, char **words)
{
    g_autofree char *path = vtc_print_plain(words[2]);

    if (vtc_operations_find(words[1]) < 0)
        return false;
    g_ptr_array_add(report->paths, g_strdup_printf("%s: %s", words[1], path));
    return true;
}

/* The first one counts: what follows may follow from it */
static bool
take_fail(VtcReport *report, char **words)
{
    if (!report->failure)
        report->failure = vtc_print_plain(words[1]);
    return true;
}

static bool
take_did(VtcReport *report, char **words)
{
    int row = vtc_operations_find(words[1]);
    guint64 files, bytes;

    if (row < 0 || !g_ascii_string_to_unsigned(words[2], 10, 0, G_MAXUINT32, &files, NULL) ||
        !g_ascii_string_to_unsigned(words[3], 10, 0, G_MAXINT64, &bytes, NULL))
        return false;
    report->ran |= UINT32_C(1) << row;
    return !__builtin_add_overflow(report->files[row], files, &report->files[row]) &&
           !__builtin_add_overflow(report->bytes[row], bytes, &report->bytes[row]);
}

static const struct {
    const char *word;
    guint count;
    bool (*take)(VtcReport *report, char **words);
} lines[] = {
    {"hello", 1, take_hello}, {"cleaned", 1, take_cleaned}, {"finished", 1, take_finished},
    {"root", 2, take_root},   {"note", 2, take_note},       {"path", 3, take_path},
    {"fail", 2, take_fail},   {"did", 4, take_did},
};

bool
vtc_report_line(VtcReport *report, const char *line, GError **error)
{
    g_auto(GStrv) words = g_strsplit(line, "\t", WORDS + 1);
    g_autofree char *shown = NULL;

    for (size_t i = 0; words[0] && i < G_N_ELEMENTS(lines); i++) {
        if (strcmp(words[0], lines[i].word) == 0 && g_strv_length(words) == lines[i].count &&
            lines[i].take(report, words))
            return true;
    }
    shown = vtc_print_plain(line);
    return vt_throw(error, VT_ERROR_INVALID, "the guest said '%.100s', which is not understood",
                    shown);
}
