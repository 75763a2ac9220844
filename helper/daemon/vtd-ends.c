/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-ends.c: ends of jobs, kept until the database takes them */
#include "vtd-ends.h"

#include <gio/gio.h>

struct VtdEnds {
    VtDb *db;
    /* id, as a pointer to it in the row -> VtDbJob */
    GHashTable *rows;
};

VtdEnds *
vtd_ends_new(VtDb *db)
{
    VtdEnds *ends = g_new0(VtdEnds, 1);

    ends->db = db;
    ends->rows =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)vt_db_job_free);
    return ends;
}

void
vtd_ends_free(VtdEnds *ends)
{
    if (!ends)
        return;
    g_hash_table_unref(ends->rows);
    g_free(ends);
}

void
vtd_ends_outcome(VtDbJob *row, const GError *error)
{
    const bool cancelled =
        error && error->domain == G_IO_ERROR && error->code == G_IO_ERROR_CANCELLED;
    const int code = error && error->domain == VT_ERROR ? error->code : VT_ERROR_FAILED;

    g_free(row->state);
    row->state = g_strdup(!error ? "done" : cancelled ? "cancelled" : "failed");
    row->ended = g_get_real_time();
    if (!error)
        return;
    g_free(row->error);
    row->error = g_strdup(cancelled ? "virttemplate.Error.Cancelled" : vt_error_dbus_name(code));
    g_free(row->message);
    row->message = g_strdup(error->message);
}

void
vtd_ends_put(VtdEnds *ends, VtDbJob *row, const GError *error)
{
    g_autoptr(GError) unwritten = NULL;
    VtDbJob *copy;

    vtd_ends_outcome(row, error);
    copy = vt_db_job_copy(row);
    g_hash_table_replace(ends->rows, &copy->id, copy);
    if (!vtd_ends_write(ends, &unwritten))
        g_warning("the end of job %" G_GUINT64_FORMAT " is not written yet: %s", row->id,
                  unwritten->message);
}

bool
vtd_ends_write(VtdEnds *ends, GError **error)
{
    GHashTableIter iter;
    gpointer row;

    g_hash_table_iter_init(&iter, ends->rows);
    while (g_hash_table_iter_next(&iter, NULL, &row)) {
        if (!vt_db_put_job(ends->db, row, error))
            return false;
        g_hash_table_iter_remove(&iter);
    }
    return true;
}

const VtDbJob *
vtd_ends_row(const VtdEnds *ends, const VtDbJob *row)
{
    const VtDbJob *kept = g_hash_table_lookup(ends->rows, &row->id);

    return kept ? kept : row;
}
