/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-proofs.c: what is kept of a store's answers about signatures */
#include "vt-error.h"
#include "vtd-proofs.h"

#include <string.h>

/* The largest that a store may answer with */
#define ANSWER   (4u << 20)
#define KEPT_MAX (32u << 20)

static bool
answer_manifest(VtSource *self, const char *repository, const char *reference, GBytes **ret_bytes,
                GError **error)
{
    *ret_bytes = g_bytes_new_take(g_malloc0(ANSWER), ANSWER);
    return true;
}

static bool
answer_blob(VtSource *self, const char *repository, const char *digest, gsize limit,
            GBytes **ret_bytes, GError **error)
{
    return answer_manifest(self, repository, digest, ret_bytes, error);
}

static bool
answer_referrers(VtSource *self, const char *repository, const char *digest, GBytes **ret_bytes,
                 GError **error)
{
    return answer_manifest(self, repository, digest, ret_bytes, error);
}

static bool
ask(VtSource *source, unsigned number, GError **error)
{
    g_autofree char *text = g_strdup_printf("%u", number);
    g_autoptr(GBytes) bytes = NULL;

    switch (number % 3) {
    case 0:
        return source->get_manifest(source, "golden/debian", text, &bytes, error);
    case 1:
        return source->get_blob(source, "golden/debian", text, ANSWER, &bytes, error);
    default:
        return source->get_referrers(source, "golden/debian", text, &bytes, error);
    }
}

/* As much as a pool reads back, and no more, whatever was asked for */
static void
test_limit(void)
{
    VtSource store = {answer_manifest, answer_blob, answer_referrers};
    g_autoptr(VtdRecorder) recorder = vtd_recorder_new(&store);
    g_autoptr(VtdReplay) replay = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) kept = NULL;
    unsigned count = 0;

    while (count < 100 && ask(vtd_recorder_source(recorder), count, &error))
        count++;
    g_assert_cmpuint(count, ==, KEPT_MAX / ANSWER);
    g_assert_error(error, VT_ERROR, VT_ERROR_NETWORK);
    g_assert_nonnull(strstr(error->message, "'golden/debian' have more than 32 MiB"));
    g_clear_error(&error);
    kept = vtd_recorder_finish(recorder);
    g_assert_cmpuint(g_bytes_get_size(kept), <, KEPT_MAX + 4096);
    g_assert_true(vtd_replay_new(kept, &replay, &error));
    for (unsigned i = 0; i < count; i++)
        g_assert_true(ask(vtd_replay_source(replay), i, &error));
    g_assert_false(ask(vtd_replay_source(replay), 3 * count, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/proofs/limit", test_limit);
    return g_test_run();
}
