/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-db.c: what the daemon remembers, in SQLite: pools, catalogs, jobs, damage */
#include "vt-db.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Jobs kept in the history */
#define JOBS_MAX 1000
/* Another process (a backup) may hold the lock this long, milliseconds */
#define LOCK_WAIT 2000

struct VtDb {
    sqlite3 *handle;
    char *path;
};

/* user_version of the file; another one is put aside like a damaged file */
#define SCHEMA_VERSION 2
static const char schema[] =
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=NORMAL;"
    "CREATE TABLE IF NOT EXISTS pools(target TEXT PRIMARY KEY, name TEXT, uuid TEXT, store TEXT,"
    " policy TEXT, strategy TEXT, defaults TEXT, cache_max INTEGER);"
    "CREATE TABLE IF NOT EXISTS catalogs(target TEXT PRIMARY KEY, store TEXT, manifest BLOB,"
    " document BLOB, proofs BLOB, checked INTEGER);"
    "CREATE TABLE IF NOT EXISTS jobs(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, target TEXT,"
    " name TEXT, version TEXT, owner INTEGER, state TEXT, done INTEGER, total INTEGER,"
    " received INTEGER, requests INTEGER, started INTEGER, ended INTEGER, error TEXT,"
    " message TEXT, path TEXT);"
    "CREATE TABLE IF NOT EXISTS damage(target TEXT, layer BLOB, reason TEXT,"
    " PRIMARY KEY(target, layer));"
    /* Earlier releases counted clones there, and nobody read it */
    "DROP TABLE IF EXISTS usage;"
    "PRAGMA user_version=2;";

static bool
throw_db(VtDb *db, GError **error)
{
    int code = sqlite3_errcode(db->handle);

    return vt_throw(error, code == SQLITE_FULL ? VT_ERROR_NO_SPACE : VT_ERROR_FAILED,
                    "database '%s': %s", db->path, sqlite3_errmsg(db->handle));
}

static bool
get_schema_version(sqlite3 *handle, int *ret_version)
{
    sqlite3_stmt *query = NULL;
    bool ok = sqlite3_prepare_v2(handle, "PRAGMA user_version", -1, &query, NULL) == SQLITE_OK &&
              sqlite3_step(query) == SQLITE_ROW;

    if (ok)
        *ret_version = sqlite3_column_int(query, 0);
    sqlite3_finalize(query);
    return ok;
}

static bool
try_open(VtDb *db)
{
    int version = 0;

    if (sqlite3_open_v2(db->path, &db->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW |
                            SQLITE_OPEN_FULLMUTEX,
                        NULL) != SQLITE_OK)
        return false;
    sqlite3_busy_timeout(db->handle, LOCK_WAIT);
    if (!get_schema_version(db->handle, &version) || (version != 0 && version != SCHEMA_VERSION))
        return false;
    return sqlite3_exec(db->handle, schema, NULL, NULL, NULL) == SQLITE_OK;
}

/* Whether the file itself is what is wrong */
static bool
is_damaged(VtDb *db)
{
    int code = sqlite3_errcode(db->handle) & 0xff;

    return code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_OK ||
           code == SQLITE_ROW || code == SQLITE_DONE || code == SQLITE_ERROR;
}

static void
put_aside(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};

    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *from = g_strconcat(path, suffixes[i], NULL);
        g_autofree char *to = g_strconcat(path, ".damaged", suffixes[i], NULL);

        rename(from, to);
    }
}

bool
vt_db_open(const char *path, VtDb **ret_db, GError **error)
{
    g_autoptr(VtDb) db = g_new0(VtDb, 1);

    db->path = g_strdup(path);
    if (!try_open(db)) {
        if (!is_damaged(db))
            return throw_db(db, error);
        sqlite3_close_v2(db->handle);
        put_aside(path);
        if (!try_open(db))
            return throw_db(db, error);
    }
    if (chmod(path, 0600) < 0)
        return vt_throw_errno(error, errno, "cannot set the mode of '%s'", path);
    *ret_db = g_steal_pointer(&db);
    return true;
}

void
vt_db_close(VtDb *db)
{
    if (!db)
        return;
    sqlite3_close_v2(db->handle);
    g_free(db->path);
    g_free(db);
}

/* ---- statements: parameters are named by one letter each: s text, i integer, b GBytes ---- */

