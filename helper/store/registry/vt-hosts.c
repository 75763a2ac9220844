/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-hosts.c: what this machine is told about registries: rules, certificates, proxies */
#include "vt-hosts.h"

#include "vt-json.h"

#include <errno.h>
#include <string.h>

#define REGISTRIES_FILE "/etc/containers/registries.conf"
#define REGISTRIES_DIR  "/etc/containers/registries.conf.d"
#define CERTS_DIR       "/etc/containers/certs.d"
#define PEM_START       "-----BEGIN "

static void
tls_free(void *user)
{
    VtHostTls *tls = user;

    g_free(tls->ca);
    g_free(tls->cert);
    if (tls->key)
        explicit_bzero(tls->key, strlen(tls->key));
    g_free(tls->key);
    g_free(tls);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtHostTls, tls_free)

static VtHosts *
hosts_new(void)
{
    VtHosts *hosts = g_rc_box_new0(VtHosts);

    hosts->registries = vt_registries_new();
    hosts->tls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, tls_free);
    return hosts;
}

static void
hosts_clear(gpointer user)
{
    VtHosts *hosts = user;

    vt_registries_free(hosts->registries);
    g_hash_table_unref(hosts->tls);
    g_free(hosts->https_proxy);
    g_free(hosts->http_proxy);
    g_free(hosts->no_proxy);
}

VtHosts *
vt_hosts_ref(const VtHosts *hosts)
{
    return g_rc_box_acquire((VtHosts *)hosts);
}

void
vt_hosts_unref(VtHosts *hosts)
{
    if (hosts)
        g_rc_box_release_full(hosts, hosts_clear);
}

const VtHostTls *
vt_hosts_tls(const VtHosts *hosts, const char *host)
{
    return g_hash_table_lookup(hosts->tls, host);
}

/* ---- files ---- */

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A directory that is not there has no files. One that cannot be read is an error: it may have the
 * rule that blocks what is about to be asked for.
 * @ret_paths: (out) (transfer full): of the files, in order */
static bool
list_directory(const char *path, const char *suffix, char ***ret_paths, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &local);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *name;

    if (!dir && !g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return vt_throw(error, VT_ERROR_FAILED, "cannot read settings for registries: %s",
                        local->message);
    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, suffix))
            g_ptr_array_add(names, g_build_filename(path, name, NULL));
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    *ret_paths = (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
    return true;
}

/* An administrator's file, which may be a symbolic link.
 * @ret_text: (transfer full) (nullable): %NULL if there is no such file and @needed is false */
static bool
read_text(const char *path, bool needed, char **ret_text, gsize *ret_length, GError **error)
{
    g_autoptr(GError) local = NULL;

    *ret_text = NULL;
    if (g_file_get_contents(path, ret_text, ret_length, &local) ||
        (!needed && g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)))
        return true;
    return vt_throw(error, VT_ERROR_FAILED, "cannot read '%s': %s", path, local->message);
}

static bool
add_rules(VtHosts *hosts, const char *path, bool needed, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GBytes) bytes = NULL;
    gsize length = 0;

    if (!read_text(path, needed, &text, &length, error))
        return false;
    if (!text)
        return true;
    bytes = g_bytes_new_take(g_steal_pointer(&text), length);
    return vt_registries_add(hosts->registries, bytes, path, error);
}

static bool
read_rules(VtHosts *hosts, GError **error)
{
    g_auto(GStrv) paths = NULL;

    if (!list_directory(REGISTRIES_DIR, ".conf", &paths, error) ||
        !add_rules(hosts, REGISTRIES_FILE, false, error))
        return false;
    for (gsize i = 0; paths[i]; i++) {
        if (!add_rules(hosts, paths[i], true, error))
            return false;
    }
    return true;
}

/* Text around the blocks may be in any encoding */
static bool
read_pem(const char *path, char **ret_text, GError **error)
{
    g_autofree char *text = NULL;
    gsize length = 0;

    if (!read_text(path, true, &text, &length, error))
        return false;
    if (!g_strstr_len(text, (gssize)length, PEM_START))
        return vt_throw(error, VT_ERROR_INVALID, "'%s' has nothing in PEM form (" PEM_START ")",
                        path);
    *ret_text = g_utf8_make_valid(text, -1);
    return true;
}

static bool
read_cas(const char *dir, VtHostTls *tls, GError **error)
{
    g_autoptr(GString) all = g_string_new(NULL);
    g_auto(GStrv) paths = NULL;

    if (!list_directory(dir, ".crt", &paths, error))
        return false;
    for (gsize i = 0; paths[i]; i++) {
        g_autofree char *text = NULL;

        if (!read_pem(paths[i], &text, error))
            return false;
        g_string_append_printf(all, "%s\n", text);
    }
    if (all->len > 0)
        tls->ca = g_string_free(g_steal_pointer(&all), FALSE);
    return true;
}

