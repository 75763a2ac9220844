/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-application-up.c: the guests of an application are made, all or none
 *
 * Theory of operation. First everything is looked up that can be wrong: templates, pools, names
 * that are taken. Then all guests are made, many at a time, because that is cheap and what fails
 * mostly fails there. Then they start, wave by wave. Whatever fails, what was made goes, the last
 * first.
 */
#include "vtc-application.h"

#include "vtc-batch.h"
#include "vtc-guest-options.h"
#include "vtc-host.h"
#include "vtc-member.h"
#include "vtc-wait.h"

typedef struct {
    const VtApplicationInstance *instance;
    VtcProvision provision;
    VtcSession *session;
} Kind;

/* there: before this run */
typedef struct {
    const Kind *kind;
    char *name;
    bool there;
} Guest;

typedef struct {
    const VtApplication *application;
    const VtcApplicationWish *wish;
    GPtrArray *kinds;
    GPtrArray *guests;
    GPtrArray *made; /* transfer none, of guests */
} Up;

static void
kind_free(gpointer data)
{
    Kind *kind = data;

    vtc_session_free(kind->session);
    g_free(kind);
}

static void
guest_free(gpointer data)
{
    Guest *guest = data;

    g_free(guest->name);
    g_free(guest);
}

static void
up_clear(Up *up)
{
    g_ptr_array_unref(up->made);
    g_ptr_array_unref(up->guests);
    g_ptr_array_unref(up->kinds);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Up, up_clear)

/* ---- what can be wrong before anything is made ---- */

static bool
fill_provision(const Up *up, Kind *kind, GError **error)
{
    const VtApplicationInstance *instance = kind->instance;
    VtcProvision *provision = &kind->provision;

    *provision = (VtcProvision){.uri = up->wish->uri,
                                .template = instance->template,
                                .template_pool = instance->template_pool,
                                .pool = instance->pool ? instance->pool : "default",
                                .virt_type = up->wish->virt_type,
                                .hardware = instance->hardware,
                                .settings = (char **)instance->settings->pdata,
                                .user_data = instance->user_data,
                                .datasource = instance->datasource,
                                .secrets = json_object_get(up->wish->secrets, instance->name),
                                .application = up->application->name,
                                .instance = instance->name};
    return vtc_guest_datasource(instance->datasource, error) &&
           (!instance->size || vtc_guest_size(instance->size, &provision->capacity, error)) &&
           (!instance->strategy ||
            vtc_guest_strategy(instance->strategy, &provision->strategy, error));
}

/* Whether the domain is there. One of its name that is not this very guest is in the way */
static bool
look_up(const Up *up, Guest *guest, GError **error)
{
    const Kind *kind = guest->kind;
    virDomainPtr domain = virDomainLookupByName(vtc_session_connection(kind->session), guest->name);
    g_auto(VtcMember) member = {NULL};

    if (!domain)
        return true;
    guest->there = vtc_member_read(domain, &member) &&
                   g_str_equal(member.application, up->application->name) &&
                   g_str_equal(member.instance, kind->instance->name);
    virDomainFree(domain);
    return guest->there || vt_throw(error, VT_ERROR_EXISTS,
                                    "there is a domain '%s' already, which does not belong to '%s'",
                                    guest->name, up->application->name);
}

/* What is there stays as it is, and needs nothing */
static bool
add_guests(Up *up, const Kind *kind, GError **error)
{
    const Guest *missing = NULL;

    for (unsigned number = 0; number < kind->instance->count; number++) {
        Guest *guest = g_new0(Guest, 1);

        guest->kind = kind;
        guest->name = vt_application_guest(up->application, kind->instance, number);
        g_ptr_array_add(up->guests, guest);
        if (!look_up(up, guest, error))
            return false;
        if (!guest->there)
            missing = guest;
    }
    return !missing || vtc_session_check(kind->session, missing->name, error);
}

static bool
check_secrets(const Up *up, GError **error)
{
    g_autoptr(GString) known = g_string_new(NULL);
    json_auto_t *left = json_copy((json_t *)(uintptr_t)up->wish->secrets);
    g_autofree char *shown = NULL;

    for (guint i = 0; i < up->application->instances->len; i++) {
        const VtApplicationInstance *instance = up->application->instances->pdata[i];

        json_object_del(left, instance->name);
        g_string_append_printf(known, "%s%s", i ? ", " : "", instance->name);
    }
    if (json_object_size(left) == 0)
        return true;
    shown = vt_json_shown(json_object_iter_key(json_object_iter(left)));
    return vt_throw(error, VT_ERROR_INVALID,
                    "--secrets: the application has no instance '%s'; it has: %s", shown,
                    known->str);
}

