/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-peer-stream.h: the connection of somebody who is not trusted with our memory */
#pragma once

#include <gio/gio.h>

/* A request has a path of 4 KiB and some names */
#define VTD_PEER_MESSAGE_MAX (64u << 10)

/**
 * vtd_peer_stream_new: What GDBus reads of @stream, a socket's
 *
 * GDBus takes messages of 128 MiB, and needs up to 40 times as much for one of small values; and
 * it takes any number of descriptors with each. Here a message has %VTD_PEER_MESSAGE_MAX bytes at
 * most, larger ones end the connection before they are read, and no descriptor arrives.
 *
 * As this is no socket to GDBus, it does not find out who the peer is; the caller must have asked
 * the kernel, and allow the mechanism ANONYMOUS.
 *
 * Returns: (transfer full)
 */
GIOStream *vtd_peer_stream_new(GIOStream *stream);
