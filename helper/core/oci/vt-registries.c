/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registries.c: which hosts stand for a registry: containers-registries.conf(5) */
#include "vt-registries.h"

#include "vt-json.h"
#include "vt-toml.h"

#include <string.h>

#define HOST_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"
#define PATH_CHARS "abcdefghijklmnopqrstuvwxyz0123456789._-/"

struct VtRegistries {
    GPtrArray *rules;
};

static void
mirror_free(void *user)
{
    VtMirror *mirror = user;

    g_free(mirror->location);
    g_free(mirror);
}

static void
rule_free(void *user)
{
    VtRegistryRule *rule = user;

    g_free(rule->prefix);
    g_free(rule->location);
    g_ptr_array_unref(rule->mirrors);
    g_free(rule);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtRegistryRule, rule_free)

VtRegistries *
vt_registries_new(void)
{
    VtRegistries *registries = g_new0(VtRegistries, 1);

    registries->rules = g_ptr_array_new_with_free_func(rule_free);
    return registries;
}

void
vt_registries_free(VtRegistries *registries)
{
    if (!registries)
        return;
    g_ptr_array_unref(registries->rules);
    g_free(registries);
}

/* ---- reading ---- */

/* "host", "host:5000/path", and for a prefix "*.domain" */
static bool
is_place(const char *text, bool is_prefix)
{
    const size_t host = strcspn(text, "/");

    if (is_prefix && g_str_has_prefix(text, "*."))
        return text[2] && text[2 + strspn(text + 2, HOST_CHARS)] == '\0';
    if (host == 0 || strspn(text, HOST_CHARS) < host)
        return false;
    return text[host] == '\0' ||
           (text[host + 1] && !strstr(text + host, "//") &&
            text[host + strspn(text + host, PATH_CHARS)] == '\0' && !g_str_has_suffix(text, "/"));
}

static bool
read_bool(const VtJson *object, const char *name, bool *ret, GError **error)
{
    const VtJson at = vt_json_member(object, name);

    if (at.value && !json_is_boolean(at.value))
        return vt_json_throw(&at, error, "is not true or false");
    *ret = json_is_true(at.value);
    return true;
}

/* @ret: (transfer full) (nullable): %NULL if it is not there, or empty */
static bool
read_place(const VtJson *object, const char *name, bool is_prefix, char **ret, GError **error)
{
    const char *text = NULL;

    if (!vt_json_string_if(object, name, &text, error))
        return false;
    if (text && *text && !is_place(text, is_prefix)) {
        const VtJson at = vt_json_member(object, name);

        return vt_json_throw(&at, error, "is not host[:port][/path]");
    }
    *ret = text && *text ? g_strdup(text) : NULL;
    return true;
}

/* "all", "digest-only", "tag-only" */
static bool
read_use(const VtJson *object, bool *ret_by_tag_only, GError **error)
{
    static const char *const known[] = {"", "all", "digest-only", "tag-only", NULL};
    const char *text = "";

    if (!vt_json_string_if(object, "pull-from-mirror", &text, error))
        return false;
    if (!g_strv_contains(known, text)) {
        const VtJson at = vt_json_member(object, "pull-from-mirror");

        return vt_json_throw(&at, error, "is not \"all\", \"digest-only\" or \"tag-only\"");
    }
    *ret_by_tag_only = g_str_equal(text, "tag-only");
    return true;
}

static bool
add_mirror(GPtrArray *mirrors, const VtJson *at, GError **error)
{
    static const char *const known[] = {"location", "insecure", "pull-from-mirror", NULL};
    VtMirror *mirror = g_new0(VtMirror, 1);

    g_ptr_array_add(mirrors, mirror);
    if (!vt_json_is_object(at, error) || !vt_json_exact_fields(at, known, error) ||
        !read_place(at, "location", false, &mirror->location, error) ||
        !read_bool(at, "insecure", &mirror->insecure, error) ||
        !read_use(at, &mirror->by_tag_only, error))
        return false;
    return mirror->location || vt_json_throw(at, error, "a mirror without its location");
}

