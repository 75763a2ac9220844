#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rubbish.py SOCKET SEED COUNTS: a virttemplated that speaks D-Bus, and answers what it must not
rubbish.py SOCKET SEED COUNTS slow: one that answers right, but late, and for uploads never

Writes into the file COUNTS how many calls it has answered, by the kind of rubbish.
"""
import collections
import os
import random
import socket
import struct
import sys
import threading
import time

RETURN, ERROR, SIGNAL = 2, 3, 4
REPLY_SERIAL, ERROR_NAME, SIGNATURE = 5, 4, 8
# GDBus takes 128 MiB, and needs 20 times as much for an array of strings; so this is rather small
HUGE_BYTES = 1 << 20
# Within the time that the driver waits for an answer; but not twice
SLOW_S = 3.5
# What the driver expects
TYPES = {
    "Hello": "s", "ListTemplates": "a(ssttus)s", "GetTemplate": "a{sv}", "JobWait": "a{sv}",
    "ListJobs": "aa{sv}", "Fetch": "t", "MakeOverlay": "s", "MakeCopy": "t", "ListClones": "as",
    "RegisterPool": "", "TakeUploads": "a(ss)",
}

random_source = random.Random(int(sys.argv[2]))
counts = collections.Counter()
lock = threading.Lock()


def pad(data, alignment):
    return data + b"\0" * (-len(data) % alignment)


def string(data, text):
    raw = text.encode()
    return pad(data, 4) + struct.pack("<I", len(raw)) + raw + b"\0"


def array(data, alignment, items):
    """ITEMS are functions that append an element"""
    at = len(pad(data, 4))
    data = pad(pad(data, 4) + b"\0" * 4, alignment)
    start = len(data)
    for item in items:
        data = item(data)
    return data[:at] + struct.pack("<I", len(data) - start) + data[at + 4:]


def template(name, version, capacity, allocation, flags):
    def append(data):
        data = string(string(pad(data, 8), name), version)
        data = pad(data, 8) + struct.pack("<QQI", capacity, allocation, flags)
        return string(data, "reason")
    return append


def evil_templates(rng):
    names = ["../../etc/passwd", "", ".layers", "a" * 300, "debian", "debian/x", "\u00e4", "x\ny"]
    versions = ["1.0.0", "../1", "", "9" * 400, "1.1.0", "1.0.0@2"]
    sizes = [0, 1, 1 << 62, (1 << 64) - 1]
    items = [template(rng.choice(names), rng.choice(versions), rng.choice(sizes), rng.choice(sizes),
                      rng.randrange(1 << 32)) for _ in range(rng.choice([0, 1, 5, 2000]))]
    return string(array(b"", 8, items), "warning" * rng.choice([0, 1, 100]))


def message(kind, serial, signature, body, error=None):
    fields = [lambda data: pad(data, 8) + struct.pack("<BBBBI", REPLY_SERIAL, 1, ord("u"), 0, serial)]
    if error:
        fields.append(lambda data: string(pad(data, 8) + bytes([ERROR_NAME, 1, ord("s"), 0]), error))
    if signature:
        raw = signature.encode()
        fields.append(lambda data: pad(data, 8) + bytes([SIGNATURE, 1, ord("g"), 0, len(raw)]) +
                      raw + b"\0")
    head = struct.pack("<BBBBII", ord("l"), kind, 0, 1, len(body), random_source.randrange(1, 1 << 31))
    return pad(array(head, 8, fields), 8) + body


def error(serial, rng):
    name = rng.choice(["virttemplate.Error.Corrupt", "virttemplate.Error.", "a.b", "org.evil.Error"])
    return message(ERROR, serial, "s", string(b"", "evil %s %n \n" * rng.choice([1, 2000])), name)


def wrong_type(serial, rng):
    return message(RETURN, serial, *rng.choice([
        ("", b""), ("u", struct.pack("<I", 7)), ("s", string(b"", "no")), ("y", b"\1"),
        ("as", array(b"", 4, [lambda data: string(data, "x")] * 3)),
        ("a{sv}", struct.pack("<II", 0, 0))]))


def right_type(serial, method, rng):
    kind = TYPES.get(method, "")
    if kind == "a(ssttus)s":
        return message(RETURN, serial, kind, evil_templates(rng))
    if kind == "t":
        return message(RETURN, serial, kind, struct.pack("<Q", rng.choice([0, 1, (1 << 64) - 1])))
    if kind == "s":
        return message(RETURN, serial, kind, string(b"", rng.choice(["", "/etc/passwd", "../x", "y" * 9000])))
    if kind == "a{sv}":
        pair = lambda data: string(pad(data, 8), rng.choice(["state", "capacity", "flags"])) + \
            b"\1s\0" + b"\0" * 0
        whole = lambda data: string(pair(data), rng.choice(["done", "running", "-1", "z" * 5000]))
        return message(RETURN, serial, kind, array(b"", 8, [whole] * rng.choice([0, 1, 50])))
    return message(RETURN, serial, "", b"")


def huge(serial, rng):
    return message(RETURN, serial, "as", array(b"", 4, [lambda data: data + b"\0" * HUGE_BYTES]))


def flipped(serial, method, rng):
    data = bytearray(right_type(serial, method, rng))
    for _ in range(rng.choice([1, 3, 20])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def too_long(serial, rng):
    """Says that it has more than it sends, and than anybody takes"""
    return struct.pack("<BBBBII", ord("l"), RETURN, 0, 1, rng.choice([1 << 20, 0xffffffff]), 1) + \
        struct.pack("<I", rng.choice([16, 0xfffffff0])) + b"\0" * 16


def read_exactly(peer, count):
    data = b""
    while len(data) < count:
        more = peer.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def read_call(peer):
    """Returns: serial and method"""
    head = read_exactly(peer, 16)
    body, serial, fields = struct.unpack("<4xIII", head)
    rest = read_exactly(peer, (fields + 7) // 8 * 8 + body)
    for method in TYPES:
        if b"\0" + method.encode() + b"\0" in rest:
            return serial, method
    return serial, ""


def greet(peer):
    """The server's side of the SASL dialogue"""
    line = b""
    while True:
        line += read_exactly(peer, 1)
        if not line.endswith(b"\r\n"):
            continue
        if b"AUTH EXTERNAL" in line:
            peer.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
        elif b"NEGOTIATE_UNIX_FD" in line:
            peer.sendall(b"AGREE_UNIX_FD\r\n")
        elif b"BEGIN" in line:
            return
        else:
            peer.sendall(b"REJECTED EXTERNAL\r\n")
        line = b""


