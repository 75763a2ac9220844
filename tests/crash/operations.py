# SPDX-License-Identifier: LGPL-2.1-or-later
"""operations.py: what is interrupted, and the worlds that it begins in"""
from dataclasses import dataclass

from world import MIB, require

DAEMON = 'virttemplated'
CLI = 'virt-template'
WORKERS = ('fetch-worker', 'unpack-worker')
KEPT = 'keep@1.0.0'
STORES = ('layout', 'registry')


@dataclass
class Operation:
    """command: what is done, from the world `begin` on. done: versions that are here then; gone:
    those that are not. roles: the programs that are hit. traced: how the program that is hit
    starts: `daemon` runs already, `start` is its start, `command` is the command itself. same:
    exit status of the command when it has nothing to do any more."""
    name: str
    begin: str
    roles: tuple
    command: tuple
    done: tuple = ()
    gone: tuple = ()
    traced: str = 'daemon'
    same: int = 0
    file: tuple = ()       # that the command makes: format, path in the world, image
    publishes: str = ''    # reference: into the store of the pool `second`
    resumes: bool = False  # bytes that are here are not fetched again
    undone: str = ''       # the world that it leaves when it fails; '': the one that it begins in


def make_templates(world, size, noise):
    """A store in a directory with a chain of three versions, and a disk of that size; its URL"""
    world.make_image('keep.raw', 4 * MIB, 2 * MIB)
    world.make_image('full.raw', size, noise)
    world.make_image('chain0.raw', 16 * MIB, 4 * MIB)
    world.make_image('chain1.raw', 16 * MIB, MIB, 'chain0.raw', 6)
    world.make_image('chain2.raw', 16 * MIB, MIB, 'chain1.raw', 8)
    world.must(world.cli, 'key', 'generate', str(world.scratch / 'golden'))
    store = f'oci:{world.scratch}/golden'
    (world.scratch / 'policy.json').write_text(world.make_store(store))
    for image, reference in (('keep', KEPT), ('full', 'full@1.0.0'), ('chain0', 'chain@1.0.0'),
                             ('chain1', 'chain@1.1.0'), ('chain2', 'chain@1.2.0')):
        world.publish(store, world.scratch / f'{image}.raw', reference)
    return store


def make_worlds(world):
    """Stores, images, and the host in each state that an operation begins in"""
    store = make_templates(world, 24 * MIB, 12 * MIB)
    world.up()
    world.must(world.tool('cli/register-pool'), str(world.socket), str(world.pool), 'templates',
               store, str(world.scratch / 'policy.json'))
    world.must(world.cli, 'pull', KEPT)
    overlay = world.here / 'vms/kept.qcow2'
    clone(world, KEPT, 'overlay', overlay)
    world.down()
    world.save('kept')
    world.up()
    world.must(world.cli, 'pull', 'full@1.0.0')
    world.must(world.cli, 'pull', 'chain@1.2.0')
    world.down()
    world.save('pulled')
    damage(world)
    world.save('damaged')
    make_stores(world)


def make_stores(world):
    """Two hosts with a second pool, whose store is written to"""
    for name in STORES:
        policy = world.scratch / f'{name}.json'
        world.restore('kept')
        url = world.start_registry() if name == 'registry' else f'oci:{world.here}/store'
        world.stores[name] = url
        policy.write_text(world.make_store(url))
        world.publish(url, world.scratch / 'keep.raw', KEPT)
        world.up()
        world.must(world.tool('cli/register-pool'), str(world.socket), str(world.here / 'second'),
                   'second', url, str(policy))
        world.must(world.cli, 'list', '--pool', 'second')
        world.down()
        world.save(name)


def damage(world):
    """Some frames of the full layer are not what they were"""
    layer = world.pool / 'full@1.0.0.qcow2'
    world.change_flag('-i', [layer])
    layer.chmod(0o644)
    with open(layer, 'r+b') as file:
        for offset in (3 * MIB, 7 * MIB):
            file.seek(offset)
            file.write(b'damaged')
    layer.chmod(0o444)
    world.change_flag('+i', [layer])


def clone(world, reference, kind, path):
    name, version = reference.split('@')
    world.must(world.tool('crash/clone-file'), str(world.socket), str(world.pool), name, version,
               kind, str(path))


def table(world):
    """All operations"""
    cli = world.cli
    file = [world.tool('crash/clone-file'), str(world.socket), str(world.pool)]
    made = world.here / 'vms/made'
    publish = (cli, 'publish', world.scratch / 'full.raw', 'new@1.0.0', '--quiet', '--key',
               world.scratch / 'golden.key', '--store')
    return [
        Operation('fetch', 'kept', (DAEMON, *WORKERS), (cli, 'pull', 'full@1.0.0'),
                  done=('full@1.0.0',), resumes=True),
        Operation('fetch of a chain', 'kept', (DAEMON, *WORKERS), (cli, 'pull', 'chain@1.2.0'),
                  done=('chain@1.2.0',)),
        Operation('linked clone', 'kept', (DAEMON,), (*file, 'keep', '1.0.0', 'overlay', made),
                  file=('qcow2', made, 'keep.raw')),
        Operation('raw copy', 'pulled', (DAEMON, 'copy-worker'),
                  (*file, 'chain', '1.2.0', 'raw', made), file=('raw', made, 'chain2.raw')),
        Operation('QCOW2 copy', 'pulled', (DAEMON, 'copy-worker'),
                  (*file, 'full', '1.0.0', 'qcow2', made), file=('qcow2', made, 'full.raw')),
        Operation('evict', 'pulled', (DAEMON,), (cli, 'evict', 'full@1.0.0'),
                  gone=('full@1.0.0',), same=3),
        Operation('evict of a chain', 'pulled', (DAEMON,), (cli, 'evict', 'chain@1.2.0'),
                  gone=('chain@1.2.0',), same=3),
        Operation('repair', 'damaged', (DAEMON, *WORKERS),
                  (cli, 'verify', '--repair', 'full@1.0.0'), done=('full@1.0.0',)),
        *[Operation(f'publish into a {name}', name, (CLI,), (*publish, world.stores[name]),
                    traced='command', publishes='new@1.0.0') for name in STORES],
        Operation('start after a fetch', 'cut fetch', (DAEMON,), (cli, 'pull', 'chain@1.2.0'),
                  traced='start', done=('chain@1.2.0',), undone='kept'),
        Operation('start after a repair', 'cut repair', (DAEMON,), (cli, 'pull', 'full@1.0.0'),
                  traced='start'),
        Operation('start after an eviction', 'cut evict', (DAEMON,), (cli, 'pull', KEPT),
                  traced='start'),
    ]


# Worlds that a kill makes: name, operation, role, call and end of the path where it happens
CUTS = (
    ('cut fetch', 'fetch of a chain', 'linkat', 'chain@1.2.0.qcow2'),
    ('cut repair', 'repair', 'renameat', 'full@1.0.0.qcow2'),
    ('cut evict', 'evict of a chain', 'unlinkat', '.qcow2'),
)


def check_image(world, path, kind, image):
    status, out, err = world.run('qemu-img', 'compare', '-f', 'raw', '-F', kind,
                                 str(world.scratch / image), f'file:{path}')
    require(status == 0, f'{path} is not {image}: {out.strip()} {err.strip()}')
