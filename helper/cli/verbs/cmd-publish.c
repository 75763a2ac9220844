/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-publish.c: virt-template publish IMAGE NAME@VERSION --store URL --key FILE */
#include "vtc-image.h"
#include "vtc-key.h"
#include "vtc-print.h"
#include "vtc-profile.h"
#include "vtc-progress.h"
#include "vtc-store.h"
#include "vtc-verb.h"

#include "vt-fs.h"
#include "vt-manifest.h"
#include "vt-name.h"
#include "vt-policy-file.h"
#include "vt-publish.h"

#include <string.h>

#define LEVEL_MAX 19
/* A signed list that is valid for longer than this protects nobody */
#define DAYS_MAX 3650

typedef struct {
    VtcStoreOptions store;
    char *key_file;
    char *policy_file;
    char *format;
    char *os;
    char *architecture;
    char *profile_file;
    char *parent;
    json_t *profile;
    int level;
    int days;
    int chain_max;
    int checkpoint;
    gboolean not_current;
    gboolean json;
    gboolean quiet;
} Options;

static void
options_clear(Options *options)
{
    vtc_store_options_clear(&options->store);
    g_free(options->key_file);
    g_free(options->policy_file);
    g_free(options->format);
    g_free(options->os);
    g_free(options->architecture);
    g_free(options->profile_file);
    g_free(options->parent);
    json_decref(options->profile);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static bool
parse_options(const VtcVerb *self, char **argv, Options *options, char ***ret_words, GError **error)
{
    const GOptionEntry entries[] = {
        VTC_STORE_ENTRIES(options->store),
        {"key", 'k', 0, G_OPTION_ARG_FILENAME, &options->key_file, "Private key that signs it",
         "FILE"},
        {"policy", 0, 0, G_OPTION_ARG_FILENAME, &options->policy_file,
         "Whose catalog to extend; else only --key's", "FILE"},
        {"format", 'f', 0, G_OPTION_ARG_STRING, &options->format,
         "raw or qcow2; else by its header", "FORMAT"},
        {"level", 'l', 0, G_OPTION_ARG_INT, &options->level, "zstd level, 1 to 19 (default 3)",
         "N"},
        {"os", 0, 0, G_OPTION_ARG_STRING, &options->os, "Operating system (default linux)", "OS"},
        {"architecture", 0, 0, G_OPTION_ARG_STRING, &options->architecture,
         "Of the guest (default amd64)", "ARCH"},
        {"profile", 0, 0, G_OPTION_ARG_FILENAME, &options->profile_file,
         "Parameters, user-data, hardware (YAML)", "FILE"},
        {"parent", 0, 0, G_OPTION_ARG_STRING, &options->parent,
         "Store what differs from: auto, none, NAME@VERSION", "VERSION"},
        {"max-chain", 0, 0, G_OPTION_ARG_INT, &options->chain_max,
         "Layers it may have; else a full one (default 8)", "N"},
        {"checkpoint", 0, 0, G_OPTION_ARG_INT, &options->checkpoint,
         "With more layers: a full one and a bridge", "N"},
        {"no-current", 0, 0, G_OPTION_ARG_NONE, &options->not_current,
         "Leave the current version as it is", NULL},
        {"expires", 0, 0, G_OPTION_ARG_INT, &options->days, "Catalog's validity (default 365)",
         "DAYS"},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL},
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &options->quiet, "No progress bar, no summary", NULL},
        {NULL},
    };

    return vtc_verb_parse(self, argv, entries, ret_words, error);
}

