/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-doctor-pool.c: each pool: directory, policy, store, catalog, seal */
#include "vtc-doctor.h"
#include "vtc-print.h"

#include "vt-fs.h"
#include "vt-policy-file.h"
#include "vt-publish-catalog.h"
#include "vt-seal.h"
#include "vts-session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

/* How long the helper may ask the store */
#define WAIT_MS 10000
/* Time enough to publish something, which renews the catalog */
#define EXPIRES_SOON_DAYS 30
#define FLAG_REFUSED      4
#define FLAG_EXPIRED      32

/* The credentials that virttemplated has, unless it is told otherwise */
#define HELPER_AUTH_FILE "/etc/virt-template/auth.json"

/* What virt-aa-helper refuses as a disk, whatever its profile says */
static const char *const refused_by_libvirt[] = {
    "/bin/", "/etc/",     "/lib/",     "/proc/",     "/sbin/",
    "/sys/", "/usr/bin/", "/usr/lib/", "/usr/sbin/", "/usr/share/"};

typedef struct {
    VtcReport *report;
    const VtcPool *pool;
    /* the store's own catalog has expired */
    bool expired;
} Visit;

static void
check_seal(const Visit *visit, int dir_fd)
{
    g_autofree char *reason = NULL;
    g_autoptr(GError) error = NULL;
    VtSeal seal = VT_SEAL_NONE;

    if (!vt_seal_probe(dir_fd, &seal, &reason, &error))
        vtc_report_fail(visit->report, "seal",
                        "run 'virt-template doctor' as root; if that fails, "
                        "use a file system that can be written to",
                        "no file can be made in %s: %s", visit->pool->target, error->message);
    else if (vts_is_session() && seal == VT_SEAL_NONE)
        vtc_report_warn(visit->report, "seal",
                        "use a file system with fs-verity (ext4: 'tune2fs -O verity'), the "
                        "only seal that needs no root",
                        "layers are protected by their mode alone (%s)",
                        reason ? reason : "no reason given");
    else if (!vts_is_session() && !vt_seal_holds(seal))
        vtc_report_warn(visit->report, "seal",
                        "use a file system with chattr +i, or let virttemplated mount",
                        "libvirt can change the owner of layers: %s, %s", vt_seal_name(seal),
                        reason ? reason : "no reason given");
    else
        vtc_report_ok(visit->report, "seal", "%s", vt_seal_name(seal));
}

static void
check_directory(const Visit *visit)
{
    const char *target = visit->pool->target;
    vt_autofd dir_fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_autofree char *space = NULL;
    struct statvfs info;

    if (dir_fd < 0 || fstatvfs(dir_fd, &info) < 0) {
        vtc_report_fail(visit->report, "directory",
                        errno == EACCES ? "run 'virt-template doctor' as root"
                                        : "'virsh pool-build' makes it",
                        "%s: %s", target, g_strerror(errno));
        return;
    }
    if (info.f_flag & ST_RDONLY) {
        vtc_report_fail(visit->report, "directory", "mount it writable",
                        "%s is on a file system that is mounted read-only", target);
        return;
    }
    space = vtc_print_size((uint64_t)info.f_bavail * info.f_frsize);
    for (size_t i = 0; i < G_N_ELEMENTS(refused_by_libvirt); i++) {
        if (g_str_has_prefix(target, refused_by_libvirt[i])) {
            vtc_report_warn(visit->report, "directory",
                            "move the pool, e.g. below /var/lib/libvirt/images",
                            "%s: libvirt's AppArmor driver refuses disks below %s", target,
                            refused_by_libvirt[i]);
            return;
        }
    }
    vtc_report_ok(visit->report, "directory", "%s, %s free", target, space);
    check_seal(visit, dir_fd);
}

/* "2027-11-21T03:19:37Z" */
static void
check_expiry(Visit *visit, const VtCatalog *catalog)
{
    static const char advice[] = "the publisher has to publish or sign the catalog again";
    g_autofree char *now = vt_publish_now(0), *soon = vt_publish_now(EXPIRES_SOON_DAYS);

    visit->expired = strcmp(catalog->expires, now) <= 0;
    if (visit->expired)
        vtc_report_warn(visit->report, "catalog", advice, "it expired at %s", catalog->expires);
    else if (strcmp(catalog->expires, soon) <= 0)
        vtc_report_warn(visit->report, "catalog", advice, "it expires soon, at %s",
                        catalog->expires);
    else
        vtc_report_ok(visit->report, "catalog",
                      "serial %" G_GUINT64_FORMAT ", %u templates, valid until %s", catalog->serial,
                      catalog->templates->len, catalog->expires);
}

