#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""table.py SAMPLES: medians and paired ratios of a benchmark, as a Markdown table.

SAMPLES has lines "row<TAB>arm<TAB>round<TAB>value". The arm "ours" is set beside each other arm of
its row. A ratio is taken within each round (both arms saw the same machine), then the median of the
rounds is printed, with the lowest and the highest. Above 1 is better for us. Nothing is asserted.
"""
import collections
import statistics
import sys

FILE_SYSTEMS = (('here', 'the disk'), ('xfs', 'XFS'), ('btrfs', 'btrfs'))

# row: (what, unit, {arm: (peer, to reach)})
ROWS = {
    'clone': ('linked clone, one client, in a row', 'ms', {
        'backing': ('stock vol-create with backingStore', '>= 5'),
        'copy': ('stock vol-create-from, full copy', '>= 50')}),
    'clone-large': ('linked clone of a disk 16 times as large', 'ms', {
        'small': ('linked clone of the disk above', 'same')}),
    'crowd': ('200 linked clones by 50 clients at once', 'ms', {
        'one': ('by one client', '>= 3 where there are cores')}),
    'writes-writeback': ('20,000 scattered 4 KiB first writes into a clone, synced', 's', {
        'stock': ('stock overlay, 64 KiB clusters', '>= 2')}),
    'writes-none': ('the same past the page cache (cache=none)', 's', {
        'stock': ('stock overlay, 64 KiB clusters', '')}),
    'growth': ('growth of the clone by them', 'MiB', {
        'stock': ('stock overlay, 64 KiB clusters', '>= 10')}),
    'pull': ('pull, empty cache, verified, durable', 's', {
        'curl': ('curl to zstd -d, sync', '>= 1, aim 1.5'),
        'convert': ('qemu-img convert of zlib qcow2', '>= 5'),
        'convert-best': ('the same with -m 16 -W -t none', '>= 3'),
        'casync': ('casync extract', '>= 8')}),
    'pull-bytes': ('bytes from the registry', 'MB', {
        'curl': ('qcow2.zst', '')}),
    'again': ('pull again, everything present', 'ms', {
        'first': ('the first pull', 'ours <= 50 ms')}),
    'requests': ('requests of a pull again', '', {
        'first': ('the first pull', 'ours = 1')}),
    'publish': ('publish into a layout, level 3', 's', {
        'zlib': ('qemu-img convert -c', '>= 5'),
        'zstd': ('qemu-img convert -c -m 2 -W, zstd', '>= 1')}),
    'publish-bytes': ('bytes of the published disk', 'MB', {
        'zlib': ('qemu-img convert -c', '> 1'),
        'zstd': ('qemu-img convert -c -m 2 -W, zstd', '> 1')}),
    'refresh': ('pool-refresh + vol-list, 5,000 versions', 'ms', {
        'stock': ('stock dir pool, 5,000 qcow2 files', '> 1')}),
    **{f'copy-{form}-{kind}': (f'full copy, {form}, on {name}', 's', {
        'convert': ('qemu-img convert; sync', '>= 1'),
        'unsynced': ('qemu-img convert, in the page cache only', ''),
        'disk': ('dd of as many bytes', 'the bound')})
       for kind, name in FILE_SYSTEMS for form in ('raw', 'qcow2')},
    **{f'flat-{kind}': (f'bringing a host to a raw file of the new version, on {name}', 's', {
        'casync': ('casync extract --seed', '>= 8' if kind == 'here' else '>= 50'),
        'disk': ('dd of as many bytes', 'the bound')})
       for kind, name in FILE_SYSTEMS},
    'update-bytes-v2': ('bytes for a version upgraded in place', 'MB', {
        'xdelta3': ('xdelta3 -3', '<= 0.55 of it: >= 1.82'),
        'casync': ('casync, new chunks and index', '<= 0.6 of it: >= 1.67')}),
    'update-cpu-v2': ('CPU to make it', 's', {
        'xdelta3': ('xdelta3 -3', '>= 10'),
        'casync': ('casync make', '')}),
    'update-v2': ('bringing a host from the old version to it', 's', {
        'xdelta3': ('xdelta3 -d', '>= 10'),
        'casync': ('casync extract --seed', '>= 50'),
        'disk': ('dd of as many bytes as it adds to the disk', 'the bound')}),
    'update-requests-v2': ('HTTP requests for it', '', {
        'casync': ('casync, chunks', '>= 200')}),
    'update-disk-v2': ('local disk for it', 'MiB', {
        'full': ('a full image', '')}),
    'update-bytes-v3': ('bytes for a version built anew', 'MB', {
        'xdelta3': ('xdelta3 -3', '>= 1'),
        'casync': ('casync, new chunks and index', '<= 0.6 of it: >= 1.67')}),
    'update-cpu-v3': ('CPU to make it', 's', {
        'xdelta3': ('xdelta3 -3', '>= 10'),
        'casync': ('casync make', '')}),
    'update-v3': ('bringing a host from the old version to it', 's', {
        'xdelta3': ('xdelta3 -d', '>= 10'),
        'casync': ('casync extract --seed', '>= 50'),
        'disk': ('dd of as many bytes as it adds to the disk', 'the bound')}),
    'update-requests-v3': ('HTTP requests for it', '', {
        'casync': ('casync, chunks', '>= 200')}),
    'update-disk-v3': ('local disk for it', 'MiB', {
        'full': ('a full image', '')}),
    'chain-disk': ('disk of seven layers over the first', 'MiB', {
        'c64': ('64 KiB clusters', ''),
        'x64': ('64 KiB clusters, sub-clusters of 2 KiB', ''),
        'x128': ('128 KiB clusters, sub-clusters of 4 KiB', ''),
        'x256': ('256 KiB clusters, sub-clusters of 8 KiB', '')}),
    'chain-five': ('disk of five versions', 'MiB', {
        'flat': ('five flat qcow2', '<= 0.4 of it: >= 2.5')}),
    'chain-read-1': ('200,000 scattered reads of 4 KiB, one layer', 's', {
        'flat': ('flat qcow2', '>= 0.9')}),
    'chain-read-4': ('the same through a chain of 4', 's', {
        'flat': ('flat qcow2', '>= 0.9'),
        'c64': ('64 KiB clusters', ''),
        'x64': ('64 KiB clusters, sub-clusters of 2 KiB', ''),
        'x128': ('128 KiB clusters, sub-clusters of 4 KiB', ''),
        'x256': ('256 KiB clusters, sub-clusters of 8 KiB', '')}),
    'chain-read-8': ('the same through a chain of 8', 's', {
        'flat': ('flat qcow2', '>= 0.9'),
        'c64': ('64 KiB clusters', ''),
        'x64': ('64 KiB clusters, sub-clusters of 2 KiB', ''),
        'x128': ('128 KiB clusters, sub-clusters of 4 KiB', ''),
        'x256': ('256 KiB clusters, sub-clusters of 8 KiB', '')}),
    'chain-scan': ('1 GiB in order through a chain of 8', 's', {
        'flat': ('flat qcow2', ''),
        'c64': ('64 KiB clusters', ''),
        'x64': ('64 KiB clusters, sub-clusters of 2 KiB', ''),
        'x128': ('128 KiB clusters, sub-clusters of 4 KiB', ''),
        'x256': ('256 KiB clusters, sub-clusters of 8 KiB', '')}),
    'chain-write': ('20,000 first writes into a clone over a chain of 8', 's', {
        'flat': ('flat qcow2', '')}),
    **{key: value for depth in (1, 4, 8) for key, value in {
        f'boot-{depth}': (f'boot of a guest to its login, TCG, chain of {depth}', 's', {
            'flat': ('flat qcow2', 'same')}),
        f'boot-cpu-{depth}': ('CPU of QEMU until then', 's', {
            'flat': ('flat qcow2', 'same')})}.items()},
    'five': ('disk of five versions of that guest', 'MiB', {
        'full': ('five full qcow2', '<= 0.4 of it: >= 2.5')}),
    'seed': ('seed of four files, in the helper', 'ms', {
        'genisoimage': ('genisoimage', '>= 10, ours <= 3 ms'),
        'localds': ('cloud-localds', '>= 10')}),
    'hook': ("the hook for a domain that is not ours", 'ms', {
        'nothing': ('/bin/true', 'ours <= 5 ms')}),
    'provision': ('provision, each of 50, not started', 'ms', {
        'copy': ('virt-install --import of a full copy, not started', 'ours <= 50 ms')}),
    'boot': ('provision --start, until SSH answers, TCG', 's', {
        'import': ('virt-install --import of a full copy', '')}),
    'boot-cpu': ('CPU of QEMU until then', 's', {
        'import': ('virt-install --import of a full copy', '')}),
}


def read(path):
    """row -> arm -> round -> [values]"""
    rows = collections.defaultdict(lambda: collections.defaultdict(
        lambda: collections.defaultdict(list)))
    with open(path, encoding='utf-8') as file:
        for line in file:
            row, arm, number, value = line.rstrip('\n').split('\t')
            rows[row][arm][number].append(float(value))
    return rows


def medians(arm):
    return {number: statistics.median(values) for number, values in arm.items()}


def ratios(ours, peer):
    return [peer[number] / ours[number] for number in ours if number in peer and ours[number] > 0]


def figure(value):
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def main(path):
    rows = read(path)
    print('| what | ours | peer | peer\'s | times better (lowest to highest) | to reach | rounds |')
    print('|---|---|---|---|---|---|---|')
    for row, (what, unit, peers) in ROWS.items():
        for arm, (peer, goal) in peers.items():
            if 'ours' not in rows[row] or arm not in rows[row]:
                continue
            ours, theirs = medians(rows[row]['ours']), medians(rows[row][arm])
            paired = ratios(ours, theirs)
            spread = 'no paired round'
            if paired:
                spread = (f'{statistics.median(paired):.3g} '
                          f'({min(paired):.3g} to {max(paired):.3g})')
            print(f'| {what} | {figure(statistics.median(ours.values()))} {unit} | {peer} '
                  f'| {figure(statistics.median(theirs.values()))} {unit} | {spread} | {goal} '
                  f'| {len(paired)} |')


if __name__ == '__main__':
    main(sys.argv[1])
