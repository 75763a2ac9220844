/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-instance.c: no XML makes the reader go wrong; each accepted one has a seed of valid JSON or
 * XML */
#include "fuzz.h"
#include "vt-instance-secret.h"
#include "vt-instance-template.h"
#include "vt-seed.h"

#include <libxml/parser.h>
#include <string.h>

static void
check_json(GBytes *bytes)
{
    json_auto_t *document =
        json_loadb(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), 0, NULL);

    g_assert_nonnull(document);
}

static void
check_answer(GBytes *bytes)
{
    xmlDoc *document =
        xmlReadMemory(g_bytes_get_data(bytes, NULL), (int)g_bytes_get_size(bytes), NULL, NULL,
                      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);

    g_assert_nonnull(document);
    g_assert_cmpstr((const char *)xmlDocGetRootElement(document)->name, ==, "unattend");
    xmlFreeDoc(document);
}

/* With all secrets of the corpus that it asks for */
static bool
complete(VtInstance *instance, GError **error)
{
    static const char *const all[][2] = {{"admin", "P&ss \"w<rd>'"},
                                         {"anna", "Pa55word"},
                                         {"short", "x"},
                                         {"hash", "$6$salt1234$abcdefghij"},
                                         {"key", "AAAAA-BBBBB-CCCCC-DDDDD-12345"}};
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GBytes) secrets = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        if (vt_secrets_refers(instance, all[i][0]))
            g_string_append_printf(text, "%s: |-\n  %s\n", all[i][0], all[i][1]);
    }
    secrets = g_bytes_new_static(text->str, text->len);
    return vt_instance_complete(instance, &(const VtInstanceDocuments){.secrets = secrets}, error);
}

static void
check(const VtInstance *instance)
{
    static const uint8_t random[VT_SEED_RANDOM];
    g_autoptr(GPtrArray) files = vt_seed_files(instance, random);
    const VtSeedFile *first = files->pdata[0];

    if (instance->source == VT_SEED_UNATTEND)
        check_answer(first->bytes);
    else
        check_json(first->bytes);
    g_assert_true(g_path_is_absolute(instance->seed_path));
    g_assert_true(g_utf8_validate(instance->hostname, -1, NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(VtInstance) instance = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_instance_parse(bytes, &instance, &error))
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
    else if (instance && !complete(instance, &error))
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
    else if (instance)
        check(instance);
    return 0;
}
