/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-cost.c: questions about versions that the store may have to be asked for
 *
 * Theory of operation. A question is put together in the main thread, from the trusted catalog and
 * what a turn has found in the directory, and answered in another one, which reads and changes
 * nothing. It is not a job: nobody else waits for
 * it, and nothing is left of it. It ends when the caller goes away, or has waited long enough.
 */
#include "vtd-methods.h"

#include "vt-name.h"
#include "vtd-compare.h"
#include "vtd-cost.h"
#include "vtd-look.h"

/* Each has a thread, and a process if the store is asked */
#define QUESTIONS_MAX 4
/* What one is about */
#define TARGETS_MAX 2
/* A store that does not answer; the command line waits for some seconds more */
#define COST_S 14
/* Indexes come from the store, and the layers that are here may be read */
#define COMPARE_S 58
/* Versions of the name that are not here, whose manifests are read to see who shares what: one
 * request for each */
#define ELSEWHERE_MAX 32

/* ---- questions ---- */

/**
 * Question:
 * @targets: what it is about; names and versions belong to @arguments
 * @entries: in the catalog; until the turn is over
 * @look: in the directory's thread: sets @volumes or @damaged
 * @prepare: in the main thread, before the turn is over: sets the members below it; the pool may
 *           have got another catalog meanwhile than the one of the look
 * @run: in another thread
 * @user: for @run; freed with @free_user
 * @seconds: that it may take
 * @call: %NULL once it is answered
 */
typedef struct Question Question;
struct Question {
    VtdCall *call;
    VtdPool *pool;
    VtdTarget targets[TARGETS_MAX];
    GVariant *arguments;
    const VtCatalogEntry *entries[TARGETS_MAX];
    guint target_count;
    guint seconds;
    bool all;
    GHashTable *volumes;
    bool damaged;
    bool (*look)(Question *question, VtdLook *look, GError **error);
    void (*prepare)(Question *question, const VtdLook *look);
    bool (*run)(void *user, GVariant **ret_reply, GError **error);
    void *user;
    GDestroyNotify free_user;
    GCancellable *cancellable;
    gulong pool_handler;
    gulong peer_handler;
    guint timer;
    bool late;
    bool running;
};

static void
question_free(Question *question)
{
    if (question->user)
        question->free_user(question->user);
    g_clear_pointer(&question->volumes, g_hash_table_unref);
    g_variant_unref(question->arguments);
    vtd_pool_unref(question->pool);
    g_object_unref(question->cancellable);
    g_free(question);
}

/* @reply: (nullable) (transfer full); @error: (transfer full): without a reply */
static void
answer(Question *question, GVariant *reply, GError *error)
{
    VtdCall *call = g_steal_pointer(&question->call);

    g_clear_handle_id(&question->timer, g_source_remove);
    g_cancellable_disconnect(question->pool->cancellable, question->pool_handler);
    g_signal_handler_disconnect(g_dbus_method_invocation_get_connection(call->invocation),
                                question->peer_handler);
    call->daemon->questions--;
    vtd_call_waited(call);
    if (!reply && question->late) {
        g_clear_error(&error);
        vt_throw(&error, VT_ERROR_NETWORK, "no answer within %u s, with what the store '%s' has",
                 question->seconds, question->pool->settings->store);
    }
    if (reply)
        vtd_call_return(call, g_variant_new("(@a{sv})", reply));
    else
        vtd_call_throw(call, error);
    g_clear_pointer(&reply, g_variant_unref);
}

static void
run_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Question *question = data;
    GVariant *reply = NULL;
    GError *error = NULL;

    if (question->run(question->user, &reply, &error))
        g_task_return_pointer(task, reply, (GDestroyNotify)g_variant_unref);
    else
        g_task_return_error(task, error);
}

static void
ran(GObject *source, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;
    GVariant *reply = g_task_propagate_pointer(G_TASK(result), &error);

    answer(data, reply, error);
    question_free(data);
}

static void
run(Question *question)
{
    g_autoptr(GTask) task = g_task_new(NULL, question->cancellable, ran, question);

    question->running = true;
    g_task_set_task_data(task, question, NULL);
    g_task_run_in_thread(task, run_in_thread);
}

static bool
look_begin(VtdLook *look, void *user, GError **error)
{
    Question *question = user;

    if (!question->call)
        return vt_throw(error, VT_ERROR_FAILED, "it was answered");
    for (guint i = 0; i < question->target_count; i++) {
        const VtdTarget *target = &question->targets[i];

        if (!vtd_look_find(look, target->name, target->version, &question->entries[i], error))
            return false;
    }
    return true;
}

