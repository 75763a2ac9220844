/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-transfer.h: one request on its way, and its reply; only vt-http*.c include this */
#pragma once

#include "vt-http-rate.h"
#include "vt-http-scheme.h"
#include "vt-http.h"

#include <curl/curl.h>

/**
 * VtHttpFlow: when sinks are given data, zeroed: at once
 * @rate: of all transfers together
 * @paused: (element-type VtHttpTransfer): those that it keeps waiting
 * @held: (element-type VtHttpTransfer): those whose sinks have no room
 */
typedef struct {
    VtHttpRate rate;
    GQueue paused;
    GQueue held;
} VtHttpFlow;

/**
 * VtHttpTransfer:
 * @easy: of vt-http.c, which takes it back at the end
 * @path: (nullable): on the store's host; %NULL: @url was given whole
 * @scheme: with which @url was made; a guess if @guesses
 * @flow: that it is part of
 * @no_room: bytes that its sink had no room for
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
    VtHttpFlow *flow;
    size_t no_room;
    bool ended;
    VtHttpDone done;
    void *user;
    char problem[CURL_ERROR_SIZE];
} VtHttpTransfer;

/** vt_http_transfer_new: Prepares @easy for all but how its host is talked to, and the URL
 * @flow: outlives it */
VtHttpTransfer *vt_http_transfer_new(const VtHttpRequest *request, CURL *easy, VtHttpFlow *flow);
void vt_http_transfer_free(VtHttpTransfer *transfer);

/** vt_http_transfer_set_url: @url: (transfer full) */
void vt_http_transfer_set_url(VtHttpTransfer *transfer, char *url);

/** vt_http_transfer_requests: Returns: how many were sent, with those of redirects */
uint64_t vt_http_transfer_requests(const VtHttpTransfer *transfer);

/** vt_http_transfer_settle: Judges what came, once @easy is done with @code */
void vt_http_transfer_settle(VtHttpTransfer *transfer, CURLcode code);
