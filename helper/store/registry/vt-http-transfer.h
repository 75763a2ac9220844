/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-transfer.h: one request on its way, and its reply; only vt-http*.c include this */
#pragma once

#include "vt-http-rate.h"
#include "vt-http-scheme.h"
#include "vt-http.h"

#include <curl/curl.h>

/**
 * VtHttpTransfer:
 * @easy: of vt-http.c, which takes it back at the end
 * @path: (nullable): on the store's host; %NULL: @url was given whole
 * @scheme: with which @url was made; a guess if @guesses
 * @rate: at which a sink may be given data; waits in @paused for its turn
 * @ended: there is nothing to come
 * @done: (nullable): to be called then
 * @problem: in libcurl's words
 */
typedef struct {
    CURL *easy;
    struct curl_slist *headers;
    char *path;
    char *url;
    GBytes *body;
    VtHttpRequest request;
    uint64_t sent;
    VtHttpReply *reply;
    VtHttpScheme scheme;
    bool guesses;
    VtHttpRate *rate;
    GQueue *paused;
    bool ended;
    VtHttpDone done;
    void *user;
    char problem[CURL_ERROR_SIZE];
} VtHttpTransfer;

/** vt_http_transfer_new: Prepares @easy for all but how its host is talked to, and the URL
 * @paused: (element-type VtHttpTransfer) */
VtHttpTransfer *vt_http_transfer_new(const VtHttpRequest *request, CURL *easy, VtHttpRate *rate,
                                     GQueue *paused);
void vt_http_transfer_free(VtHttpTransfer *transfer);

/** vt_http_transfer_set_url: @url: (transfer full) */
void vt_http_transfer_set_url(VtHttpTransfer *transfer, char *url);

/** vt_http_transfer_requests: Returns: how many were sent, with those of redirects */
uint64_t vt_http_transfer_requests(const VtHttpTransfer *transfer);

/** vt_http_transfer_settle: Judges what came, once @easy is done with @code */
void vt_http_transfer_settle(VtHttpTransfer *transfer, CURLcode code);
