/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stand-in.c: libvirt's fs backend, or the module; tells that it was called through the environment
 */
#include <stdlib.h>

int REGISTER(void);

#ifdef NEEDS
int NEEDS(void);
#endif

int
REGISTER(void)
{
    const char *result = getenv(RESULT);

#ifdef NEEDS
    NEEDS();
#endif
    setenv(CALLED, "yes", 1);
    return result ? atoi(result) : 0;
}
