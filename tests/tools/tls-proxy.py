#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tls-proxy.py DIR: a proxy that speaks TLS, with DIR/proxy.pem, and asks for a client certificate.

DIR/tls-proxy.port says where it listens on 127.0.0.1. Whatever host is asked for, 127.0.0.1 it is. DIR/tls-proxy.log
has a line for each connection: "CONNECT registry.test:5000 shown: vt-client"; "nothing" if no certificate was shown. Who does not want to be
connected is told to ask "localhost" for /there, where nothing is.
"""
import os
import socket
import ssl
import sys
import threading

DIR = sys.argv[1]
CHUNK = 65536


def copy(source, target):
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def shown(client):
    names = dict(pair[0] for pair in (client.getpeercert() or {}).get('subject', ()))
    return names.get('commonName', 'nothing')


def serve(accepted):
    try:
        client = CONTEXT.wrap_socket(accepted, server_side=True)
    except (ssl.SSLError, OSError):
        return
    head = b''
    while b'\r\n\r\n' not in head:
        data = client.recv(CHUNK)
        if not data:
            return
        head += data
    method, target = head.split(b'\r\n')[0].decode().split(' ')[:2]
    with open(f'{DIR}/tls-proxy.log', 'a', encoding='ascii') as log:
        log.write(f'{method} {target} shown: {shown(client)}\n')
    if method != 'CONNECT':
        status = 'HTTP/1.1 404 Not Found' if target == '/there' else \
            f'HTTP/1.1 302 Found\r\nLocation: https://localhost:{PORT}/there'
        client.sendall(f'{status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'.encode())
        client.unwrap()
        return
    server = socket.create_connection(('127.0.0.1', int(target.rpartition(':')[2])))
    client.sendall(b'HTTP/1.1 200 Connection established\r\n\r\n')
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
    copy(client, server)


CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(f'{DIR}/proxy.pem')
CONTEXT.load_verify_locations(f'{DIR}/client.pem')
CONTEXT.verify_mode = ssl.CERT_OPTIONAL
listener = socket.create_server(('127.0.0.1', 0))
PORT = listener.getsockname()[1]
with open(f'{DIR}/tls-proxy.new', 'w', encoding='ascii') as port:
    port.write(str(PORT))
os.rename(f'{DIR}/tls-proxy.new', f'{DIR}/tls-proxy.port')
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
