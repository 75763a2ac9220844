/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-proofs.c: kept answers of a store: what is read is within its limit, and can be kept again
 */
#include "fuzz.h"
#include "vt-manifest.h"
#include "vtd-proofs.h"

#define REPOSITORY "golden/web"
#define TAG        "sha256-00.sig"
#define DIGEST     "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define LIMIT      64

/** Answers: what a source has of the three kinds, or %NULL */
typedef struct {
    GBytes *manifest, *blob, *referrers;
} Answers;

static void
answers_clear(Answers *answers)
{
    g_clear_pointer(&answers->manifest, g_bytes_unref);
    g_clear_pointer(&answers->blob, g_bytes_unref);
    g_clear_pointer(&answers->referrers, g_bytes_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Answers, answers_clear)

static void
ask(VtSource *source, Answers *answers)
{
    g_autoptr(GError) error = NULL;

    if (!source->get_manifest(source, REPOSITORY, TAG, &answers->manifest, &error))
        g_assert_true(!answers->manifest && g_utf8_validate(error->message, -1, NULL));
    if (source->get_blob(source, REPOSITORY, DIGEST, LIMIT, &answers->blob, NULL))
        g_assert_cmpuint(g_bytes_get_size(answers->blob), <=, LIMIT);
    else
        g_assert_null(answers->blob);
    /* none is an answer, too */
    g_assert_true(source->get_referrers(source, REPOSITORY, DIGEST, &answers->referrers, NULL));
}

static void
assert_same(GBytes *a, GBytes *b)
{
    g_assert_true(!a == !b);
    if (a)
        g_assert_true(g_bytes_equal(a, b));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size), kept = NULL;
    g_auto(Answers) first = {0}, second = {0};
    g_autoptr(VtdReplay) replay = NULL, again = NULL;
    g_autoptr(VtdRecorder) recorder = NULL;
    g_autoptr(GError) error = NULL;

    if (!vtd_replay_new(bytes, &replay, &error)) {
        g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
        return 0;
    }
    recorder = vtd_recorder_new(vtd_replay_source(replay));
    ask(vtd_recorder_source(recorder), &first);
    kept = vtd_recorder_finish(recorder);
    g_assert_true(vtd_replay_new(kept, &again, NULL));
    ask(vtd_replay_source(again), &second);
    assert_same(first.manifest, second.manifest);
    assert_same(first.blob, second.blob);
    assert_same(first.referrers, second.referrers);
    return 0;
}