static bool
look_work(VtdLook *look, void *user, GError **error)
{
    Question *question = user;

    return vtd_look_open(look, error) && question->look(question, look, error);
}

static void
looked(VtdLook *look, void *user, GError *error)
{
    Question *question = user;

    if (question->call && !error) {
        question->prepare(question, look);
        run(question);
        return;
    }
    if (question->call)
        answer(question, NULL, error);
    else
        g_clear_error(&error);
    question_free(question);
}

static void
refreshed(void *user)
{
    Question *question = user;
    GError *error = NULL;

    if (!vtd_pool_visit(question->pool, &(const VtdVisit){look_begin, look_work, looked, question},
                        QUESTIONS_MAX, &error))
        looked(NULL, question, error);
}

static gboolean
waited_enough(gpointer data)
{
    Question *question = data;

    question->timer = 0;
    question->late = true;
    g_cancellable_cancel(question->cancellable);
    /* else it ends by itself */
    if (!question->running)
        answer(question, NULL, NULL);
    return G_SOURCE_REMOVE;
}

static void
peer_gone(GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
    g_cancellable_cancel(((Question *)data)->cancellable);
}

static void
pool_gone(GCancellable *pool, gpointer cancellable)
{
    g_cancellable_cancel(cancellable);
}

/* Whether the catalog need not be asked for; as with Fetch */
static bool
is_known(const Question *question)
{
    const VtCatalogEntry *entry;

    for (guint i = 0; i < question->target_count; i++) {
        const VtdTarget *target = &question->targets[i];

        if ((!*target->version && !vtd_pool_is_fresh(question->pool)) ||
            !vtd_pool_find(question->pool, target->name, target->version, &entry, NULL))
            return false;
    }
    return true;
}

/* @what: has targets, and what is to be done; the rest is set here */
static bool
ask(VtdCall *call, const Question *what, GError **error)
{
    Question *question;

    if (call->daemon->questions >= QUESTIONS_MAX || !vtd_call_may_wait(call))
        return vt_throw(error, VT_ERROR_BUSY, "%d such questions are being answered: try again",
                        QUESTIONS_MAX);
    call->daemon->questions++;
    question = g_memdup2(what, sizeof(*what));
    question->call = call;
    question->arguments = g_variant_ref(call->arguments);
    question->pool = vtd_pool_ref(what->targets[0].pool);
    question->cancellable = g_cancellable_new();
    question->pool_handler =
        g_cancellable_connect(question->pool->cancellable, G_CALLBACK(pool_gone),
                              g_object_ref(question->cancellable), g_object_unref);
    question->peer_handler =
        g_signal_connect(g_dbus_method_invocation_get_connection(call->invocation), "closed",
                         G_CALLBACK(peer_gone), question);
    question->timer = g_timeout_add_seconds(question->seconds, waited_enough, question);
    if (is_known(question))
        refreshed(question);
    else
        vtd_pool_refresh(question->pool, refreshed, question);
    return true;
}

/* ---- versions ---- */

static VtdVersion *
version_of(const char *name, const VtCatalogEntry *entry)
{
    VtdVersion *version = g_new0(VtdVersion, 1);

    *version = (VtdVersion){g_strdup(name), g_strdup(entry->version), entry->manifest,
                            entry->manifest_size};
    return version;
}

static void
set_reader(VtdReader *reader, const VtdPool *pool, GCancellable *cancellable)
{
    reader->workers = &pool->config->workers;
    vt_store_url_parse(pool->settings->store, &reader->url, NULL);
    reader->target = g_strdup(pool->settings->target);
    reader->policy = g_strdup(pool->settings->policy);
    reader->away = vtd_pool_is_away(pool) ? vtd_pool_warning(pool) : NULL;
    reader->cancellable = g_object_ref(cancellable);
}

/* All that are here, but the one itself */
static void
add_here(const VtCatalog *catalog, GHashTable *volumes, VtdCost *cost)
{
    GHashTableIter iter;
    gpointer volume;

    g_hash_table_iter_init(&iter, volumes);
    while (g_hash_table_iter_next(&iter, &volume, NULL)) {
        g_autofree char *name = NULL, *version = NULL;
        const VtCatalogEntry *entry = NULL;

        if (vt_volume_name_parse(volume, &name, &version, NULL) && version)
            entry = vt_catalog_find(catalog, name, version);
        if (entry && !vt_digest_equal(&entry->manifest, &cost->version->manifest))
            g_ptr_array_add(cost->others, version_of(name, entry));
    }
}

