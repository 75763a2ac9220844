/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-payload.c: what a cosign v2 signature signs: the "simple signing" document
 *
 * {"critical":{"identity":{"docker-reference":"registry.example/golden/web"},
 *              "image":{"docker-manifest-digest":"sha256:..."},
 *              "type":"cosign container image signature"},
 *  "optional":null}
 */
#include "vt-payload.h"

#include "vt-json.h"

#include <string.h>

#define PAYLOAD_TYPE "cosign container image signature"

void
vt_payload_free(VtPayload *payload)
{
    if (!payload)
        return;
    g_free(payload->docker_reference);
    g_free(payload);
}

/* Member @field: an object with no others than @fields */
static bool
exact_object(const VtJson *at, const char *field, const char *const *fields, VtJson *ret,
             GError **error)
{
    return vt_json_object(at, field, ret, error) && vt_json_exact_fields(ret, fields, error);
}

static bool
parse_critical(const VtJson *root, VtPayload *payload, GError **error)
{
    static const char *const critical_fields[] = {"type", "image", "identity", NULL};
    static const char *const image_fields[] = {"docker-manifest-digest", NULL};
    static const char *const identity_fields[] = {"docker-reference", NULL};
    const char *type = NULL, *reference = NULL;
    VtJson critical, image, identity;

    if (!exact_object(root, "critical", critical_fields, &critical, error) ||
        !exact_object(&critical, "image", image_fields, &image, error) ||
        !exact_object(&critical, "identity", identity_fields, &identity, error) ||
        !vt_json_string(&critical, "type", &type, error) ||
        !vt_json_digest(&image, "docker-manifest-digest", &payload->digest, error) ||
        !vt_json_string(&identity, "docker-reference", &reference, error))
        return false;
    if (strcmp(type, PAYLOAD_TYPE) != 0)
        return vt_json_throw(&critical, error, "type is not \"" PAYLOAD_TYPE "\"");
    payload->docker_reference = g_strdup(reference);
    return true;
}

/* null, or the signer's annotations, of which two have a type */
static bool
check_optional(const VtJson *root, GError **error)
{
    VtJson optional = vt_json_member(root, "optional"), timestamp;
    const char *creator = NULL;

    if (json_is_null(optional.value))
        return true;
    if (!vt_json_object(root, "optional", &optional, error) ||
        !vt_json_string_if(&optional, "creator", &creator, error))
        return false;
    timestamp = vt_json_member(&optional, "timestamp");
    if (timestamp.value && !json_is_integer(timestamp.value))
        return vt_json_throw(&timestamp, error, "is not an integer");
    return true;
}

bool
vt_payload_parse(GBytes *bytes, VtPayload **ret_payload, GError **error)
{
    static const char *const fields[] = {"critical", "optional", NULL};
    g_autoptr(VtPayload) payload = g_new0(VtPayload, 1);
    json_auto_t *document = NULL;
    VtJson root;

    if (!vt_json_parse(bytes, "signed payload", VT_PAYLOAD_MAX, &document, error))
        return false;
    root = vt_json_root(document, "signed payload");
    if (!vt_json_exact_fields(&root, fields, error) || !parse_critical(&root, payload, error) ||
        !check_optional(&root, error))
        return false;
    *ret_payload = g_steal_pointer(&payload);
    return true;
}

GBytes *
vt_payload_format(const char *docker_reference, const VtDigest *digest)
{
    json_auto_t *root = json_object();
    json_t *critical = json_object(), *identity = json_object(), *image = json_object();

    vt_json_set_string(identity, "docker-reference", docker_reference);
    vt_json_set_digest(image, "docker-manifest-digest", digest);
    json_object_set_new(critical, "identity", identity);
    json_object_set_new(critical, "image", image);
    vt_json_set_string(critical, "type", PAYLOAD_TYPE);
    json_object_set_new(root, "critical", critical);
    json_object_set_new(root, "optional", json_null());
    return vt_json_format(root);
}