def answer(peer, rng):
    serial, method = read_call(peer)
    kinds = {
        "error": lambda: error(serial, rng),
        "wrong type": lambda: wrong_type(serial, rng),
        "right type": lambda: right_type(serial, method, rng),
        "flipped": lambda: flipped(serial, method, rng),
        "cut": lambda: right_type(serial, method, rng)[:rng.randrange(1, 40)],
        "too long": lambda: too_long(serial, rng),
        "huge": lambda: huge(serial, rng),
        "noise": lambda: rng.randbytes(rng.randrange(1, 400)),
        "other serial": lambda: right_type(serial + 1000, method, rng) + wrong_type(serial, rng),
        "twice": lambda: right_type(serial, method, rng) * 2,
    }
    weights = [8, 8, 20, 8, 2, 2, 1, 2, 4, 4]
    kind = rng.choices(list(kinds), weights)[0]
    with lock:
        counts[kind] += 1
    peer.sendall(kinds[kind]())
    # these are no answer, for which the driver would wait
    if kind in ("cut", "noise", "too long", "other serial", "flipped"):
        time.sleep(rng.random() / 10)
        raise ConnectionError


def serve(peer, seed):
    rng = random.Random(seed)
    try:
        # some do not get as far
        if rng.random() < 0.1:
            peer.sendall(rng.choice([b"", b"NONSENSE\r\n", rng.randbytes(100), b"OK\r\n"]))
            return
        read_exactly(peer, 1)
        greet(peer)
        while True:
            answer(peer, rng)
    except OSError:
        pass
    finally:
        peer.close()
        with lock, open(sys.argv[3] + ".part", "w", encoding="utf-8") as file:
            file.writelines("%s %d\n" % item for item in sorted(counts.items()))
        os.rename(sys.argv[3] + ".part", sys.argv[3])


def serve_late(peer, _):
    read_exactly(peer, 1)
    greet(peer)
    while True:
        serial, method = read_call(peer)
        if method == "TakeUploads":
            continue
        body = b""
        if method == "ListTemplates":
            time.sleep(SLOW_S)
            body = string(array(b"", 8, []), "")
        peer.sendall(message(RETURN, serial, TYPES[method] if body else "", body))


def main():
    late = sys.argv[4:] == ["slow"]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    while True:
        peer = listener.accept()[0]
        threading.Thread(target=serve_late if late else serve, args=(peer, random_source.random()),
                         daemon=True).start()


main()
