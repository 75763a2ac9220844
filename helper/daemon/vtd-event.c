/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-event.c: what the daemon tells its operator, in the journal */
#include "vtd-event.h"

#include <stdio.h>
#include <unistd.h>

/* syslog(3): what somebody should look at, and what happened */
#define PRIORITY_WARNING "4"
#define PRIORITY_NOTICE  "5"
/* MESSAGE, MESSAGE_ID, PRIORITY, GLIB_DOMAIN, and all of VtdEventFields */
#define FIELDS_MAX 16
/* Of a number in decimal */
#define NUMBER_MAX 24

static const struct {
    const char *message_id;
    const char *priority;
    GLogLevelFlags level;
} events[VTD_EVENT_LAST] = {
    [VTD_EVENT_PULLED] = {"44cfea74fbfd412e8153240844e4e15c", PRIORITY_NOTICE, G_LOG_LEVEL_MESSAGE},
    [VTD_EVENT_REFUSED] = {"61955745139a430799b60e2019826c7a", PRIORITY_WARNING,
                           G_LOG_LEVEL_WARNING},
    [VTD_EVENT_CLONED] = {"9d9e345bcfe54489bb1ae4150d0b3c89", PRIORITY_NOTICE, G_LOG_LEVEL_MESSAGE},
    [VTD_EVENT_EVICTED] = {"05d29f305480415a83cafc579acf88cd", PRIORITY_NOTICE,
                           G_LOG_LEVEL_MESSAGE},
    [VTD_EVENT_RECOVERED] = {"97593b554b9a41bb81b790052d338139", PRIORITY_NOTICE,
                             G_LOG_LEVEL_MESSAGE},
    [VTD_EVENT_DAMAGED] = {"ed5290d272a640b2bff351badba55641", PRIORITY_WARNING,
                           G_LOG_LEVEL_WARNING},
    [VTD_EVENT_REPAIRED] = {"baf7b995479846828cebcb6edbff7ff6", PRIORITY_NOTICE,
                            G_LOG_LEVEL_MESSAGE},
    [VTD_EVENT_PEER_REFUSED] = {"ccfc5a22796c4bcb97891daa62a03a68", PRIORITY_WARNING,
                                G_LOG_LEVEL_WARNING},
    [VTD_EVENT_STORE_AWAY] = {"90504b375c5f4a568e96e3014a0b72a6", PRIORITY_WARNING,
                              G_LOG_LEVEL_WARNING},
    [VTD_EVENT_CATALOG_EXPIRED] = {"755d3e51611b4169ba0eb35d2bfd8e84", PRIORITY_WARNING,
                                   G_LOG_LEVEL_WARNING},
    [VTD_EVENT_JOB_FAILED] = {"ba101f786f104a0e888da555245e66c8", PRIORITY_WARNING,
                              G_LOG_LEVEL_WARNING},
    [VTD_EVENT_JOB_ENDED] = {"26665eb928ef45c9944ed66a787048f4", PRIORITY_NOTICE,
                             G_LOG_LEVEL_MESSAGE},
};

static const char *const reasons[] = {
    [VT_ERROR_FAILED] = "failed",       [VT_ERROR_INVALID] = "invalid",
    [VT_ERROR_NOT_FOUND] = "not-found", [VT_ERROR_EXISTS] = "exists",
    [VT_ERROR_UNTRUSTED] = "untrusted", [VT_ERROR_POLICY] = "policy",
    [VT_ERROR_CORRUPT] = "corrupt",     [VT_ERROR_TOO_LARGE] = "too-large",
    [VT_ERROR_NETWORK] = "network",     [VT_ERROR_BUSY] = "busy",
    [VT_ERROR_NO_SPACE] = "no-space",   [VT_ERROR_UNSUPPORTED] = "unsupported",
    [VT_ERROR_DENIED] = "denied",
};
G_STATIC_ASSERT(G_N_ELEMENTS(reasons) == VT_ERROR_LAST);

const char *
vtd_event_reason(const GError *error)
{
    const bool ours = error->domain == VT_ERROR && error->code >= 0 && error->code < VT_ERROR_LAST;

    return reasons[ours ? error->code : VT_ERROR_FAILED];
}

bool
vtd_event_is_refusal(const GError *error)
{
    static const bool refusals[VT_ERROR_LAST] = {
        [VT_ERROR_INVALID] = true, [VT_ERROR_UNTRUSTED] = true,   [VT_ERROR_POLICY] = true,
        [VT_ERROR_CORRUPT] = true, [VT_ERROR_UNSUPPORTED] = true, [VT_ERROR_TOO_LARGE] = true,
    };

    return error && error->domain == VT_ERROR && error->code >= 0 && error->code < VT_ERROR_LAST &&
           refusals[error->code];
}

/* ---- records ---- */

typedef struct {
    GLogField fields[FIELDS_MAX];
    gsize count;
} Record;

static void
add(Record *record, const char *key, const char *value)
{
    g_assert(record->count < FIELDS_MAX);
    if (value)
        record->fields[record->count++] = (GLogField){key, value, -1};
}

