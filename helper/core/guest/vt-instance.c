/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance.c: what the owner of a domain says about its guest, in the domain's XML */

/* The text that is parsed, in the <metadata> of a domain:
 *
 *     <vt:instance xmlns:vt='urn:virt-template:instance:1'>
 *       <vt:seed path='/var/lib/libvirt/images/templates/web1-seed.iso'/>
 *       <vt:hostname>web1</vt:hostname>
 *       <vt:user name='anna' sudo='yes'><vt:ssh-key>ssh-ed25519 AAAA... anna</vt:ssh-key></vt:user>
 *       <vt:package>nginx</vt:package>
 *       <vt:file path='/etc/motd' mode='0644'>hello</vt:file>
 *       <vt:command>systemctl restart nginx</vt:command>
 *       <vt:interface mac='52:54:00:00:00:01'><vt:address>192.0.2.5/24</vt:address></vt:interface>
 *     </vt:instance>
 */
#include "vt-instance.h"

#include "vt-instance-network.h"
#include "vt-instance-secret.h"
#include "vt-instance-seed.h"
#include "vt-instance-xml.h"
#include "vt-unattend.h"
#include "vt-user-data.h"
#include "vt-name.h"
#include "vt-value.h"
#include "vt-yaml.h"

#include <libxml/parser.h>
#include <string.h>

/* What useradd(8) of Debian and Fedora takes */
#define USER_PATTERN     "^[a-z_][a-z0-9_-]{0,31}$"
#define GROUPS_PATTERN   "^[a-z_][a-z0-9_-]{0,31}(,[a-z_][a-z0-9_-]{0,31})*$"
#define PACKAGE_PATTERN  "^[A-Za-z0-9][A-Za-z0-9+._:=~-]{0,127}$"
#define MODE_PATTERN     "^0[0-7]{3,4}$"
#define OWNER_PATTERN    "^[a-z_][a-z0-9_-]{0,31}(:[a-z_][a-z0-9_-]{0,31})?$"
#define LOCALE_PATTERN   "^[A-Za-z]{1,8}(_[A-Za-z0-9]{1,8})?([.@][A-Za-z0-9-]{1,16})*$"
#define TIMEZONE_PATTERN "^[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,31}){0,2}$"
#define SERVICE_PATTERN  "^[A-Za-z0-9:_.@-]{1,128}$"

void
vt_instance_free(VtInstance *instance)
{
    if (!instance)
        return;
    g_free(instance->domain);
    g_free(instance->uuid);
    g_free(instance->seed_path);
    g_free(instance->template);
    g_clear_pointer(&instance->parameters, g_hash_table_unref);
    json_decref(instance->template_config);
    g_free(instance->hostname);
    json_decref(instance->config);
    json_decref(instance->network);
    g_free(instance->user_data);
    g_free(instance->network_text);
    g_clear_pointer(&instance->secrets, g_ptr_array_unref);
    vt_unattend_free(instance->unattend);
    g_free(instance->answer);
    g_free(instance);
}

/* The list @key of the cloud-config, made when it is first needed */
static json_t *
list_of(VtInstance *instance, const char *key)
{
    json_t *list = json_object_get(instance->config, key);

    if (list)
        return list;
    list = json_array();
    json_object_set_new(instance->config, key, list);
    return list;
}

/* ---- one function for each element ---- */

static bool
take_template(xmlNode *node, VtInstance *instance, GError **error)
{
    g_autofree char *name = vt_xml_attribute(node, "name"),
                    *version = vt_xml_attribute(node, "version");

    if (!name || !version)
        return vt_xml_throw(node, error, "the attributes 'name' and 'version' are needed");
    if (!vt_name_check(name, error) || !vt_version_check(version, error)) {
        g_prefix_error(error, "<template>: ");
        return false;
    }
    instance->template = g_strconcat(name, "@", version, NULL);
    return true;
}

/* A list has one element for each of its items */
static bool
take_parameter(xmlNode *node, VtInstance *instance, GError **error)
{
    g_autofree char *name = vt_xml_attribute(node, "name"), *text = NULL;
    GPtrArray *texts;

    if (!name)
        return vt_xml_throw(node, error, "the attribute 'name' is missing");
    if (!vt_xml_text(node, &text, error))
        return false;
    texts = g_hash_table_lookup(instance->parameters, name);
    if (!texts) {
        texts = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(texts, NULL);
        g_hash_table_insert(instance->parameters, g_steal_pointer(&name), texts);
    }
    g_ptr_array_insert(texts, (int)texts->len - 1, g_steal_pointer(&text));
    return true;
}

