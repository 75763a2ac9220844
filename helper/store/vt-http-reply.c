/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-reply.c: an HTTP answer as a value */
#include "vt-http.h"

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
