/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-error.h: the one error domain of virt-template */
#pragma once

#include <glib.h>
#include <stdbool.h>

/**
 * VtError:
 * @VT_ERROR_FAILED: anything no caller needs to tell apart
 * @VT_ERROR_INVALID: input does not follow its grammar or format
 * @VT_ERROR_NOT_FOUND: the named thing does not exist
 * @VT_ERROR_EXISTS: the named thing exists already
 * @VT_ERROR_UNTRUSTED: no acceptable signature, or one that is too old
 * @VT_ERROR_POLICY: the trust policy is missing, malformed or rejects
 * @VT_ERROR_CORRUPT: bytes do not match the digest or size that names them
 * @VT_ERROR_TOO_LARGE: a named limit is exceeded
 * @VT_ERROR_NETWORK: the store cannot be reached or answers with an error
 * @VT_ERROR_BUSY: in use, or another job holds it
 * @VT_ERROR_NO_SPACE: the disk is full
 * @VT_ERROR_UNSUPPORTED: valid, but not something this version implements
 * @VT_ERROR_DENIED: the caller may not do this
 *
 * Cancellation is %G_IO_ERROR_CANCELLED. Over D-Bus an error is named
 * `virttemplate.Error.` plus the last word in CamelCase (`NotFound`, `NoSpace` ...).
 */
typedef enum {
    VT_ERROR_FAILED,
    VT_ERROR_INVALID,
    VT_ERROR_NOT_FOUND,
    VT_ERROR_EXISTS,
    VT_ERROR_UNTRUSTED,
    VT_ERROR_POLICY,
    VT_ERROR_CORRUPT,
    VT_ERROR_TOO_LARGE,
    VT_ERROR_NETWORK,
    VT_ERROR_BUSY,
    VT_ERROR_NO_SPACE,
    VT_ERROR_UNSUPPORTED,
    VT_ERROR_DENIED,
    VT_ERROR_LAST, /*< skip >*/
} VtError;

#define VT_ERROR (vt_error_quark())
GQuark vt_error_quark(void);

/**
 * vt_error_dbus_name:
 * @code: a #VtError
 *
 * Returns: (transfer none): the D-Bus error name of @code; `Failed` for unknown codes
 */
const char *vt_error_dbus_name(int code);

/**
 * vt_error_from_dbus_name:
 * @name: a D-Bus error name
 *
 * Returns: the #VtError of @name, %VT_ERROR_FAILED if it is not one of ours
 */
VtError vt_error_from_dbus_name(const char *name);

/**
 * vt_throw:
 * @error: return location for a #GError
 * @code: a #VtError
 * @format: printf format; names the thing, the reason and what to do
 *
 * Set @error. Its message is valid UTF-8 whatever the arguments are, and has no control character
 * but newlines. Returns false, so that `return vt_throw(...)` ends a function.
 */
bool vt_throw(GError **error, VtError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/**
 * vt_throw_errno:
 * @error: return location for a #GError
 * @saved_errno: the errno to report; ENOSPC and EDQUOT become %VT_ERROR_NO_SPACE,
 *   ENOENT %VT_ERROR_NOT_FOUND, EEXIST %VT_ERROR_EXISTS, EACCES and EPERM %VT_ERROR_DENIED,
 *   all others %VT_ERROR_FAILED
 * @format: printf format of what was being done; `: <strerror>` is appended
 *
 * Returns: false
 */
bool vt_throw_errno(GError **error, int saved_errno, const char *format, ...) G_GNUC_PRINTF(3, 4);