static bool
read_mirrors(const VtJson *at, VtRegistryRule *rule, GError **error)
{
    const VtJson mirrors = vt_json_member(at, "mirror");

    if (mirrors.value && !json_is_array(mirrors.value))
        return vt_json_throw(&mirrors, error, "is not an array of tables");
    for (size_t i = 0; i < json_array_size(mirrors.value); i++) {
        const VtJson element = vt_json_element(&mirrors, i);

        if (!add_mirror(rule->mirrors, &element, error))
            return false;
    }
    return true;
}

static bool
read_rule(const VtJson *at, VtRegistryRule *rule, GError **error)
{
    /* mirror-by-digest-only: that is how we use mirrors anyway */
    static const char *const known[] = {
        "prefix", "location", "blocked", "insecure", "mirror-by-digest-only", "mirror", NULL};
    bool by_digest_only;

    if (!vt_json_is_object(at, error) || !vt_json_exact_fields(at, known, error) ||
        !read_place(at, "prefix", true, &rule->prefix, error) ||
        !read_place(at, "location", false, &rule->location, error) ||
        !read_bool(at, "blocked", &rule->blocked, error) ||
        !read_bool(at, "insecure", &rule->insecure, error) ||
        !read_bool(at, "mirror-by-digest-only", &by_digest_only, error) ||
        !read_mirrors(at, rule, error))
        return false;
    if (!rule->prefix && !rule->location)
        return vt_json_throw(at, error, "has neither prefix nor location");
    if (!rule->prefix)
        rule->prefix = g_strdup(rule->location);
    return true;
}

static void
take_rule(VtRegistries *registries, VtRegistryRule *rule)
{
    for (guint i = 0; i < registries->rules->len; i++) {
        const VtRegistryRule *old = g_ptr_array_index(registries->rules, i);

        if (g_ascii_strcasecmp(old->prefix, rule->prefix) == 0) {
            g_ptr_array_remove_index(registries->rules, i);
            break;
        }
    }
    g_ptr_array_add(registries->rules, rule);
}

bool
vt_registries_read_json(VtRegistries *registries, const json_t *root, const char *document,
                        GError **error)
{
    const VtJson top = vt_json_root((json_t *)root, document);
    const VtJson rules = vt_json_member(&top, "registry");

    if (json_object_get(root, "registries"))
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "%s is in version 1 of the format, with a table 'registries'; write "
                        "[[registry]] tables, see containers-registries.conf(5)",
                        document);
    if (rules.value && !json_is_array(rules.value))
        return vt_json_throw(&rules, error, "is not an array of tables, [[registry]]");
    for (size_t i = 0; i < json_array_size(rules.value); i++) {
        const VtJson at = vt_json_element(&rules, i);
        g_autoptr(VtRegistryRule) rule = g_new0(VtRegistryRule, 1);

        rule->mirrors = g_ptr_array_new_with_free_func(mirror_free);
        if (!read_rule(&at, rule, error))
            return false;
        take_rule(registries, g_steal_pointer(&rule));
    }
    return true;
}

bool
vt_registries_add(VtRegistries *registries, GBytes *bytes, const char *document, GError **error)
{
    json_t *root = NULL;
    bool ok;

    if (!vt_toml_parse(bytes, document, VT_REGISTRIES_FILE_MAX, &root, error))
        return false;
    ok = vt_registries_read_json(registries, root, document, error);
    json_decref(root);
    return ok;
}

/* ---- looking up ---- */

bool
vt_registries_is_empty(const VtRegistries *registries)
{
    return registries->rules->len == 0;
}

/* Length of the part of "host/repository" that @prefix stands for; 0: it does not. Whoever writes a
 * host in capitals, which is the same host, does not get around a block; repositories have none. */
static size_t
match(const char *prefix, const char *host, const char *name)
{
    const size_t length = strlen(prefix);

    if (g_str_has_prefix(prefix, "*.")) {
        const size_t bare = strcspn(host, ":");

        return bare + 1 > length &&
                       g_ascii_strncasecmp(host + bare - (length - 1), prefix + 1, length - 1) == 0
                   ? strlen(host)
                   : 0;
    }
    return g_ascii_strncasecmp(name, prefix, length) == 0 &&
                   (name[length] == '/' || name[length] == '\0')
               ? length
               : 0;
}

