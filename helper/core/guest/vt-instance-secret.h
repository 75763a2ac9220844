/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-secret.h: places of an <instance> that a secret goes to */
#pragma once

#include "vt-instance.h"

#include <libxml/tree.h>

/**
 * VtSecretUse: what a value that no message shows is for
 * @name: of the value, where the XML may have it itself: "'password-hash' "; "" for an element
 * @pattern: all that it may be
 * @expected: the same in words, behind "is not"
 * @fill: puts it into its place
 */
typedef struct {
    const char *name;
    const char *pattern;
    const char *expected;
    void (*fill)(gpointer target, const char *value);
} VtSecretUse;

/** vt_secret_fill: Checks a value that stands in the XML, and puts it into its place */
bool vt_secret_fill(const xmlNode *node, const VtSecretUse *use, gpointer target, const char *value,
                    GError **error);

/**
 * vt_secret_refer:
 * @key: of the secret whose value goes there, when vt_secrets_resolve() has them
 * @target: lives as long as @instance
 */
bool vt_secret_refer(VtInstance *instance, const xmlNode *node, const char *key,
                     const VtSecretUse *use, gpointer target, GError **error);

/** vt_secrets_refers: Whether a place wants the secret @key */
bool vt_secrets_refers(const VtInstance *instance, const char *key);

/**
 * vt_secrets_resolve:
 * @secrets: of vt_secrets_load()
 * @error: %VT_ERROR_INVALID: a secret that is wanted and not there, or not what it should be
 *
 * Fills the places that refer to secrets.
 */
bool vt_secrets_resolve(VtInstance *instance, const json_t *secrets, GError **error);
