/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-scrape.h: a client that wants metrics, and may speak HTTP */
#pragma once

#include <glib.h>

/**
 * VtcScrape: what a client wants
 * @VTC_SCRAPE_PLAIN: it said nothing, or no HTTP: the text alone
 * @VTC_SCRAPE_METRICS: `GET /metrics`, or `GET /`
 * @VTC_SCRAPE_HEAD: the same without a body
 * @VTC_SCRAPE_NOT_FOUND: another path
 * @VTC_SCRAPE_METHOD: another method
 * @VTC_SCRAPE_BAD: HTTP that is not right, too long, or not complete in time
 */
typedef enum {
    VTC_SCRAPE_PLAIN,
    VTC_SCRAPE_METRICS,
    VTC_SCRAPE_HEAD,
    VTC_SCRAPE_NOT_FOUND,
    VTC_SCRAPE_METHOD,
    VTC_SCRAPE_BAD,
} VtcScrape;

/** vtc_scrape_read: Reads the head of a request; waits two seconds for its begin, five for its end
 */
VtcScrape vtc_scrape_read(int fd);

/** vtc_scrape_parse: @head: what was read; @complete: whether it ended with an empty line */
VtcScrape vtc_scrape_parse(const char *head, gsize length, gboolean complete);

/**
 * vtc_scrape_answer:
 * @text: (nullable): the metrics
 * @failure: (nullable): why there are none; told with the status 503
 *
 * Returns: (transfer full): all that is to be sent
 */
char *vtc_scrape_answer(VtcScrape scrape, const char *text, const char *failure);