static bool
bind(sqlite3_stmt *statement, const char *types, va_list *arguments)
{
    int result = SQLITE_OK;

    for (int i = 1; *types && result == SQLITE_OK; types++, i++) {
        if (*types == 's') {
            result = sqlite3_bind_text(statement, i, va_arg(*arguments, const char *), -1,
                                       SQLITE_TRANSIENT);
        } else if (*types == 'i') {
            result = sqlite3_bind_int64(statement, i, va_arg(*arguments, int64_t));
        } else {
            gsize size;
            const void *data = g_bytes_get_data(va_arg(*arguments, GBytes *), &size);

            result = sqlite3_bind_blob64(statement, i, data ? data : "", size, SQLITE_TRANSIENT);
        }
    }
    return result == SQLITE_OK;
}

static bool
prepare(VtDb *db, const char *sql, const char *types, va_list *arguments, sqlite3_stmt **ret,
        GError **error)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) != SQLITE_OK ||
        !bind(statement, types, arguments)) {
        sqlite3_finalize(statement);
        return throw_db(db, error);
    }
    *ret = statement;
    return true;
}

/* Runs a statement that gives no rows */
static bool
run(VtDb *db, GError **error, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list arguments;
    bool ok;

    va_start(arguments, types);
    ok = prepare(db, sql, types, &arguments, &statement, error);
    va_end(arguments);
    if (!ok)
        return false;
    ok = sqlite3_step(statement) == SQLITE_DONE;
    sqlite3_finalize(statement);
    return ok || throw_db(db, error);
}

/* All of what ran since it began, or none of it. @ok: whether that worked; @error is its own if not
 */
static bool
end_transaction(VtDb *db, bool ok, GError **error)
{
    if (ok && run(db, error, "COMMIT", ""))
        return true;
    /* Some errors have rolled it back already */
    if (!sqlite3_get_autocommit(db->handle))
        run(db, NULL, "ROLLBACK", "");
    return false;
}

typedef struct {
    void (*read)(sqlite3_stmt *row, void *user);
    void *user;
} Rows;

/* Calls @rows->read for each row of a query */
static bool
query(VtDb *db, const Rows *rows, GError **error, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list arguments;
    int result;
    bool ok;

    va_start(arguments, types);
    ok = prepare(db, sql, types, &arguments, &statement, error);
    va_end(arguments);
    if (!ok)
        return false;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        rows->read(statement, rows->user);
    sqlite3_finalize(statement);
    return result == SQLITE_DONE || throw_db(db, error);
}

static char *
get_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    return g_strdup(text ? (const char *)text : "");
}

static GBytes *
get_blob(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);

    return g_bytes_new(data, (gsize)sqlite3_column_bytes(statement, column));
}

/* ---- pools ---- */

VtPoolSettings *
vt_pool_settings_copy(const VtPoolSettings *settings)
{
    VtPoolSettings *copy = g_new0(VtPoolSettings, 1);

    copy->target = g_strdup(settings->target);
    copy->name = g_strdup(settings->name);
    copy->uuid = g_strdup(settings->uuid);
    copy->store = g_strdup(settings->store);
    copy->policy = g_strdup(settings->policy);
    copy->strategy = g_strdup(settings->strategy);
    copy->defaults = g_strdup(settings->defaults);
    copy->cache_max = settings->cache_max;
    return copy;
}

void
vt_pool_settings_free(VtPoolSettings *settings)
{
    if (!settings)
        return;
    g_free(settings->target);
    g_free(settings->name);
    g_free(settings->uuid);
    g_free(settings->store);
    g_free(settings->policy);
    g_free(settings->strategy);
    g_free(settings->defaults);
    g_free(settings);
}

bool
vt_db_put_pool(VtDb *db, const VtPoolSettings *settings, GError **error)
{
    return run(db, error, "INSERT OR REPLACE INTO pools VALUES(?,?,?,?,?,?,?,?)", "sssssssi",
               settings->target, settings->name, settings->uuid, settings->store, settings->policy,
               settings->strategy, settings->defaults, (int64_t)settings->cache_max);
}

bool
vt_db_forget_pool(VtDb *db, const char *target, GError **error)
{
    bool ok;

    if (!run(db, error, "BEGIN IMMEDIATE", ""))
        return false;
    ok = run(db, error, "DELETE FROM catalogs WHERE target=?", "s", target) &&
         run(db, error, "DELETE FROM pools WHERE target=?", "s", target);
    return end_transaction(db, ok, error);
}

