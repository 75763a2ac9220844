/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loader.c: stands in for libvirt's fs backend, and adds the module of the running version */

/* Theory of operation
 *
 * libvirt loads libvirt_storage_backend_fs.so from $LIBVIRT_STORAGE_BACKEND_DIR and calls
 * virStorageBackendFsRegister(). This file is found there. It does what libvirt would have done
 * with the distribution's file, and then loads
 *
 *     <folder of this file>/virt-template/<version of the running libvirt>.so
 *
 * It needs public symbols of libvirt only, so it is loaded by every version. When there is no
 * module for the version, or it does not load, one line says so and libvirt has its stock
 * behaviour.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

/* The names that libvirt and our module give to their entry points */
#define STOCK_REGISTER  "virStorageBackendFsRegister"
#define MODULE_REGISTER "virStorageBackendTemplateRegister"

/* A file name with the version: 4294 is the largest major that fits into libvirt's number */
#define VERSION_MAX 32

typedef int (*RegisterFunc)(void);

__attribute__((visibility("default"))) int virStorageBackendFsRegister(void);

/* A daemon that went to the background has no standard error */
static bool
stderr_is_lost(void)
{
    struct stat sb;

    return fstat(STDERR_FILENO, &sb) < 0 ||
           (S_ISCHR(sb.st_mode) && sb.st_rdev == makedev(1, 3)); /* /dev/null */
}

/* libvirt's own log is no public symbol. What a unit writes to standard error is in the journal. */
__attribute__((format(printf, 1, 2))) static void
say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (stderr_is_lost()) {
        vsyslog(LOG_DAEMON | LOG_WARNING, format, args);
    } else {
        char line[1024];

        vsnprintf(line, sizeof(line), format, args);
        fprintf(stderr, "%s\n", line);
    }
    va_end(args);
}

/* ISO C has no conversion between pointers to functions and to data; POSIX says they are alike */
typedef union {
    RegisterFunc func;
    void *data;
} Symbol;

static RegisterFunc
find_register(void *handle, const char *name)
{
    Symbol symbol = {.data = dlsym(handle, name)};

    return symbol.func;
}

static int
register_stock(void)
{
    RegisterFunc func;
    void *handle;

    /* As libvirt: a backend that is not installed is no error */
    if (access(STOCK_FS_MODULE, F_OK) < 0) {
        say("virt-template: %s: %s; no dir, fs and netfs pools", STOCK_FS_MODULE, strerror(errno));
        return 1;
    }
    handle = dlopen(STOCK_FS_MODULE, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        say("virt-template: libvirt's own fs backend cannot be loaded: %s", dlerror());
        return -1;
    }
    func = find_register(handle, STOCK_REGISTER);
    if (!func) {
        say("virt-template: libvirt's own fs backend is of no use: %s", dlerror());
        return -1;
    }
    return func() < 0 ? -1 : 0;
}

/* <folder of this file>/virt-template/9.0.0.so */
static bool
module_path(const char *version, char **ret_path)
{
    Symbol here = {.func = virStorageBackendFsRegister};
    const char *slash;
    Dl_info self;

    if (!dladdr(here.data, &self) || !self.dli_fname)
        return false;
    slash = strrchr(self.dli_fname, '/');
    return asprintf(ret_path, "%.*s/virt-template/%s.so", slash ? (int)(slash - self.dli_fname) : 1,
                    slash ? self.dli_fname : ".", version) >= 0;
}

static void
register_module(void)
{
    char version[VERSION_MAX];
    unsigned long number = 0;
    RegisterFunc func = NULL;
    char *path = NULL;
    void *handle;

    if (virGetVersion(&number, NULL, NULL) < 0) {
        say("virt-template: libvirt does not tell its version; template pools are off");
        return;
    }
    snprintf(version, sizeof(version), "%lu.%lu.%lu", number / 1000000, number / 1000 % 1000,
             number % 1000);
    if (!module_path(version, &path)) {
        say("virt-template: the folder of the module is not known; template pools are off");
        return;
    }
    if (access(path, F_OK) < 0) {
        say("virt-template: no module for libvirt %s (%s: %s); template pools are off until "
            "virt-template is installed for this version, all else works",
            version, path, strerror(errno));
    } else if (!(handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) ||
               !(func = find_register(handle, MODULE_REGISTER))) {
        say("virt-template: the module for libvirt %s does not load: %s; template pools are off, "
            "all else works",
            version, dlerror());
    } else if (func() < 0) {
        say("virt-template: the module for libvirt %s refuses to start (%s); template pools are "
            "off, all else works",
            version, path);
        virResetLastError();
    }
    free(path);
}

int
virStorageBackendFsRegister(void)
{
    int stock = register_stock();

    if (stock == 0)
        register_module();
    return stock < 0 ? -1 : 0;
}
