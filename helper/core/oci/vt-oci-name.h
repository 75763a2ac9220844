/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-oci-name.h: names in an OCI store, as the distribution specification spells them */
#pragma once

#include "vt-digest.h"

/* distribution-spec: many implementations limit host and name together to 255 */
#define VT_OCI_REPOSITORY_MAX 255
#define VT_OCI_TAG_MAX        128

/** vt_oci_repository_check: Returns: whether @text is a repository name; %VT_ERROR_INVALID */
bool vt_oci_repository_check(const char *text, GError **error);

/** vt_oci_tag_check: Returns: whether @text is a tag, `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` */
bool vt_oci_tag_check(const char *text, GError **error);

/** vt_oci_reference_check: Returns: whether @text is a tag or `sha256:<hex>` */
bool vt_oci_reference_check(const char *text, GError **error);

/** vt_oci_fallback_tag: Returns: (transfer full): `sha256-<hex>`, the tag that lists the referrers
 *  of @digest where the referrers API is not there */
char *vt_oci_fallback_tag(const VtDigest *digest);

/** vt_oci_is_digest_tag: Returns: whether @tag is `sha256-<hex>`, or that with a suffix as in
 *  `sha256-<hex>.sig`: a tag that names one digest, whatever the repository */
bool vt_oci_is_digest_tag(const char *tag);
