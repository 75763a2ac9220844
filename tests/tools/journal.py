#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""journal.py listen FILE: stands where journald stands, and writes each record that it is sent to
FILE as a line of JSON. https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
journal.py run PROGRAM...: becomes PROGRAM with the journal's stream as its stderr, as systemd has it."""
import array
import json
import os
import socket
import struct
import sys

DIRECTORY = "/run/systemd/journal/"


def parse(data):
    """FIELD=value\\n, or FIELD\\n<64 bit length>value\\n"""
    record = {}
    while data:
        line, _, rest = data.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if equals:
            data = rest
        else:
            length = struct.unpack_from("<Q", rest)[0]
            value = rest[8 : 8 + length]
            assert rest[8 + length : 9 + length] == b"\n", data
            data = rest[9 + length :]
        assert key and key.decode() not in record, data
        record[key.decode()] = value.decode()
    return record


def receive(journal):
    data, ancillary, _, _ = journal.recvmsg(1 << 20, socket.CMSG_SPACE(4))
    for level, kind, content in ancillary:
        # A record that is too large for a datagram comes as a memory file
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fd = array.array("i", content)[0]
            data = os.pread(fd, 1 << 24, 0)
            os.close(fd)
    return data


def listen(path):
    os.makedirs(DIRECTORY)
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with open(path, "w", encoding="utf-8") as log:
        journal.bind(DIRECTORY + "socket")
        stream.bind(DIRECTORY + "stdout")
        stream.listen(16)
        while True:
            log.write(json.dumps(parse(receive(journal))) + "\n")
            log.flush()


def run(program):
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.connect(DIRECTORY + "stdout")
    os.dup2(stream.fileno(), 2)
    os.execvp(program[0], program)


if sys.argv[1] == "listen":
    listen(sys.argv[2])
else:
    run(sys.argv[2:])
