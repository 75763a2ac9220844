# SPDX-License-Identifier: LGPL-2.1-or-later
"""world.py: a host with a pool, a store and the daemon, which can be put back to what it was.

A world always has the same paths, because overlays and records of clones contain them.
"""
import contextlib
import ctypes
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20
# A start, with whatever it has to clean up
START_LIMIT_S = 5
# What takes longer hangs; the machine may be loaded
COMMAND_LIMIT_S = 120
PR_SET_CHILD_SUBREAPER = 36
FS_IOC_GETFLAGS = 0x80086601
# FS_IMMUTABLE_FL, FS_VERITY_FL
FS_SEALS = 0x10 | 0x100000
# Two users that every Debian has stand in for those that sysusers.d makes
USERS = ['--fetch-user', 'nobody', '--unpack-user', 'daemon']


class Broken(Exception):
    """What must hold after a crash does not"""


def require(condition, message):
    if not condition:
        raise Broken(message)


def adopt_orphans():
    """The daemon's workers become children of this process when the daemon is killed"""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError('PR_SET_CHILD_SUBREAPER')


def children(pid):
    """Of a process with one thread"""
    path = Path(f'/proc/{pid}/task/{pid}/children')
    return [int(child) for child in path.read_text().split()]


def is_sealed(path):
    """By the immutable flag, or by fs-verity"""
    flags = bytearray(8)
    with open(path, 'rb') as file:
        fcntl.ioctl(file, FS_IOC_GETFLAGS, flags)
    return bool(int.from_bytes(flags[:4], sys.byteorder) & FS_SEALS)


