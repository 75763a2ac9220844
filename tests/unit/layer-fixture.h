/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer-fixture.h: an image, its layer in memory files, and a ring server in a thread */
#pragma once

#include "vt-encode.h"
#include "vt-fs.h"
#include "vt-ring.h"
#include "vt-unpack.h"
#include "vt-verify.h"

/**
 * LayerFixture:
 * @blobs: (element-type int): memory files of the frame blobs
 * @ancestors: of a delta layer, as for vt_unpack_run(); with @backing
 * @ready_fd: as for vt_unpack_run()
 * @tamper: (nullable): called before each answer; may change the bytes in the slot, or the answer;
 *   returns false to end the server
 */
typedef struct LayerFixture LayerFixture;
struct LayerFixture {
    VtBlobSink sink;
    GArray *blobs;
    VtEncodeResult result;
    const VtAncestor *ancestors;
    guint ancestor_count;
    const char *backing;
    int ready_fd;
    int ring_fd;
    int server_fd;
    int client_fd;
    uint8_t *ring;
    GThread *server;
    guint requests;
    bool (*tamper)(LayerFixture *fixture, const VtRingRequest *request, uint8_t *slot,
                   VtRingAnswer *answer);
    uint64_t tamper_at;
};

void layer_fixture_init(LayerFixture *fixture);
void layer_fixture_clear(LayerFixture *fixture);

/** layer_fixture_encode: Makes the layer of @image_fd; asserts success */
void layer_fixture_encode(LayerFixture *fixture, int image_fd, const VtEncodeOptions *options);

/** layer_fixture_unpack: Starts the server and unpacks into @output_fd */
bool layer_fixture_unpack(LayerFixture *fixture, int output_fd, bool resume, GError **error);

/** layer_fixture_image: Returns: fd of an unnamed file of @blocks blocks with data, zeros and
 * copies */
int layer_fixture_image(guint blocks);

/** layer_fixture_verify: As vt_verify_chain(); %VT_ERROR_CORRUPT with the reason of the lowest
 * layer that is damaged */
bool layer_fixture_verify(const VtVerifyJob *job, GError **error);
