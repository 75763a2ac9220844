/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-turns.c: who comes when */
#include "vtd-turns.h"

#include <string.h>

/* A little longer than a turn may take */
#define HANGS_US (G_USEC_PER_SEC * 41 / 10)

/* @order: the names of the turns as they came
 * @gate: held while the first one is under way */
typedef struct {
    GString *order;
    GMutex gate;
    VtdTurns *turns;
    guint over;
} Fixture;

typedef struct {
    Fixture *fixture;
    char name;
} Named;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->order = g_string_new(NULL);
    g_mutex_init(&f->gate);
    f->turns = vtd_turns_new("/pool", g_hash_table_new(NULL, NULL));
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    vtd_turns_unref(f->turns);
    g_mutex_clear(&f->gate);
    g_string_free(f->order, TRUE);
}

static bool
work(void *user, GError **error)
{
    Named *named = user;

    g_mutex_lock(&named->fixture->gate);
    g_string_append_c(named->fixture->order, named->name);
    g_mutex_unlock(&named->fixture->gate);
    return true;
}

static void
done(void *user, GError *error)
{
    Named *named = user;

    g_assert_no_error(error);
    named->fixture->over++;
    g_free(named);
}

static void
add(Fixture *f, char name, bool yields)
{
    Named *named = g_new0(Named, 1);
    g_autoptr(GError) error = NULL;

    *named = (Named){f, name};
    vtd_turns_add(f->turns, &(const VtdTurn){NULL, work, done, named, yields}, 8, &error);
    g_assert_no_error(error);
}

/* Those who yield wait for all others, whenever these came, and for nobody else */
static void
test_yields(Fixture *f, gconstpointer data)
{
    g_mutex_lock(&f->gate);
    add(f, 'a', true);
    add(f, 'b', true);
    add(f, 'c', true);
    add(f, 'd', false);
    add(f, 'e', false);
    g_assert_false(vtd_turns_are_over(f->turns));
    g_mutex_unlock(&f->gate);
    while (f->over < 5)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpstr(f->order->str, ==, "adebc");
    g_assert_true(vtd_turns_are_over(f->turns));
}

/* When the first one takes too long, as many wait as may; who yields counts for others who do */
static void
test_hangs(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    const VtdTurn yielding = {.done = done, .yields = true}, other = {.done = done};

    g_mutex_lock(&f->gate);
    add(f, 'a', false);
    add(f, 'b', true);
    add(f, 'c', true);
    g_usleep(HANGS_US);
    g_assert_false(vtd_turns_add(f->turns, &yielding, 2, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "'/pool' of the pool does not answer"));
    g_assert_nonnull(strstr(error->message, "and 2 wait"));
    g_clear_error(&error);
    add(f, 'd', false);
    add(f, 'e', false);
    g_assert_false(vtd_turns_add(f->turns, &other, 2, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_mutex_unlock(&f->gate);
    while (f->over < 5)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpstr(f->order->str, ==, "adebc");
}

static void
refused(void *user, GError *error)
{
    Named *named = user;

    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_error_free(error);
    named->fixture->over++;
    g_free(named);
}

/* At the end all who wait are told so, and those who come then */
static void
test_stop(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    g_mutex_lock(&f->gate);
    add(f, 'a', false);
    for (int i = 0; i < 2; i++) {
        Named *named = g_new0(Named, 1);

        *named = (Named){f, 'b'};
        vtd_turns_add(f->turns, &(const VtdTurn){NULL, work, refused, named, i == 0}, 8, &error);
        g_assert_no_error(error);
    }
    vtd_turns_stop(f->turns);
    g_assert_cmpuint(f->over, ==, 2);
    g_assert_false(vtd_turns_add(f->turns, &(const VtdTurn){NULL, work, done, NULL}, 8, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_mutex_unlock(&f->gate);
    while (f->over < 3)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpstr(f->order->str, ==, "a");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/turns/yields", Fixture, NULL, set_up, test_yields, tear_down);
    g_test_add("/turns/hangs", Fixture, NULL, set_up, test_hangs, tear_down);
    g_test_add("/turns/stop", Fixture, NULL, set_up, test_stop, tear_down);
    return g_test_run();
}