static void
read_pool(sqlite3_stmt *row, void *user)
{
    VtPoolSettings *settings = g_new0(VtPoolSettings, 1);

    settings->target = get_text(row, 0);
    settings->name = get_text(row, 1);
    settings->uuid = get_text(row, 2);
    settings->store = get_text(row, 3);
    settings->policy = get_text(row, 4);
    settings->strategy = get_text(row, 5);
    settings->defaults = get_text(row, 6);
    settings->cache_max = (uint64_t)sqlite3_column_int64(row, 7);
    g_ptr_array_add(user, settings);
}

bool
vt_db_list_pools(VtDb *db, GPtrArray **ret_pools, GError **error)
{
    g_autoptr(GPtrArray) pools =
        g_ptr_array_new_with_free_func((GDestroyNotify)vt_pool_settings_free);

    if (!query(db, &(const Rows){read_pool, pools}, error, "SELECT * FROM pools ORDER BY target",
               ""))
        return false;
    *ret_pools = g_steal_pointer(&pools);
    return true;
}

/* ---- catalogs ---- */

void
vt_db_catalog_clear(VtDbCatalog *catalog)
{
    g_clear_pointer(&catalog->store, g_free);
    g_clear_pointer(&catalog->document, g_bytes_unref);
    g_clear_pointer(&catalog->proofs, g_bytes_unref);
}

bool
vt_db_put_catalog(VtDb *db, const char *target, const VtDbCatalog *catalog, GError **error)
{
    g_autoptr(GBytes) manifest = g_bytes_new(catalog->manifest.bytes, VT_DIGEST_BYTES);

    return run(db, error, "INSERT OR REPLACE INTO catalogs VALUES(?,?,?,?,?,?)", "ssbbbi", target,
               catalog->store, manifest, catalog->document, catalog->proofs, catalog->checked);
}

static void
read_catalog(sqlite3_stmt *row, void *user)
{
    const void *manifest = sqlite3_column_blob(row, 1);
    VtDbCatalog *catalog = user;

    if (!manifest || sqlite3_column_bytes(row, 1) != VT_DIGEST_BYTES)
        return;
    vt_db_catalog_clear(catalog);
    catalog->store = get_text(row, 0);
    memcpy(catalog->manifest.bytes, manifest, VT_DIGEST_BYTES);
    catalog->document = get_blob(row, 2);
    catalog->proofs = get_blob(row, 3);
    catalog->checked = sqlite3_column_int64(row, 4);
}

bool
vt_db_get_catalog(VtDb *db, const char *target, VtDbCatalog *ret_catalog, GError **error)
{
    VtDbCatalog catalog = {0};

    if (!query(db, &(const Rows){read_catalog, &catalog}, error,
               "SELECT store, manifest, document, proofs, checked FROM catalogs WHERE target=?",
               "s", target))
        return false;
    if (!catalog.document)
        return vt_throw(error, VT_ERROR_NOT_FOUND, "no catalog is known for the pool '%s'", target);
    *ret_catalog = catalog;
    return true;
}

/* ---- jobs ---- */

VtDbJob *
vt_db_job_copy(const VtDbJob *job)
{
    VtDbJob *copy = g_memdup2(job, sizeof(*job));

    copy->kind = g_strdup(job->kind);
    copy->target = g_strdup(job->target);
    copy->name = g_strdup(job->name);
    copy->version = g_strdup(job->version);
    copy->state = g_strdup(job->state);
    copy->error = g_strdup(job->error);
    copy->message = g_strdup(job->message);
    copy->path = g_strdup(job->path);
    return copy;
}

void
vt_db_job_free(VtDbJob *job)
{
    if (!job)
        return;
    g_free(job->kind);
    g_free(job->target);
    g_free(job->name);
    g_free(job->version);
    g_free(job->state);
    g_free(job->error);
    g_free(job->message);
    g_free(job->path);
    g_free(job);
}

/* Without an id it gets one */
static bool
put_row(VtDb *db, const VtDbJob *job, GError **error)
{
    return run(db, error,
               "INSERT OR REPLACE INTO jobs VALUES(nullif(?,0),?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
               "issssisiiiiiisss", (int64_t)job->id, job->kind, job->target, job->name,
               job->version, (int64_t)job->owner, job->state, (int64_t)job->done,
               (int64_t)job->total, (int64_t)job->received, (int64_t)job->requests, job->started,
               job->ended, job->error, job->message, job->path);
}

