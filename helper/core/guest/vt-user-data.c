/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-user-data.c: user-data of the owner's own */
#include "vt-user-data.h"

#include "vt-yaml.h"

#include <string.h>

bool
vt_user_data_check(const char *text, const char *what, GError **error)
{
    static const char *const others[] = {"#!",
                                         "#include",
                                         "#cloud-boothook",
                                         "#upstart-job",
                                         "Content-Type:",
                                         "MIME-Version:",
                                         "#cloud-config-archive",
                                         "#cloud-config-jsonp",
                                         "## template: jinja"};

    if (strlen(text) > VT_YAML_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "%s has %zu bytes, at most %u are allowed; put files into the image or a "
                        "package",
                        what, strlen(text), VT_YAML_MAX);
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        if (g_str_has_prefix(text, others[i]))
            return true;
    }
    if (g_str_has_prefix(text, "#cloud-config"))
        return vt_yaml_check(text, what, error);
    return vt_throw(error, VT_ERROR_INVALID,
                    "%s does not begin with '#cloud-config', '#!' or another mark that cloud-init "
                    "knows, at its very first character",
                    what);
}
