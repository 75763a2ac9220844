/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* harness.c LOADER: does with the loader what libvirt's virModuleLoad() does, and tells the result
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static const char *
told(const char *name)
{
    const char *value = getenv(name);

    return value ? value : "no";
}

int
main(int argc, char **argv)
{
    int (*func)(void);
    void *handle;

    if (argc != 2)
        return 2;
    handle = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    if (!handle) {
        puts(dlerror());
        return 1;
    }
    *(void **)&func = dlsym(handle, "virStorageBackendFsRegister");
    if (!func) {
        puts(dlerror());
        return 1;
    }
    printf("result=%d", func());
    printf(" stock=%s module=%s\n", told("VT_STOCK_CALLED"), told("VT_MODULE_CALLED"));
    return 0;
}
