/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-outcome.c: what an error of libcurl means for the request */
#include "vt-http-outcome.h"

VtHttpOutcome
vt_http_outcome(CURLcode code)
{
    static const struct {
        CURLcode code;
        VtHttpOutcome outcome;
    } known[] = {
        {CURLE_OK, VT_HTTP_ANSWERED},
        {CURLE_COULDNT_RESOLVE_HOST, VT_HTTP_UNREACHABLE},
        {CURLE_COULDNT_RESOLVE_PROXY, VT_HTTP_UNREACHABLE},
        {CURLE_COULDNT_CONNECT, VT_HTTP_UNREACHABLE},
        {CURLE_OPERATION_TIMEDOUT, VT_HTTP_STALLED},
        {CURLE_PARTIAL_FILE, VT_HTTP_CUT},
        {CURLE_RECV_ERROR, VT_HTTP_CUT},
        {CURLE_SEND_ERROR, VT_HTTP_CUT},
        {CURLE_SEND_FAIL_REWIND, VT_HTTP_CUT},
        {CURLE_GOT_NOTHING, VT_HTTP_CUT},
        {CURLE_HTTP2, VT_HTTP_CUT},
        {CURLE_HTTP2_STREAM, VT_HTTP_CUT},
        {CURLE_PEER_FAILED_VERIFICATION, VT_HTTP_UNTRUSTED},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        if (code == known[i].code)
            return known[i].outcome;
    }
    return VT_HTTP_REFUSED;
}
