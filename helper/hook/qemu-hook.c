/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qemu-hook.c: libvirt's hook for QEMU domains; it has to cost nothing for those that are not ours
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * libvirt runs every program in /etc/libvirt/hooks/qemu.d/ at each event of each domain:
 *
 *     virt-template DOMAIN prepare begin -     stdin: the XML of the domain
 *
 * A status that is not 0 at "prepare begin" stops the start, and what stands on stderr is the error
 * that the user sees. So this links nothing but libc, and becomes `virt-template instance` for the
 * domains whose XML has our namespace in it.
 */
#define NAMESPACE "urn:virt-template:instance:1"
/* As for vt_instance_parse() */
#define XML_MAX ((size_t)4 << 20)

static const struct {
    const char *operation;
    const char *suboperation;
    const char *verb;
} events[] = {
    {"prepare", "begin", "prepare"},
    {"release", "end", "release"},
};

static const char *
find_verb(const char *operation, const char *suboperation)
{
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        if (strcmp(events[i].operation, operation) == 0 &&
            strcmp(events[i].suboperation, suboperation) == 0)
            return events[i].verb;
    }
    return NULL;
}

/* Returns: the bytes of stdin, or -1 */
static ssize_t
read_all(char *buffer, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = read(STDIN_FILENO, buffer + have, size - have);

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            have += (size_t)n;
    }
    return (ssize_t)have;
}

static bool
pass_on(const char *xml, size_t size)
{
    int fd = memfd_create("domain", 0);

    while (fd >= 0 && size > 0) {
        ssize_t n = write(fd, xml, size);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            xml += n;
            size -= (size_t)n;
        }
    }
    return fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO;
}

int
main(int argc, char **argv)
{
    const char *verb = argc > 3 ? find_verb(argv[2], argv[3]) : NULL;
    char *xml;
    ssize_t size;

    if (!verb)
        return 0;
    xml = malloc(XML_MAX);
    size = xml ? read_all(xml, XML_MAX) : -1;
    if (size < 0) {
        fprintf(stderr, "virt-template: cannot read the domain's XML: %s\n", strerror(errno));
        return 1;
    }
    if (!memmem(xml, (size_t)size, NAMESPACE, sizeof(NAMESPACE) - 1))
        return 0;
    if (!pass_on(xml, (size_t)size)) {
        fprintf(stderr, "virt-template: cannot pass on the domain's XML: %s\n", strerror(errno));
        return 1;
    }
    execl(VT_PROGRAM, "virt-template", "instance", verb, (char *)NULL);
    fprintf(stderr, "virt-template: cannot run '%s': %s\n", VT_PROGRAM, strerror(errno));
    return 1;
}
