/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-print.c: what people read (tables, sizes) and what programs read (JSON) */
#include "vtc-print.h"

#include <string.h>

#define US_PER_S INT64_C(1000000)

char *
vtc_print_size(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    /* 1023.95 would be printed as 1024.0 */
    while (value >= (unit == 0 ? 1024.0 : 1023.95) && unit + 1 < G_N_ELEMENTS(units)) {
        value /= 1024;
        unit++;
    }
    return g_strdup_printf(unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

char *
vtc_print_duration(int64_t microseconds)
{
    int64_t seconds = MAX(microseconds, 0) / US_PER_S;

    if (seconds < 10)
        return g_strdup_printf("%.1f s", (double)MAX(microseconds, 0) / (double)US_PER_S);
    if (seconds < 60)
        return g_strdup_printf("%d s", (int)seconds);
    if (seconds < 3600)
        return g_strdup_printf("%d:%02d", (int)(seconds / 60), (int)(seconds % 60));
    if (seconds < 86400)
        return g_strdup_printf("%d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
                               (int)(seconds % 60));
    return g_strdup_printf("%" G_GINT64_FORMAT " d", seconds / 86400);
}

char *
vtc_print_plain(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *plain = g_string_new(NULL);

    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar character = g_utf8_get_char(at);

        if (character == '\n' || character == '\t')
            character = ' ';
        g_string_append_unichar(plain, g_unichar_isprint(character) ? character : '?');
    }
    return g_string_free(plain, FALSE);
}

/* ---- tables ---- */

/**
 * VtcTable:
 * @columns: number of cells in a row
 * @right: (array length=columns): whether a column is aligned to the right
 * @rows: (element-type GStrv): the first one are the titles
 */
struct VtcTable {
    unsigned columns;
    bool *right;
    GPtrArray *rows;
};

VtcTable *
vtc_table_new(const char *const *titles)
{
    VtcTable *table = g_new0(VtcTable, 1);
    char **row;

    table->columns = g_strv_length((char **)titles);
    table->right = g_new0(bool, table->columns);
    table->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    row = g_strdupv((char **)titles);
    for (unsigned i = 0; i < table->columns; i++) {
        table->right[i] = row[i][0] == '>';
        if (table->right[i])
            memmove(row[i], row[i] + 1, strlen(row[i]));
    }
    g_ptr_array_add(table->rows, row);
    return table;
}

void
vtc_table_free(VtcTable *table)
{
    if (!table)
        return;
    g_free(table->right);
    g_ptr_array_unref(table->rows);
    g_free(table);
}

void
vtc_table_add(VtcTable *table, const char *const *cells)
{
    char **row = g_new0(char *, table->columns + 1);

    for (unsigned i = 0; i < table->columns; i++)
        row[i] = vtc_print_plain(cells[i]);
    g_ptr_array_add(table->rows, row);
}

static unsigned
column_width(const VtcTable *table, unsigned column)
{
    glong widest = 0;

    for (unsigned i = 0; i < table->rows->len; i++) {
        char **row = table->rows->pdata[i];

        widest = MAX(widest, g_utf8_strlen(row[column], -1));
    }
    return (unsigned)widest;
}

static void
add_cell(GString *line, const char *cell, unsigned width, bool right)
{
    int blanks = (int)width - (int)g_utf8_strlen(cell, -1);

    if (right)
        g_string_append_printf(line, "%*s%s", blanks, "", cell);
    else
        g_string_append_printf(line, "%s%*s", cell, blanks, "");
}

char *
vtc_table_format(const VtcTable *table)
{
    g_autofree unsigned *widths = g_new0(unsigned, table->columns);
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < table->columns; i++)
        widths[i] = column_width(table, i);
    for (unsigned i = 0; i < table->rows->len; i++) {
        char **row = table->rows->pdata[i];

        for (unsigned j = 0; j < table->columns; j++) {
            if (j > 0)
                g_string_append(text, "  ");
            add_cell(text, row[j], widths[j], table->right[j]);
        }
        while (text->len > 0 && text->str[text->len - 1] == ' ')
            g_string_truncate(text, text->len - 1);
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

/* ---- JSON ---- */

void
vtc_print_json(json_t *root)
{
    char *text = json_dumps(root, JSON_INDENT(2));

    g_print("%s\n", text);
    free(text);
    json_decref(root);
}

static json_t *
json_of_text(GVariant *value)
{
    g_autofree char *valid = g_utf8_make_valid(g_variant_get_string(value, NULL), -1);

    return json_string(valid);
}

static json_t *
json_of_container(GVariant *value)
{
    json_t *array = json_array();
    GVariantIter iter;
    GVariant *child;

    g_variant_iter_init(&iter, value);
    while ((child = g_variant_iter_next_value(&iter))) {
        json_array_append_new(array, vtc_print_variant(child));
        g_variant_unref(child);
    }
    return array;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *
json_of_dictionary(GVariant *value)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    json_t *object = json_object();
    GVariantIter iter;
    const char *name;

    g_variant_iter_init(&iter, value);
    while (g_variant_iter_next(&iter, "{&sv}", &name, NULL))
        g_ptr_array_add(names, (char *)name);
    g_ptr_array_sort(names, compare_names);
    for (unsigned i = 0; i < names->len; i++) {
        g_autoptr(GVariant) member = g_variant_lookup_value(value, names->pdata[i], NULL);

        json_object_set_new(object, names->pdata[i], vtc_print_variant(member));
    }
    return object;
}

json_t *
vtc_print_variant(GVariant *value)
{
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_VARIANT)) {
        g_autoptr(GVariant) inner = g_variant_get_variant(value);

        return vtc_print_variant(inner);
    }
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING))
        return json_of_text(value);
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_BOOLEAN))
        return json_boolean(g_variant_get_boolean(value));
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_UINT32))
        return json_integer((json_int_t)g_variant_get_uint32(value));
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64))
        return json_integer((json_int_t)MIN(g_variant_get_uint64(value), (uint64_t)G_MAXINT64));
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_VARDICT))
        return json_of_dictionary(value);
    if (g_variant_is_container(value))
        return json_of_container(value);
    return json_null();
}
