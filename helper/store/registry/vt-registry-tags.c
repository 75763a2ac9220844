/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registry-tags.c: which tags a repository has (distribution-spec 1.1, "Listing Tags") */
#include "vt-registry.h"

#include "vt-json.h"
#include "vt-oci-name.h"

/* A list without end must end: here after some 20,000 publications, of three tags each */
#define TAGS_MAX (64u << 10)
/* Some registries give all in one page */
#define TAGS_PAGE_MAX (4u << 20)
/* And some 100 at once */
#define TAGS_PAGES_MAX (TAGS_MAX / 100)

/* {"name":"golden/catalog","tags":["latest",...]}; null in place of an empty list */
static bool
add_tags(const VtHttpReply *reply, GPtrArray *tags, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(reply->body->data, reply->body->len);
    g_autoptr(GError) local = NULL;
    json_auto_t *root = NULL;
    const json_t *list;
    json_t *tag;
    gsize i;

    /* A proxy's page, most likely */
    if (!vt_json_parse(bytes, "list of tags", TAGS_PAGE_MAX, &root, &local))
        return vt_throw(error, VT_ERROR_NETWORK, "%s: %s", reply->url, local->message);
    list = json_object_get(root, "tags");
    if (!json_is_array(list) && !json_is_null(list))
        return vt_throw(error, VT_ERROR_NETWORK, "%s: the answer is no list of tags", reply->url);
    if (json_array_size(list) > TAGS_MAX - tags->len)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: more than %u tags", reply->url, TAGS_MAX);
    json_array_foreach((json_t *)(uintptr_t)list, i, tag)
    {
        /* A tag has at most 128 bytes */
        if (json_is_string(tag) && vt_oci_tag_check(json_string_value(tag), NULL))
            g_ptr_array_add(tags, g_strdup(json_string_value(tag)));
    }
    return true;
}

/* One page; @url becomes the next one's or %NULL */
static bool
add_page(VtRegistry *registry, const char *repository, char **url, GPtrArray *tags, GError **error)
{
    g_autofree char *path = g_steal_pointer(url);
    g_autoptr(VtHttpReply) reply = NULL;
    const VtHttpRequest request = {
        .method = "GET", .url = path, .limit = TAGS_PAGE_MAX, .follow = true, .body_fd = -1};

    return vt_registry_send(registry, repository, &request, &reply, error) &&
           add_tags(reply, tags, error) && vt_registry_next_page(registry, reply, url, error);
}

bool
vt_registry_list_tags(VtStore *store, const char *repository, GPtrArray **ret_tags, GError **error)
{
    g_autofree char *url = g_strconcat("/v2/", repository, "/tags/list", NULL);
    g_autoptr(GPtrArray) tags = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) local = NULL;

    for (unsigned page = 0; url; page++) {
        if (page == TAGS_PAGES_MAX)
            return vt_throw(error, VT_ERROR_TOO_LARGE, "'%s' has more than %u pages of tags",
                            repository, TAGS_PAGES_MAX);
        if (add_page((VtRegistry *)store, repository, &url, tags, &local))
            continue;
        if (page == 0 && g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND))
            break;
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    *ret_tags = g_steal_pointer(&tags);
    return true;
}
