/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_greet.h: a connection to virttemplated, and whether anybody is behind it */
#pragma once

#include <stdbool.h>
#include <gio/gio.h>

#define VIR_STORAGE_TEMPLATE_PATH      "/virttemplate/Helper1"
#define VIR_STORAGE_TEMPLATE_INTERFACE "virttemplate.Helper1"

/** virStorageTemplateTimeoutMs: Returns: from now to @deadline, at least 1 */
int virStorageTemplateTimeoutMs(gint64 deadline);

/**
 * virStorageTemplateGreet:
 * @context: in which no other thread is
 * @deadline: monotonic time
 * @error: %G_IO_ERROR_TIMED_OUT: it hangs
 *
 * Returns: (transfer full) (nullable): a new connection
 */
GDBusConnection *virStorageTemplateGreet(GMainContext *context, gint64 deadline, GError **error);

/** virStorageTemplateReach: virStorageTemplateGreet(), but in a user's libvirtd a helper that is
 * not there is started */
GDBusConnection *virStorageTemplateReach(GMainContext *context, gint64 deadline, GError **error);

/** virStorageTemplateAnswers: Returns: whether the helper says anything, or is gone */
bool virStorageTemplateAnswers(GDBusConnection *connection, int timeoutMs);
