#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""cut-proxy.py PORT TARGET_PORT DIR: a bad network between 127.0.0.1:PORT and 127.0.0.1:TARGET_PORT.

On SIGUSR1 what was seen goes to DIR/report. On SIGHUP it goes to DIR/loaded, and DIR/plan says what comes:
{"cuts": [bytes, ...], "upcuts": [bytes, ...], "rate": bytes per second, "down": bool}. A connection
is cut when that many bytes in all have come back from the target, or went there; while the network is
down, none is accepted and all are cut. The report: {"bytes": to clients, "sent": from clients,
"requests": GETs, "peak": connections at once, "cuts": made}.
"""
import json
import os
import signal
import socket
import struct
import sys
import threading
import time

PORT, TARGET, DIR = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
CHUNK = 16384
LOCK = threading.Lock()
RESET = struct.pack('ii', 1, 0)


class Network:
    """What was planned, and what was seen"""

    def __init__(self, plan):
        self.cuts = {'bytes': sorted(plan.get('cuts', [])), 'sent': sorted(plan.get('upcuts', []))}
        self.rate = plan.get('rate', 0)
        self.down = plan.get('down', False)
        self.seen = {'bytes': 0, 'sent': 0, 'requests': 0, 'peak': 0, 'cuts': 0}
        self.free_at = time.monotonic()

    def count(self, way, length):
        """Returns how long to wait first, and whether to cut then"""
        self.seen[way] += length
        cut = bool(self.cuts[way]) and self.seen[way] >= self.cuts[way][0]
        if cut:
            self.cuts[way].pop(0)
            self.seen['cuts'] += 1
        now = time.monotonic()
        self.free_at = max(self.free_at, now) + (length / self.rate if self.rate else 0)
        return self.free_at - now, cut or self.down


NET = Network({})
OPEN = set()


def end(pair, reset):
    """Every second one by RST, which drops what is on its way"""
    OPEN.discard(pair)
    for side in pair:
        try:
            if reset:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            # Wakes the other thread, without which the socket stays open
            side.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        except OSError:
            pass
        side.close()


def back(pair):
    client, target = pair
    cut = False
    try:
        while not cut and (data := target.recv(CHUNK)):
            with LOCK:
                wait, cut = NET.count('bytes', len(data))
            if wait > 0:
                time.sleep(wait)
            client.sendall(data)
    except OSError:
        pass
    end(pair, cut and NET.seen['cuts'] % 2 == 0)


def forth(pair):
    client, target = pair
    cut = False
    try:
        while not cut and (data := client.recv(CHUNK)):
            with LOCK:
                NET.seen['requests'] += data.count(b'GET /v2/')
                wait, cut = NET.count('sent', len(data))
            if wait > 0:
                time.sleep(wait)
            target.sendall(data)
    except OSError:
        pass
    end(pair, cut and NET.seen['cuts'] % 2 == 0)


def connect(client):
    # Little on its way: what was sent was mostly received
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
    pair = (client, socket.create_connection(('127.0.0.1', TARGET)))
    OPEN.add(pair)
    NET.seen['peak'] = max(NET.seen['peak'], len(OPEN))
    for way in (back, forth):
        threading.Thread(target=way, args=(pair,), daemon=True).start()


def report(*_):
    with open(f'{DIR}/report.new', 'w', encoding='ascii') as text:
        json.dump(NET.seen, text)
    os.rename(f'{DIR}/report.new', f'{DIR}/report')


def load(*_):
    global NET
    report()
    with open(f'{DIR}/plan', encoding='ascii') as plan:
        NET = Network(json.load(plan))
    for pair in list(OPEN) if NET.down else []:
        end(pair, True)
    os.rename(f'{DIR}/report', f'{DIR}/loaded')


signal.signal(signal.SIGHUP, load)
signal.signal(signal.SIGUSR1, report)
server = socket.create_server(('127.0.0.1', PORT))
while True:
    accepted = server.accept()[0]
    if NET.down:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        accepted.close()
    else:
        connect(accepted)
