/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-pool-conf.c: no pool XML makes the libvirt module go wrong; what it takes the daemon takes
 */
#include "fuzz.h"
#include "template_pool_conf.h"
#include "vt-store-url.h"

/* As long as a definition in the tests is, several times over */
#define SIZE_TRIED (64u << 10)
/* Only the daemon knows the limits of a host and its prefix together */
#define URL_TRIED 255

static void
swallow(void *opaque, virErrorPtr error)
{
}

static void
set_up(void)
{
    static virXMLNamespace ns;

    if (ns.uri)
        return;
    ns = virStorageTemplatePoolNamespace;
    virInitialize();
    virSetErrorFunc(NULL, swallow);
    g_assert_cmpint(virStoragePoolOptionsPoolTypeSetXMLNamespace(VIR_STORAGE_POOL_DIR, &ns), ==, 0);
}

static void
check(virStoragePoolDef *def, const virStorageTemplatePoolConf *conf)
{
    g_autofree char *first = virStoragePoolDefFormat(def), *second = NULL;
    g_autoptr(virStoragePoolDef) again = virStoragePoolDefParse(first, NULL, 0);
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(again);
    second = virStoragePoolDefFormat(again);
    g_assert_cmpstr(first, ==, second);
    g_assert_true(conf->store && (!conf->policy || g_path_is_absolute(conf->policy)));
    vt_store_url_parse(conf->store, &url, &error);
    if (strlen(conf->store) <= URL_TRIED)
        g_assert_no_error(error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *xml = g_strndup(size ? (const char *)data : "", MIN(size, SIZE_TRIED));
    g_autoptr(virStoragePoolDef) def = NULL;

    set_up();
    virResetLastError();
    def = virStoragePoolDefParse(xml, NULL, 0);
    /* libvirt itself shows bytes of an XML that is none */
    if (!def && virGetLastErrorCode() != VIR_ERR_XML_DETAIL)
        g_assert_true(g_utf8_validate(virGetLastErrorMessage(), -1, NULL));
    else if (def && def->namespaceData)
        check(def, def->namespaceData);
    return 0;
}
