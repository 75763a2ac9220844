/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unattend.c: an <instance> whose guest is a sysprepped Windows */

/* The text that is parsed, in the <metadata> of a domain:
 *
 *     <vt:instance xmlns:vt='urn:virt-template:instance:1'>
 *       <vt:seed path='/var/lib/libvirt/images/templates/win1-seed.iso' datasource='unattend'/>
 *       <vt:hostname>win1.example</vt:hostname>
 *       <vt:user name='Administrator' password-secret='admin'/>
 *       <vt:user name='Anna Smith' sudo='yes' password-secret='anna'/>
 *       <vt:timezone>W. Europe Standard Time</vt:timezone>
 *       <vt:command>netsh advfirewall set allprofiles state on</vt:command>
 *     </vt:instance>
 */
#include "vt-unattend.h"

#include "vt-instance-network.h"
#include "vt-instance-secret.h"
#include "vt-instance-seed.h"
#include "vt-instance-xml.h"
#include "vt-secrets.h"

#include <libxml/parser.h>
#include <string.h>

#define NAMESPACE "urn:schemas-microsoft-com:unattend"
/* NetBIOS: 15 characters and a type */
#define COMPUTER_NAME_MAX 15
/* RunSynchronousCommand/Path, in UTF-16 units; and what we put around a command */
#define COMMAND_LINE_MAX 259
#define COMMAND_FORMAT   "cmd.exe /s /c \"%s\""
#define COMMANDS_MAX     500

/* Account names: none of " / \ [ ] : ; | = , + * ? < > @ and no '.' or ' ' at the end */
#define USER_PATTERN                                                                               \
    "^[^][\"/\\\\:;|=,+*?<>@[:cntrl:] ]([^][\"/\\\\:;|=,+*?<>@[:cntrl:]]{0,18}"                    \
    "[^][\"/\\\\:;|=,+*?<>@[:cntrl:]. ])?$"
#define GROUP            "[^][\"/\\\\:;|=,+*?<>@[:cntrl:] ][^][\"/\\\\:;|=,+*?<>@[:cntrl:]]{0,255}"
#define GROUPS_PATTERN   "^" GROUP "(," GROUP ")*$"
#define PASSWORD_PATTERN "^[^[:cntrl:]]{1,127}$"
/* "W. Europe Standard Time", "UTC-11", "Central Standard Time (Mexico)", "..._dstoff" */
#define TIME_ZONE_PATTERN "^[A-Z][A-Za-z0-9.+() -]{1,127}(_dstoff)?$"
/* "de_DE.UTF-8", "de-DE", "zh_Hans_CN" */
#define LOCALE_PATTERN                                                                             \
    "^[a-z]{2,3}([_-][A-Z][a-z]{3})?[_-]([A-Z]{2}|[0-9]{3})(\\.[Uu][Tt][Ff]-?8)?$"
#define KEY_PATTERN "^[A-Z0-9]{5}(-[A-Z0-9]{5}){4}$"

/* ---- secrets ---- */

static void
fill_string(gpointer target, const char *value)
{
    char **place = target;

    g_free(*place);
    *place = g_strdup(value);
}

static const VtSecretUse password_use = {"", PASSWORD_PATTERN, "1 to 127 printable characters",
                                         fill_string};
static const VtSecretUse key_use = {"", KEY_PATTERN, "of the form XXXXX-XXXXX-XXXXX-XXXXX-XXXXX",
                                    fill_string};

static bool
refer_to_password(xmlNode *node, VtInstance *instance, VtUnattendUser *user, GError **error)
{
    g_autofree char *key = vt_xml_attribute(node, "password-secret");

    if (xmlHasProp(node, (const xmlChar *)"password"))
        return vt_xml_throw(node, error,
                            "'password' could be read by every user of the host: name the key of a "
                            "secret with 'password-secret', and " VT_SECRETS_ADVICE);
    if (!key)
        return vt_xml_throw(node, error, "the attribute 'password-secret' is missing");
    return vt_secret_refer(instance, node, key, &password_use, &user->password, error);
}

/* ---- one function for each element ---- */

static bool
take_hostname(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_xml_text(node, &instance->hostname, error);
}