class World:
    """The programs of a build, and a folder with everything that they work on"""

    def __init__(self, build):
        self.build = Path(build).resolve()
        self.cli = str(self.build / 'helper/cli/virt-template')
        self.workers = str(self.build / 'helper/daemon')
        self.scratch = Path(tempfile.mkdtemp(prefix='virt-template-crash.', dir='/var/tmp'))
        self.scratch.chmod(0o755)
        self.here = self.scratch / 'world'
        self.images = {}
        self.daemon = None
        self.registry = None
        # Children that are none of the daemon's
        self.companions = set()
        self.stores = {}
        # Of each world that was saved: layers that are sealed, which a copy does not tell
        self.sealed = {}
        self.log = open(self.scratch / 'log', 'ab')
        self.environment = dict(os.environ, LC_ALL='C.UTF-8', TMPDIR=str(self.here / 'tmp'),
                                VIRT_TEMPLATE_SOCKET=str(self.socket))
        self.here.mkdir()
        self.make_folders()

    def make_folders(self):
        for folder in ('run', 'state', 'pool', 'second', 'vms', 'tmp'):
            (self.here / folder).mkdir()

    @property
    def socket(self):
        return self.here / 'run/virttemplated-sock'

    @property
    def pool(self):
        return self.here / 'pool'

    def tool(self, name):
        return str(self.build / 'tests' / name)

    # ---- commands ----

    def run(self, *command):
        """Returns: exit status, standard output, standard error"""
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False,
                                  timeout=COMMAND_LIMIT_S, env=self.environment, cwd=self.scratch)
        except subprocess.TimeoutExpired as late:
            raise Broken(f'{command[0]} hangs: {" ".join(map(str, command))}') from late
        return done.returncode, done.stdout, done.stderr

    def must(self, *command):
        status, out, err = self.run(*command)
        require(status == 0, f'exit status {status} of {" ".join(map(str, command))}: {err.strip()}')
        return out

    def ask(self, *arguments):
        return json.loads(self.must(self.cli, *arguments, '--json'))

    # ---- the daemon ----

    def daemon_command(self):
        return [self.workers + '/virttemplated', '--run-dir', str(self.here / 'run'),
                '--state-dir', str(self.here / 'state'), '--worker-dir', self.workers, *USERS]

    def start(self, prefix=()):
        """Starts the daemon, below another command if there is a prefix; does not wait for it"""
        self.daemon = subprocess.Popen([*prefix, *self.daemon_command()], stdin=subprocess.DEVNULL,
                                       stdout=self.log, stderr=self.log, env=self.environment)

    def start_traced(self, arguments):
        """Starts the daemon below the injector. Returns: exit status of the daemon, or 0 if it runs
        and has no job"""
        self.start((self.tool('crash/inject'), *map(str, arguments), 'run'))
        end = time.monotonic() + COMMAND_LIMIT_S
        while self.daemon.poll() is None and not self.idle():
            require(time.monotonic() < end, 'the daemon does not come to rest')
            time.sleep(0.01)
        self.finish_start()
        return self.daemon.returncode or 0

    def finish_start(self):
        """Waits until what was interrupted in the pool is over, and sealed, or the daemon has ended"""
        end = time.monotonic() + COMMAND_LIMIT_S
        # Answered after that
        self.run(self.cli, 'info', '-p', str(self.pool), 'keep@1.0.0')
        while self.daemon.poll() is None and self.seals():
            require(time.monotonic() < end, 'the sealing does not end')
            time.sleep(0.002)

    def idle(self):
        status, out, _ = self.run(self.cli, 'jobs', '--json')
        return status == 0 and all(job['state'] != 'running' for job in json.loads(out)['jobs'])

    def answers(self):
        return self.run(self.cli, 'jobs', '--json')[0] == 0

    def up(self):
        """Starts the daemon; it answers soon, whatever it finds"""
        began = time.monotonic()
        self.start()
        while not self.answers():
            require(self.daemon.poll() is None,
                    f'the daemon does not start: exit status {self.daemon.returncode}')
            require(time.monotonic() - began < COMMAND_LIMIT_S, 'the daemon does not answer')
            time.sleep(0.01)
        took = time.monotonic() - began
        require(took < START_LIMIT_S, f'the start took {took:.1f} s')
        # The injector cannot take hold of a thread that is about to end
        self.finish_start()
        return took

    def daemon_pids(self):
        # Below the injector it is that one's child
        traced = 'inject' in self.daemon.args[0]
        return children(self.daemon.pid) if traced else [self.daemon.pid]

    def down(self, number=signal.SIGTERM):
        """Ends the daemon; nothing of it may stay"""
        if self.daemon.poll() is None:
            for pid in self.daemon_pids():
                os.kill(pid, number)
        status = self.daemon.wait(COMMAND_LIMIT_S)
        self.reap()
        return status

    def left(self):
        """Children that are not wanted: the daemon, its workers, commands and what traces them"""
        return set(children(os.getpid())) - self.companions

    def end_all(self):
        """Kills what a point that failed has left, whose children become ours then"""
        end = time.monotonic() + COMMAND_LIMIT_S
        while pids := self.left():
            require(time.monotonic() < end, f'{pids} outlive SIGKILL')
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.005)

    def reap(self):
        """Waits for what the daemon left; it dies by itself when the daemon is gone"""
        end = time.monotonic() + COMMAND_LIMIT_S
        while self.left():
            require(time.monotonic() < end, 'a worker outlives the daemon')
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            time.sleep(0.005)

    def seals(self):
        """Whether a thread looks for layers without a seal"""
        for pid in self.daemon_pids():
            for task in Path(f'/proc/{pid}/task').glob('*/comm'):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    if task.read_text() == 'reseal\n':
                        return True
        return False

    def settle(self):
        """Waits until no job runs, and all is sealed"""
        end = time.monotonic() + COMMAND_LIMIT_S
        while not self.idle() or self.seals():
            require(self.answers(), 'the daemon has ended')
            require(time.monotonic() < end, 'a job does not end')
            time.sleep(0.02)

    # ---- images and stores ----

    def make_image(self, name, size, noise, parent=None, seed=0):
        """A raw disk that begins with noise, or another image with noise somewhere"""
        path = self.scratch / name
        random.seed(name)
        if parent:
            shutil.copyfile(self.scratch / parent, path)
        with open(path, 'r+b' if parent else 'wb') as file:
            file.seek(seed * MIB)
            file.write(random.randbytes(noise))
            file.truncate(size)
        return path

    def publish(self, store, image, reference):
        self.images[reference] = image
        self.must(self.cli, 'publish', str(image), reference, '--quiet', '--store', store,
                  '--key', str(self.scratch / 'golden.key'))

    def make_store(self, store):
        out = self.must(self.cli, 'store', 'init', '--store', store,
                        '--key', str(self.scratch / 'golden.key'))
        return out[out.index('\n{\n') + 1:out.index('\n}\n') + 3]

    def start_registry(self):
        """docker-registry, as Debian has it; the store's URL"""
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = server.getsockname()[1]
        config = self.scratch / 'registry.yml'
        config.write_text(f'version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: '
                          f'{{rootdirectory: {self.here}/registry}}}}\n'
                          f'http: {{addr: 127.0.0.1:{port}}}\n')
        self.registry = subprocess.Popen(['docker-registry', 'serve', str(config)],
                                         stdout=self.log, stderr=self.log)
        self.companions.add(self.registry.pid)
        for _ in range(200):
            if self.run('curl', '-sf', f'http://127.0.0.1:{port}/v2/')[0] == 0:
                return f'docker://127.0.0.1:{port}/golden'
            time.sleep(0.05)
        raise Broken('docker-registry does not answer')

    # ---- back to what it was ----

    def change_flag(self, flag, paths):
        if paths:
            subprocess.run(['chattr', '-f', flag, *map(str, paths)], check=False)

    def unseal(self, folder):
        self.change_flag('-i', [*folder.rglob('*.qcow2'), *folder.glob('**/.layers/.partial/*')])

    def save(self, name):
        self.sealed[name] = [path for path in self.pool.glob('.layers/*.qcow2') if is_sealed(path)]
        subprocess.run(['cp', '-a', self.here, self.scratch / name], check=True)

    def restore(self, name):
        self.unseal(self.here)
        shutil.rmtree(self.here)
        subprocess.run(['cp', '-a', self.scratch / name, self.here], check=True)
        self.change_flag('+i', self.sealed[name])

    def tree(self):
        """Names in the pool, with what is told of each: link count, mode, and whether it is sealed"""
        found = {}
        for folder, folders, files in os.walk(self.pool):
            for name in folders + files:
                path = Path(folder) / name
                status = path.lstat()
                links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
                sealed = stat.S_ISREG(status.st_mode) and is_sealed(path)
                found[str(path.relative_to(self.pool))] = (links, oct(status.st_mode), sealed)
        return found

    def close(self):
        self.end_all()
        if self.registry:
            self.registry.terminate()
            self.registry.wait()
        self.unseal(self.scratch)
        shutil.rmtree(self.scratch)
