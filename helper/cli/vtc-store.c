/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-store.c: the store that --store names, and the options to reach it */
#include "vtc-store.h"

#include "vtc-exit.h"

void
vtc_store_options_clear(VtcStoreOptions *options)
{
    g_clear_pointer(&options->url, g_free);
    g_clear_pointer(&options->ca_file, g_free);
    g_clear_pointer(&options->auth_file, g_free);
}

bool
vtc_store_parse(const VtcStoreOptions *options, VtStoreUrl **ret_url, GError **error)
{
    if (!options->url)
        return vtc_usage(error, "which store? Use --store oci:/path or "
                                "--store docker://host/prefix");
    return vt_store_url_parse(options->url, ret_url, error);
}

bool
vtc_store_open(const VtcStoreOptions *options, const VtStoreUrl *url, bool writable,
               VtStore **ret_store, GError **error)
{
    const VtStoreOptions store_options = {
        .insecure = options->insecure,
        .ca_file = options->ca_file,
        .auth_file = options->auth_file,
        .writable = writable,
        .layout_fd = -1,
    };

    return vt_store_open(url, &store_options, ret_store, error);
}
