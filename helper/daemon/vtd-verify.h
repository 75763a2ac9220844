/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-verify.h: a template that is here is verified again */
#pragma once

#include "vtd-job.h"

#include "vt-digest.h"
#include "vt-pool.h"
#include "vt-verify.h"

/**
 * VtdVerify: all that the job's thread may look at
 * @layers: (element-type VtDigest): of its chain, base first
 * @states: (out): of each layer, when @checked
 * @checked: (out): whether the whole chain was read
 */
typedef struct {
    char *target;
    char *name;
    char *version;
    GArray *layers;
    VtLayerState *states;
    bool checked;
} VtdVerify;
/** vtd_verify_init: Copies what it is given; @layers: (element-type VtDigest) */
void vtd_verify_init(VtdVerify *verify, const VtdJobSpec *spec, const GArray *layers);
void vtd_verify_clear(VtdVerify *verify);

/** vtd_verify_run: The body of a verify job; %VT_ERROR_CORRUPT says what is damaged */
bool vtd_verify_run(VtdJob *job, VtdVerify *verify, GError **error);

/**
 * VtdChain: its files
 * @layers: base first; @index is %NULL if the kept one is damaged, @fd is -1 if there is no file
 */
typedef struct {
    VtPool *pool;
    VtdVerify *verify;
    VtVerifyLayer *layers;
} VtdChain;
bool vtd_chain_open(VtdVerify *verify, VtdChain *ret_chain, GError **error);
void vtd_chain_clear(VtdChain *chain);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtdChain, vtd_chain_clear)

/**
 * vtd_chain_check: Fills the states of @chain->verify
 * @progress: of the job: its phase is set
 *
 * Returns: whether all could be read, whatever was found
 */
bool vtd_chain_check(const VtdChain *chain, VtdJob *job, VtdProgress *progress, GError **error);

/** vtd_verify_throw: %VT_ERROR_CORRUPT that names what is damaged; returns true if nothing is */
bool vtd_verify_throw(const VtdVerify *verify, GError **error);
