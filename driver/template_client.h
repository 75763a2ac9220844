/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_client.h: calls to virttemplated (xml/virttemplate.Helper1.xml) */
#pragma once

#include <stdbool.h>
#include <gio/gio.h>

/* Flags of ListTemplates */
typedef enum {
    VIR_STORAGE_TEMPLATE_CURRENT = 1,
    VIR_STORAGE_TEMPLATE_COMPLETE = 2,
    VIR_STORAGE_TEMPLATE_REFUSED = 4,
    VIR_STORAGE_TEMPLATE_FETCHING = 8,
    VIR_STORAGE_TEMPLATE_RETIRED = 16,
} virStorageTemplateFlags;

/* The time that one call of libvirt's may hold a pool's lock, and that it takes when the helper is
 * away. Whatever runs under the lock takes one deadline for all calls that it makes. */
#define VIR_STORAGE_TEMPLATE_BOUND_US (5 * G_USEC_PER_SEC)

/** virStorageTemplateClientNew: Returns: (transfer full): a client, not connected yet */
typedef struct _virStorageTemplateClient virStorageTemplateClient;
virStorageTemplateClient *virStorageTemplateClientNew(void);

/**
 * virStorageTemplateCall:
 * @method: of the interface
 * @arguments: a tuple; a floating reference is taken
 * @reply_type: of the tuple that is the answer
 * @deadline: monotonic time at which waiting ends, connecting included
 * @fds: (nullable): passed with the message
 *
 * See virStorageTemplateClientCall().
 */
typedef struct {
    const char *method;
    GVariant *arguments;
    const char *reply_type;
    gint64 deadline;
    GUnixFDList *fds;
} virStorageTemplateCall;

/**
 * virStorageTemplateClientCall:
 * @client: used by any number of threads at the same time
 * @call: what to call
 * @ret_reply: (out) (transfer full): untouched on failure
 * @error: a remote error has the helper's text, its name is g_dbus_error_get_remote_error()
 *
 * Connects when there is no connection. Does not report a libvirt error.
 */
bool virStorageTemplateClientCall(virStorageTemplateClient *client,
                                  const virStorageTemplateCall *call, GVariant **ret_reply,
                                  GError **error);

/**
 * virStorageTemplateClientIsHanging:
 *
 * Returns: whether the helper hangs. All calls to it fail at once until it answers again.
 */
bool virStorageTemplateClientIsHanging(virStorageTemplateClient *client);

/**
 * virStorageTemplateClientMayAsk:
 *
 * Returns: whether a question may be asked that could do with the list of the last refresh: not
 * when the helper hangs, and 20 times a second at most. Who polls one fetch sees it move; who goes
 * through thousands of volumes does not pay a call for each.
 */
bool virStorageTemplateClientMayAsk(virStorageTemplateClient *client);

/** virStorageTemplateDeadline: Returns: when an answer is due; a bit before the bound */
gint64 virStorageTemplateDeadline(void);

/** virStorageTemplateErrorIs: Returns: whether @error is the helper's virttemplate.Error.@name */
bool virStorageTemplateErrorIs(const GError *error, const char *name);

/**
 * virStorageTemplateReportError:
 * @error: of virStorageTemplateClientCall()
 *
 * Report it as libvirt error: the code by a table, the text as it is.
 */
void virStorageTemplateReportError(const GError *error);