static bool
check_options(const Options *options, GError **error)
{
    if (!options->key_file)
        return vtc_usage(error, "which key signs it? Use --key FILE ('virt-template key generate' "
                                "makes one)");
    if (options->level < 1 || options->level > LEVEL_MAX)
        return vtc_usage(error, "--level %d is not within 1 to %d", options->level, LEVEL_MAX);
    if (options->days < 1 || options->days > DAYS_MAX)
        return vtc_usage(error, "--expires %d is not within 1 to %d days", options->days, DAYS_MAX);
    if (options->chain_max < 1 || options->chain_max > VT_LAYERS_MAX)
        return vtc_usage(error, "--max-chain %d is not within 1 to %d layers", options->chain_max,
                         VT_LAYERS_MAX);
    if (options->checkpoint < 0 || options->checkpoint > VT_LAYERS_MAX)
        return vtc_usage(error, "--checkpoint %d is not within 1 to %d layers, or 0 for none",
                         options->checkpoint, VT_LAYERS_MAX);
    if (options->format && strcmp(options->format, "raw") != 0 &&
        strcmp(options->format, "qcow2") != 0)
        return vtc_usage(error,
                         "--format '%s' is neither raw nor qcow2; convert the image with "
                         "qemu-img first, if you trust it",
                         options->format);
    return true;
}

/* A version is asked for: what is published stays forever, so it is not made up here */
static bool
parse_reference(const char *text, char **ret_name, char **ret_version, GError **error)
{
    g_autofree char *name = NULL, *version = NULL;

    if (!vt_reference_parse(text, &name, &version, error))
        return false;
    if (!version)
        return vtc_usage(error, "'%s' has no version; publish it as %s@1.0.0, for example", name,
                         name);
    *ret_name = g_steal_pointer(&name);
    *ret_version = g_steal_pointer(&version);
    return true;
}

static void
show_progress(void *user, uint64_t done, uint64_t total)
{
    vtc_progress_draw(user, "publish", done, total);
}

static void
show_parent_progress(void *user, uint64_t done, uint64_t total)
{
    vtc_progress_draw(user, "parent", done, total);
}

static uint64_t
stored_of(const VtPublishResult *result)
{
    return result->stored_bytes + result->index_bytes;
}

/* "  delta     over debian@1.0.0: 12.3 MiB instead of about 160.0 MiB; chain of 2 layers" */
static void
print_layer(const VtPublishResult *result)
{
    g_autofree char *stored = vtc_print_size(stored_of(result));
    g_autofree char *full = vtc_print_size(result->full_bytes);
    g_autofree char *bridge = vtc_print_size(result->bridge_bytes);
    const char *plural = result->layers == 1 ? "" : "s";

    if (result->parent && result->full_bytes > 0)
        g_print("  delta     over %s: %s instead of about %s; chain of %u layer%s\n",
                result->parent, stored, full, result->layers, plural);
    else if (result->parent)
        g_print("  delta     over %s: %s; chain of %u layer%s\n", result->parent, stored,
                result->layers, plural);
    else if (result->why_full)
        g_print("  full      %s\n", result->why_full);
    if (result->bridge)
        g_print("  bridge    hosts with %s fetch %s instead\n", result->bridge, bridge);
}

static void
print_summary(const VtPublisher *publisher, const VtPublishRequest *request,
              const VtPublishResult *result, int64_t elapsed_us)
{
    g_autofree char *store = vt_store_url_format(publisher->url);
    g_autofree char *capacity = vtc_print_size(result->capacity);
    g_autofree char *data = vtc_print_size(result->data_bytes);
    g_autofree char *unique = vtc_print_size(result->unique_bytes);
    g_autofree char *stored = vtc_print_size(stored_of(result));
    g_autofree char *elapsed = vtc_print_duration(elapsed_us);
    double percent =
        result->data_bytes > 0 ? 100.0 * (double)stored_of(result) / (double)result->data_bytes : 0;
    char manifest[VT_DIGEST_STRING_MAX];

    if (result->unchanged) {
        g_print("%s@%s is in %s already, with the same content; nothing was uploaded\n",
                request->name, request->version, store);
        if (result->renewed)
            g_print("  catalog   was valid until %s, renewed: serial %" G_GUINT64_FORMAT "\n",
                    result->renewed, result->serial);
        return;
    }
    g_print("%s@%s is published in %s\n"
            "  disk      %s, %s of data, %s unique\n"
            "  stored    %s (%.1f %% of the data)\n",
            request->name, request->version, store, capacity, data, unique, stored, percent);
    print_layer(result);
    g_print("  manifest  %s\n"
            "  catalog   serial %" G_GUINT64_FORMAT "\n"
            "  took      %s\n",
            vt_digest_format(&result->manifest, manifest), result->serial, elapsed);
}

