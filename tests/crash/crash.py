#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""crash.py BUILD [--all] [--only NAME] [--action ACTION] [--role ROLE] [--point N]

Interrupts each operation of the table in operations.py at each of its points, one after the other:
a system call that changes something (inject.c). Afterwards the host must be as before or as if
nothing had happened, without anybody's help, and the operation must succeed when it is asked for
again. Without --all only the first, second, middle and last of points of one kind (the same program,
call and file) are hit. Speaks TAP.
"""
import argparse
import collections
import hashlib
import re
import subprocess
import sys
import time

from operations import CUTS, DAEMON, KEPT, check_image, make_worlds, table
from world import COMMAND_LIMIT_S, MIB, Broken, World, adopt_orphans, require

ACTIONS = {'kill': 'k', 'ENOSPC': 'e', 'EIO': 'e', 'EDQUOT': 'e', 'EMFILE': 'o', 'short': 's'}
# These may end a job as failed; after the others it goes on
ERRORS = ('ENOSPC', 'EIO', 'EDQUOT', 'EMFILE')
# Of one kind
SAMPLED = 4
# Without --all each error is made at some of the points: from which one on, and each how many-th
SHARES = {'kill': (0, 1), 'ENOSPC': (0, 3), 'EIO': (1, 3), 'EDQUOT': (2, 3), 'EMFILE': (0, 3),
          'short': (0, 2)}
# What may be lost of a transfer: a frame for each connection, and the tables of the file
LOST_MAX = 2 * MIB
# Points of a group that failed, until it is not worth to go on
FAILURES_MAX = 4
MESSAGE_MAX = 700
VOLUMES = 1000

Point = collections.namedtuple('Point', 'role call groups bytes path')


def read_log(path):
    """The points, and the one that was hit: call and path; nothing if there was none"""
    rows = [line.split('\t') for line in path.read_text().splitlines()] if path.exists() else []
    points = [Point(*row) for row in rows if len(row) == len(Point._fields)]
    return points, ''.join(row[1] for row in rows if row[0] == 'hit')


def kind(point):
    """Points of one kind are as good as each other"""
    return point.role, point.call, re.sub(r'[0-9a-f]{8,}|[0-9]+', '#', point.path)


def choose(points, everything):
    """Numbers, from 1 on, of the points to hit"""
    kinds = collections.defaultdict(list)
    for number, point in enumerate(points, 1):
        kinds[kind(point)].append(number)
    chosen = set()
    for numbers in kinds.values():
        few = {numbers[0], numbers[min(1, len(numbers) - 1)], numbers[len(numbers) // 2], numbers[-1]}
        chosen |= set(numbers) if everything or len(numbers) <= SAMPLED else few
    return sorted(chosen)


class Harness:
    """Runs operations, with and without a fault"""

    def __init__(self, world, everything):
        self.world = world
        self.everything = everything
        self.log = world.scratch / 'points'

    # ---- one operation, with the fault or without ----

    def attach(self, arguments, pid):
        command = [self.world.tool('crash/inject'), *map(str, arguments), 'pid', str(pid)]
        injector = subprocess.Popen(command)
        end = time.monotonic() + COMMAND_LIMIT_S
        while not self.log.exists() or 'ready' not in self.log.read_text():
            require(injector.poll() is None and time.monotonic() < end, 'no injector')
            time.sleep(0.002)
        return injector

    def perform(self, operation, role, action, point):
        """Returns: exit status of the command, its error, the points"""
        world = self.world
        arguments = (role, action, point, self.log)
        self.log.unlink(missing_ok=True)
        world.restore(operation.begin)
        err = 'it says nothing'
        if operation.traced == 'daemon':
            world.up()
            injector = self.attach(arguments, world.daemon.pid)
            status, _, err = world.run(*map(str, operation.command))
            injector.terminate()
            injector.wait()
        elif operation.traced == 'start':
            status = world.start_traced(arguments)
        else:
            status, _, err = world.run(world.tool('crash/inject'), *map(str, arguments), 'run',
                                       *map(str, operation.command))
        return status, err, read_log(self.log)[0]

    # ---- what must hold ----

    def check_versions(self, operation, finished):
        world = self.world
        here = set()
        for row in world.ask('list')['templates']:
            reference = f"{row['name']}@{row['version']}"
            if not row['complete']:
                continue
            here.add(reference)
            if operation.begin == 'damaged' and reference in operation.done and not finished:
                continue
            check_image(world, world.pool / f'{reference}.qcow2', 'qcow2',
                        world.images[reference].name)
        before = self.versions[operation.begin] - set(operation.gone)
        require(before <= here, f'lost: {before - here}')
        require(here <= before | set(operation.done) | set(operation.gone), f'appeared: {here}')
        if finished:
            require(set(operation.done) <= here, 'it is not here')
            require(not set(operation.gone) & here, 'it is still here')
        check_image(world, world.here / 'vms/kept.qcow2', 'qcow2', 'keep.raw')

    def check_file(self, operation, finished):
        """A file that the command made is complete, or is not there"""
        if not operation.file:
            return
        form, path, image = operation.file
        require(path.exists() or not finished, f'{path} is missing')
        if finished:
            check_image(self.world, path, form, image)

    def check_tree(self, operation, finished):
        """Nothing is there that was not there before, and is not there afterwards"""
        tree = self.world.tree()
        after = self.trees[operation.name]
        before = self.trees[operation.undone or operation.begin]
        partial = {name for name in tree
                   if re.fullmatch(r'\.layers/\.partial/[0-9a-f]{64}', name)}
        if not finished and operation.done:
            for name in partial:
                del tree[name]
        if tree == after or (not finished and tree == before):
            return
        wanted = after if finished else before
        differs = [f'{name}: {tree.get(name)} in place of {wanted.get(name)}'
                   for name in sorted(set(tree) | set(wanted)) if tree.get(name) != wanted.get(name)]
        raise Broken('the pool is neither old nor new: ' + '; '.join(differs))

    def check_received(self, operation, points, job):
        """Bytes that were written are not fetched again"""
        written = sum(int(point.bytes) for point in points
                      if point.role == 'unpack-worker' and point.call.startswith('pwrite'))
        limit = self.received[operation.name] - written + LOST_MAX
        require(job['received'] <= limit,
                f"{job['received']} bytes were fetched again, although {written} were written")

    # ---- one point ----

    def recover_publish(self, operation, status, err):
        """What was said to be in the store is there; what was there is, too"""
        world = self.world
        require(status == 0 or status == 137 or err.strip(), 'it failed without a word')
        require(status < 126 or status == 137, f'exit status {status}')
        world.up()
        name = operation.publishes.partition('@')[0]
        listed = {row['name'] for row in world.ask('list', '--pool', 'second')['templates']}
        require(listed >= ({'keep', name} if status == 0 else {'keep'}), f'in the store: {listed}')
        world.must(*map(str, operation.command))
        world.must(world.cli, 'pull', '--pool', 'second', operation.publishes)
        world.must(world.cli, 'pull', '--pool', 'second', KEPT)
        for reference, image in ((operation.publishes, 'full.raw'), (KEPT, 'keep.raw')):
            check_image(world, world.here / f'second/{reference}.qcow2', 'qcow2', image)
        left = [path for path in world.here.glob('store/.*') if path.name.endswith('.tmp')]
        left += list((world.here / 'tmp').iterdir())
        require(not left, f'left over: {left}')
        require(world.down() == 0, 'the daemon did not end in peace')

    def gave_up(self, operation, action):
        """Whether a job that a start took up met an error: then it has failed, as any other"""
        return (operation.traced == 'start' and operation.done and action in ERRORS
                and self.world.ask('jobs')['jobs'][0]['state'] == 'failed')

    def recover(self, operation, action, status, err, points):
        world = self.world
        if operation.publishes:
            return self.recover_publish(operation, status, err)
        died = not world.answers()
        if operation.traced == 'start':
            # Whatever became of this start: the next one does it all, but what was given up
            status = 0
            if not died:
                world.down()
                world.up()
        require(status < 126, f'exit status {status}')
        require(status == 0 or err.strip(), 'it failed without a word')
        if died:
            world.daemon.wait(COMMAND_LIMIT_S)
            world.reap()
            world.up()
        world.settle()
        finished = status == 0 and not self.gave_up(operation, action)
        self.check_versions(operation, finished)
        self.check_file(operation, finished)
        self.check_tree(operation, finished)
        if operation.file and finished:
            operation.file[1].unlink()
        status, _, err = world.run(*map(str, operation.command))
        require(status in (0, operation.same), f'again: exit status {status}: {err.strip()}')
        if operation.resumes and died:
            self.check_received(operation, points, world.ask('jobs')['jobs'][1])
        self.check_versions(operation, True)
        self.check_file(operation, True)
        self.check_tree(operation, True)
        for reference in (KEPT, *operation.done):
            world.must(world.cli, 'verify', reference)
        require(world.down() == 0, 'the daemon did not end in peace')
        return None

    def try_point(self, operation, role, action, number):
        """Returns: whether there is such a point"""
        try:
            status, err, points = self.perform(operation, role, action, number)
            self.recover(operation, action, status, err, points)
        except (Broken, subprocess.TimeoutExpired) as broken:
            raise Broken(f'{read_log(self.log)[1] or "nowhere"}: {broken}') from broken
        finally:
            self.world.end_all()
        return bool(read_log(self.log)[1])

    # ---- all ----

    def measure(self, operation):
        """The dry run: what there is without a fault"""
        status, err, points = self.perform(operation, DAEMON, 'kill', 0)
        require(status == 0, f'{operation.name}: {err}')
        if operation.publishes:
            return points
        self.received[operation.name] = self.world.ask('jobs')['jobs'][0]['received']
        self.world.down()
        self.trees[operation.name] = self.world.tree()
        self.check_file(operation, True)
        return points

    def prepare(self):
        make_worlds(self.world)
        self.trees, self.versions, self.received = {}, {}, {}
        for name in ('kept', 'pulled', 'damaged'):
            self.world.restore(name)
            self.remember(name)
        operations = {operation.name: operation for operation in table(self.world)}
        for name, operation, call, path in CUTS:
            self.cut(name, operations[operation], call, path)

    def remember(self, name):
        self.trees[name] = self.world.tree()
        self.versions[name] = {path.name[:-len('.qcow2')]
                               for path in self.world.pool.glob('*@*.qcow2')}

    def cut(self, name, operation, call, path):
        """Saves the world in which the operation was killed before a call"""
        points = [point for point in self.measure(operation)
                  if point.role == DAEMON and 'k' in point.groups]
        number = next((number for number, point in enumerate(points, 1)
                       if point.call == call and point.path.endswith(path)), None)
        require(number, f'{operation.name} comes by no {call} of {path}: {points}')
        self.perform(operation, DAEMON, 'kill', number)
        self.world.daemon.wait(COMMAND_LIMIT_S)
        self.world.reap()
        self.world.save(name)
        self.remember(name)


class Report:
    """TAP"""

    def __init__(self):
        self.tests = self.points = self.failures = 0

    def group(self, what, points, failures):
        self.tests += 1
        self.points += points
        self.failures += len(failures)
        for failure in failures:
            print('# ' + failure)
        print(f'{"not ok" if failures else "ok"} {self.tests} - {what}: {points} points', flush=True)


def fill_pool(pool):
    """1,000 volumes, each other one over the layer before it, and what crashes may have left"""
    below = bytes(32)
    for number in range(VOLUMES):
        digest = hashlib.sha256(str(number).encode()).digest()
        layer = pool / f'.layers/{digest.hex()}.qcow2'
        layer.write_bytes(bytes(4096))
        layer.chmod(0o444)
        # of an index: its parent is at 88
        parent = below if number % 2 else bytes(32)
        layer.with_suffix('.index').write_bytes(bytes(88) + parent + bytes(8))
        if number % 10:
            (pool / f'v{number}@1.0.0.qcow2').hardlink_to(layer)
        (pool / f'.layers/.{number}.index.{number:08x}.tmp').write_text('left')
        below = digest


def start_full(world):
    """The start of a daemon whose pool has 1,000 volumes is as quick as any other one"""
    world.restore('kept')
    fill_pool(world.pool)
    took = world.up()
    world.must(world.cli, 'verify', KEPT)
    left = list(world.pool.rglob('*.tmp'))
    require(not left, f'left over: {left[:3]}')
    require(len(list(world.pool.glob('v*@*.qcow2'))) == VOLUMES * 9 // 10, 'a volume was lost')
    world.down()
    return took


def shorten(text):
    """Digests are long, and errors may be"""
    return re.sub(r'([0-9a-f]{6})[0-9a-f]{58}', r'\1', text.replace('\n', ' '))[:MESSAGE_MAX]


def strike(harness, report, operation, role, action, wanted, only):
    failures = []
    hits = 0
    numbers = choose(wanted, harness.everything)
    if not harness.everything:
        first, step = SHARES[action]
        numbers = numbers[first::step] or numbers[:1]
    for number in [only] if only else numbers:
        if len(failures) > FAILURES_MAX:
            break
        try:
            hits += harness.try_point(operation, role, action, number)
        except Broken as broken:
            hits += 1
            failures.append(shorten(f'{action} of {role} at {number}, {broken}'))
    report.group(f'{operation.name}: {action} of {role}', hits, failures)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--only')
    parser.add_argument('--action')
    parser.add_argument('--role')
    parser.add_argument('--point', type=int)
    options = parser.parse_args()
    adopt_orphans()
    world = World(options.build)
    harness = Harness(world, options.all)
    report = Report()
    try:
        harness.prepare()
        if not options.only:
            print(f'# start with {VOLUMES} volumes: {start_full(world):.2f} s')
            report.group(f'start with {VOLUMES} volumes', 1, [])
        for operation in table(world):
            if options.only and operation.name != options.only:
                continue
            points = harness.measure(operation)
            for role in operation.roles:
                for action, group in ACTIONS.items():
                    wanted = [p for p in points if p.role == role and group in p.groups]
                    if not wanted or options.role not in (None, role):
                        continue
                    if options.action in (None, action):
                        strike(harness, report, operation, role, action, wanted, options.point)
    finally:
        world.close()
    print(f'# {report.points} points in total, {report.failures} failed')
    print(f'1..{report.tests}')
    return 1 if report.failures else 0


if __name__ == '__main__':
    sys.exit(main())
