/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-landlock.c: the part of the file system that is left to a process */
#include "vtd-landlock.h"
#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12; landlock(7) names each */
#define FS_ALL_OF_ABI_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define FS_REFER        (UINT64_C(1) << 13)
#define FS_TRUNCATE     (UINT64_C(1) << 14)
#define FS_IOCTL_DEV    (UINT64_C(1) << 15)
#define NET_BIND_TCP    (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT  (UINT64_C(1) << 0)
#define SCOPE_SIGNAL    (UINT64_C(1) << 1)

#define READ_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* of these, what a rule for something that is no directory may have */
#define OF_A_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)

/* struct landlock_ruleset_attr, as it has become */
typedef struct {
    uint64_t fs;
    uint64_t net;
    uint64_t scope;
} Ruleset;

/* What each version of the interface added */
static const struct {
    int abi;
    Ruleset added;
} versions[] = {
    {1, {.fs = FS_ALL_OF_ABI_1}}, {2, {.fs = FS_REFER}},
    {3, {.fs = FS_TRUNCATE}},     {4, {.net = NET_BIND_TCP | NET_CONNECT_TCP}},
    {5, {.fs = FS_IOCTL_DEV}},    {6, {.scope = SCOPE_ABSTRACT | SCOPE_SIGNAL}},
};

static bool
denied(GError **error, const char *what)
{
    return vt_throw(error, VT_ERROR_DENIED, "Landlock: cannot %s: %s", what, g_strerror(errno));
}

static Ruleset
all_of(int abi)
{
    Ruleset all = {0};

    for (gsize i = 0; i < G_N_ELEMENTS(versions) && versions[i].abi <= abi; i++) {
        all.fs |= versions[i].added.fs;
        all.net |= versions[i].added.net;
        all.scope |= versions[i].added.scope;
    }
    return all;
}

static bool
add_fd(int ruleset_fd, int fd, uint64_t access, GError **error)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    struct stat status;

    if (fstat(fd, &status) < 0)
        return denied(error, "look at a path");
    if (!S_ISDIR(status.st_mode))
        rule.allowed_access &= OF_A_FILE;
    return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ||
           denied(error, "allow a path");
}

static bool
add_paths(int ruleset_fd, const char *const *paths, uint64_t access, GError **error)
{
    for (gsize i = 0; paths && paths[i]; i++) {
        vt_autofd fd = open(paths[i], O_PATH | O_CLOEXEC);

        if (fd >= 0 && !add_fd(ruleset_fd, fd, access, error))
            return false;
    }
    return true;
}

bool
vtd_landlock_restrict(const VtdPaths *paths, GError **error)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    vt_autofd fd = -1;
    Ruleset ruleset;

    /* Not in this kernel, not switched on, or not let through by the filter of a container: the
     * kernel itself never refuses to tell */
    if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM))
        return true;
    if (abi < 0)
        return denied(error, "ask for its version");
    ruleset = all_of((int)abi);
    if (paths->connects)
        ruleset.net &= ~NET_CONNECT_TCP;
    fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    if (fd < 0)
        return denied(error, "make a set of rules");
    if (!add_paths(fd, paths->reads, READ_FILES, error) ||
        !add_paths(fd, paths->runs, READ_FILES | LANDLOCK_ACCESS_FS_EXECUTE, error) ||
        (paths->read_fd >= 0 && !add_fd(fd, paths->read_fd, READ_FILES, error)))
        return false;
    return syscall(SYS_landlock_restrict_self, fd, 0) == 0 || denied(error, "enter its rules");
}
