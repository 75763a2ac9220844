/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-domain.c: the XML of a domain over a clone, with its instance in the metadata */
#include "vtc-domain.h"

#include "vt-instance.h"
#include "vtc-hardware-xml.h"
#include "vtc-member.h"

#include <libxml/tree.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    xmlNode *instance;
    xmlNs *ns;
    xmlNode *user;
    xmlNode *interface;
    const VtcDomain *domain;
    GHashTable *parameters; /* utf8 -> GPtrArray: for vt_profile_check() */
} Instance;

/* ---- settings ---- */

/* The elements know the grammar of their values: vt_instance_parse() checks them */
typedef bool (*Setter)(Instance *instance, const char *key, const char *value, GError **error);

static bool
set_element(Instance *instance, const char *key, const char *value, GError **error)
{
    xmlNewTextChild(instance->instance, instance->ns, (const xmlChar *)key, (const xmlChar *)value);
    return true;
}

static bool
set_user(Instance *instance, const char *key, const char *value, GError **error)
{
    instance->user = xmlNewChild(instance->instance, instance->ns, (const xmlChar *)key, NULL);
    vtc_xml_attribute(instance->user, "name", value);
    return true;
}

static bool
needs_user(const Instance *instance, const char *key, GError **error)
{
    return instance->user ||
           vt_throw(error, VT_ERROR_INVALID,
                    "--set %s=...: say whose with --set user=NAME before it", key);
}

static bool
set_of_user(Instance *instance, const char *key, const char *value, GError **error)
{
    if (!needs_user(instance, key, error))
        return false;
    vtc_xml_attribute(instance->user, key, value);
    return true;
}

/* "@FILE" is read */
static bool
set_ssh_key(Instance *instance, const char *key, const char *value, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) local = NULL;

    if (!needs_user(instance, key, error))
        return false;
    if (*value == '@' && !g_file_get_contents(value + 1, &text, NULL, &local))
        return vt_throw(error, VT_ERROR_INVALID, "--set ssh-key: %s", local->message);
    xmlNewTextChild(instance->user, instance->ns, (const xmlChar *)key,
                    (const xmlChar *)(text ? g_strstrip(text) : value));
    return true;
}

static bool
set_key_secret(Instance *instance, const char *key, const char *value, GError **error)
{
    xmlNode *node =
        xmlNewChild(instance->instance, instance->ns, (const xmlChar *)"product-key", NULL);

    vtc_xml_attribute(node, "secret", value);
    return true;
}