static bool
read_user(xmlNode *node, VtUnattendUser *user, GError **error)
{
    g_autofree char *sudo = vt_xml_attribute(node, "sudo"),
                    *groups = vt_xml_attribute(node, "groups");
    const bool is_admin = g_strcmp0(sudo, "yes") == 0;

    user->name = vt_xml_attribute(node, "name");
    if (!user->name)
        return vt_xml_throw(node, error, "the attribute 'name' is missing");
    if (!vt_xml_match(node, user->name, USER_PATTERN, "the name of a Windows account", error))
        return false;
    if (sudo && !is_admin && !g_str_equal(sudo, "no"))
        return vt_xml_throw(node, error, "sudo='%s' is neither 'yes' nor 'no'", sudo);
    if (groups && !vt_xml_match(node, groups, GROUPS_PATTERN, "a list of groups: one,two", error))
        return false;
    user->groups = g_strconcat(is_admin ? "Administrators"
                               : groups ? ""
                                        : "Users",
                               is_admin && groups ? ";" : "", groups, NULL);
    g_strdelimit(user->groups, ",", ';');
    return true;
}

static bool
is_same_name(const char *a, const char *b)
{
    g_autofree char *x = g_utf8_casefold(a, -1), *y = g_utf8_casefold(b, -1);

    return g_str_equal(x, y);
}

static bool
take_user(xmlNode *node, VtInstance *instance, GError **error)
{
    VtUnattend *answer = instance->unattend;
    VtUnattendUser *user = g_new0(VtUnattendUser, 1);
    xmlNode *child = vt_xml_next(node->children);

    g_ptr_array_add(answer->users, user);
    if (child)
        return vt_xml_throw(child, error, "is not for Windows (datasource 'unattend')");
    if (!read_user(node, user, error) || !refer_to_password(node, instance, user, error))
        return false;
    for (guint i = 0; i + 1 < answer->users->len; i++) {
        if (is_same_name(((const VtUnattendUser *)answer->users->pdata[i])->name, user->name))
            return vt_xml_throw(node, error, "the account '%s' is there twice", user->name);
    }
    return true;
}

static bool
take_command(xmlNode *node, VtInstance *instance, GError **error)
{
    g_autofree char *text = NULL, *line = NULL;

    if (!vt_xml_text(node, &text, error) ||
        !vt_xml_match(node, g_strstrip(text), "^[^[:cntrl:]]+$", "one line", error))
        return false;
    line = g_strdup_printf(COMMAND_FORMAT, text);
    if (g_utf8_strlen(line, -1) > COMMAND_LINE_MAX)
        return vt_xml_throw(node, error,
                            "has more than %zu characters, which is all that Windows Setup takes: "
                            "put a script into the image",
                            COMMAND_LINE_MAX - strlen(COMMAND_FORMAT) + strlen("%s"));
    if (instance->unattend->commands->len >= COMMANDS_MAX)
        return vt_xml_throw(node, error, "is there more than %d times", COMMANDS_MAX);
    g_ptr_array_add(instance->unattend->commands, g_steal_pointer(&line));
    return true;
}

static bool
take_locale(xmlNode *node, VtInstance *instance, GError **error)
{
    g_autofree char *text = NULL;

    if (!vt_xml_text(node, &text, error) ||
        !vt_xml_match(node, text, LOCALE_PATTERN,
                      "a language and a region, as Windows needs them: de_DE.UTF-8", error))
        return false;
    text[strcspn(text, ".")] = '\0';
    instance->unattend->locale = g_strdup(g_strdelimit(text, "_", '-'));
    return true;
}

static bool
take_time_zone(xmlNode *node, VtInstance *instance, GError **error)
{
    return vt_xml_text(node, &instance->unattend->time_zone, error) &&
           vt_xml_match(node, instance->unattend->time_zone, TIME_ZONE_PATTERN,
                        "a time zone of Windows, as 'tzutil /l' lists them: W. Europe Standard "
                        "Time",
                        error);
}

static bool
take_product_key(xmlNode *node, VtInstance *instance, GError **error)
{
    char **place = &instance->unattend->product_key;
    g_autofree char *key = vt_xml_attribute(node, "secret"), *text = NULL;

    if (key && node->children)
        return vt_xml_throw(node, error, "has both a text and the attribute 'secret'");
    if (key)
        return vt_secret_refer(instance, node, key, &key_use, place, error);
    return vt_xml_text(node, &text, error) && vt_secret_fill(node, &key_use, place, text, error);
}