static bool
take_hostname(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_xml_text(node, &instance->hostname, error) &&
           vt_xml_match(node, instance->hostname, VT_INSTANCE_HOSTNAME_PATTERN,
                        "a host name (letters, digits and '-', at most 63 in each part)", error);
}

static bool
take_ssh_keys(xmlNode *node, json_t *user, GError **error)
{
    json_t *keys = json_array();

    json_object_set_new(user, "ssh_authorized_keys", keys);
    for (xmlNode *child = vt_xml_next(node->children); child; child = vt_xml_next(child->next)) {
        g_autofree char *text = NULL;

        if (!vt_xml_is(child, "ssh-key"))
            return vt_xml_throw(child, error, "unknown in <user>; known: ssh-key");
        if (!vt_xml_text(child, &text, error) ||
            !vt_xml_match(child, g_strstrip(text), VT_SSH_KEY_PATTERN, "an SSH public key", error))
            return false;
        json_array_append_new(keys, json_string(text));
    }
    return true;
}

/* A value of <user> that becomes a field of cloud-config's `users` */
static const struct {
    const char *attribute;
    const char *field;
    const char *pattern;
    const char *expected;
} user_fields[] = {
    {"name", "name", USER_PATTERN, "a user name"},
    {"groups", "groups", GROUPS_PATTERN, "a list of groups: one,two"},
    {"shell", "shell", VT_INSTANCE_PATH_PATTERN, "the absolute path of a shell"},
};

static void
fill_hash(gpointer user, const char *value)
{
    json_object_set_new(user, "hashed_passwd", json_string(value));
    json_object_set_new(user, "lock_passwd", json_false());
}

static const VtSecretUse hash_use = {"'password-hash' ", VT_HASH_PATTERN,
                                     "a hash as in crypt(5): $6$...", fill_hash};

static bool
take_hash(xmlNode *node, VtInstance *instance, json_t *user, GError **error)
{
    g_autofree char *hash = vt_xml_attribute(node, "password-hash"),
                    *key = vt_xml_attribute(node, "password-hash-secret");

    if (xmlHasProp(node, (const xmlChar *)"password") ||
        xmlHasProp(node, (const xmlChar *)"password-secret"))
        return vt_xml_throw(node, error,
                            "a password is for Windows (<seed datasource='unattend'/>); give "
                            "'password-hash-secret' or 'password-hash'");
    if (hash && key)
        return vt_xml_throw(node, error, "has both 'password-hash' and 'password-hash-secret'");
    if (hash)
        return vt_secret_fill(node, &hash_use, user, hash, error);
    return !key || vt_secret_refer(instance, node, key, &hash_use, user, error);
}

static bool
fill_user(xmlNode *node, json_t *user, GError **error)
{
    g_autofree char *sudo = vt_xml_attribute(node, "sudo");

    for (gsize i = 0; i < G_N_ELEMENTS(user_fields); i++) {
        g_autofree char *value = vt_xml_attribute(node, user_fields[i].attribute);

        if (value &&
            !vt_xml_match(node, value, user_fields[i].pattern, user_fields[i].expected, error))
            return false;
        if (value)
            json_object_set_new(user, user_fields[i].field, json_string(value));
    }
    if (!json_object_get(user, "name"))
        return vt_xml_throw(node, error, "the attribute 'name' is missing");
    if (sudo && !g_str_equal(sudo, "yes") && !g_str_equal(sudo, "no"))
        return vt_xml_throw(node, error, "sudo='%s' is neither 'yes' nor 'no'", sudo);
    if (sudo && g_str_equal(sudo, "yes"))
        json_object_set_new(user, "sudo", json_string("ALL=(ALL) NOPASSWD:ALL"));
    return take_ssh_keys(node, user, error);
}

static bool
take_user(xmlNode *node, VtInstance *instance, GError **error)
{
    json_t *user = json_object();

    json_object_set_new(user, "shell", json_string("/bin/bash"));
    json_array_append_new(list_of(instance, "users"), user);
    return fill_user(node, user, error) && take_hash(node, instance, user, error);
}

static bool
take_package(xmlNode *node, VtInstance *instance, GError **error)
{
    g_autofree char *text = NULL;

    if (!vt_xml_text(node, &text, error) ||
        !vt_xml_match(node, text, PACKAGE_PATTERN, "the name of a package", error))
        return false;
    json_array_append_new(list_of(instance, "packages"), json_string(text));
    return true;
}