/* "PATH:FILE": the guest's path, and a file here */
static bool
set_file(Instance *instance, const char *key, const char *value, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(value, ":", 2);
    g_autofree char *text = NULL;
    g_autoptr(GError) local = NULL;
    xmlNode *node;

    if (g_strv_length(parts) != 2)
        return vt_throw(error, VT_ERROR_INVALID, "--set file=%s: not PATH_IN_GUEST:FILE", value);
    if (!g_file_get_contents(parts[1], &text, NULL, &local))
        return vt_throw(error, VT_ERROR_INVALID, "--set file: %s", local->message);
    if (!g_utf8_validate(text, -1, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "--set file: '%s' is not text", parts[1]);
    node = xmlNewTextChild(instance->instance, instance->ns, (const xmlChar *)key,
                           (const xmlChar *)text);
    vtc_xml_attribute(node, "path", parts[0]);
    return true;
}

static bool
set_of_interface(Instance *instance, const char *key, const char *value, GError **error)
{
    if (!instance->interface)
        instance->interface =
            xmlNewChild(instance->instance, instance->ns, (const xmlChar *)"interface", NULL);
    xmlNewTextChild(instance->interface, instance->ns, (const xmlChar *)key,
                    (const xmlChar *)value);
    return true;
}

static const struct {
    const char *key;
    const char *meaning;
    Setter set;
    bool is_secret; /* the value is the key of one */
} keys[] = {
    {"hostname", "name of the guest; default: the domain's", set_element},
    {"user", "a user, which the next seven are about", set_user},
    {"ssh-key", "public key, or @FILE", set_ssh_key},
    {"sudo", "yes or no", set_of_user},
    {"password-hash-secret", "key of a secret: a hash as in crypt(5)", set_of_user, true},
    {"password-hash", "such a hash, for everybody to read", set_of_user},
    {"password-secret", "key of a secret: the password, for Windows", set_of_user, true},
    {"groups", "one,two", set_of_user},
    {"shell", "path of a shell", set_of_user},
    {"package", "to be installed", set_element},
    {"file", "PATH_IN_GUEST:FILE", set_file},
    {"command", "run once, by sh", set_element},
    {"service", "to be enabled and started", set_element},
    {"locale", "de_DE.UTF-8", set_element},
    {"timezone", "Europe/Berlin; for Windows: UTC, see tzutil", set_element},
    {"product-key-secret", "key of a secret: Windows' product key", set_key_secret, true},
    {"product-key", "such a key, for everybody to read", set_element},
    {"address", "192.0.2.5/24; without one: DHCP", set_of_interface},
    {"gateway", "192.0.2.1", set_of_interface},
    {"dns", "192.0.2.53", set_of_interface},
};

char *
vtc_domain_keys(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        g_string_append_printf(text, "  %-20s  %s\n", keys[i].key, keys[i].meaning);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

bool
vtc_domain_is_for_windows(const VtcDomain *domain)
{
    return domain->datasource && g_str_equal(domain->datasource, "unattend");
}

GPtrArray *
vtc_domain_secrets(const VtcDomain *domain)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);

    for (char **setting = domain->settings; setting && *setting; setting++) {
        g_auto(GStrv) parts = g_strsplit(*setting, "=", 2);

        for (gsize i = 0; parts[1] && i < G_N_ELEMENTS(keys); i++) {
            if (keys[i].is_secret && g_str_equal(keys[i].key, parts[0]))
                g_ptr_array_add(found, g_strdup(parts[1]));
        }
    }
    return found;
}

static bool
throw_unknown(const Instance *instance, const char *key, GError **error)
{
    const VtcDomain *domain = instance->domain;
    g_autofree char *known = vtc_domain_keys();
    g_autofree char *parameters = domain->profile
                                      ? vt_profile_describe(domain->profile)
                                      : g_strdup("not known; name a version of it (NAME@VERSION)");

    return vt_throw(
        error, VT_ERROR_INVALID,
        "--set %s: there is no such key; parameters of the template: %s; known keys:\n%s", key,
        parameters, known);
}

/* The template may be known, and what it takes not: then the start of the domain tells */
static bool
set_parameter(Instance *instance, const char *key, const char *value, GError **error)
{
    const VtcDomain *domain = instance->domain;
    const VtParameter *parameter = domain->profile ? vt_profile_find(domain->profile, key) : NULL;
    GPtrArray *texts = g_hash_table_lookup(instance->parameters, key);
    xmlNode *node;

    if (!domain->template_name || (domain->profile && !parameter))
        return throw_unknown(instance, key, error);
    if (parameter && parameter->type == VT_PARAMETER_SECRET)
        return vt_throw(error, VT_ERROR_INVALID,
                        "--set %s=...: it is a secret, and everybody can read command lines and "
                        "the domain's XML: give it with --secrets FILE",
                        key);
    node = xmlNewTextChild(instance->instance, instance->ns, (const xmlChar *)"parameter",
                           (const xmlChar *)value);
    vtc_xml_attribute(node, "name", key);
    if (!texts) {
        texts = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(texts, NULL);
        g_hash_table_insert(instance->parameters, g_strdup(key), texts);
    }
    g_ptr_array_insert(texts, (int)texts->len - 1, g_strdup(value));
    return true;
}

static bool
apply(Instance *instance, const char *setting, GError **error)
{
    const char *equals = strchr(setting, '=');
    g_autofree char *key = g_strndup(setting, equals ? (gsize)(equals - setting) : strlen(setting));

    if (!equals)
        return vt_throw(error, VT_ERROR_INVALID, "--set %s: not KEY=VALUE", key);
    if (!g_utf8_validate(setting, -1, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "--set %s: not UTF-8", key);
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (g_str_equal(keys[i].key, key))
            return keys[i].set(instance, key, equals + 1, error);
    }
    return set_parameter(instance, key, equals + 1, error);
}

