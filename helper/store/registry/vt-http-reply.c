/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-reply.c: an HTTP answer as a value */
#include "vt-http.h"

#include <stdlib.h>
#include <string.h>

void
vt_http_reply_free(VtHttpReply *reply)
{
    if (!reply)
        return;
    g_free(reply->method);
    g_free(reply->url);
    g_free(reply->effective_url);
    g_clear_pointer(&reply->headers, g_ptr_array_unref);
    g_clear_pointer(&reply->body, g_byte_array_unref);
    g_free(reply->problem);
    g_free(reply);
}

/* All fields that are kept; curl limits a single one to 100 KiB */
#define HEADERS_MAX 64
/* A registry's error document; the rest of a longer one is not read */
#define ERROR_BODY_MAX 65536

static bool
is_kept(const char *name)
{
    static const char *const kept[] = {
        "content-range", "content-type", "docker-content-digest", "link", "location", "oci-subject",
        "retry-after",   "range",        "www-authenticate",      NULL};

    return g_strv_contains(kept, name);
}

void
vt_http_reply_take_line(VtHttpReply *reply, char *line)
{
    char *colon = strchr(line, ':');
    g_autofree char *name = NULL;

    if (g_str_has_prefix(line, "HTTP/")) {
        const char *space = strchr(line, ' ');

        reply->status = space ? strtol(space, NULL, 10) : 0;
        g_ptr_array_set_size(reply->headers, 0);
        g_byte_array_set_size(reply->body, 0);
        return;
    }
    if (!colon || reply->headers->len >= HEADERS_MAX)
        return;
    *colon = '\0';
    name = g_ascii_strdown(line, -1);
    if (is_kept(name))
        g_ptr_array_add(reply->headers, g_strconcat(name, ":", g_strstrip(colon + 1), NULL));
}

gsize
vt_http_reply_take_error(VtHttpReply *reply, const void *data, gsize length)
{
    gsize room = ERROR_BODY_MAX - MIN(reply->body->len, ERROR_BODY_MAX);

    g_byte_array_append(reply->body, data, (guint)MIN(length, room));
    return length <= room ? length : 0;
}

void
vt_http_reply_take_problem(VtHttpReply *reply, const char *what, const char *detail)
{
    if (!reply->problem)
        reply->problem = g_strconcat(what, detail ? ": " : NULL, detail, NULL);
}

static const char *
field_value(const char *field, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(field, name, length) != 0 || field[length] != ':')
        return NULL;
    return field + length + 1;
}

const char *
vt_http_reply_header(const VtHttpReply *reply, const char *name)
{
    const char *value = NULL;

    for (guint i = 0; i < reply->headers->len && !value; i++)
        value = field_value(g_ptr_array_index(reply->headers, i), name);
    return value;
}

char **
vt_http_reply_header_all(const VtHttpReply *reply, const char *name)
{
    g_autoptr(GStrvBuilder) values = g_strv_builder_new();

    for (guint i = 0; i < reply->headers->len; i++) {
        const char *value = field_value(g_ptr_array_index(reply->headers, i), name);

        if (value)
            g_strv_builder_add(values, value);
    }
    return g_strv_builder_end(values);
}