static bool
take_interface(xmlNode *node, VtInstance *instance, GError **error)
{

    if (!vt_instance_interface(node, &instance->network, error))
        return false;
    instance->unattend->ethernets = json_object_get(instance->network, "ethernets");
    return vt_instance_network_check(node, instance->network, error);
}

/* ---- a complete answer file ---- */

static bool
check_answer(const xmlNode *node, const char *text, GError **error)
{
    xmlDoc *document = NULL;
    const xmlNode *root;
    bool ok = true;

    /* Before the parser sees its entities */
    if (strstr(text, "<!DOCTYPE"))
        return vt_xml_throw(node, error, "has a document type; Windows Setup needs none");
    document = xmlReadMemory(text, (int)strlen(text), NULL, NULL,
                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!document) {
        const xmlError *reason = xmlGetLastError();

        return vt_xml_throw(node, error, "is not well-formed XML: line %d",
                            reason ? reason->line : 1);
    }
    root = xmlDocGetRootElement(document);
    if (!root->ns || strcmp((const char *)root->ns->href, NAMESPACE) != 0 ||
        strcmp((const char *)root->name, "unattend") != 0)
        ok = vt_xml_throw(node, error, "its root is not <unattend xmlns='" NAMESPACE "'>");
    else if (strcmp((const char *)document->version, "1.0") != 0)
        ok = vt_xml_throw(node, error, "declares another version of XML than 1.0");
    else if (document->encoding &&
             g_ascii_strcasecmp((const char *)document->encoding, "utf-8") != 0)
        ok = vt_xml_throw(node, error, "is in UTF-8, but declares another encoding");
    xmlFreeDoc(document);
    return ok;
}

static bool
take_answer(xmlNode *node, VtInstance *instance, GError **error)
{
    char **answer = &instance->answer;

    if (!vt_xml_text(node, answer, error))
        return false;
    if (strlen(*answer) > VT_UNATTEND_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "<unattend> has %zu bytes, at most %u are allowed", strlen(*answer),
                        VT_UNATTEND_MAX);
    /* <?xml ...?> counts only if nothing is before it */
    return check_answer(node, g_strchug(*answer), error);
}

/* ---- the document ---- */

static const struct {
    const char *name;
    bool once;
    bool (*take)(xmlNode *node, VtInstance *instance, GError **error);
    const char *attributes[6];
} elements[] = {
    {"seed", true, vt_instance_seed, {"path", "datasource"}},
    {"hostname", true, take_hostname, {NULL}},
    {"user", false, take_user, {"name", "groups", "sudo", "password-secret", "password"}},
    {"command", false, take_command, {NULL}},
    {"locale", true, take_locale, {NULL}},
    {"timezone", true, take_time_zone, {NULL}},
    {"interface", false, take_interface, {"mac"}},
    {"product-key", true, take_product_key, {"secret"}},
    {"unattend", true, take_answer, {NULL}},
};

/* What the other datasources have, and what to do instead */
static const struct {
    const char *name;
    const char *advice;
} others[] = {
    {"package", "put the program into the image, or install it with <command>"},
    {"service", "say 'sc config' and 'sc start' in a <command>"},
    {"file", "put it into the image"},
    {"user-data", "<unattend> is the complete answer file"},
    {"network-config", "say it with <interface>"},
    {"bond", "let Windows make it, by a <command>"},
    {"vlan", "let Windows make it, by a <command>"},
};

static bool
throw_unknown(const xmlNode *node, GError **error)
{
    g_autoptr(GString) known = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        if (vt_xml_is(node, others[i].name))
            return vt_xml_throw(node, error, "is not for Windows (datasource 'unattend'): %s",
                                others[i].advice);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(elements); i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", elements[i].name);
    return vt_xml_throw(node, error, "unknown; known with the datasource 'unattend': %s",
                        known->str);
}

static bool
check_attributes(const xmlNode *node, const char *const *known, GError **error)
{
    static const char *const not_windows[] = {"shell", "password-hash", "password-hash-secret",
                                              NULL};

    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        if (vt_xml_is(node, "user") && g_strv_contains(not_windows, (const char *)attribute->name))
            return vt_xml_throw(node, error, "'%s' is not for Windows (datasource 'unattend')",
                                (const char *)attribute->name);
    }
    return vt_xml_attributes(node, known, error);
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
        return check_attributes(node, elements[i].attributes, error) &&
               elements[i].take(node, instance, error);
    }
    return throw_unknown(node, error);
}

