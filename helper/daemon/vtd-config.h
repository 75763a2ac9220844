/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-config.h: what the command line of virttemplated says */
#pragma once

#include "vtd-worker.h"

/* Seconds of what the option --catalog-grace counts */
#define VTD_GRACE_UNIT_S 3600u

/**
 * VtdConfig:
 * @run_dir: where the sockets are, when systemd does not pass them
 * @state_dir: where the database is
 * @policy_file: of pools that name none
 * @session: serves the user that it runs as, and nobody else
 * @workers: users and files of the worker processes
 * @catalog_grace_s: for how long an expired catalog is still good for fetching, in whole hours
 * @idle_seconds: end after this time without client, job and sealing; 0 = never
 */
typedef struct {
    char *run_dir;
    char *state_dir;
    char *policy_file;
    bool session;
    VtdWorkerConfig workers;
    unsigned catalog_grace_s;
    unsigned idle_seconds;
} VtdConfig;
