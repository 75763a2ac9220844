/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-upload.c: what is taken has a label and files with plain names */
#include "fuzz.h"
#include "vt-upload.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_auto(VtUpload) upload = {0};
    g_autoptr(GError) error = NULL;

    if (!vt_upload_read("web-seed.iso", bytes, &upload, &error)) {
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        return 0;
    }
    for (guint i = 0; upload.label && i < upload.files->len; i++) {
        const VtSeedFile *file = upload.files->pdata[i];

        g_assert_true(*file->path && *file->path != '/' && !strstr(file->path, ".."));
    }
    return 0;
}
