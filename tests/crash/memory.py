#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""memory.py BUILD [MIB_OF_DATA]...: peak memory of the daemon and its workers during a pull

Of a sparse disk of 1 TiB with that much data, which no compression makes smaller and which stands in
pieces of 16 MiB all over the disk. Prints a table; no test, as it takes the disk for some minutes.
"""
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from world import MIB, World, adopt_orphans

DISK = 1 << 40
PIECE = 16 * MIB


def make_disk(path, size):
    with open(path, 'wb') as file:
        file.truncate(DISK)
        pieces = size // PIECE
        for number in range(pieces):
            file.seek(DISK // pieces * number)
            file.write(random.randbytes(PIECE))


def read_pids(path):
    """A worker is a child of the thread that started it, which may have ended"""
    try:
        return path.read_text().split()
    except OSError:
        return []


def peaks(daemon, found):
    """Adds what the daemon and its children have used at most, in KiB, to a table"""
    children = [pid for path in Path(f'/proc/{daemon}/task').glob('*/children')
                for pid in read_pids(path)]
    for pid in [daemon, *children]:
        try:
            with open(f'/proc/{pid}/status', encoding='ascii') as file:
                fields = dict(line.split(':', 1) for line in file)
            role = os.path.basename(os.readlink(f'/proc/{pid}/exe'))
        except OSError:
            continue
        found[role] = max(found.get(role, 0), int(fields.get('VmHWM', '0').split()[0]))
        anonymous = role + ' (own)'
        found[anonymous] = max(found.get(anonymous, 0), int(fields.get('RssAnon', '0').split()[0]))


def measure(build, size):
    world = World(build)
    found = {}
    try:
        disk = world.scratch / 'disk.raw'
        make_disk(disk, size)
        world.must(world.cli, 'key', 'generate', str(world.scratch / 'golden'))
        store = f'oci:{world.scratch}/golden'
        (world.scratch / 'policy.json').write_text(world.make_store(store))
        world.publish(store, disk, 'large@1.0.0')
        disk.unlink()
        world.up()
        world.must(world.tool('cli/register-pool'), str(world.socket), str(world.pool), 'templates',
                   store, str(world.scratch / 'policy.json'))
        with subprocess.Popen([world.cli, 'pull', 'large@1.0.0'], env=world.environment,
                              stdout=subprocess.DEVNULL) as pull:
            while pull.poll() is None:
                peaks(world.daemon.pid, found)
                time.sleep(0.01)
        world.down()
    finally:
        world.close()
    return pull.returncode, found


def main():
    adopt_orphans()
    status = 0
    for size in map(int, sys.argv[2:] or ['1024', '4096']):
        status, found = measure(sys.argv[1], size * MIB)
        print(f'{size} MiB of data, exit status {status}')
        for role in sorted(found):
            print(f'  {role:24} {found[role] / 1024:8.1f} MiB', flush=True)
    return status


if __name__ == '__main__':
    sys.exit(main())
