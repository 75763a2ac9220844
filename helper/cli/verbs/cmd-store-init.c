/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-store-init.c: virt-template store init --store URL --key FILE */
#include "vtc-key.h"
#include "vtc-store.h"
#include "vtc-verb.h"

#include "vt-publish.h"

/* docker: host[:port][/prefix], which covers every template below it; oci: /path */
static char *
policy_scope(const VtStoreUrl *url)
{
    if (url->transport == VT_TRANSPORT_OCI)
        return g_strdup(url->path);
    return *url->prefix ? g_strconcat(url->host, "/", url->prefix, NULL) : g_strdup(url->host);
}

static void
print_advice(const VtStoreUrl *url, const VtKey *key, const char *uuid)
{
    g_autofree char *store = vt_store_url_format(url), *scope = policy_scope(url);
    g_autofree char *policy = vtc_key_policy_text(key, url->transport, scope);
    g_autofree char *what = vt_key_describe(key);

    g_print("Store %s is ready (%s), signed with %s.\n\n"
            "Each host trusts it by /etc/virt-template/policy.json; as a whole:\n\n%s\n\n"
            "and shows it as a pool (virsh pool-define):\n\n"
            "<pool type='dir' xmlns:template='urn:virt-template:pool:1'>\n"
            "  <name>templates</name>\n"
            "  <target><path>/var/lib/libvirt/images/templates</path></target>\n"
            "  <template:store url='%s'/>\n"
            "  <template:trust policy='/etc/virt-template/policy.json'/>\n"
            "</pool>\n",
            store, uuid, what, policy, store);
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcStoreOptions) options = {0};
    g_autofree char *key_file = NULL, *uuid = NULL;
    g_auto(GStrv) words = NULL;
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtKey) key = NULL;
    g_autoptr(VtStore) store = NULL;
    const GOptionEntry entries[] = {
        VTC_STORE_ENTRIES(options),
        {"key", 'k', 0, G_OPTION_ARG_FILENAME, &key_file, "Private key that signs the store",
         "FILE"},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !vtc_store_parse(&options, &url, error))
        return false;
    if (!key_file)
        return vtc_usage(error, "which key signs the store? Use --key FILE ('virt-template key "
                                "generate' makes one)");
    if (!vtc_key_load(key_file, &key, error))
        return false;
    if (url->transport == VT_TRANSPORT_OCI && !vt_store_create_layout(url->path, error))
        return false;
    if (!vtc_store_open(&options, url, true, &store, error) ||
        !vt_publish_init(&(VtPublisher){.url = url, .store = store, .key = key}, &uuid, error))
        return false;
    print_advice(url, key, uuid);
    return true;
}

const VtcVerb vtc_verb_store_init = {
    .name = "store init",
    .words = "",
    .summary = "Make a store with an empty, signed catalog",
    .detail = "Prints the policy and the pool that make hosts use it.",
    .run = run,
};