const VtRegistryRule *
vt_registries_find(const VtRegistries *registries, const char *host, const char *repository)
{
    g_autofree char *name = g_strconcat(host, "/", repository, NULL);
    const VtRegistryRule *best = NULL;

    for (guint i = 0; i < registries->rules->len; i++) {
        const VtRegistryRule *rule = g_ptr_array_index(registries->rules, i);

        if (match(rule->prefix, host, name) > 0 &&
            (!best || strlen(rule->prefix) > strlen(best->prefix)))
            best = rule;
    }
    return best;
}

void
vt_registries_keep(VtRegistries *registries, const char *host, const char *repository)
{
    const VtRegistryRule *best = vt_registries_find(registries, host, repository);
    const size_t length = best ? strlen(best->prefix) : 0;
    g_autofree char *below = g_strconcat(host, "/", repository, *repository ? "/" : "", NULL);

    for (guint i = registries->rules->len; i > 0; i--) {
        const VtRegistryRule *rule = g_ptr_array_index(registries->rules, i - 1);
        /* a shorter one is not found before @best, wherever it holds */
        const bool is_below = strlen(rule->prefix) > length &&
                              g_ascii_strncasecmp(rule->prefix, below, strlen(below)) == 0;

        if (rule != best && !is_below)
            g_ptr_array_remove_index(registries->rules, i - 1);
    }
}

char *
vt_registries_place(const VtRegistryRule *rule, const char *location, const char *host,
                    const char *repository)
{
    g_autofree char *name = g_strconcat(host, "/", repository, NULL);

    return location ? g_strconcat(location, name + match(rule->prefix, host, name), NULL)
                    : g_steal_pointer(&name);
}

char **
vt_registries_hosts(const VtRegistries *registries)
{
    g_autoptr(GStrvBuilder) hosts = g_strv_builder_new();

    for (guint i = 0; i < registries->rules->len; i++) {
        const VtRegistryRule *rule = g_ptr_array_index(registries->rules, i);

        if (rule->blocked)
            continue;
        if (rule->location) {
            g_autofree char *host = g_strndup(rule->location, strcspn(rule->location, "/"));

            g_strv_builder_add(hosts, host);
        }
        for (guint j = 0; j < rule->mirrors->len; j++) {
            const VtMirror *mirror = g_ptr_array_index(rule->mirrors, j);
            g_autofree char *host = g_strndup(mirror->location, strcspn(mirror->location, "/"));

            /* tags are the registry's alone */
            if (!mirror->by_tag_only)
                g_strv_builder_add(hosts, host);
        }
    }
    return g_strv_builder_end(hosts);
}

/* ---- writing ---- */

static json_t *
mirrors_to_json(const GPtrArray *mirrors)
{
    json_t *array = json_array();

    for (guint i = 0; i < mirrors->len; i++) {
        const VtMirror *mirror = g_ptr_array_index(mirrors, i);

        json_array_append_new(array, json_pack("{s:s,s:b,s:s}", "location", mirror->location,
                                               "insecure", mirror->insecure, "pull-from-mirror",
                                               mirror->by_tag_only ? "tag-only" : "all"));
    }
    return array;
}

json_t *
vt_registries_to_json(const VtRegistries *registries)
{
    json_t *rules = json_array();

    for (guint i = 0; i < registries->rules->len; i++) {
        const VtRegistryRule *rule = g_ptr_array_index(registries->rules, i);

        json_array_append_new(rules, json_pack("{s:s,s:s,s:b,s:b,s:o}", "prefix", rule->prefix,
                                               "location", rule->location ? rule->location : "",
                                               "blocked", rule->blocked, "insecure", rule->insecure,
                                               "mirror", mirrors_to_json(rule->mirrors)));
    }
    return json_pack("{s:o}", "registry", rules);
}
