/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-name.h: names of templates, their versions, and of the volumes they appear as */
#pragma once

#include "vt-error.h"

/* A template name is also the last part of an OCI repository name, so it has that grammar:
 * [a-z0-9]+ joined by one '.', one or two '_' or any number of '-'. */
#define VT_NAME_MAX 100
/* Semantic Versioning 2.0.0; the whole of NAME@VERSION.qcow2 must stay below NAME_MAX (255). */
#define VT_VERSION_MAX   100
#define VT_VOLUME_SUFFIX ".qcow2"
/* The repository, and layout reference, of the signed catalog; no template may have this name. */
#define VT_CATALOG_NAME "catalog"

/** vt_name_check: Returns: whether @name follows the grammar; %VT_ERROR_INVALID says why not */
bool vt_name_check(const char *name, GError **error);

/** vt_version_check: Returns: whether @version is a semantic version, e.g. `1.2.0-rc.1+b5` */
bool vt_version_check(const char *version, GError **error);

/**
 * vt_version_compare:
 * @a: a checked version
 * @b: a checked version
 *
 * Precedence of SemVer 2.0.0 section 11; equal precedence is ordered by the text, so that
 * the order is total.
 *
 * Returns: less than, equal to or greater than 0
 */
int vt_version_compare(const char *a, const char *b);

/**
 * vt_reference_parse:
 * @text: `NAME@VERSION`, or `NAME` for its current version
 * @ret_name: (out) (transfer full): the checked name
 * @ret_version: (out) (transfer full) (nullable): the checked version, %NULL if none was given
 * @error: %VT_ERROR_INVALID
 */
bool vt_reference_parse(const char *text, char **ret_name, char **ret_version, GError **error);

/** vt_volume_name: Returns: (transfer full): `NAME@VERSION.qcow2`, or `NAME.qcow2` for %NULL */
char *vt_volume_name(const char *name, const char *version);

/** vt_volume_name_parse: The reverse of vt_volume_name(); same rules as vt_reference_parse() */
bool vt_volume_name_parse(const char *volume, char **ret_name, char **ret_version, GError **error);

/** vt_version_tag: Returns: (transfer full): @version as an OCI tag: '+' becomes '_' */
char *vt_version_tag(const char *version);