static const char *
format_number(const uint64_t *number, char buffer[NUMBER_MAX])
{
    if (!number)
        return NULL;
    snprintf(buffer, NUMBER_MAX, "%" G_GUINT64_FORMAT, *number);
    return buffer;
}

static void
add_event(Record *record, VtdEvent event, const char *message)
{
    add(record, "MESSAGE", message);
    add(record, "MESSAGE_ID", events[event].message_id);
    add(record, "PRIORITY", events[event].priority);
    add(record, "GLIB_DOMAIN", G_LOG_DOMAIN);
}

void
vtd_event_log(VtdEvent event, const VtdEventFields *fields, const char *format, ...)
{
    const uint64_t uid = fields->peer_uid ? *fields->peer_uid : 0;
    char job[NUMBER_MAX], bytes[NUMBER_MAX], requests[NUMBER_MAX], peer[NUMBER_MAX];
    char digest[VT_DIGEST_STRING_MAX];
    g_autofree char *message = NULL;
    Record record = {.count = 0};
    va_list args;

    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    add_event(&record, event, message);
    add(&record, "VIRT_TEMPLATE_POOL", fields->pool);
    add(&record, "VIRT_TEMPLATE_NAME", fields->name);
    add(&record, "VIRT_TEMPLATE_VERSION", fields->version);
    add(&record, "VIRT_TEMPLATE_DIGEST",
        fields->digest ? vt_digest_format(fields->digest, digest) : NULL);
    add(&record, "VIRT_TEMPLATE_REASON", fields->reason);
    add(&record, "VIRT_TEMPLATE_METHOD", fields->method);
    add(&record, "VIRT_TEMPLATE_PATH", fields->path);
    add(&record, "VIRT_TEMPLATE_JOB", format_number(fields->job, job));
    add(&record, "VIRT_TEMPLATE_BYTES", format_number(fields->bytes, bytes));
    add(&record, "VIRT_TEMPLATE_REQUESTS", format_number(fields->requests, requests));
    add(&record, "VIRT_TEMPLATE_PEER_UID", format_number(fields->peer_uid ? &uid : NULL, peer));
    g_log_structured_array(events[event].level, record.fields, record.count);
}

/* ---- the writer ---- */

/* A line break of a store would be a line of ours; an escape sequence would reach a terminal */
static char *
escape(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *plain = g_string_new(NULL);

    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        const gunichar character = g_utf8_get_char(at);

        if (g_unichar_isprint(character))
            g_string_append_unichar(plain, character);
        else
            g_string_append_printf(plain, character < 0x100 ? "\\x%02x" : "\\u%04x", character);
    }
    return g_string_free(plain, FALSE);
}

/* 2026-11-21T18:09:36Z virttemplated: warning: ... */
static void
write_line(GLogLevelFlags level, const GLogField *fields, gsize count)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format_iso8601(now);
    const bool warning = (level & G_LOG_LEVEL_WARNING) != 0;

    for (gsize i = 0; i < count; i++) {
        if (g_str_equal(fields[i].key, "MESSAGE"))
            fprintf(stderr, "%s virttemplated: %s%s\n", time, warning ? "warning: " : "",
                    (const char *)fields[i].value);
    }
}

/* GDBus warns of each message that it does not understand, and prints all of it: anybody who may
 * connect could fill the journal. That he is cut off is enough. */
static bool
is_of_strangers(const GLogField *fields, gsize count)
{
    bool by_gdbus = false, undecoded = false;

    for (gsize i = 0; i < count; i++) {
        if (fields[i].length >= 0)
            continue;
        by_gdbus |=
            g_str_equal(fields[i].key, "GLIB_DOMAIN") && g_str_equal(fields[i].value, "GLib-GIO");
        undecoded |= g_str_equal(fields[i].key, "MESSAGE") &&
                     g_str_has_prefix(fields[i].value, "Error decoding D-Bus message");
    }
    return by_gdbus && undecoded;
}

GLogWriterOutput
vtd_event_write(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user)
{
    g_autoptr(GPtrArray) texts = NULL;
    g_autofree GLogField *escaped = NULL;

    /* G_MESSAGES_DEBUG, as everywhere with GLib */
    if (g_log_writer_default_would_drop(level, G_LOG_DOMAIN) || is_of_strangers(fields, count))
        return G_LOG_WRITER_HANDLED;
    texts = g_ptr_array_new_with_free_func(g_free);
    escaped = g_memdup2(fields, count * sizeof(*fields));
    for (gsize i = 0; i < count; i++) {
        if (fields[i].length >= 0)
            continue;
        escaped[i].value = escape(fields[i].value);
        g_ptr_array_add(texts, (gpointer)escaped[i].value);
    }
    /* An error in the program: what GLib does about it, G_DEBUG says */
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return g_log_writer_default(level, escaped, count, user);
    if (!g_log_writer_is_journald(STDERR_FILENO) ||
        g_log_writer_journald(level, escaped, count, user) != G_LOG_WRITER_HANDLED)
        write_line(level, escaped, count);
    return G_LOG_WRITER_HANDLED;
}
