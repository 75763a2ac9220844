/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* provision.c: virt-template provision: clone, seed and domain of a guest, or of many */
#include "vtc-provision.h"
#include "vtc-verb.h"

#include <libxml/parser.h>
#include <locale.h>
#include <string.h>

/* A program of its own, because no other verb needs libvirt's library */

#define DEFAULT_MEMORY_MIB 2048
#define DEFAULT_VCPUS      2
#define DEFAULT_MACHINE    "q35"
#define COUNT_MAX          1000
/* libvirt serves five clients of a connection at once; more would only wait */
#define THREADS      4
#define POLL_US      (500 * 1000)
#define MEMORY_MAX   (1 << 24)
#define VCPUS_MAX    4096
#define SIZE_PATTERN "^([1-9][0-9]{0,18})([KMGT]?)$"

typedef struct {
    VtcProvision provision;
    char *uri;
    char *pool;
    char *template_pool;
    char *network;
    char *machine;
    char *firmware;
    char *virt_type;
    char *size;
    char *user_data_file;
    char *user_data;
    char **settings;
    int memory;
    int vcpus;
    int count;
    int wait_s;
    gboolean start;
    gboolean dry_run;
    gboolean no_network;
} Options;

static void
options_clear(Options *options)
{
    g_free(options->uri);
    g_free(options->pool);
    g_free(options->template_pool);
    g_free(options->network);
    g_free(options->machine);
    g_free(options->firmware);
    g_free(options->virt_type);
    g_free(options->size);
    g_free(options->user_data_file);
    g_free(options->user_data);
    g_strfreev(options->settings);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

typedef struct {
    VtcSession *session;
    bool start;
    GMutex lock;
    GError *error;   /* guarded by lock; the first */
    GPtrArray *made; /* guarded by lock; names */
} Batch;

/* ---- options ---- */

/* "20G": binary units, as qemu-img has them */
static bool
parse_size(const char *text, uint64_t *ret, GError **error)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    guint64 value = g_ascii_strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

    if (!g_regex_match_simple(SIZE_PATTERN, text, 0, 0) || value > (UINT64_MAX >> shift >> 1))
        return vtc_usage(error, "--size %s: not a size such as 20G", text);
    *ret = value << shift;
    return true;
}

static bool
check_number(const char *option, int value, int most, GError **error)
{
    return (value >= 1 && value <= most) ||
           vtc_usage(error, "%s %d: not between 1 and %d", option, value, most);
}

static bool
check_word(const char *option, const char *value, const char *one, const char *other,
           GError **error)
{
    return !value || g_str_equal(value, one) || g_str_equal(value, other) ||
           vtc_usage(error, "%s %s: neither '%s' nor '%s'", option, value, one, other);
}

static bool
check_options(const Options *options, GError **error)
{
    return check_number("--memory", options->memory, MEMORY_MAX, error) &&
           check_number("--vcpus", options->vcpus, VCPUS_MAX, error) &&
           check_number("--count", options->count, COUNT_MAX, error) &&
           check_word("--firmware", options->firmware, "bios", "efi", error) &&
           check_word("--virt-type", options->virt_type, "kvm", "qemu", error) &&
           (options->wait_s <= 0 || options->start || vtc_usage(error, "--wait needs --start"));
}

static bool
read_user_data(Options *options, GError **error)
{
    g_autoptr(GError) local = NULL;

    if (!options->user_data_file)
        return true;
    if (!g_file_get_contents(options->user_data_file, &options->user_data, NULL, &local))
        return vtc_usage(error, "--user-data: %s", local->message);
    return g_utf8_validate(options->user_data, -1, NULL) ||
           vtc_usage(error, "--user-data %s: not UTF-8", options->user_data_file);
}

static const char *
or_default(const char *value, const char *other)
{
    return value ? value : other;
}

static bool
complete(Options *options, const char *template, GError **error)
{
    VtcProvision *provision = &options->provision;

    if (!check_options(options, error) || !read_user_data(options, error) ||
        (options->size && !parse_size(options->size, &provision->capacity, error)))
        return false;
    provision->uri = options->uri;
    provision->template = template;
    provision->template_pool = options->template_pool;
    provision->pool = or_default(options->pool, "default");
    provision->domain =
        (VtcDomain){.virt_type = options->virt_type,
                    .machine = or_default(options->machine, DEFAULT_MACHINE),
                    .network = options->no_network ? NULL : or_default(options->network, "default"),
                    .efi = options->firmware && g_str_equal(options->firmware, "efi"),
                    .memory_mib = (unsigned)options->memory,
                    .vcpus = (unsigned)options->vcpus,
                    .settings = options->settings,
                    .user_data = options->user_data};
    return true;
}

/* ---- making ---- */

/* web, or web-1, web-2, ... */
static char *
name_of(const Options *options, const char *name, int number)
{
    return options->count == 1 ? g_strdup(name) : g_strdup_printf("%s-%d", name, number + 1);
}

static void
make_one(gpointer data, gpointer user)
{
    g_autofree char *name = data;
    Batch *batch = user;
    g_autoptr(GError) error = NULL;
    bool stopped;

    g_mutex_lock(&batch->lock);
    stopped = batch->error != NULL;
    g_mutex_unlock(&batch->lock);
    if (stopped)
        return;
    if (vtc_session_make(batch->session, name, batch->start, &error)) {
        g_mutex_lock(&batch->lock);
        g_ptr_array_add(batch->made, g_steal_pointer(&name));
    } else {
        g_mutex_lock(&batch->lock);
        if (!batch->error)
            batch->error = g_steal_pointer(&error);
    }
    g_mutex_unlock(&batch->lock);
}