static xmlNode *
child_of(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? vt_xml_next(parent->children) : NULL; node;
         node = vt_xml_next(node->next)) {
        if (strcmp((const char *)node->name, name) == 0)
            return node;
    }
    return NULL;
}

/* <os><type arch='x86_64'>hvm</type></os> */
static bool
find_architecture(const xmlNode *node, const char **ret, GError **error)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i686", "x86"}};
    xmlNode *type = child_of(child_of(xmlDocGetRootElement(node->doc), "os"), "type");
    g_autofree char *arch = type ? vt_xml_attribute(type, "arch") : NULL, *shown = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_strcmp0(arch, names[i][0]) == 0) {
            *ret = names[i][1];
            return true;
        }
    }
    shown = vt_json_shown(arch ? arch : "");
    return vt_xml_throw(node, error,
                        "there is no Windows for the domain's architecture '%s', but for x86_64, "
                        "aarch64 and i686",
                        shown);
}

/* "win1.example": the computer is "win1" */
static bool
take_name(const xmlNode *node, VtInstance *instance, GError **error)
{
    VtUnattend *answer = instance->unattend;
    const char *dot;

    if (!instance->hostname)
        instance->hostname = g_strdup(instance->domain);
    if (!vt_xml_match(node, instance->hostname, VT_INSTANCE_HOSTNAME_PATTERN,
                      "a host name; give one with <hostname>", error))
        return false;
    dot = strchr(instance->hostname, '.');
    answer->computer_name = g_strndup(instance->hostname, strcspn(instance->hostname, "."));
    answer->dns_domain = dot ? g_strdup(dot + 1) : NULL;
    if (strlen(answer->computer_name) > COMPUTER_NAME_MAX)
        return vt_xml_throw(node, error,
                            "the computer's name '%s' has more than %d characters, the most that "
                            "Windows takes; give a shorter <hostname>",
                            answer->computer_name, COMPUTER_NAME_MAX);
    return strspn(answer->computer_name, "0123456789") != strlen(answer->computer_name) ||
           vt_xml_throw(node, error,
                        "the computer's name '%s' has digits only, which Windows refuses; give "
                        "another <hostname>",
                        answer->computer_name);
}

/* The built-in account is there already: it gets a password */
static bool
settle_users(const xmlNode *node, VtUnattend *answer, GError **error)
{
    for (guint i = 0; i < answer->users->len; i++) {
        VtUnattendUser *user = answer->users->pdata[i];

        if (is_same_name(user->name, answer->computer_name))
            return vt_xml_throw(node, error,
                                "the account '%s' is called as the computer, which Windows refuses",
                                user->name);
    }
    for (guint i = 0; i < answer->users->len; i++) {
        VtUnattendUser *user = answer->users->pdata[i];

        if (!is_same_name(user->name, "Administrator"))
            continue;
        answer->administrator = g_ptr_array_steal_index(answer->users, i);
        break;
    }
    return true;
}

/* Only elements[] with a place of its own can be beside a complete answer file */
static bool
check_whole(const xmlNode *node, const VtInstance *instance, uint32_t seen, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(elements) && instance->answer; i++) {
        if ((seen & (1u << i)) && elements[i].take != vt_instance_seed &&
            elements[i].take != take_answer)
            return vt_xml_throw(node, error,
                                "has both <unattend> and <%s>: a complete answer file says all",
                                elements[i].name);
    }
    return true;
}

static bool
complete(const xmlNode *node, VtInstance *instance, GError **error)
{
    return find_architecture(node, &instance->unattend->architecture, error) &&
           take_name(node, instance, error) && settle_users(node, instance->unattend, error);
}

bool
vt_unattend_take(xmlNode *node, VtInstance *instance, GError **error)
{
    uint32_t seen = 0;

    instance->unattend = vt_unattend_new();
    for (xmlNode *child = vt_xml_next(node->children); child; child = vt_xml_next(child->next)) {
        if (!take_element(child, instance, &seen, error))
            return false;
    }
    if (!check_whole(node, instance, seen, error))
        return false;
    if (!instance->answer)
        return complete(node, instance, error);
    instance->hostname = g_strdup(instance->domain);
    return true;
}
