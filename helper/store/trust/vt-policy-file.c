/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-policy-file.c: the trust policy of a host, from its file */
#include "vt-policy-file.h"

#include "vt-fs.h"

#include <fcntl.h>
#include <sys/stat.h>

/* The smallest policy that allows something; virt-template-policy(5) explains it */
static const char example[] =
    "{\"default\": [{\"type\": \"reject\"}],\n"
    " \"transports\": {\n"
    "  \"docker\": {\"registry.example/golden\": [\n"
    "   {\"type\": \"sigstoreSigned\", \"keyPath\": \"/etc/virt-template/golden.pub\"}]},\n"
    "  \"oci\": {\"/srv/golden\": [\n"
    "   {\"type\": \"sigstoreSigned\", \"keyPath\": \"/etc/virt-template/golden.pub\"}]}}}\n";

static bool
is_link(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

bool
vt_policy_load(const char *path, VtPolicy **ret_policy, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) why = NULL;

    if (vt_fs_read(AT_FDCWD, path, VT_POLICY_MAX, &bytes, &why))
        return vt_policy_parse(bytes, path, ret_policy, error);
    if (g_error_matches(why, VT_ERROR, VT_ERROR_NOT_FOUND))
        return vt_throw(error, VT_ERROR_POLICY,
                        "there is no trust policy '%s', so everything is rejected. Write one that "
                        "names your stores and the public keys you trust, for example:\n%s"
                        "See virt-template-policy(5).",
                        path, example);
    /* The lack of a descriptor, or an I/O error, is no decision: who asks again may get another one
     */
    return vt_throw(error,
                    g_error_matches(why, VT_ERROR, VT_ERROR_FAILED) && !is_link(path)
                        ? VT_ERROR_FAILED
                        : VT_ERROR_POLICY,
                    "the trust policy cannot be read, so everything is rejected: %s (it must be a "
                    "regular file)",
                    why->message);
}
