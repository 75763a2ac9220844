#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hold-proxy.py TARGET_PORT DIR: a registry that takes its time to set a tag of the catalog.

DIR/port says where it listens on 127.0.0.1. Everything goes to 127.0.0.1:TARGET_PORT. When DIR/hold-latest is
there, the next "PUT .../manifests/latest" renames it to DIR/held-latest and waits until that is away; likewise
"announced". While DIR/no-list is there, the registry lists no tags (HTTP 404).
"""
import os
import re
import socket
import sys
import threading
import time

TARGET, DIR = int(sys.argv[1]), sys.argv[2]
CHUNK = 65536
# libcurl sends the head of a request by itself, or with its body behind
TAGGING = re.compile(rb'PUT /v2/\S*/manifests/(latest|announced)')


def hold(tag):
    try:
        os.rename(f'{DIR}/hold-{tag}', f'{DIR}/held-{tag}')
    except FileNotFoundError:
        return
    while os.path.exists(f'{DIR}/held-{tag}'):
        time.sleep(0.02)


def copy(source, target, is_client):
    while data := source.recv(CHUNK):
        tagging = TAGGING.match(data) if is_client else None
        if tagging:
            hold(tagging[1].decode())
        if is_client and os.path.exists(f'{DIR}/no-list'):
            data = data.replace(b'/tags/list HTTP/', b'/tags/lost HTTP/')
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


server = socket.create_server(('127.0.0.1', 0))
with open(f'{DIR}/port.new', 'w', encoding='ascii') as port:
    port.write(str(server.getsockname()[1]))
os.rename(f'{DIR}/port.new', f'{DIR}/port')
while True:
    client = server.accept()[0]
    registry = socket.create_connection(('127.0.0.1', TARGET))
    threading.Thread(target=copy, args=(client, registry, True), daemon=True).start()
    threading.Thread(target=copy, args=(registry, client, False), daemon=True).start()
