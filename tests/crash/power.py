#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""power.py BUILD [--fs ext4|xfs|btrfs]... [--points N] [--seed N]

The power fails while templates are fetched and evicted. A host works on a file system whose disk
(log-disk.c, below a loop device) keeps a log of all writes and flushes. Then, for points of the log,
a disk is made that has what was flushed before that point, and of what was written after that flush
any part, in any order, some of it torn: what a disk with a volatile cache may keep. On that disk the
next start must find all that a command had reported as done, and mend the rest by itself.
(dm-log-writes does the same for recording, where the kernel has it.) Speaks TAP.
"""
import argparse
import bisect
import ctypes
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

from operations import KEPT, check_image, clone, make_templates
from world import COMMAND_LIMIT_S, MIB, Broken, World, adopt_orphans, require

# The least that mkfs takes, or a bit more
SIZES = {'ext4': 128 * MIB, 'xfs': 320 * MIB, 'btrfs': 256 * MIB}
MKFS = {'ext4': ['-q', '-F'], 'xfs': ['-q'], 'btrfs': ['-q']}
ENTRY = struct.Struct('QQQ')
WRITE, FLUSH, ZEROS = range(3)
SECTOR = 512
# Of the writes after the last flush
KEPT_SHARE, TORN_SHARE = 0.5, 0.1


CLONE_NEWNS = 0x20000


def leave_mounts():
    """Whoever makes a mount namespace meanwhile would keep a file system of ours mounted in it, and
    the next one has the same UUID"""
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
        raise OSError('unshare: needs root')
    sh('mount', '--make-rprivate', '/')


def sh(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


class Mounted:
    """A disk image, through a loop device, over the world"""

    def __init__(self, image, where):
        self.where = where
        self.loop = sh('losetup', '-f', '--show', image).strip()
        try:
            sh('mount', self.loop, where)
        except subprocess.CalledProcessError:
            sh('losetup', '-d', self.loop)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        sh('umount', self.where)
        sh('losetup', '-d', self.loop)


class Recording:
    """log-disk over an image"""

    def __init__(self, world, image, log):
        self.folder = world.scratch / 'disk'
        self.folder.mkdir()
        self.log = log
        self.process = subprocess.Popen([world.tool('crash/log-disk'), image, log, self.folder])
        world.companions.add(self.process.pid)
        end = time.monotonic() + COMMAND_LIMIT_S
        while not (self.folder / 'disk').exists():
            require(self.process.poll() is None and time.monotonic() < end, 'log-disk does not run')
            time.sleep(0.02)

    def position(self):
        return self.log.stat().st_size

    def __enter__(self):
        return self

    def __exit__(self, *_):
        sh('umount', self.folder)
        self.process.wait()
        self.folder.rmdir()


def read_entries(path):
    """(position behind it, kind, offset, length, data) of each"""
    data = path.read_bytes()
    entries, at = [], 0
    while at < len(data):
        kind, offset, length = ENTRY.unpack_from(data, at)
        at += ENTRY.size
        body = data[at:at + length] if kind == WRITE else b''
        at += len(body)
        entries.append((at, kind, offset, length, body))
    return entries


def apply(file, entry, torn=None):
    _, kind, offset, length, body = entry
    if kind == FLUSH:
        return
    data = body if kind == WRITE else bytes(length)
    if torn:
        data = data[:torn.randrange(0, len(data) + 1, SECTOR)]
    file.seek(offset)
    file.write(data)


class Power:
    """One file system"""

    def __init__(self, world, system, points, seed):
        self.world, self.system, self.points = world, system, points
        self.chance = random.Random(seed)
        self.store = f'oci:{world.scratch}/golden'
        # (position in the log, versions that are here for sure, those that are not)
        self.facts = []

    def fact(self, recording, here, gone=()):
        self.facts.append((recording.position(), set(here), set(gone)))

    def work(self, recording):
        """The commands whose writes are recorded"""
        world = self.world
        world.up()
        world.must(world.tool('cli/register-pool'), str(world.socket), str(world.pool), 'templates',
                   self.store, str(world.scratch / 'policy.json'))
        world.must(world.cli, 'pull', KEPT)
        clone(world, KEPT, 'overlay', world.here / 'vms/kept.qcow2')
        sh('sync', '-f', world.here)
        self.fact(recording, [KEPT])
        world.must(world.cli, 'pull', 'full@1.0.0')
        self.fact(recording, [KEPT, 'full@1.0.0'])
        world.must(world.cli, 'pull', 'chain@1.2.0')
        self.fact(recording, [KEPT, 'full@1.0.0', 'chain@1.2.0'])
        # From here on until its success it may be here or not
        self.fact(recording, [KEPT, 'chain@1.2.0'])
        world.must(world.cli, 'evict', 'full@1.0.0')
        self.fact(recording, [KEPT, 'chain@1.2.0'], ['full@1.0.0'])
        world.must(world.cli, 'pull', 'chain@1.1.0')
        self.fact(recording, [KEPT, 'chain@1.2.0', 'chain@1.1.0'], ['full@1.0.0'])
        world.down()

    def record(self):
        world = self.world
        image, log = world.scratch / 'image', world.scratch / 'disk-log'
        image.unlink(missing_ok=True)
        with open(image, 'wb') as file:
            file.truncate(SIZES[self.system])
        sh(f'mkfs.{self.system}', *MKFS[self.system], image)
        shutil.copyfile(image, world.scratch / 'before')
        with Recording(world, image, log) as recording:
            with Mounted(recording.folder / 'disk', world.here):
                world.make_folders()
                self.work(recording)
        image.unlink()
        return read_entries(log)

    def check(self, position):
        world = self.world
        # Of two at one position the later one
        here, gone = [fact for fact in self.facts if fact[0] <= position][-1][1:]
        world.up()
        world.settle()
        listed = world.ask('list', '--pool', str(world.pool))['templates']
        complete = {f"{row['name']}@{row['version']}" for row in listed if row['complete']}
        require(here <= complete, f'lost: {here - complete}')
        require(not gone & complete, f'back again: {gone & complete}')
        for reference in complete:
            check_image(world, world.pool / f'{reference}.qcow2', 'qcow2',
                        world.images[reference].name)
            world.must(world.cli, 'verify', reference)
        check_image(world, world.here / 'vms/kept.qcow2', 'qcow2', 'keep.raw')
        for reference in ('full@1.0.0', 'chain@1.2.0'):
            world.must(world.cli, 'pull', reference)
            check_image(world, world.pool / f'{reference}.qcow2', 'qcow2',
                        world.images[reference].name)
        left = [str(path) for path in world.pool.rglob('*')
                if path.suffix in ('.tmp', '.old', '.new', '.gone')]
        require(not left, f'left over: {left}')
        require(world.down() == 0, 'the daemon did not end in peace')

    def try_point(self, disk, after):
        """disk: an image with all that was flushed; after: what was written since"""
        world = self.world
        sh('cp', '--sparse=always', disk, world.scratch / 'crashed')
        kept = [entry for entry in after if self.chance.random() < KEPT_SHARE]
        self.chance.shuffle(kept)
        with open(world.scratch / 'crashed', 'r+b') as file:
            for entry in kept:
                apply(file, entry, self.chance if self.chance.random() < TORN_SHARE else None)
        try:
            with Mounted(world.scratch / 'crashed', world.here):
                try:
                    self.check(self.position)
                finally:
                    if world.daemon.poll() is None:
                        world.down(9)
        except subprocess.CalledProcessError as failed:
            raise Broken(f'{failed.cmd}: {failed.stderr}') from failed

    def run(self):
        """Returns: number of points, and what failed"""
        entries = self.record()
        positions = [entry[0] for entry in entries]
        first = bisect.bisect_left(positions, self.facts[0][0]) + 1
        every = range(first, len(entries) + 1)
        chosen = sorted(self.chance.sample(every, min(self.points, len(every))))
        failures, flushed = [], 0
        disk = self.world.scratch / 'before'
        for number in chosen:
            last = max((i for i in range(number) if entries[i][1] == FLUSH), default=-1) + 1
            with open(disk, 'r+b') as file:
                for entry in entries[flushed:last]:
                    apply(file, entry)
            flushed = max(flushed, last)
            self.position = entries[number - 1][0]
            try:
                self.try_point(disk, entries[last:number])
            except Broken as broken:
                failures.append(f'{self.system}, entry {number} of {len(entries)}: {broken}')
        return len(chosen), len(every), failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--fs', action='append', choices=SIZES)
    parser.add_argument('--points', type=int, default=40)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    leave_mounts()
    adopt_orphans()
    world = World(options.build)
    if not Path(world.tool('crash/log-disk')).exists():
        sys.exit('log-disk was not built: libfuse3-dev (Fedora: fuse3-devel) is missing')
    systems = options.fs or ['ext4']
    total = failed = 0
    try:
        make_templates(world, 16 * MIB, 6 * MIB)
        for number, system in enumerate(systems, 1):
            points, every, failures = Power(world, system, options.points, options.seed).run()
            total += points
            failed += len(failures)
            for failure in failures:
                print('# ' + failure.replace('\n', ' ')[:500])
            print(f'{"not ok" if failures else "ok"} {number} - power loss on {system}: {points} of '
                  f'{every} points', flush=True)
    finally:
        world.close()
    print(f'1..{len(systems)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
