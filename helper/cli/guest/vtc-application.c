/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-application.c: the guests of an application that are there: down and list */
#include "vtc-application.h"

#include "vtc-guest-secrets.h"
#include "vtc-host.h"
#include "vtc-member.h"

#include <string.h>

/* A domain of the application, as libvirt has it */
typedef struct {
    char *name;
    VtcMember member;
    unsigned wave;
} Guest;

static void
guest_free(gpointer data)
{
    Guest *guest = data;

    g_free(guest->name);
    vtc_member_clear(&guest->member);
    g_free(guest);
}

/* What is in no instance of the document is needed by none */
static unsigned
wave_of(const VtApplication *application, const char *instance)
{
    for (guint i = 0; i < application->instances->len; i++) {
        const VtApplicationInstance *known = application->instances->pdata[i];

        if (g_str_equal(known->name, instance))
            return known->wave;
    }
    return UINT_MAX;
}

static void
take_domain(const VtApplication *application, virDomainPtr domain, GPtrArray *guests)
{
    g_auto(VtcMember) member = {NULL};
    Guest *guest;

    if (!vtc_member_read(domain, &member) || !g_str_equal(member.application, application->name))
        return;
    guest = g_new0(Guest, 1);
    guest->name = g_strdup(virDomainGetName(domain));
    guest->wave = wave_of(application, member.instance);
    guest->member = member;
    member = (VtcMember){NULL};
    g_ptr_array_add(guests, guest);
}

/* The last wave first, then by name */
static int
compare(gconstpointer a, gconstpointer b)
{
    const Guest *one = *(const Guest *const *)a, *other = *(const Guest *const *)b;

    if (one->wave != other->wave)
        return one->wave < other->wave ? 1 : -1;
    return strcmp(one->name, other->name);
}

static bool
find_guests(virConnectPtr connection, const VtApplication *application, GPtrArray **ret_guests,
            GError **error)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(connection, &domains, 0);

    if (count < 0)
        return vtc_host_throw(error, VT_ERROR_FAILED, "cannot list the domains of",
                              application->name);
    *ret_guests = g_ptr_array_new_with_free_func(guest_free);
    for (int i = 0; i < count; i++) {
        take_domain(application, domains[i], *ret_guests);
        virDomainFree(domains[i]);
    }
    free(domains);
    g_ptr_array_sort(*ret_guests, compare);
    return true;
}

/* ---- down ---- */

/* Before the domain goes: without it, nobody would know of its clone */
static bool
open_pool(virConnectPtr connection, const Guest *guest, virStoragePoolPtr *ret_pool, GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(connection, guest->member.pool);

    if (!pool)
        return vtc_host_throw(error, VT_ERROR_FAILED, "cannot use the pool", guest->member.pool);
    if (virStoragePoolIsActive(pool) == 1) {
        *ret_pool = pool;
        return true;
    }
    virStoragePoolFree(pool);
    return vt_throw(error, VT_ERROR_FAILED,
                    "the pool '%s', which has the clone of '%s', does not run: start it with "
                    "'virsh pool-start', and do this again",
                    guest->member.pool, guest->name);
}

/* The seed goes with the end of the domain */
static bool
remove_guest(virConnectPtr connection, const Guest *guest, GError **error)
{
    g_auto(VtcGuestSecrets) secrets = {NULL};
    virStoragePoolPtr pool = NULL;
    bool ok;

    if (!open_pool(connection, guest, &pool, error))
        return false;
    vtc_guest_secrets_find(connection, guest->name, &secrets);
    ok = vtc_host_remove_domain(connection, guest->name, error);
    if (ok)
        vtc_guest_secrets_forget(&secrets);
    ok = ok && vtc_host_remove_volume(pool, guest->member.volume, error);
    virStoragePoolFree(pool);
    if (ok)
        g_print("%s is removed\n", guest->name);
    return ok;
}

bool
vtc_application_down(virConnectPtr connection, const VtApplication *application,
                     VtcInterrupt *interrupt, GError **error)
{
    g_autoptr(GPtrArray) guests = NULL;
    bool ok = true;

    if (!find_guests(connection, application, &guests, error))
        return false;
    for (guint i = 0; i < guests->len; i++) {
        if (!vtc_interrupt_check(interrupt, ok ? error : NULL))
            return false;
        ok &= remove_guest(connection, guests->pdata[i], ok ? error : NULL);
    }
    return ok;
}

/* ---- list ---- */

static const char *
state_of(virConnectPtr connection, const char *name)
{
    static const char *const states[] = {
        [VIR_DOMAIN_NOSTATE] = "unknown",      [VIR_DOMAIN_RUNNING] = "running",
        [VIR_DOMAIN_BLOCKED] = "running",      [VIR_DOMAIN_PAUSED] = "paused",
        [VIR_DOMAIN_SHUTDOWN] = "in shutdown", [VIR_DOMAIN_SHUTOFF] = "shut off",
        [VIR_DOMAIN_CRASHED] = "crashed",      [VIR_DOMAIN_PMSUSPENDED] = "suspended",
    };
    virDomainPtr domain = virDomainLookupByName(connection, name);
    int state = VIR_DOMAIN_NOSTATE;

    if (!domain)
        return "missing";
    if (virDomainGetState(domain, &state, NULL, 0) < 0 || state < 0 ||
        (size_t)state >= G_N_ELEMENTS(states))
        state = VIR_DOMAIN_NOSTATE;
    virDomainFree(domain);
    return states[state];
}

static void
add_row(virConnectPtr connection, const char *name, const char *instance, json_t *rows)
{
    g_autofree char *address = NULL;
    json_t *row = json_object();

    vt_json_set_string(row, "domain", name);
    vt_json_set_string(row, "instance", instance);
    vt_json_set_string(row, "state", state_of(connection, name));
    if (vtc_host_address(connection, name, &address, NULL) && address)
        vt_json_set_string(row, "address", address);
    json_array_append_new(rows, row);
}

static bool
take_guest(GPtrArray *guests, const char *name)
{
    for (guint i = 0; i < guests->len; i++) {
        const Guest *guest = guests->pdata[i];

        if (g_str_equal(guest->name, name))
            return g_ptr_array_remove_index(guests, i);
    }
    return false;
}

/* A domain of this name that is no member counts as if it were not there, but it is in the way */
static void
add_wanted(virConnectPtr connection, const char *name, const VtApplicationInstance *instance,
           json_t *rows)
{
    const bool there = !g_str_equal(state_of(connection, name), "missing");
    json_t *row = json_object();

    vt_json_set_string(row, "domain", name);
    vt_json_set_string(row, "instance", instance->name);
    vt_json_set_string(row, "state", there ? "not of this application" : "missing");
    json_array_append_new(rows, row);
}

bool
vtc_application_list(virConnectPtr connection, const VtApplication *application, json_t **ret_rows,
                     GError **error)
{
    g_autoptr(GPtrArray) guests = NULL;
    json_t *rows;

    if (!find_guests(connection, application, &guests, error))
        return false;
    rows = json_array();
    for (guint i = 0; i < application->instances->len; i++) {
        const VtApplicationInstance *instance = application->instances->pdata[i];

        for (unsigned number = 0; number < instance->count; number++) {
            g_autofree char *name = vt_application_guest(application, instance, number);

            if (take_guest(guests, name))
                add_row(connection, name, instance->name, rows);
            else
                add_wanted(connection, name, instance, rows);
        }
    }
    for (guint i = 0; i < guests->len; i++) {
        const Guest *guest = guests->pdata[i];

        add_row(connection, guest->name, guest->member.instance, rows);
    }
    *ret_rows = rows;
    return true;
}
