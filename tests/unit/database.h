/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* database.h: the daemon's database, as somebody else opens it */
#pragma once

#include <glib.h>
#include <sqlite3.h>

/** database_run: Runs statements, of which all must work */
static inline void
database_run(const char *path, const char *sql)
{
    sqlite3 *handle = NULL;
    char *message = NULL;

    g_assert_cmpint(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, NULL), ==, SQLITE_OK);
    sqlite3_exec(handle, sql, NULL, NULL, &message);
    g_assert_cmpstr(message, ==, NULL);
    g_assert_cmpint(sqlite3_close(handle), ==, SQLITE_OK);
}

/** database_number: Returns: what a query answers */
static inline int
database_number(const char *path, const char *sql)
{
    sqlite3_stmt *query = NULL;
    sqlite3 *handle = NULL;
    int number;

    g_assert_cmpint(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, NULL), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_prepare_v2(handle, sql, -1, &query, NULL), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_step(query), ==, SQLITE_ROW);
    number = sqlite3_column_int(query, 0);
    sqlite3_finalize(query);
    g_assert_cmpint(sqlite3_close(handle), ==, SQLITE_OK);
    return number;
}