static bool
apply_all(Instance *instance, GError **error)
{
    const VtcDomain *domain = instance->domain;

    for (char **setting = domain->settings; setting && *setting; setting++) {
        if (!apply(instance, *setting, error))
            return false;
    }
    return !domain->profile || vt_profile_check(domain->profile, instance->parameters, error);
}

/* Not for a template that says nothing about its guests: its config need not be here for ever */
static bool
add_template(const Instance *instance, GError **error)
{
    const VtcDomain *domain = instance->domain;
    xmlNode *node;

    if (!domain->template_name || (domain->profile && vt_profile_is_empty(domain->profile)) ||
        (!domain->profile && g_hash_table_size(instance->parameters) == 0))
        return true;
    if (vtc_domain_is_for_windows(domain))
        return vt_throw(error, VT_ERROR_INVALID,
                        "an answer file of Windows has no place for the parameters and the "
                        "user-data of %s@%s: take another --datasource; cloudbase-init reads "
                        "'configdrive' and 'nocloud'",
                        domain->template_name, domain->template_version);
    node = xmlNewChild(instance->instance, instance->ns, (const xmlChar *)"template", NULL);
    vtc_xml_attribute(node, "name", domain->template_name);
    vtc_xml_attribute(node, "version", domain->template_version);
    return true;
}

static bool
add_instance(const VtcDomain *domain, xmlNode *metadata, GError **error)
{
    xmlNode *seed;
    g_autoptr(GHashTable) parameters =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    Instance instance = {.instance = xmlNewChild(metadata, NULL, (const xmlChar *)"instance", NULL),
                         .domain = domain,
                         .parameters = parameters};

    instance.ns =
        xmlNewNs(instance.instance, (const xmlChar *)VT_INSTANCE_NAMESPACE, (const xmlChar *)"vt");
    xmlSetNs(instance.instance, instance.ns);
    seed = xmlNewChild(instance.instance, instance.ns, (const xmlChar *)"seed", NULL);
    vtc_xml_attribute(seed, "path", domain->seed);
    if (domain->datasource)
        vtc_xml_attribute(seed, "datasource", domain->datasource);
    if (!apply_all(&instance, error) || !add_template(&instance, error))
        return false;
    return !domain->user_data ||
           set_element(&instance, vtc_domain_is_for_windows(domain) ? "unattend" : "user-data",
                       domain->user_data, error);
}

/* Without a UUID of its own, a copy of the domain's XML would be taken for a member, too */
static void
add_member(const VtcDomain *domain, xmlNode *root, xmlNode *metadata)
{
    g_autofree char *uuid = g_uuid_string_random();
    g_autofree char *volume = g_path_get_basename(domain->disk);
    const VtcMember member = {.application = (char *)(uintptr_t)domain->application,
                              .instance = (char *)(uintptr_t)domain->instance,
                              .pool = (char *)(uintptr_t)domain->pool,
                              .volume = volume};

    vtc_xml_child(root, "uuid", uuid);
    vtc_member_add(&member, uuid, metadata);
}

bool
vtc_domain_format(const VtcDomain *domain, char **ret_xml, GError **error)
{
    xmlDoc *document = xmlNewDoc((const xmlChar *)"1.0");
    xmlNode *root = xmlNewDocNode(document, NULL, (const xmlChar *)"domain", NULL), *metadata;
    bool ok;

    xmlDocSetRootElement(document, root);
    vtc_xml_attribute(root, "type", domain->virt_type);
    vtc_xml_child(root, "name", domain->name);
    metadata = vtc_xml_child(root, "metadata", NULL);
    if (domain->application)
        add_member(domain, root, metadata);
    ok = !domain->seed || add_instance(domain, metadata, error);
    if (ok) {
        vtc_hardware_xml_machine(domain->hardware, domain->virt_type, root);
        vtc_hardware_xml_devices(domain->hardware, domain->disk, domain->seed, domain->removable,
                                 root);
        *ret_xml = vtc_xml_format(root);
    }
    xmlFreeDoc(document);
    return ok;
}