/* All or none */
static bool
make_all(VtcSession *session, const Options *options, const char *name, GError **error)
{
    Batch batch = {.session = session, .start = options->start};
    GThreadPool *threads = g_thread_pool_new(make_one, &batch, THREADS, FALSE, NULL);
    bool ok;

    g_mutex_init(&batch.lock);
    batch.made = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; i < options->count; i++)
        g_thread_pool_push(threads, name_of(options, name, i), NULL);
    g_thread_pool_free(threads, FALSE, TRUE);
    ok = batch.error == NULL;
    for (guint i = 0; i < batch.made->len; i++) {
        const char *each = batch.made->pdata[i];

        if (ok)
            g_print("%s is %s\n", each, options->start ? "started" : "defined");
        else
            vtc_session_remove(session, each);
    }
    if (!ok)
        g_propagate_error(error, batch.error);
    g_ptr_array_unref(batch.made);
    g_mutex_clear(&batch.lock);
    return ok;
}

static bool
wait_one(VtcSession *session, const char *name, gint64 deadline, GError **error)
{
    g_autofree char *address = NULL;

    for (;;) {
        if (!vtc_session_address(session, name, &address, error))
            return false;
        if (address) {
            g_print("%s %s\n", name, address);
            return true;
        }
        if (g_get_monotonic_time() > deadline)
            return vt_throw(error, VT_ERROR_FAILED,
                            "'%s' runs, but has no address yet; it is left as it is", name);
        g_usleep(POLL_US);
    }
}

static bool
wait_all(VtcSession *session, const Options *options, const char *name, GError **error)
{
    const gint64 deadline = g_get_monotonic_time() + (gint64)options->wait_s * G_USEC_PER_SEC;

    for (int i = 0; i < options->count; i++) {
        g_autofree char *each = name_of(options, name, i);

        if (!wait_one(session, each, deadline, error))
            return false;
    }
    return true;
}

static bool
print_all(VtcSession *session, const Options *options, const char *name, GError **error)
{
    for (int i = 0; i < options->count; i++) {
        g_autofree char *each = name_of(options, name, i), *xml = NULL;

        if (!vtc_session_xml(session, each, &xml, error))
            return false;
        g_print("%s", xml);
    }
    return true;
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(Options) options = {.memory = DEFAULT_MEMORY_MIB, .vcpus = DEFAULT_VCPUS, .count = 1};
    g_autoptr(VtcSession) session = NULL;
    g_auto(GStrv) words = NULL;
    const GOptionEntry entries[] = {
        {"set", 's', 0, G_OPTION_ARG_STRING_ARRAY, &options.settings, "About the guest, see below",
         "KEY=VALUE"},
        {"user-data", 'u', 0, G_OPTION_ARG_FILENAME, &options.user_data_file, "Complete user-data",
         "FILE"},
        {"size", 0, 0, G_OPTION_ARG_STRING, &options.size, "Of the disk, to grow it", "SIZE"},
        {"memory", 'm', 0, G_OPTION_ARG_INT, &options.memory, "In MiB (2048)", "N"},
        {"vcpus", 0, 0, G_OPTION_ARG_INT, &options.vcpus, "(2)", "N"},
        {"machine", 0, 0, G_OPTION_ARG_STRING, &options.machine, "Machine type (q35)", "TYPE"},
        {"virt-type", 0, 0, G_OPTION_ARG_STRING, &options.virt_type,
         "kvm or qemu (kvm if there is one)", "TYPE"},
        {"firmware", 0, 0, G_OPTION_ARG_STRING, &options.firmware, "bios or efi (bios)", "KIND"},
        {"network", 'n', 0, G_OPTION_ARG_STRING, &options.network, "(default)", "NETWORK"},
        {"no-network", 0, 0, G_OPTION_ARG_NONE, &options.no_network, "No interface", NULL},
        {"pool", 'p', 0, G_OPTION_ARG_STRING, &options.pool, "Of the clone (default)", "POOL"},
        {"template-pool", 0, 0, G_OPTION_ARG_STRING, &options.template_pool,
         "If more than one has the template", "POOL"},
        {"connect", 'c', 0, G_OPTION_ARG_STRING, &options.uri, "libvirt's URI", "URI"},
        {"count", 0, 0, G_OPTION_ARG_INT, &options.count, "That many: DOMAIN-1, DOMAIN-2 ...", "N"},
        {"start", 0, 0, G_OPTION_ARG_NONE, &options.start, "Start it", NULL},
        {"wait", 'w', 0, G_OPTION_ARG_INT, &options.wait_s, "Until it has an address", "SECONDS"},
        {"dry-run", 0, 0, G_OPTION_ARG_NONE, &options.dry_run, "Print the XML, make nothing", NULL},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !complete(&options, words[0], error) ||
        !vtc_session_open(&options.provision, &session, error))
        return false;
    if (options.dry_run)
        return print_all(session, &options, words[1], error);
    return make_all(session, &options, words[1], error) &&
           (options.wait_s <= 0 || wait_all(session, &options, words[1], error));
}

int
main(int argc, char **argv)
{
    g_autofree char *keys = vtc_domain_keys();
    g_autofree char *detail = g_strconcat("Keys of --set:\n", keys, NULL);
    const VtcVerb verb = {.name = "provision",
                          .words = "NAME[@VERSION] DOMAIN",
                          .words_min = 2,
                          .words_max = 2,
                          .summary = "Make a guest from a template",
                          .detail = detail,
                          .run = run};
    g_autoptr(GError) error = NULL;

    setlocale(LC_ALL, "");
    if (!run(&verb, argc > 0 ? argv + 1 : argv, &error))
        g_printerr("virt-template: %s\n", error ? error->message : "failed");
    xmlCleanupParser();
    return vtc_exit_status(error);
}
