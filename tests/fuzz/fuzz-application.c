/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-application.c: no bytes make the reader of applications go wrong */
#include "fuzz.h"
#include "vt-application.h"

#include <string.h>

static void
check_order(const VtApplication *application)
{
    unsigned guests = 0;

    for (guint i = 0; i < application->instances->len; i++) {
        const VtApplicationInstance *instance = application->instances->pdata[i];
        g_autofree char *last = vt_application_guest(application, instance, instance->count - 1);

        g_assert_cmpuint(instance->wave, <, application->waves);
        /* what is needed is in a wave before, so there is one */
        g_assert_true(instance->wave > 0 || instance->needs->len == 0);
        g_assert_cmpuint(strlen(last), <=, 63);
        guests += instance->count;
    }
    g_assert_cmpuint(guests, <=, VT_APPLICATION_GUESTS_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autoptr(VtApplication) application = NULL;
    json_t *root = NULL;

    if (!vt_json_parse(bytes, "fuzz", 1 << 20, &root, NULL))
        return 0;
    if (vt_application_parse(root, "fuzz", &application, NULL))
        check_order(application);
    return 0;
}