static void
set_size(json_t *object, const char *key, uint64_t bytes)
{
    json_object_set_new(object, key, json_integer((json_int_t)bytes));
}

static void
print_json(const VtPublishRequest *request, const VtPublishResult *result)
{
    char manifest[VT_DIGEST_STRING_MAX];
    json_t *object = json_pack(
        "{s:s, s:s, s:b, s:b, s:s, s:s?, s:s?, s:s?, s:i}", "name", request->name, "version",
        request->version, "unchanged", result->unchanged, "renewed", result->renewed != NULL,
        "manifest", vt_digest_format(&result->manifest, manifest), "parent", result->parent, "full",
        result->why_full, "bridge", result->bridge, "layers", (int)result->layers);

    set_size(object, "serial", result->serial);
    set_size(object, "capacity", result->capacity);
    set_size(object, "data", result->data_bytes);
    set_size(object, "unique", result->unique_bytes);
    set_size(object, "stored", stored_of(result));
    if (result->full_bytes > 0)
        set_size(object, "stored-full", result->full_bytes);
    if (result->bridge)
        set_size(object, "stored-bridge", result->bridge_bytes);
    vtc_print_json(object);
}

static bool
publish_image(const Options *options, const VtPublisher *publisher, VtPublishRequest *request,
              const char *image, GError **error)
{
    int64_t started = g_get_monotonic_time();
    g_auto(VtcProgress) progress = {0};
    g_auto(VtPublishResult) result = {0};
    vt_autofd fd = -1;

    if (!vtc_image_open(image, options->format, &fd, error))
        return false;
    vtc_progress_init(&progress, !options->quiet);
    request->image_fd = fd;
    request->progress = show_progress;
    request->parent_progress = show_parent_progress;
    request->user = &progress;
    if (!vt_publish_image(publisher, request, &result, error))
        return false;
    vtc_progress_clear(&progress);
    if (options->json)
        print_json(request, &result);
    else if (!options->quiet)
        print_summary(publisher, request, &result, g_get_monotonic_time() - started);
    return true;
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(Options) options = {
        .level = 3, .days = (int)VT_PUBLISH_EXPIRE_DAYS, .chain_max = (int)VT_PUBLISH_CHAIN_MAX};
    g_autofree char *name = NULL, *version = NULL;
    g_auto(GStrv) words = NULL;
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtKey) key = NULL;
    g_autoptr(VtPolicy) policy = NULL;
    g_autoptr(VtStore) store = NULL;
    VtPublishRequest request = {0};

    if (!parse_options(self, argv, &options, &words, error) ||
        !parse_reference(words[1], &name, &version, error) || !check_options(&options, error) ||
        !vtc_store_parse(&options.store, &url, error) ||
        !vtc_key_load(options.key_file, &key, error) ||
        (options.policy_file && !vt_policy_load(options.policy_file, &policy, error)) ||
        (options.profile_file &&
         !vtc_profile_load(options.profile_file, &options.profile, error)) ||
        !vtc_store_open(&options.store, url, true, &store, error))
        return false;
    request = (VtPublishRequest){
        .name = name,
        .version = version,
        .os = options.os ? options.os : "linux",
        .architecture = options.architecture ? options.architecture : "amd64",
        .level = options.level,
        .parent = options.parent,
        .chain_max = (unsigned)options.chain_max,
        .checkpoint = (unsigned)options.checkpoint,
        .profile = options.profile,
        .keep_current = options.not_current,
    };
    return publish_image(&options, &(VtPublisher){url, store, key, policy, (unsigned)options.days},
                         &request, words[0], error);
}

const VtcVerb vtc_verb_publish = {
    .name = "publish",
    .words = "IMAGE NAME@VERSION",
    .words_min = 2,
    .words_max = 2,
    .summary = "Put a disk image into a store, signed",
    .detail = "Versions never change. The version becomes the current one of its name.\n"
              "Stored is what differs from the current one, unless --parent says otherwise.",
    .run = run,
};
