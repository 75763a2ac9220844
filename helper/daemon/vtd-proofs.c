/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-proofs.c: the signatures of a manifest, kept so that they can be checked again offline */
#include "vtd-proofs.h"

#include "vt-manifest.h"

/*
 * The file is a GVariant of this type in the host's byte order: each answer with what was asked:
 * (kind, repository, tag or digest, bytes). It is no more trusted than a store: whoever replays it
 * checks the signatures in it.
 */
#define PROOFS_TYPE    "a(sssay)"
#define KIND_MANIFEST  "manifest"
#define KIND_BLOB      "blob"
#define KIND_REFERRERS "referrers"
/* Of all answers together, which stand in memory, in the database and beside the manifest in the
 * pool: a signature has some 10 KiB, and 100 are looked at. Less than the pool reads back. */
#define PROOFS_MAX (32u << 20)

struct VtdRecorder {
    VtSource source;
    VtSource *inner;
    GVariantBuilder answers;
    gsize size;
};

/** Answer: what was asked, and what came */
typedef struct {
    const char *kind;
    const char *repository;
    const char *reference;
    GBytes *bytes;
} Answer;

/* Not VT_ERROR_TOO_LARGE, which would be one signature's own trouble */
static bool
keep(VtdRecorder *recorder, const Answer *answer, GError **error)
{
    recorder->size += g_bytes_get_size(answer->bytes);
    if (recorder->size > PROOFS_MAX)
        return vt_throw(error, VT_ERROR_NETWORK,
                        "the signatures in '%s' have more than %u MiB: remove those that are none",
                        answer->repository, PROOFS_MAX >> 20);
    g_variant_builder_add(&recorder->answers, "(sss@ay)", answer->kind, answer->repository,
                          answer->reference,
                          g_variant_new_from_bytes(G_VARIANT_TYPE_BYTESTRING, answer->bytes, TRUE));
    return true;
}

static bool
record_manifest(VtSource *self, const char *repository, const char *reference, GBytes **ret_bytes,
                GError **error)
{
    VtdRecorder *recorder = (VtdRecorder *)self;
    VtSource *inner = recorder->inner;

    return inner->get_manifest(inner, repository, reference, ret_bytes, error) &&
           keep(recorder, &(Answer){KIND_MANIFEST, repository, reference, *ret_bytes}, error);
}

static bool
record_blob(VtSource *self, const char *repository, const char *digest, gsize limit,
            GBytes **ret_bytes, GError **error)
{
    VtdRecorder *recorder = (VtdRecorder *)self;
    VtSource *inner = recorder->inner;

    return inner->get_blob(inner, repository, digest, limit, ret_bytes, error) &&
           keep(recorder, &(Answer){KIND_BLOB, repository, digest, *ret_bytes}, error);
}

static bool
record_referrers(VtSource *self, const char *repository, const char *digest, GBytes **ret_bytes,
                 GError **error)
{
    VtdRecorder *recorder = (VtdRecorder *)self;
    VtSource *inner = recorder->inner;

    return inner->get_referrers(inner, repository, digest, ret_bytes, error) &&
           keep(recorder, &(Answer){KIND_REFERRERS, repository, digest, *ret_bytes}, error);
}

VtdRecorder *
vtd_recorder_new(VtSource *inner)
{
    VtdRecorder *recorder = g_new0(VtdRecorder, 1);

    recorder->source = (VtSource){record_manifest, record_blob, record_referrers};
    recorder->inner = inner;
    g_variant_builder_init(&recorder->answers, G_VARIANT_TYPE(PROOFS_TYPE));
    return recorder;
}

void
vtd_recorder_free(VtdRecorder *recorder)
{
    if (!recorder)
        return;
    g_variant_builder_clear(&recorder->answers);
    g_free(recorder);
}

VtSource *
vtd_recorder_source(VtdRecorder *recorder)
{
    return &recorder->source;
}

GBytes *
vtd_recorder_finish(VtdRecorder *recorder)
{
    g_autoptr(GVariant) answers = g_variant_ref_sink(g_variant_builder_end(&recorder->answers));

    g_variant_builder_init(&recorder->answers, G_VARIANT_TYPE(PROOFS_TYPE));
    return g_variant_get_data_as_bytes(answers);
}

struct VtdReplay {
    VtSource source;
    GVariant *answers;
};

static bool
find(VtSource *self, const char *kind, const char *repository, const char *reference,
     GBytes **ret_bytes, GError **error)
{
    VtdReplay *replay = (VtdReplay *)self;

    for (gsize i = 0; i < g_variant_n_children(replay->answers); i++) {
        g_autoptr(GVariant) answer = g_variant_get_child_value(replay->answers, i);
        g_autoptr(GVariant) bytes = NULL;
        const char *at[3];

        g_variant_get(answer, "(&s&s&s@ay)", &at[0], &at[1], &at[2], &bytes);
        if (!g_str_equal(at[0], kind) || !g_str_equal(at[1], repository) ||
            !g_str_equal(at[2], reference))
            continue;
        *ret_bytes = g_variant_get_data_as_bytes(bytes);
        return true;
    }
    return vt_throw(error, VT_ERROR_NOT_FOUND, "no %s '%s' of '%s' was kept", kind, reference,
                    repository);
}

static bool
replay_manifest(VtSource *self, const char *repository, const char *reference, GBytes **ret_bytes,
                GError **error)
{
    return find(self, KIND_MANIFEST, repository, reference, ret_bytes, error);
}

static bool
replay_blob(VtSource *self, const char *repository, const char *digest, gsize limit,
            GBytes **ret_bytes, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;

    if (!find(self, KIND_BLOB, repository, digest, &bytes, error))
        return false;
    if (g_bytes_get_size(bytes) > limit)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "blob '%s' has more than %zu bytes", digest,
                        (size_t)limit);
    *ret_bytes = g_steal_pointer(&bytes);
    return true;
}

static bool
replay_referrers(VtSource *self, const char *repository, const char *digest, GBytes **ret_bytes,
                 GError **error)
{
    if (!find(self, KIND_REFERRERS, repository, digest, ret_bytes, NULL)) {
        g_autoptr(GPtrArray) none = g_ptr_array_new();

        *ret_bytes = vt_index_manifests_format(none);
    }
    return true;
}

bool
vtd_replay_new(GBytes *proofs, VtdReplay **ret_replay, GError **error)
{
    g_autoptr(GVariant) answers =
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE(PROOFS_TYPE), proofs, FALSE));
    VtdReplay *replay;

    if (!g_variant_is_normal_form(answers))
        return vt_throw(error, VT_ERROR_CORRUPT, "the kept signatures are damaged: fetch again");
    replay = g_new0(VtdReplay, 1);
    replay->source = (VtSource){replay_manifest, replay_blob, replay_referrers};
    replay->answers = g_steal_pointer(&answers);
    *ret_replay = replay;
    return true;
}

void
vtd_replay_free(VtdReplay *replay)
{
    if (!replay)
        return;
    g_variant_unref(replay->answers);
    g_free(replay);
}

VtSource *
vtd_replay_source(VtdReplay *replay)
{
    return &replay->source;
}

bool
vtd_proofs_decide(GBytes *proofs, const char *policy, const VtSubject *subject,
                  VtdVerdict **verdict, GError **error)
{
    g_autoptr(VtdReplay) replay = NULL;
    VtdVerdict *fresh = NULL;

    if (!vtd_replay_new(proofs, &replay, error) ||
        !vtd_verdict_decide(policy, subject, vtd_replay_source(replay), &fresh, error))
        return false;
    vtd_verdict_free(*verdict);
    *verdict = fresh;
    return true;
}
