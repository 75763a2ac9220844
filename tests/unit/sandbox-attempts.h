/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sandbox-attempts.h: what a worker may try in its sandbox, and what must come of it */
#pragma once

#include "vtd-sandbox.h"

#include <errno.h>

typedef enum {
    DONE,
    REFUSED,
    KILLED,
} Outcome;

/* What a child finds; made once, given to all */
typedef struct {
    char *dir;
    char *open_file; /* everybody may read and write it */
    char *socket;
    int read_only_fd; /* of open_file */
    int disk_fd;
    int layout_fd; /* of dir */
    int tcp_port;
    pid_t parent;
    bool has_landlock;
} World;

/**
 * Attempt:
 * @attempt: returns 0 if it worked, or an errno
 * @expected: of COPY, FETCH, LAYOUT, SEED, UNPACK, UPLOAD
 * @by_landlock: a kernel without it does not stop the kinds that open files
 */
typedef struct {
    const char *name;
    int (*attempt)(const World *world);
    Outcome expected[VTD_WORKER_LAST];
    bool by_landlock;
} Attempt;

/* Of each kind */
#define ALL(outcome)                                                                               \
    {                                                                                              \
        outcome, outcome, outcome, outcome, outcome, outcome                                       \
    }
#define NONE ALL(KILLED)

/** result: @value: of a system call. Returns: what an attempt returns */
static inline int
result(long value)
{
    return value < 0 ? errno : 0;
}

/* All end with one without a name */
extern const Attempt sandbox_attacks[];
extern const Attempt sandbox_options[];
extern const Attempt sandbox_needs[];
/* Of the daemon; only the first column of @expected counts */
extern const Attempt sandbox_daemon[];