/* The newest ones of the same name that are not here */
static void
add_elsewhere(const VtCatalog *catalog, GHashTable *volumes, VtdCost *cost)
{
    const VtCatalogTemplate *template = vt_catalog_find_template(catalog, cost->version->name);

    for (guint i = template->versions->len; i > 0 && cost->elsewhere->len < ELSEWHERE_MAX; i--) {
        const VtCatalogEntry *entry = template->versions->pdata[i - 1];
        g_autofree char *volume = vt_volume_name(template->name, entry->version);

        if (!g_hash_table_contains(volumes, volume) &&
            !vt_digest_equal(&entry->manifest, &cost->version->manifest))
            g_ptr_array_add(cost->elsewhere, version_of(template->name, entry));
    }
}

static gint
compare_versions(gconstpointer a, gconstpointer b)
{
    const VtdVersion *left = *(VtdVersion *const *)a, *right = *(VtdVersion *const *)b;
    const int names = g_strcmp0(left->name, right->name);

    return names ? names : vt_version_compare(left->version, right->version);
}

static bool
look_for_cost(Question *question, VtdLook *look, GError **error)
{
    return vt_pool_scan(look->files, &question->volumes, error);
}

static bool
run_cost(void *user, GVariant **ret_reply, GError **error)
{
    return vtd_cost_run(user, ret_reply, error);
}

static void
free_cost(gpointer cost)
{
    vtd_cost_free(cost);
}

static void
prepare_cost(Question *question, const VtdLook *look)
{
    VtdCost *cost = g_new0(VtdCost, 1);

    cost->version = version_of(question->targets[0].name, question->entries[0]);
    cost->others = g_ptr_array_new_with_free_func((GDestroyNotify)vtd_version_free);
    cost->elsewhere = g_ptr_array_new_with_free_func((GDestroyNotify)vtd_version_free);
    set_reader(&cost->reader, question->pool, question->cancellable);
    add_here(look->catalog, question->volumes, cost);
    if (question->all)
        add_elsewhere(look->catalog, question->volumes, cost);
    g_ptr_array_sort(cost->others, compare_versions);
    g_ptr_array_sort(cost->elsewhere, compare_versions);
    question->run = run_cost;
    question->free_user = free_cost;
    question->user = cost;
}

bool
vtd_method_get_cost(VtdCall *call, GError **error)
{
    Question question = {
        .target_count = 1, .seconds = COST_S, .look = look_for_cost, .prepare = prepare_cost};
    gboolean all;

    if (!vtd_call_target(call, &question.targets[0], error))
        return false;
    g_variant_get_child(call->arguments, 3, "b", &all);
    question.all = all;
    return ask(call, &question, error);
}

/* ---- two versions ---- */

static bool
run_compare(void *user, GVariant **ret_reply, GError **error)
{
    return vtd_compare_run(user, ret_reply, error);
}

static void
free_compare(gpointer compare)
{
    vtd_compare_free(compare);
}

static bool
look_for_damage(Question *question, VtdLook *look, GError **error)
{
    for (guint i = 0; i < question->target_count; i++)
        question->damaged =
            vtd_look_damage_of(look, question->targets[i].name, question->entries[i]->version) ||
            question->damaged;
    return true;
}

static void
prepare_compare(Question *question, const VtdLook *look)
{
    VtdCompare *compare = g_new0(VtdCompare, 1);

    compare->read = !question->damaged;
    set_reader(&compare->reader, question->pool, question->cancellable);
    for (guint i = 0; i < question->target_count; i++)
        compare->versions[i] = version_of(question->targets[i].name, question->entries[i]);
    question->run = run_compare;
    question->free_user = free_compare;
    question->user = compare;
}

bool
vtd_method_compare(VtdCall *call, GError **error)
{
    Question question = {.target_count = 2,
                         .seconds = COMPARE_S,
                         .look = look_for_damage,
                         .prepare = prepare_compare};
    VtdTarget *to = &question.targets[1];

    if (!vtd_call_target(call, &question.targets[0], error))
        return false;
    *to = question.targets[0];
    to->name = vtd_call_string(call, 3);
    to->version = vtd_call_string(call, 4);
    return vt_name_check(to->name, error) &&
           (!*to->version || vt_version_check(to->version, error)) && ask(call, &question, error);
}
