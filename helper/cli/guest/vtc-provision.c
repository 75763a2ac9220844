/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-provision.c: clones, domains and their addresses, through libvirt's public API */
#include "vtc-provision.h"

#include "vt-instance-template.h"
#include "vt-secrets.h"
#include "vt-yaml.h"
#include "vtc-guest-secrets.h"
#include "vtc-host.h"
#include "vtc-secrets.h"
#include "vtc-template.h"

#include <string.h>

struct VtcSession {
    const VtcProvision *provision;
    virConnectPtr connection;
    virStorageVolPtr template;
    virStoragePoolPtr pool;
    char *seed_dir;
    char *defaults;    /* (nullable): file of the template's pool */
    VtcClient *client; /* (nullable): there are no secrets */
    const char *virt_type;
    GMutex lock;
    bool resolved;    /* guarded by lock */
    VtcTemplate says; /* guarded by lock, until it is resolved */
};

/* ---- the template ---- */

/* Takes the volume from @pool if it is there; a second pool that has it is an error */
static bool
look_into(VtcSession *session, virStoragePoolPtr pool, const char *volume, GError **error)
{
    const char *wanted = session->provision->template_pool;
    virStorageVolPtr found;

    if (wanted && strcmp(wanted, virStoragePoolGetName(pool)) != 0)
        return true;
    found = virStorageVolLookupByName(pool, volume);
    if (!found)
        return true;
    if (session->template) {
        virStorageVolFree(found);
        return vt_throw(error, VT_ERROR_INVALID,
                        "more than one pool has '%s': name one with --template-pool", volume);
    }
    session->template = found;
    session->seed_dir = vtc_host_pool_target(pool);
    session->defaults = vtc_host_pool_defaults(pool);
    return session->seed_dir != NULL ||
           vt_throw(error, VT_ERROR_FAILED, "the pool of '%s' has no target path", volume);
}

