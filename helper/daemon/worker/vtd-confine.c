/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-confine.c: the daemon gives up what neither it nor its workers need */
#include "vtd-confine.h"

#include "vtd-seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (UINT64_C(1) << (capability))

/* Layers and clones get owners, modes and seals; uploads of any owner are left alone while they
 * are written (LEASE). The rest is for workers that it starts itself: to become another user, to
 * leave the network, to be ended. */
#define KEPT                                                                                       \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_LINUX_IMMUTABLE) |         \
     BIT(CAP_LEASE) | BIT(CAP_KILL) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETPCAP) |       \
     BIT(CAP_SYS_ADMIN))

static bool
denied(GError **error, const char *what)
{
    return vt_throw(error, VT_ERROR_DENIED, "cannot %s: %s", what, g_strerror(errno));
}

static bool
bound_capabilities(GError **error)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        /* those that its unit has dropped are no more, and with them may be the right to drop */
        if (!(KEPT & BIT(capability)) && prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1 &&
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return denied(error, "drop a capability from the bounding set");
    }
    return true;
}

static bool
drop_capabilities(GError **error)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        syscall(SYS_capget, &header, data) < 0)
        return denied(error, "read the capabilities");
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        const uint32_t kept = (uint32_t)(KEPT >> (32 * i));

        data[i].permitted &= kept;
        data[i].effective &= kept;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) == 0 || denied(error, "drop capabilities");
}

bool
vtd_confine(GError **error)
{
    const struct rlimit none = {0, 0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return denied(error, "set no_new_privs");
    if (geteuid() == 0 && !bound_capabilities(error))
        return false;
    if (!drop_capabilities(error))
        return false;
    /* credentials are in its memory */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
        return denied(error, "switch core dumps off");
    return vtd_seccomp_deny(error);
}
