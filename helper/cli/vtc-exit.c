/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-exit.c: what the exit status of virt-template says */
#include "vtc-exit.h"

#include <gio/gio.h>

enum {
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_USAGE,
    EXIT_NOT_FOUND,
    EXIT_UNTRUSTED,
    EXIT_CORRUPT,
    EXIT_STORE,
    EXIT_BUSY,
    EXIT_NO_SPACE,
    EXIT_NO_HELPER,
    EXIT_EXISTS,
    EXIT_DENIED,
    /* 128 + SIGINT, as shells have it */
    EXIT_INTERRUPTED = 130,
};

static const VtcExit meanings[] = {
    {EXIT_DONE, "done"},
    {EXIT_FAILED, "failed for another reason"},
    {EXIT_USAGE, "the command line, a name or a file is not valid"},
    {EXIT_NOT_FOUND, "the named thing does not exist"},
    {EXIT_UNTRUSTED, "not signed by a trusted key, or the policy rejects it"},
    {EXIT_CORRUPT, "bytes do not match the digest that names them"},
    {EXIT_STORE, "the store cannot be reached or answers with an error"},
    {EXIT_BUSY, "in use, or another job holds it"},
    {EXIT_NO_SPACE, "the disk is full"},
    {EXIT_NO_HELPER, "virttemplated cannot be reached"},
    {EXIT_EXISTS, "it exists already"},
    {EXIT_DENIED, "not permitted"},
    {EXIT_INTERRUPTED, "interrupted"},
    {0, NULL},
};

static const int status_of[] = {
    [VT_ERROR_FAILED] = EXIT_FAILED,       [VT_ERROR_INVALID] = EXIT_USAGE,
    [VT_ERROR_NOT_FOUND] = EXIT_NOT_FOUND, [VT_ERROR_EXISTS] = EXIT_EXISTS,
    [VT_ERROR_UNTRUSTED] = EXIT_UNTRUSTED, [VT_ERROR_POLICY] = EXIT_UNTRUSTED,
    [VT_ERROR_CORRUPT] = EXIT_CORRUPT,     [VT_ERROR_TOO_LARGE] = EXIT_FAILED,
    [VT_ERROR_NETWORK] = EXIT_STORE,       [VT_ERROR_BUSY] = EXIT_BUSY,
    [VT_ERROR_NO_SPACE] = EXIT_NO_SPACE,   [VT_ERROR_UNSUPPORTED] = EXIT_FAILED,
    [VT_ERROR_DENIED] = EXIT_DENIED,
};
G_STATIC_ASSERT(G_N_ELEMENTS(status_of) == VT_ERROR_LAST);

static const int own_status_of[] = {
    [VTC_ERROR_USAGE] = EXIT_USAGE,
    [VTC_ERROR_NO_HELPER] = EXIT_NO_HELPER,
    [VTC_ERROR_INTERRUPTED] = EXIT_INTERRUPTED,
};

G_DEFINE_QUARK(vtc - error - quark, vtc_error)

bool
vtc_usage(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (error && !*error)
        *error = g_error_new_valist(VTC_ERROR, VTC_ERROR_USAGE, format, args);
    va_end(args);
    return false;
}

int
vtc_exit_status(const GError *error)
{
    if (!error)
        return EXIT_DONE;
    if (error->domain == VTC_ERROR && error->code >= 0 &&
        (size_t)error->code < G_N_ELEMENTS(own_status_of))
        return own_status_of[error->code];
    if (error->domain == VT_ERROR && error->code >= 0 && error->code < VT_ERROR_LAST)
        return status_of[error->code];
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return EXIT_INTERRUPTED;
    return EXIT_FAILED;
}

const VtcExit *
vtc_exit_table(void)
{
    return meanings;
}
