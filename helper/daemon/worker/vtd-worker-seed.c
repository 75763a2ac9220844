/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-seed.c: the process that makes a seed of a domain's XML: no network, no file */
#include "vt-floppy.h"
#include "vt-fs.h"
#include "vt-instance-template.h"
#include "vt-iso.h"
#include "vtd-channel.h"
#include "vtd-sandbox.h"
#include "vtd-worker-protocol.h"

#include <poll.h>

enum {
    FD_XML,
    FD_IMAGE,
};

G_STATIC_ASSERT(sizeof(((VtdSeedRequest *)NULL)->random) == VT_SEED_RANDOM);

static bool
read_document(int fd, uint64_t size, uint64_t most, GBytes **ret_bytes, GError **error)
{
    g_autofree char *text = NULL;

    if (size > most)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "%" G_GUINT64_FORMAT " bytes, more than %" G_GUINT64_FORMAT, size, most);
    text = g_malloc(size + 1);
    if (!vt_fs_pread_all(fd, text, size, 0, "the document", error))
        return false;
    *ret_bytes = g_bytes_new_take(g_steal_pointer(&text), size);
    return true;
}

static bool
read_xml(const VtdSeedRequest *request, const VtdFds *fds, GBytes **ret_xml, GError **error)
{
    if (read_document(fds->fd[FD_XML], request->xml_size, VT_INSTANCE_XML_MAX, ret_xml, error))
        return true;
    g_prefix_error(error, "the domain's XML: ");
    return false;
}

static bool
read_documents(const VtdSeedDocuments *documents, const VtdFds *fds, VtInstanceDocuments *ret,
               GError **error)
{
    GBytes **const places[VTD_SEED_DOCUMENTS] = {[VTD_SEED_CONFIG] = &ret->config,
                                                 [VTD_SEED_DEFAULTS] = &ret->defaults,
                                                 [VTD_SEED_SECRETS] = &ret->secrets};
    int next = 0;

    for (gsize i = 0; i < VTD_SEED_DOCUMENTS; i++) {
        if (documents->sizes[i] > 0 && !read_document(fds->fd[next++], documents->sizes[i],
                                                      VTD_SEED_DOCUMENT_MAX, places[i], error))
            return false;
    }
    return true;
}

/* The daemon knows where they are, and whether they may be used */
static bool
ask(const VtInstance *instance, const VtdSeedReply *reply, VtInstanceDocuments *ret, GError **error)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    VtdSeedDocuments documents;
    VtdSeedReply question = *reply;

    question.asks = 1;
    if (instance->template)
        g_strlcpy(question.reference, instance->template, sizeof(question.reference));
    return vtd_channel_send(VTD_WORKER_FD, &question, sizeof(question), NULL, error) &&
           vtd_channel_receive(VTD_WORKER_FD, &documents, sizeof(documents), &fds, error) &&
           read_documents(&documents, &fds, ret, error);
}

static bool
complete(VtInstance *instance, const VtdSeedReply *reply, GError **error)
{
    VtInstanceDocuments documents = {0};
    const bool ok = (!vt_instance_asks(instance) || ask(instance, reply, &documents, error)) &&
                    vt_instance_complete(instance, &documents, error);

    g_clear_pointer(&documents.config, g_bytes_unref);
    g_clear_pointer(&documents.defaults, g_bytes_unref);
    g_clear_pointer(&documents.secrets, g_bytes_unref);
    return ok;
}

static bool
write_image(const VtdSeedRequest *request, const VtInstance *instance, int fd, uint64_t *ret_size,
            GError **error)
{
    g_autoptr(GPtrArray) files = vt_seed_files(instance, request->random);
    const char *label = vt_seed_label(instance->source);
    g_autoptr(GBytes) image = NULL;

    if (!(vt_seed_is_floppy(instance) ? vt_floppy_write(label, files, &image, error)
                                      : vt_iso_write(label, files, &image, error)))
        return false;
    *ret_size = g_bytes_get_size(image);
    return vt_fs_write_all(fd, g_bytes_get_data(image, NULL), *ret_size, "the seed", error);
}

