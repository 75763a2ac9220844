/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-doctor.c: the report that the checks write into */
#include "vtc-doctor.h"

static void
finding_free(VtcFinding *finding)
{
    g_free(finding->what);
    g_free(finding->found);
    g_free(finding->advice);
    g_free(finding);
}

VtcReport *
vtc_report_new(void)
{
    VtcReport *report = g_new0(VtcReport, 1);

    report->findings = g_ptr_array_new_with_free_func((GDestroyNotify)finding_free);
    return report;
}

void
vtc_report_free(VtcReport *report)
{
    if (!report)
        return;
    g_ptr_array_unref(report->findings);
    g_free(report->prefix);
    g_free(report);
}

void
vtc_report_set_prefix(VtcReport *report, const char *pool)
{
    g_free(report->prefix);
    report->prefix = pool ? g_strdup_printf("pool %s: ", pool) : NULL;
}

const char *
vtc_level_name(VtcLevel level)
{
    static const char *const names[] = {"OK", "WARN", "FAIL"};

    return names[level];
}

/* Fills in @finding (transfer full), whose level and advice are set */
G_GNUC_PRINTF(4, 0)
static void
add(VtcReport *report, VtcFinding *finding, const char *what, const char *format, va_list args)
{
    finding->what = g_strconcat(report->prefix ? report->prefix : "", what, NULL);
    finding->found = g_strdup_vprintf(format, args);
    g_ptr_array_add(report->findings, finding);
}

static VtcFinding *
finding_new(VtcLevel level, const char *advice)
{
    VtcFinding *finding = g_new0(VtcFinding, 1);

    finding->level = level;
    finding->advice = g_strdup(advice);
    return finding;
}

void
vtc_report_ok(VtcReport *report, const char *what, const char *found, ...)
{
    va_list args;

    va_start(args, found);
    add(report, finding_new(VTC_LEVEL_OK, NULL), what, found, args);
    va_end(args);
}

void
vtc_report_warn(VtcReport *report, const char *what, const char *advice, const char *found, ...)
{
    va_list args;

    va_start(args, found);
    add(report, finding_new(VTC_LEVEL_WARN, advice), what, found, args);
    va_end(args);
}

void
vtc_report_fail(VtcReport *report, const char *what, const char *advice, const char *found, ...)
{
    va_list args;

    va_start(args, found);
    add(report, finding_new(VTC_LEVEL_FAIL, advice), what, found, args);
    va_end(args);
}

char *
vtc_doctor_find_program(const char *name)
{
    static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

    for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(folders[i], name, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
            return g_steal_pointer(&path);
    }
    return NULL;
}

char *
vtc_doctor_output(const char *const *argv)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    char *none[] = {NULL};
    g_autoptr(GSubprocess) child = NULL;
    g_autoptr(GBytes) output = NULL;
    gsize length = 0;
    const char *data;

    g_subprocess_launcher_set_environ(launcher, none);
    child = g_subprocess_launcher_spawnv(launcher, argv, NULL);
    if (!child || !g_subprocess_communicate(child, NULL, NULL, &output, NULL, NULL) ||
        !g_subprocess_get_successful(child))
        return NULL;
    data = g_bytes_get_data(output, &length);
    return g_strndup(length > 0 ? data : "", length);
}
