/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-store.h: the store that --store names, and the options to reach it */
#pragma once

#include "vt-store.h"

/**
 * VtcStoreOptions: to be zeroed, then filled by the entries of vtc_store_entries()
 */
typedef struct {
    char *url;
    char *ca_file;
    char *auth_file;
    gboolean insecure;
} VtcStoreOptions;
void vtc_store_options_clear(VtcStoreOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcStoreOptions, vtc_store_options_clear)

/* Entries that VTC_STORE_ENTRIES adds to a verb's own */
#define VTC_STORE_ENTRIES(options)                                                                 \
    {"store", 's', 0, G_OPTION_ARG_STRING, &(options).url, "oci:/path or docker://host/prefix",    \
     "URL"},                                                                                       \
        {"insecure", 0, 0, G_OPTION_ARG_NONE, &(options).insecure, "Accept a store without TLS",   \
         NULL},                                                                                    \
        {"ca-file",                                                                                \
         0,                                                                                        \
         0,                                                                                        \
         G_OPTION_ARG_FILENAME,                                                                    \
         &(options).ca_file,                                                                       \
         "More certificate authorities (PEM)",                                                     \
         "FILE"},                                                                                  \
    {                                                                                              \
        "authfile", 0, 0, G_OPTION_ARG_FILENAME, &(options).auth_file,                             \
            "Credentials, containers-auth.json(5)", "FILE"                                         \
    }

/** vtc_store_parse: @ret_url: (out) (transfer full): of `--store`; %VTC_ERROR_USAGE without it */
bool vtc_store_parse(const VtcStoreOptions *options, VtStoreUrl **ret_url, GError **error);

/** vtc_store_open: @ret_store: (out) (transfer full): the store at @url */
bool vtc_store_open(const VtcStoreOptions *options, const VtStoreUrl *url, bool writable,
                    VtStore **ret_store, GError **error);