static void
check_catalog(Visit *visit, const VtPolicy *policy)
{
    g_autofree char *own = vts_config_file("auth.json");
    const char *auth_file = vts_is_session() ? own : HELPER_AUTH_FILE;
    const VtStoreOptions options = {
        .auth_file = g_file_test(auth_file, G_FILE_TEST_EXISTS) ? auth_file : NULL,
        .layout_fd = -1,
    };
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtStore) store = NULL;
    g_autoptr(VtCatalog) catalog = NULL;
    g_autoptr(GError) error = NULL;
    VtDigest digest;

    if (!vt_store_url_parse(visit->pool->store, &url, &error) ||
        !vt_store_open(url, &options, &store, &error) ||
        !vt_publish_catalog_read(&(VtPublisher){.url = url, .store = store, .policy = policy},
                                 &catalog, &digest, &error))
        vtc_report_fail(visit->report, "catalog",
                        "see the reason; 'virt-template list --store URL' asks the same question",
                        "%s: %s", visit->pool->store, error->message);
    else
        check_expiry(visit, catalog);
}

static void
check_policy(Visit *visit)
{
    g_autofree char *usual = vts_policy_file(VT_POLICY_DEFAULT_PATH);
    const char *file = *visit->pool->policy ? visit->pool->policy : usual;
    g_autoptr(VtPolicy) policy = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_policy_load(file, &policy, &error)) {
        vtc_report_fail(visit->report, "policy", "see virt-template-policy(5)", "%s",
                        error->message);
        return;
    }
    vtc_report_ok(visit->report, "policy", "%s", file);
    check_catalog(visit, policy);
}

static void
check_templates(const Visit *visit, VtcClient *client)
{
    g_autoptr(GVariant) reply = NULL, list = NULL;
    g_autoptr(GError) error = NULL;
    const char *warning = "";
    unsigned refused = 0, expired = 0;
    guint32 flags;
    GVariantIter iter;

    if (!vtc_client_call(client, "ListTemplates",
                         g_variant_new("(su)", visit->pool->target, WAIT_MS), "(a(ssttus)s)",
                         &reply, &error)) {
        vtc_report_fail(visit->report, "store", "see the reason", "%s", error->message);
        return;
    }
    list = g_variant_get_child_value(reply, 0);
    g_variant_get_child(reply, 1, "&s", &warning);
    g_variant_iter_init(&iter, list);
    while (g_variant_iter_next(&iter, "(ssttus)", NULL, NULL, NULL, NULL, &flags, NULL)) {
        refused += flags & FLAG_REFUSED ? 1 : 0;
        expired += flags & FLAG_EXPIRED ? 1 : 0;
    }
    /* All is still fetched by it */
    if (*warning && visit->expired && expired == 0)
        vtc_report_warn(visit->report, "store", "see the reason", "%s", warning);
    else if (*warning)
        vtc_report_fail(visit->report, "store", "see the reason; what is here can still be cloned",
                        "%s", warning);
    else if (refused > 0)
        vtc_report_warn(visit->report, "store", "'virt-template list' says why",
                        "%u of its templates are refused", refused);
    else
        vtc_report_ok(visit->report, "store", "%s, %" G_GSIZE_FORMAT " versions",
                      visit->pool->store, g_variant_n_children(list));
}

void
vtc_doctor_pools(VtcReport *report, VtcClient *client)
{
    g_autoptr(GPtrArray) pools = NULL;
    g_autoptr(GError) error = NULL;

    if (!vtc_pool_list(client, &pools, &error)) {
        vtc_report_fail(report, "pools", "see the reason", "%s", error->message);
        return;
    }
    if (pools->len == 0)
        vtc_report_warn(report, "pools", "define and start one, see virt-template-pool(5)",
                        "virttemplated knows no pool");
    for (unsigned i = 0; i < pools->len; i++) {
        Visit visit = {report, pools->pdata[i], false};

        vtc_report_set_prefix(report, visit.pool->name);
        check_directory(&visit);
        check_policy(&visit);
        check_templates(&visit, client);
        vtc_doctor_secrets(report, visit.pool);
    }
    vtc_report_set_prefix(report, NULL);
}