static bool
find_template(VtcSession *session, GError **error)
{
    g_autofree char *volume = g_strconcat(session->provision->template, ".qcow2", NULL);
    virStoragePoolPtr *pools = NULL;
    int count = virConnectListAllStoragePools(session->connection, &pools,
                                              VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
    bool ok = count >= 0 || vtc_host_throw(error, VT_ERROR_FAILED, "cannot list pools for", volume);

    for (int i = 0; i < count; i++) {
        ok = ok && look_into(session, pools[i], volume, error);
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    return ok &&
           (session->template ||
            vt_throw(error, VT_ERROR_NOT_FOUND,
                     "no running pool%s%s has the template '%s'; see 'virt-template list'",
                     session->provision->template_pool ? " " : "",
                     session->provision->template_pool ? session->provision->template_pool : "",
                     session->provision->template));
}

/* For the secrets, if there are any */
static bool
open_client(VtcSession *session, GError **error)
{
    g_auto(VtcHelperOptions) helper = vtc_host_helper(session->connection);

    if (!session->provision->secrets)
        return true;
    if (vtc_host_is_remote(session->connection))
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "--secrets: libvirt is on another host, where virttemplated keeps them: "
                        "run this there");
    if (vtc_client_open(&helper, true, &session->client, error))
        return true;
    g_prefix_error(error, "--secrets: ");
    return false;
}

bool
vtc_session_open(const VtcProvision *provision, VtcSession **ret_session, GError **error)
{
    g_autoptr(VtcSession) session = g_new0(VtcSession, 1);

    g_mutex_init(&session->lock);
    session->provision = provision;
    /* What is asked for in vain is refused before anything is made */
    if (!vtc_template_hardware_wanted(provision, &session->says.hardware, error) ||
        !vtc_host_open(provision->uri, &session->connection, error) || !open_client(session, error))
        return false;
    session->pool = virStoragePoolLookupByName(session->connection, provision->pool);
    if (!session->pool)
        return vtc_host_throw(error, VT_ERROR_NOT_FOUND, "cannot use the pool", provision->pool);
    if (!find_template(session, error))
        return false;
    session->virt_type = vtc_host_virt_type(session->connection);
    *ret_session = g_steal_pointer(&session);
    return true;
}

void
vtc_session_free(VtcSession *session)
{
    if (!session)
        return;
    if (session->template)
        virStorageVolFree(session->template);
    if (session->pool)
        virStoragePoolFree(session->pool);
    if (session->connection)
        virConnectClose(session->connection);
    g_mutex_clear(&session->lock);
    vtc_template_clear(&session->says);
    vtc_client_free(session->client);
    g_free(session->seed_dir);
    g_free(session->defaults);
    g_free(session);
}

/* ---- one domain ---- */

static char *
volume_name(const char *name)
{
    return g_strconcat(name, ".qcow2", NULL);
}

/* Once, and for good when the template had to be here: a clone brings it */
static bool
resolve_template(VtcSession *session, bool for_good, GError **error)
{
    const char *target = vtc_host_is_remote(session->connection) ? NULL : session->seed_dir;
    g_auto(VtcHelperOptions) helper = vtc_host_helper(session->connection);
    bool ok = true;

    g_mutex_lock(&session->lock);
    if (!session->resolved) {
        vtc_template_clear(&session->says);
        ok = vtc_template_resolve(session->provision, &helper, target, &session->says, error);
        session->resolved = ok && (for_good || !session->says.unknown);
        if (session->resolved && session->says.unknown)
            g_printerr("virt-template: what '%s' takes and asks for is not known: %s\n",
                       session->provision->template, session->says.unknown);
    }
    g_mutex_unlock(&session->lock);
    return ok;
}

static char *
seed_path(const VtcSession *session, const char *name)
{
    return g_strdup_printf("%s/%s-seed.iso", session->seed_dir, name);
}

/* @session: its template is resolved */
static VtcDomain
describe_domain(const VtcSession *session, const char *name, const char *disk, const char *seed)
{
    const VtcProvision *provision = session->provision;
    const VtcTemplate *says = &session->says;
    const bool windows = g_strcmp0(says->os, "windows") == 0;
    VtcDomain domain = {.name = name,
                        .virt_type =
                            provision->virt_type ? provision->virt_type : session->virt_type,
                        .hardware = &says->hardware,
                        .template_name = says->name,
                        .template_version = says->version,
                        .profile = says->profile,
                        .disk = disk,
                        .seed = seed,
                        .datasource = provision->datasource,
                        .settings = provision->settings,
                        .user_data = provision->user_data,
                        .application = provision->application,
                        .instance = provision->instance,
                        .pool = provision->pool};

    /* One with parameters or user-data has something in it that reads them */
    if (!domain.datasource && windows && vt_profile_is_empty(says->profile))
        domain.datasource = "unattend";
    domain.removable = windows || vtc_domain_is_for_windows(&domain);
    return domain;
}

static bool
format_domain(VtcSession *session, const char *name, const char *disk, char **ret_xml,
              GError **error)
{
    g_autofree char *seed = seed_path(session, name);
    VtcDomain domain;

    if (!resolve_template(session, true, error))
        return false;
    domain = describe_domain(session, name, disk, seed);
    return vtc_domain_format(&domain, ret_xml, error);
}

/* ---- what can be wrong before anything is made ---- */

/* What the pool gives to all; nothing is not known. A file that is wrong, the start tells */
static json_t *
load_defaults(const VtcSession *session)
{
    g_autofree char *text = NULL;
    json_t *defaults = NULL;

    if (!session->defaults)
        return json_object();
    if (g_file_get_contents(session->defaults, &text, NULL, NULL))
        vt_yaml_load(text, session->defaults, &defaults, NULL);
    return defaults;
}

bool
vtc_session_check(VtcSession *session, const char *name, GError **error)
{
    g_autofree char *seed = seed_path(session, name), *disk = volume_name(name), *xml = NULL;
    json_auto_t *defaults = NULL;
    VtcDomain domain;

    if (!resolve_template(session, false, error))
        return false;
    if (session->says.unknown)
        return true;
    defaults = load_defaults(session);
    domain = describe_domain(session, name, disk, seed);
    return vtc_domain_format(&domain, &xml, error) &&
           vtc_guest_secrets_check(&domain, session->provision->secrets, defaults, error);
}

bool
vtc_session_xml(VtcSession *session, const char *name, char **ret_xml, GError **error)
{
    g_autofree char *dir = vtc_host_pool_target(session->pool);
    g_autofree char *disk = g_strdup_printf("%s/%s.qcow2", dir ? dir : "", name);

    return format_domain(session, name, disk, ret_xml, error);
}

/* An overlay over the template, whatever the strategy of its pool is */
static virStorageVolPtr
create_linked(VtcSession *session, const char *volume)
{
    char *base = virStorageVolGetPath(session->template);
    g_autofree char *xml = NULL;

    if (!base)
        return NULL;
    xml = g_markup_printf_escaped(
        "<volume><name>%s</name><capacity>%" G_GUINT64_FORMAT "</capacity>"
        "<target><format type='qcow2'/></target>"
        "<backingStore><path>%s</path><format type='qcow2'/></backingStore></volume>",
        volume, session->provision->capacity, base);
    free(base);
    return virStorageVolCreateXML(session->pool, xml, 0);
}

/* A volume with features, even if it asks for none of them, is a copy */
static virStorageVolPtr
create_from(VtcSession *session, const char *volume)
{
    const bool full = session->provision->strategy == VTC_STRATEGY_FULL;
    g_autofree char *head =
        g_markup_printf_escaped("<volume><name>%s</name><capacity>%" G_GUINT64_FORMAT "</capacity>"
                                "<target><format type='qcow2'/>",
                                volume, session->provision->capacity);
    g_autofree char *xml = g_strconcat(head, full ? "<compat>1.1</compat><features/>" : "",
                                       "</target></volume>", NULL);

    return virStorageVolCreateXMLFrom(session->pool, xml, session->template, 0);
}

/* libvirt copies a disk in its own size, whatever capacity was asked for */
static bool
grow(VtcSession *session, virStorageVolPtr clone)
{
    const uint64_t wanted = session->provision->capacity;
    virStorageVolInfo info;

    return wanted == 0 || (virStorageVolGetInfo(clone, &info) == 0 &&
                           (info.capacity >= wanted || virStorageVolResize(clone, wanted, 0) == 0));
}

static bool
make_clone(VtcSession *session, const char *name, char **ret_path, GError **error)
{
    g_autofree char *volume = volume_name(name);
    virStorageVolPtr clone = session->provision->strategy == VTC_STRATEGY_LINKED
                                 ? create_linked(session, volume)
                                 : create_from(session, volume);
    char *path = clone && grow(session, clone) ? virStorageVolGetPath(clone) : NULL;

    if (path) {
        *ret_path = g_strdup(path);
    } else {
        vtc_host_throw(error, VT_ERROR_FAILED, "cannot make the clone", volume);
        if (clone)
            virStorageVolDelete(clone, 0);
    }
    free(path);
    if (clone)
        virStorageVolFree(clone);
    return *ret_path != NULL;
}

/* As virttemplated will, when the domain starts */
static bool
check_secrets(const VtcSession *session, VtInstance *instance, GError **error)
{
    const json_t *secrets = session->provision->secrets;
    g_autoptr(GBytes) bytes = NULL, defaults = NULL;
    g_autofree char *text = NULL;
    VtInstanceDocuments documents = {.config = session->says.config};

    if (!secrets || (instance->template && !documents.config))
        return true;
    if (!vt_secrets_format(secrets, &bytes, error))
        return false;
    if (session->defaults && g_file_get_contents(session->defaults, &text, NULL, NULL))
        defaults = g_bytes_new(text, strlen(text));
    documents.defaults = defaults;
    documents.secrets = bytes;
    return vt_instance_complete(instance, &documents, error);
}

/* As the hook will, when the domain starts: now it has its UUID and MAC addresses */
static bool
check_instance(const VtcSession *session, virDomainPtr domain, GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
    g_autoptr(GBytes) bytes = xml ? g_bytes_new_with_free_func(xml, strlen(xml), free, xml) : NULL;
    g_autoptr(VtInstance) instance = NULL;

    if (!xml)
        return vtc_host_throw(error, VT_ERROR_FAILED, "cannot read the domain",
                              virDomainGetName(domain));
    return vt_instance_parse(bytes, &instance, error) && check_secrets(session, instance, error);
}

/* @secrets: (nullable): %NULL takes them away again */
static bool
send_secrets(const VtcSession *session, virDomainPtr domain, const json_t *secrets, GError **error)
{
    g_autofree char *seed = seed_path(session, virDomainGetName(domain));
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    return !session->client || (virDomainGetUUIDString(domain, uuid) == 0 &&
                                vtc_secrets_send(session->client, seed, uuid, secrets, error));
}

/* On the way out of a failure, which is what is reported */
static void
forget_secrets(const VtcSession *session, virDomainPtr domain)
{
    g_autofree char *seed = seed_path(session, virDomainGetName(domain));
    g_autoptr(GError) error = NULL;

    if (!send_secrets(session, domain, NULL, &error))
        g_printerr("virt-template: the secrets for '%s' are left: %s\n", seed, error->message);
}

static bool
make_domain(VtcSession *session, const char *name, const char *disk, bool start, GError **error)
{
    g_autofree char *xml = NULL;
    virDomainPtr domain;
    bool ok;

    if (!format_domain(session, name, disk, &xml, error))
        return false;
    domain = virDomainDefineXML(session->connection, xml);
    if (!domain)
        return vtc_host_throw(error, VT_ERROR_FAILED, "cannot define the domain", name);
    ok = check_instance(session, domain, error) &&
         send_secrets(session, domain, session->provision->secrets, error);
    if (ok && start && virDomainCreate(domain) < 0)
        ok = vtc_host_throw(error, VT_ERROR_FAILED, "cannot start the domain", name);
    /* Killed at any point, this leaves no secrets without a domain, of which nobody would know */
    if (!ok) {
        forget_secrets(session, domain);
        virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_NVRAM);
    }
    virDomainFree(domain);
    return ok;
}