static bool
look_at_all(Up *up, GError **error)
{
    for (guint i = 0; i < up->application->instances->len; i++) {
        Kind *kind = g_new0(Kind, 1);

        kind->instance = up->application->instances->pdata[i];
        g_ptr_array_add(up->kinds, kind);
        if (!vtc_interrupt_check(up->wish->interrupt, error) || !fill_provision(up, kind, error) ||
            !vtc_session_open(&kind->provision, &kind->session, error) ||
            !add_guests(up, kind, error)) {
            g_prefix_error(error, "%s: ", kind->instance->name);
            return false;
        }
    }
    return true;
}

/* ---- making and starting ---- */

static bool
make_one(gpointer item, gpointer user_data, GError **error)
{
    const VtcApplicationWish *wish = user_data;
    const Guest *guest = item;

    return vtc_interrupt_check(wish->interrupt, error) &&
           vtc_session_make(guest->kind->session, guest->name, false, error);
}

static bool
start_one(gpointer item, gpointer user_data, GError **error)
{
    const VtcApplicationWish *wish = user_data;
    const Guest *guest = item;

    return vtc_interrupt_check(wish->interrupt, error) &&
           vtc_host_start(vtc_session_connection(guest->kind->session), guest->name, error);
}

/* @wave: UINT_MAX for all of them */
static GPtrArray *
guests_of(const Up *up, unsigned wave)
{
    GPtrArray *found = g_ptr_array_new();

    for (guint i = 0; i < up->guests->len; i++) {
        Guest *guest = up->guests->pdata[i];

        if (wave == UINT_MAX ? !guest->there : guest->kind->instance->wave == wave)
            g_ptr_array_add(found, guest);
    }
    return found;
}

/* In the order of the waves, so that what is needed is made first */
static int
compare(gconstpointer a, gconstpointer b)
{
    const Guest *one = *(const Guest *const *)a, *other = *(const Guest *const *)b;
    const unsigned wave = one->kind->instance->wave, other_wave = other->kind->instance->wave;

    return (wave > other_wave) - (wave < other_wave);
}

static bool
make_missing(Up *up, GError **error)
{
    g_autoptr(GPtrArray) missing = guests_of(up, UINT_MAX);

    g_ptr_array_sort(missing, compare);
    return vtc_batch_run(missing, make_one, (gpointer)(uintptr_t)up->wish, up->made, error);
}

static bool
wait_for(const Up *up, const Guest *guest, gint64 deadline, GError **error)
{
    g_autofree char *address = NULL;

    if (!vtc_wait_address(vtc_session_connection(guest->kind->session), guest->name, deadline,
                          up->wish->interrupt, &address, error))
        return false;
    g_print("%s %s\n", guest->name, address);
    return true;
}

static bool
start_wave(Up *up, unsigned wave, GError **error)
{
    g_autoptr(GPtrArray) all = guests_of(up, wave), stopped = g_ptr_array_new(),
                         started = g_ptr_array_new();
    gint64 deadline;

    for (guint i = 0; i < all->len; i++) {
        const Guest *guest = all->pdata[i];

        if (!vtc_host_runs(vtc_session_connection(guest->kind->session), guest->name))
            g_ptr_array_add(stopped, all->pdata[i]);
    }
    if (!vtc_batch_run(stopped, start_one, (gpointer)(uintptr_t)up->wish, started, error))
        return false;
    deadline = g_get_monotonic_time() + (gint64)up->wish->wait_s * G_USEC_PER_SEC;
    for (guint i = 0; i < all->len; i++) {
        const Guest *guest = all->pdata[i];

        if (up->wish->wait_s > 0 && !wait_for(up, guest, deadline, error))
            return false;
        if (up->wish->wait_s <= 0)
            g_print("%s is started\n", guest->name);
    }
    return true;
}

static bool
start_all(Up *up, GError **error)
{
    for (unsigned wave = 0; wave < up->application->waves; wave++) {
        if (!start_wave(up, wave, error))
            return false;
    }
    return true;
}

static void
remove_made(Up *up)
{
    g_ptr_array_sort(up->made, compare);
    for (guint i = up->made->len; i > 0; i--) {
        const Guest *guest = up->made->pdata[i - 1];

        vtc_session_remove(guest->kind->session, guest->name);
    }
}

static void
print_made(const Up *up)
{
    for (guint i = 0; i < up->guests->len; i++) {
        const Guest *guest = up->guests->pdata[i];

        g_print("%s is %s\n", guest->name, guest->there ? "there already" : "defined");
    }
}

bool
vtc_application_up(const VtApplication *application, const VtcApplicationWish *wish, GError **error)
{
    g_auto(Up) up = {.application = application,
                     .wish = wish,
                     .kinds = g_ptr_array_new_with_free_func(kind_free),
                     .guests = g_ptr_array_new_with_free_func(guest_free),
                     .made = g_ptr_array_new()};

    if (!check_secrets(&up, error) || !look_at_all(&up, error))
        return false;
    if (make_missing(&up, error) && (!wish->start || start_all(&up, error))) {
        if (!wish->start)
            print_made(&up);
        return true;
    }
    remove_made(&up);
    if (up.made->len > 0)
        g_prefix_error(error, "what was made is removed again: ");
    return false;
}
