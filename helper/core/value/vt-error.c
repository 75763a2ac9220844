/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-error.c: the one error domain of virt-template */
#include "vt-error.h"

#include <errno.h>
#include <string.h>

static const char *const dbus_names[] = {
    [VT_ERROR_FAILED] = "virttemplate.Error.Failed",
    [VT_ERROR_INVALID] = "virttemplate.Error.Invalid",
    [VT_ERROR_NOT_FOUND] = "virttemplate.Error.NotFound",
    [VT_ERROR_EXISTS] = "virttemplate.Error.Exists",
    [VT_ERROR_UNTRUSTED] = "virttemplate.Error.Untrusted",
    [VT_ERROR_POLICY] = "virttemplate.Error.Policy",
    [VT_ERROR_CORRUPT] = "virttemplate.Error.Corrupt",
    [VT_ERROR_TOO_LARGE] = "virttemplate.Error.TooLarge",
    [VT_ERROR_NETWORK] = "virttemplate.Error.Network",
    [VT_ERROR_BUSY] = "virttemplate.Error.Busy",
    [VT_ERROR_NO_SPACE] = "virttemplate.Error.NoSpace",
    [VT_ERROR_UNSUPPORTED] = "virttemplate.Error.Unsupported",
    [VT_ERROR_DENIED] = "virttemplate.Error.Denied",
};
G_STATIC_ASSERT(G_N_ELEMENTS(dbus_names) == VT_ERROR_LAST);

G_DEFINE_QUARK(vt - error - quark, vt_error)

const char *
vt_error_dbus_name(int code)
{
    if (code < 0 || code >= VT_ERROR_LAST)
        code = VT_ERROR_FAILED;
    return dbus_names[code];
}

VtError
vt_error_from_dbus_name(const char *name)
{
    for (int i = 0; i < VT_ERROR_LAST; i++) {
        if (g_strcmp0(dbus_names[i], name) == 0)
            return i;
    }
    return VT_ERROR_FAILED;
}

/* What others wrote may stand in a message, cut anywhere. D-Bus takes nothing but UTF-8, and a
 * terminal obeys control characters: U+009B begins a sequence as ESC does */
static void
clean(GError *error)
{
    char *valid = g_utf8_make_valid(error->message, -1);

    for (char *at = valid; *at; at = g_utf8_next_char(at)) {
        if (*at != '\n' && g_unichar_iscntrl(g_utf8_get_char(at)))
            memset(at, '?', (size_t)(g_utf8_next_char(at) - at));
    }
    g_free(error->message);
    error->message = valid;
}

bool
vt_throw(GError **error, VtError code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (error && !*error) {
        *error = g_error_new_valist(VT_ERROR, (int)code, format, args);
        clean(*error);
    }
    va_end(args);
    return false;
}

static VtError
code_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return VT_ERROR_NO_SPACE;
    case ENOENT:
        return VT_ERROR_NOT_FOUND;
    case EEXIST:
        return VT_ERROR_EXISTS;
    case EACCES:
    case EPERM:
        return VT_ERROR_DENIED;
    default:
        return VT_ERROR_FAILED;
    }
}

bool
vt_throw_errno(GError **error, int saved_errno, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list args;

    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    return vt_throw(error, code_of_errno(saved_errno), "%s: %s", what, g_strerror(saved_errno));
}
