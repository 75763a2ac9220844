/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods.h: the methods of virttemplate.Helper1 */
#pragma once

#include "vtd-daemon.h"

/**
 * VtdPeerCalls: calls of one connection; g_atomic_rc_box_acquire()
 * @unanswered: atomic
 * @waiting: of them, those that are answered later; belongs to the main thread
 */
typedef struct {
    gint unanswered;
    guint waiting;
} VtdPeerCalls;

/**
 * VtdUserCalls: calls of one user, whose connections may be closed by now; has references as above
 * @alive: not answered yet; belongs to the main thread
 */
typedef struct {
    guint alive;
} VtdUserCalls;

/**
 * VtdCall: one call; freed by vtd_call_return() or vtd_call_throw()
 * @peer_uid: from the kernel
 * @read_only: it came over the read-only socket
 * @sealed: the layers that it needs were sealed for it, as well as they can be
 * @peer_calls: of its connection, a reference
 * @user_calls: of its user, a reference; it is counted there
 */
typedef struct {
    VtdDaemon *daemon;
    GDBusMethodInvocation *invocation;
    GVariant *arguments;
    uint32_t peer_uid;
    bool read_only;
    bool sealed;
    VtdPeerCalls *peer_calls;
    VtdUserCalls *user_calls;
} VtdCall;

/** vtd_call_return: @values: (nullable): floating tuple */
void vtd_call_return(VtdCall *call, GVariant *values);
/** vtd_call_throw: @error: (transfer full) */
void vtd_call_throw(VtdCall *call, GError *error);

/** vtd_call_refuse_peer: Tells the operator that the peer may not do this */
void vtd_call_refuse_peer(const VtdCall *call, VtdPeerRefusal reason);

/** vtd_call_may_wait: Returns: whether the answer may come later; if so, vtd_call_waited() is
 * called before it. Everybody may call what waits: beyond a limit of each connection they are
 * answered at once; root has none */
bool vtd_call_may_wait(VtdCall *call);
void vtd_call_waited(VtdCall *call);

/**
 * VtdMethod:
 * @changes: needs the socket that only root may use
 * @run: checks the arguments; on false nothing was answered yet
 */
typedef struct {
    const char *name;
    bool changes;
    bool (*run)(VtdCall *call, GError **error);
} VtdMethod;

/** vtd_method_find: Returns: (nullable) */
const VtdMethod *vtd_method_find(const char *name);

/** vtd_check_path: %VT_ERROR_INVALID unless @path is absolute and plain: no `.` or `..`, no `//`,
 *  no control character, valid UTF-8, short enough */
bool vtd_check_path(const char *path, GError **error);

/* vtd-methods-list.c */
bool vtd_method_list_templates(VtdCall *call, GError **error);
bool vtd_method_get_template(VtdCall *call, GError **error);
bool vtd_method_get_config(VtdCall *call, GError **error);
/* vtd-methods-clone.c */
bool vtd_method_make_overlay(VtdCall *call, GError **error);
bool vtd_method_make_copy(VtdCall *call, GError **error);
bool vtd_method_record_clone(VtdCall *call, GError **error);
/* vtd-methods-evict.c */
bool vtd_method_list_clones(VtdCall *call, GError **error);
bool vtd_method_evict(VtdCall *call, GError **error);
/* vtd-methods-metrics.c */
bool vtd_method_get_metrics(VtdCall *call, GError **error);
/* vtd-methods-cost.c */
bool vtd_method_get_cost(VtdCall *call, GError **error);
bool vtd_method_compare(VtdCall *call, GError **error);
/* vtd-methods-seed.c */
bool vtd_method_prepare_instance(VtdCall *call, GError **error);
bool vtd_method_release_instance(VtdCall *call, GError **error);
/* vtd-methods-upload.c */
bool vtd_method_take_uploads(VtdCall *call, GError **error);
bool vtd_method_set_secrets(VtdCall *call, GError **error);

/** vtd_call_string: Returns: an argument that is a string; lives as long as the call, unless
 *  g_variant_get() or g_variant_get_child() with '&' packs the arguments anew */
const char *vtd_call_string(const VtdCall *call, gsize number);

/**
 * VtdTarget: the first arguments of most methods, checked: `(sss` target, name, version
 * @version: "" is the current one
 */
typedef struct {
    VtdPool *pool;
    const char *target;
    const char *name;
    const char *version;
} VtdTarget;
bool vtd_call_target(VtdCall *call, VtdTarget *ret_target, GError **error);
