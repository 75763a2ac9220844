/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-peer-stream.c: the connection of somebody who is not trusted with our memory
 *
 * Theory of operation. GDBus reads the first 16 bytes of a message, which say how long it is, and
 * then asks for the rest of it in one read. It has no limit of its own that could be set, and takes
 * a socket out of the stream if there is one. So this is a stream that is no socket, and refuses to
 * be asked for much. Both directions can be polled: without that, each read and write would take a
 * thread, and keep it as long as the peer likes.
 */
#include "vtd-peer-stream.h"

#define VTD_TYPE_PEER_INPUT  (vtd_peer_input_get_type())
#define VTD_TYPE_PEER_OUTPUT (vtd_peer_output_get_type())
#define VTD_TYPE_PEER_STREAM (vtd_peer_stream_get_type())

/* ---- what is read ---- */

G_DECLARE_FINAL_TYPE(VtdPeerInput, vtd_peer_input, VTD, PEER_INPUT, GFilterInputStream)

struct _VtdPeerInput {
    GFilterInputStream parent;
};

static GPollableInputStream *
socket_of(gpointer input)
{
    return G_POLLABLE_INPUT_STREAM(
        g_filter_input_stream_get_base_stream(G_FILTER_INPUT_STREAM(input)));
}

static gboolean
check_length(gsize length, GError **error)
{
    if (length <= VTD_PEER_MESSAGE_MAX)
        return TRUE;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                "a message of more than %u bytes is not read", VTD_PEER_MESSAGE_MAX);
    return FALSE;
}

static gssize
peer_read(GInputStream *input, void *buffer, gsize length, GCancellable *cancellable,
          GError **error)
{
    return check_length(length, error) ? g_input_stream_read(G_INPUT_STREAM(socket_of(input)),
                                                             buffer, length, cancellable, error)
                                       : -1;
}

static gssize
peer_read_nonblocking(GPollableInputStream *input, void *buffer, gsize length, GError **error)
{
    return check_length(length, error) ? g_pollable_input_stream_read_nonblocking(
                                             socket_of(input), buffer, length, NULL, error)
                                       : -1;
}

static gboolean
peer_is_readable(GPollableInputStream *input)
{
    return g_pollable_input_stream_is_readable(socket_of(input));
}

static GSource *
peer_create_source(GPollableInputStream *input, GCancellable *cancellable)
{
    g_autoptr(GSource) ready = g_pollable_input_stream_create_source(socket_of(input), cancellable);

    return g_pollable_source_new_full(input, ready, cancellable);
}

static void
peer_input_pollable(GPollableInputStreamInterface *interface)
{
    interface->is_readable = peer_is_readable;
    interface->create_source = peer_create_source;
    interface->read_nonblocking = peer_read_nonblocking;
}

G_DEFINE_TYPE_WITH_CODE(VtdPeerInput, vtd_peer_input, G_TYPE_FILTER_INPUT_STREAM,
                        G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_INPUT_STREAM, peer_input_pollable))

static void
vtd_peer_input_class_init(VtdPeerInputClass *class)
{
    G_INPUT_STREAM_CLASS(class)->read_fn = peer_read;
}

static void
vtd_peer_input_init(VtdPeerInput *input)
{
}

/* ---- what is written ---- */

/* Only so that GDBus does not look for the socket of a socket's stream */
G_DECLARE_FINAL_TYPE(VtdPeerOutput, vtd_peer_output, VTD, PEER_OUTPUT, GFilterOutputStream)

struct _VtdPeerOutput {
    GFilterOutputStream parent;
};

static GPollableOutputStream *
socket_to(gpointer output)
{
    return G_POLLABLE_OUTPUT_STREAM(
        g_filter_output_stream_get_base_stream(G_FILTER_OUTPUT_STREAM(output)));
}

static gssize
peer_write_nonblocking(GPollableOutputStream *output, const void *buffer, gsize length,
                       GError **error)
{
    return g_pollable_output_stream_write_nonblocking(socket_to(output), buffer, length, NULL,
                                                      error);
}

static gboolean
peer_is_writable(GPollableOutputStream *output)
{
    return g_pollable_output_stream_is_writable(socket_to(output));
}

static GSource *
peer_create_write_source(GPollableOutputStream *output, GCancellable *cancellable)
{
    g_autoptr(GSource) ready =
        g_pollable_output_stream_create_source(socket_to(output), cancellable);

    return g_pollable_source_new_full(output, ready, cancellable);
}

static void
peer_output_pollable(GPollableOutputStreamInterface *interface)
{
    interface->is_writable = peer_is_writable;
    interface->create_source = peer_create_write_source;
    interface->write_nonblocking = peer_write_nonblocking;
}

G_DEFINE_TYPE_WITH_CODE(VtdPeerOutput, vtd_peer_output, G_TYPE_FILTER_OUTPUT_STREAM,
                        G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_OUTPUT_STREAM, peer_output_pollable))

static void
vtd_peer_output_class_init(VtdPeerOutputClass *class)
{
}

static void
vtd_peer_output_init(VtdPeerOutput *output)
{
}

/* ---- both ways ---- */

G_DECLARE_FINAL_TYPE(VtdPeerStream, vtd_peer_stream, VTD, PEER_STREAM, GIOStream)

struct _VtdPeerStream {
    GIOStream parent;
    GIOStream *socket;
    GInputStream *input;
    GOutputStream *output;
};

G_DEFINE_TYPE(VtdPeerStream, vtd_peer_stream, G_TYPE_IO_STREAM)

static GInputStream *
peer_get_input(GIOStream *stream)
{
    return VTD_PEER_STREAM(stream)->input;
}

static GOutputStream *
peer_get_output(GIOStream *stream)
{
    return VTD_PEER_STREAM(stream)->output;
}

static gboolean
peer_close(GIOStream *stream, GCancellable *cancellable, GError **error)
{
    return g_io_stream_close(VTD_PEER_STREAM(stream)->socket, cancellable, error);
}

static void
peer_finalize(GObject *object)
{
    VtdPeerStream *stream = VTD_PEER_STREAM(object);

    g_object_unref(stream->input);
    g_object_unref(stream->output);
    g_object_unref(stream->socket);
    G_OBJECT_CLASS(vtd_peer_stream_parent_class)->finalize(object);
}

static void
vtd_peer_stream_class_init(VtdPeerStreamClass *class)
{
    G_OBJECT_CLASS(class)->finalize = peer_finalize;
    G_IO_STREAM_CLASS(class)->get_input_stream = peer_get_input;
    G_IO_STREAM_CLASS(class)->get_output_stream = peer_get_output;
    G_IO_STREAM_CLASS(class)->close_fn = peer_close;
}

static void
vtd_peer_stream_init(VtdPeerStream *stream)
{
}

GIOStream *
vtd_peer_stream_new(GIOStream *socket)
{
    VtdPeerStream *stream = g_object_new(VTD_TYPE_PEER_STREAM, NULL);

    stream->socket = g_object_ref(socket);
    stream->input =
        g_object_new(VTD_TYPE_PEER_INPUT, "base-stream", g_io_stream_get_input_stream(socket),
                     "close-base-stream", FALSE, NULL);
    stream->output =
        g_object_new(VTD_TYPE_PEER_OUTPUT, "base-stream", g_io_stream_get_output_stream(socket),
                     "close-base-stream", FALSE, NULL);
    return G_IO_STREAM(stream);
}