/* A new one takes the place of the oldest in the history */
static bool
insert_job(VtDb *db, VtDbJob *job, GError **error)
{
    int64_t id;
    bool ok;

    if (!run(db, error, "BEGIN IMMEDIATE", ""))
        return false;
    ok = put_row(db, job, error);
    id = sqlite3_last_insert_rowid(db->handle);
    ok = ok &&
         run(db, error, "DELETE FROM jobs WHERE id<=? AND state!='running'", "i", id - JOBS_MAX);
    if (!end_transaction(db, ok, error))
        return false;
    job->id = (uint64_t)id;
    return true;
}

bool
vt_db_put_job(VtDb *db, VtDbJob *job, GError **error)
{
    return job->id == 0 ? insert_job(db, job, error) : put_row(db, job, error);
}

static void
read_job(sqlite3_stmt *row, void *user)
{
    VtDbJob *job = g_new0(VtDbJob, 1);

    job->id = (uint64_t)sqlite3_column_int64(row, 0);
    job->kind = get_text(row, 1);
    job->target = get_text(row, 2);
    job->name = get_text(row, 3);
    job->version = get_text(row, 4);
    job->owner = (uint32_t)sqlite3_column_int64(row, 5);
    job->state = get_text(row, 6);
    job->done = (uint64_t)sqlite3_column_int64(row, 7);
    job->total = (uint64_t)sqlite3_column_int64(row, 8);
    job->received = (uint64_t)sqlite3_column_int64(row, 9);
    job->requests = (uint64_t)sqlite3_column_int64(row, 10);
    job->started = sqlite3_column_int64(row, 11);
    job->ended = sqlite3_column_int64(row, 12);
    job->error = get_text(row, 13);
    job->message = get_text(row, 14);
    job->path = get_text(row, 15);
    g_ptr_array_add(user, job);
}

bool
vt_db_list_jobs(VtDb *db, unsigned limit, GPtrArray **ret_jobs, GError **error)
{
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)vt_db_job_free);

    if (!query(db, &(const Rows){read_job, jobs}, error,
               "SELECT * FROM jobs ORDER BY id DESC LIMIT ?", "i", (int64_t)limit))
        return false;
    *ret_jobs = g_steal_pointer(&jobs);
    return true;
}

bool
vt_db_list_running(VtDb *db, GPtrArray **ret_jobs, GError **error)
{
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)vt_db_job_free);

    if (!query(db, &(const Rows){read_job, jobs}, error,
               "SELECT * FROM jobs WHERE state='running' ORDER BY id DESC", ""))
        return false;
    *ret_jobs = g_steal_pointer(&jobs);
    return true;
}

bool
vt_db_get_job(VtDb *db, uint64_t id, VtDbJob **ret_job, GError **error)
{
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)vt_db_job_free);

    if (!query(db, &(const Rows){read_job, jobs}, error, "SELECT * FROM jobs WHERE id=?", "i",
               (int64_t)id))
        return false;
    if (jobs->len == 0)
        return vt_throw(error, VT_ERROR_NOT_FOUND, "there is no job %" PRIu64, id);
    *ret_job = g_ptr_array_steal_index(jobs, 0);
    return true;
}

/* ---- damage ---- */

void
vt_db_damage_free(VtDbDamage *damage)
{
    if (!damage)
        return;
    g_free(damage->reason);
    g_free(damage);
}

bool
vt_db_put_damage(VtDb *db, const char *target, const VtDigest *index, const char *reason,
                 GError **error)
{
    g_autoptr(GBytes) layer = g_bytes_new(index->bytes, VT_DIGEST_BYTES);

    if (!reason)
        return run(db, error, "DELETE FROM damage WHERE target=? AND layer=?", "sb", target, layer);
    return run(db, error, "INSERT OR REPLACE INTO damage VALUES(?,?,?)", "sbs", target, layer,
               reason);
}

static void
read_damage(sqlite3_stmt *row, void *user)
{
    const void *layer = sqlite3_column_blob(row, 0);
    VtDbDamage *damage;

    if (!layer || sqlite3_column_bytes(row, 0) != VT_DIGEST_BYTES)
        return;
    damage = g_new0(VtDbDamage, 1);
    memcpy(damage->index.bytes, layer, VT_DIGEST_BYTES);
    damage->reason = get_text(row, 1);
    g_ptr_array_add(user, damage);
}

bool
vt_db_list_damage(VtDb *db, const char *target, GPtrArray **ret_damage, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)vt_db_damage_free);

    if (!query(db, &(const Rows){read_damage, all}, error,
               "SELECT layer, reason FROM damage WHERE target=?", "s", target))
        return false;
    *ret_damage = g_steal_pointer(&all);
    return true;
}