static void
remove_clone(VtcSession *session, const char *name)
{
    g_autofree char *volume = volume_name(name);

    vtc_host_remove_volume(session->pool, volume, NULL);
}

/* libvirt would take the XML for an update of what is there */
static bool
check_free(VtcSession *session, const char *name, GError **error)
{
    virDomainPtr there = virDomainLookupByName(session->connection, name);

    if (!there)
        return true;
    virDomainFree(there);
    return vt_throw(error, VT_ERROR_EXISTS, "there is a domain '%s' already", name);
}

bool
vtc_session_make(VtcSession *session, const char *name, bool start, GError **error)
{
    g_autofree char *disk = NULL;

    if (!check_free(session, name, error) || !make_clone(session, name, &disk, error))
        return false;
    if (make_domain(session, name, disk, start, error))
        return true;
    remove_clone(session, name);
    return false;
}

void
vtc_session_remove(VtcSession *session, const char *name)
{
    virDomainPtr domain = virDomainLookupByName(session->connection, name);

    vtc_host_remove_domain(session->connection, name, NULL);
    if (domain) {
        forget_secrets(session, domain);
        virDomainFree(domain);
    }
    remove_clone(session, name);
}

virConnectPtr
vtc_session_connection(VtcSession *session)
{
    return session->connection;
}