static bool
take_file(xmlNode *node, VtInstance *instance, GError **error)
{
    g_autofree char *path = vt_xml_attribute(node, "path"), *mode = vt_xml_attribute(node, "mode"),
                    *owner = vt_xml_attribute(node, "owner"), *text = NULL;

    if (!path)
        return vt_xml_throw(node, error, "the attribute 'path' is missing");
    if (!vt_xml_match(node, path, VT_INSTANCE_PATH_PATTERN, "an absolute path", error) ||
        (mode && !vt_xml_match(node, mode, MODE_PATTERN, "an octal mode: 0644", error)) ||
        (owner && !vt_xml_match(node, owner, OWNER_PATTERN, "an owner: root:root", error)) ||
        !vt_xml_text(node, &text, error))
        return false;
    json_array_append_new(list_of(instance, "write_files"),
                          json_pack("{s:s, s:s, s:s, s:s, s:b}", "path", path, "permissions",
                                    mode ? mode : "0644", "owner", owner ? owner : "root:root",
                                    "content", text,
                                    /* the owner may be a user that this very document makes */
                                    "defer", 1));
    return true;
}

static bool
take_command(xmlNode *node, VtInstance *instance, GError **error)
{
    g_autofree char *text = NULL;

    if (!vt_xml_text(node, &text, error))
        return false;
    json_array_append_new(list_of(instance, "runcmd"), json_pack("[sss]", "sh", "-c", text));
    return true;
}

static bool
take_service(xmlNode *node, VtInstance *instance, GError **error)
{
    g_autofree char *state = vt_xml_attribute(node, "state"), *text = NULL;

    if (state && !g_str_equal(state, "enabled") && !g_str_equal(state, "disabled"))
        return vt_xml_throw(node, error, "state='%s' is neither 'enabled' nor 'disabled'", state);
    if (!vt_xml_text(node, &text, error) ||
        !vt_xml_match(node, text, SERVICE_PATTERN, "the name of a unit", error))
        return false;
    json_array_append_new(list_of(instance, "runcmd"),
                          json_pack("[ssss]", "systemctl",
                                    state && *state == 'd' ? "disable" : "enable", "--now", text));
    return true;
}

/* Elements that are one string of the cloud-config */
static bool
take_word(xmlNode *node, VtInstance *instance, GError **error)
{
    const bool locale = vt_xml_is(node, "locale");
    g_autofree char *text = NULL;

    if (!vt_xml_text(node, &text, error) ||
        !vt_xml_match(node, text, locale ? LOCALE_PATTERN : TIMEZONE_PATTERN,
                      locale ? "a locale: de_DE.UTF-8" : "a time zone: Europe/Berlin", error))
        return false;
    json_object_set_new(instance->config, locale ? "locale" : "timezone", json_string(text));
    return true;
}

static bool
take_user_data(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_xml_text(node, &instance->user_data, error) &&
           vt_user_data_check(instance->user_data, "<user-data>", error);
}

static bool
take_network_config(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_xml_text(node, &instance->network_text, error) &&
           vt_yaml_check(instance->network_text, "<network-config>", error);
}

static bool
take_interface(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_instance_interface(node, &instance->network, error);
}

static bool
take_bond(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_instance_bond(node, &instance->network, error);
}

static bool
take_vlan(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_instance_vlan(node, &instance->network, error);
}

static bool
refuse_windows(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_xml_throw(node, error, "is for Windows: it needs <seed datasource='unattend'/>");
}

static const struct {
    const char *name;
    bool once;
    bool (*take)(xmlNode *node, VtInstance *instance, GError **error);
    const char *attributes[9];
} elements[] = {
    {"seed", true, vt_instance_seed, {"path", "datasource"}},
    {"hostname", true, take_hostname, {NULL}},
    {"user",
     false,
     take_user,
     {"name", "groups", "shell", "password-hash", "password-hash-secret", "sudo", "password",
      "password-secret"}},
    {"package", false, take_package, {NULL}},
    {"file", false, take_file, {"path", "mode", "owner"}},
    {"command", false, take_command, {NULL}},
    {"service", false, take_service, {"state"}},
    {"locale", true, take_word, {NULL}},
    {"timezone", true, take_word, {NULL}},
    {"interface", false, take_interface, {"mac"}},
    {"bond", false, take_bond, {"name", "mode"}},
    {"vlan", false, take_vlan, {"name", "id", "link"}},
    {"user-data", true, take_user_data, {NULL}},
    {"network-config", true, take_network_config, {NULL}},
    {"product-key", true, refuse_windows, {"secret"}},
    {"unattend", true, refuse_windows, {NULL}},
    {"template", true, take_template, {"name", "version"}},
    {"parameter", false, take_parameter, {"name"}},
};