static bool
make(const VtdSeedRequest *request, const VtdFds *fds, VtdSeedReply *reply, GError **error)
{
    g_autoptr(VtInstance) instance = NULL;
    g_autoptr(GBytes) xml = NULL;

    if (!read_xml(request, fds, &xml, error) || !vt_instance_parse(xml, &instance, error))
        return false;
    if (!instance)
        return true;
    g_strlcpy(reply->path, instance->seed_path, sizeof(reply->path));
    g_strlcpy(reply->owner, instance->uuid, sizeof(reply->owner));
    if (fds->count <= FD_IMAGE)
        return true;
    return complete(instance, reply, error) &&
           write_image(request, instance, fds->fd[FD_IMAGE], &reply->size, error);
}

/* To leave the network takes longer than to make a seed */
static bool
set_up(GError **error)
{
    VtdSandbox sandbox = {.kind = VTD_WORKER_SEED, .layout_fd = -1};
    VtdSeedSetup setup;

    if (!vtd_channel_receive(VTD_WORKER_FD, &setup, sizeof(setup), NULL, error))
        return false;
    sandbox.uid = setup.uid;
    sandbox.gid = setup.gid;
    return vtd_sandbox_enter(&sandbox, error);
}

/* What a first seed loads, links and sets up in libxml2, iconv and libisofs takes longer than a
 * second one does */
#define EXAMPLE                                                                                    \
    "<domain><name>a</name><uuid>6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f</uuid><metadata>"            \
    "<instance xmlns='" VT_INSTANCE_NAMESPACE "'><seed path='/a-seed.iso'/><hostname>a</hostname>" \
    "<user name='a'/><package>a</package><command>a</command>"                                     \
    "<interface><address>192.0.2.5/24</address></interface></instance></metadata>"                 \
    "<devices><interface><mac address='52:54:00:00:00:01'/></interface></devices></domain>"

static bool
is_asked(void)
{
    struct pollfd fd = {.fd = VTD_WORKER_FD, .events = POLLIN};

    return poll(&fd, 1, 0) != 0;
}

/* Makes the seed of nobody, while nobody waits yet; if it fails, so does the one that is asked for
 */
static void
warm_up(void)
{
    g_autoptr(GBytes) xml = g_bytes_new_static(EXAMPLE, strlen(EXAMPLE));
    const VtdSeedRequest request = {.xml_size = strlen(EXAMPLE)};
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL;
    VtdSeedReply reply;

    fds.count = 2;
    if (!vtd_memfd("domain", xml, &fds.fd[FD_XML], &error) ||
        !vtd_memfd("seed", NULL, &fds.fd[FD_IMAGE], &error) ||
        !make(&request, &fds, &reply, &error))
        g_warning("the seed worker's example: %s", error->message);
}

int
main(int argc, char **argv)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL, gone = NULL;
    VtdSeedReply reply = {.code = -1};
    VtdSeedRequest request;
    bool ok;

    if (!vtd_sandbox_greet(argc, argv))
        return 2;
    ok = set_up(&error);
    if (ok && !is_asked())
        warm_up();
    if (!vtd_channel_receive(VTD_WORKER_FD, &request, sizeof(request), &fds, &gone) ||
        fds.count < 1)
        return 1;
    if (!ok || !make(&request, &fds, &reply, &error)) {
        reply.code = error->domain == VT_ERROR ? error->code : VT_ERROR_FAILED;
        g_strlcpy(reply.message, error->message, sizeof(reply.message));
    }
    if (!vtd_channel_send(VTD_WORKER_FD, &reply, sizeof(reply), NULL, &gone))
        return 1;
    /* To take a process down keeps a processor busy that the daemon was just woken on: not before
     * it has closed the channel */
    vtd_channel_receive(VTD_WORKER_FD, &request, sizeof(request), NULL, &gone);
    return 0;
}
