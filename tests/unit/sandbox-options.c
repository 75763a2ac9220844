/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sandbox-options.c: what a worker may try with a descriptor that it has */
#include "vt-fs.h"

#include "sandbox-attempts.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel does it for a process that may not: SIGKILL when there is something to read */
static int
signal_by_descriptor(const World *world)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return errno;
    return result(fcntl(ends[0], F_SETOWN, world->parent));
}

static int
choose_signal(const World *world)
{
    return result(fcntl(world->read_only_fd, F_SETSIG, SIGKILL));
}

static int
watch_directory(const World *world)
{
    return result(fcntl(world->layout_fd, F_NOTIFY, DN_CREATE));
}

/* A program that the kernel runs for each packet */
static int
attach_filter(const World *world)
{
    struct sock_filter accept = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = {1, &accept};
    vt_autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    return result(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

/* Of the kernel's modules */
static int
load_protocol(const World *world)
{
    vt_autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 || errno == ENOTCONN
               ? 0
               : errno;
}

const Attempt sandbox_options[] = {
    {"signal-by-descriptor", signal_by_descriptor, NONE},
    {"choose-signal", choose_signal, NONE},
    {"watch-directory", watch_directory, NONE},
    {"attach-filter", attach_filter, {REFUSED, KILLED, REFUSED, REFUSED, REFUSED, REFUSED}},
    {"load-protocol", load_protocol, {REFUSED, KILLED, REFUSED, REFUSED, REFUSED, REFUSED}},
    {NULL},
};