static bool
throw_unknown(const xmlNode *node, GError **error)
{
    g_autoptr(GString) known = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(elements); i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", elements[i].name);
    return vt_xml_throw(node, error, "unknown; known: %s", known->str);
}

static bool
take_element(xmlNode *node, VtInstance *instance, uint32_t *seen, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(elements); i++) {
        if (!vt_xml_is(node, elements[i].name))
            continue;
        if (elements[i].once && (*seen & (1u << i)))
            return vt_xml_throw(node, error, "is there twice");
        *seen |= 1u << i;
        return vt_xml_attributes(node, elements[i].attributes, error) &&
               elements[i].take(node, instance, error);
    }
    return throw_unknown(node, error);
}

/* ---- the document ---- */

static bool
check_whole(VtInstance *instance, xmlNode *node, GError **error)
{
    if (!instance->seed_path)
        return vt_xml_throw(node, error, "<seed path='...'/> is missing");
    if (g_hash_table_size(instance->parameters) > 0 && !instance->template)
        return vt_xml_throw(node, error,
                            "has <parameter> without <template name='...' version='...'/>");
    if (instance->network && instance->network_text)
        return vt_xml_throw(node, error, "has both <interface> and <network-config>");
    if (instance->source == VT_SEED_CONFIG_DRIVE && instance->network_text)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "<instance>: <network-config> needs the datasource 'nocloud'; "
                        "<interface>, <bond> and <vlan> do not");
    if (!vt_instance_network_check(node, instance->network, error))
        return false;
    if (!instance->hostname)
        instance->hostname = g_strdup(instance->domain);
    return vt_xml_match(node, instance->hostname, VT_INSTANCE_HOSTNAME_PATTERN,
                        "a host name; give one with <hostname>", error);
}

static bool
take_instance(xmlNode *node, VtInstance *instance, GError **error)
{
    uint32_t seen = 0;

    if (vt_instance_source(node) == VT_SEED_UNATTEND)
        return vt_unattend_take(node, instance, error);
    for (xmlNode *child = vt_xml_next(node->children); child; child = vt_xml_next(child->next)) {
        if (!take_element(child, instance, &seen, error))
            return false;
    }
    return check_whole(instance, node, error);
}

static xmlNode *
child_of(xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? vt_xml_next(parent->children) : NULL; node;
         node = vt_xml_next(node->next)) {
        if (strcmp((const char *)node->name, name) == 0)
            return node;
    }
    return NULL;
}

static bool
take_domain(xmlDoc *document, VtInstance *instance, xmlNode **ret_node, GError **error)
{
    xmlNode *root = xmlDocGetRootElement(document);
    xmlNode *name = root ? child_of(root, "name") : NULL,
            *uuid = root ? child_of(root, "uuid") : NULL;
    xmlNode *metadata = root ? child_of(root, "metadata") : NULL;

    if (!root || strcmp((const char *)root->name, "domain") != 0 || !name || !uuid)
        return vt_throw(error, VT_ERROR_INVALID, "not the XML of a domain");
    if (!vt_xml_text(name, &instance->domain, error) || !vt_xml_text(uuid, &instance->uuid, error))
        return false;
    if (!g_uuid_string_is_valid(instance->uuid))
        return vt_throw(error, VT_ERROR_INVALID, "the domain's UUID is malformed");
    *ret_node = child_of(metadata, "instance");
    if (*ret_node && !vt_xml_is(*ret_node, "instance"))
        *ret_node = NULL;
    return true;
}

bool
vt_instance_parse(GBytes *xml, VtInstance **ret_instance, GError **error)
{
    g_autoptr(VtInstance) instance = g_new0(VtInstance, 1);
    xmlNode *node = NULL;
    gsize size;
    const char *text = g_bytes_get_data(xml, &size);
    xmlDoc *document;
    bool ok;

    if (size > VT_INSTANCE_XML_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the domain's XML has %zu bytes", size);
    document = xmlReadMemory(text, (int)size, NULL, NULL,
                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!document)
        return vt_throw(error, VT_ERROR_INVALID, "the domain's XML is malformed");
    instance->config = json_object();
    instance->secrets = g_ptr_array_new_with_free_func(vt_secret_reference_free);
    instance->parameters =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    ok = take_domain(document, instance, &node, error) &&
         (!node || take_instance(node, instance, error));
    xmlFreeDoc(document);
    if (ok && node)
        *ret_instance = g_steal_pointer(&instance);
    return ok;
}