/* NAME.cert and NAME.key */
static bool
read_client(const char *dir, VtHostTls *tls, GError **error)
{
    g_auto(GStrv) certs = NULL, keys = NULL;
    g_autofree char *key = NULL;

    if (!list_directory(dir, ".cert", &certs, error) || !list_directory(dir, ".key", &keys, error))
        return false;
    if (!certs[0]) {
        return !keys[0] || vt_throw(error, VT_ERROR_INVALID,
                                    "the key '%s' has no certificate of its name, *.cert", keys[0]);
    }
    key = g_strndup(certs[0], strlen(certs[0]) - strlen("cert"));
    key = g_strconcat(g_steal_pointer(&key), "key", NULL);
    if (!g_strv_contains((const char *const *)keys, key))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the client certificate '%s' has no key beside it, '%s'", certs[0], key);
    return read_pem(certs[0], &tls->cert, error) && read_pem(key, &tls->key, error);
}

static bool
read_tls(VtHosts *hosts, const char *host, GError **error)
{
    g_autofree char *dir = g_build_filename(CERTS_DIR, host, NULL);
    g_autoptr(VtHostTls) tls = g_new0(VtHostTls, 1);

    if (g_hash_table_contains(hosts->tls, host))
        return true;
    if (!read_cas(dir, tls, error) || !read_client(dir, tls, error))
        return false;
    if (tls->ca || tls->cert)
        g_hash_table_insert(hosts->tls, g_strdup(host), g_steal_pointer(&tls));
    return true;
}

/* ---- the whole ---- */

static char *
variable(const char *lower, const char *upper)
{
    const char *text = g_getenv(lower);

    if ((!text || !*text) && upper)
        text = g_getenv(upper);
    return text && *text ? g_strdup(text) : NULL;
}

bool
vt_hosts_read(const VtStoreUrl *url, VtHosts **ret_hosts, GError **error)
{
    g_autoptr(VtHosts) hosts = hosts_new();
    g_auto(GStrv) others = NULL;

    if (url->host) {
        if (!read_rules(hosts, error) || !read_tls(hosts, url->host, error))
            return false;
        /* a worker that another one took over has keys and credentials of this store's hosts only
         */
        vt_registries_keep(hosts->registries, url->host, url->prefix);
        others = vt_registries_hosts(hosts->registries);
        for (gsize i = 0; others[i]; i++) {
            if (!read_tls(hosts, others[i], error))
                return false;
        }
        hosts->https_proxy = variable("https_proxy", "HTTPS_PROXY");
        /* HTTP_PROXY is what a CGI script's client says */
        hosts->http_proxy = variable("http_proxy", NULL);
        hosts->no_proxy = variable("no_proxy", "NO_PROXY");
    }
    *ret_hosts = g_steal_pointer(&hosts);
    return true;
}

/* ---- from process to process ---- */

static void
set_text(json_t *object, const char *name, const char *text)
{
    if (text)
        json_object_set_new(object, name, json_string(text));
}

GBytes *
vt_hosts_to_bytes(const VtHosts *hosts)
{
    json_t *root = vt_registries_to_json(hosts->registries), *all = json_object();
    GHashTableIter iter;
    gpointer host, value;
    GBytes *bytes;

    g_hash_table_iter_init(&iter, hosts->tls);
    while (g_hash_table_iter_next(&iter, &host, &value)) {
        const VtHostTls *tls = value;
        json_t *entry = json_object();

        set_text(entry, "ca", tls->ca);
        set_text(entry, "cert", tls->cert);
        set_text(entry, "key", tls->key);
        json_object_set_new(all, host, entry);
    }
    json_object_set_new(root, "hosts", all);
    set_text(root, "https_proxy", hosts->https_proxy);
    set_text(root, "http_proxy", hosts->http_proxy);
    set_text(root, "no_proxy", hosts->no_proxy);
    bytes = vt_json_format(root);
    json_decref(root);
    return bytes;
}

static char *
get_text(const json_t *object, const char *name)
{
    return g_strdup(json_string_value(json_object_get(object, name)));
}

bool
vt_hosts_from_bytes(GBytes *bytes, VtHosts **ret_hosts, GError **error)
{
    g_autoptr(VtHosts) hosts = hosts_new();
    json_t *root = NULL, *entry;
    const char *host;
    bool ok;

    if (!vt_json_parse(bytes, "hosts", VT_HOSTS_MAX, &root, error))
        return false;
    ok = vt_registries_read_json(hosts->registries, root, "hosts", error);
    json_object_foreach(json_object_get(root, "hosts"), host, entry)
    {
        VtHostTls *tls = g_new0(VtHostTls, 1);

        tls->ca = get_text(entry, "ca");
        tls->cert = get_text(entry, "cert");
        tls->key = get_text(entry, "key");
        g_hash_table_insert(hosts->tls, g_strdup(host), tls);
    }
    hosts->https_proxy = get_text(root, "https_proxy");
    hosts->http_proxy = get_text(root, "http_proxy");
    hosts->no_proxy = get_text(root, "no_proxy");
    json_decref(root);
    if (ok)
        *ret_hosts = g_steal_pointer(&hosts);
    return ok;
}
