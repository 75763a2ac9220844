#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""versions.py DIR COUNT: v1.img to vCOUNT.img, each the one before with a twentieth of its blocks new.

1 GiB of random bytes, so that nothing is a hole and nothing compresses: a reader finds data in each
block. What is new comes in runs like those of an upgraded Debian: most of few blocks, some long.
"""
import os
import random
import shutil
import sys

BLOCK = 4096
BLOCKS = 1 << 18
NEW = BLOCKS // 20
LONGEST = 256


def run_length(rng):
    """1 to LONGEST blocks, half of the runs of one to three"""
    return min(LONGEST, int(rng.lognormvariate(1.1, 1.2)) + 1)


def change(path, rng):
    left = NEW
    with open(path, 'r+b') as image:
        while left > 0:
            length = min(left, run_length(rng))
            image.seek(rng.randrange(BLOCKS - length) * BLOCK)
            image.write(rng.randbytes(length * BLOCK))
            left -= length


def main(directory, count):
    rng = random.Random(1)
    first = os.path.join(directory, 'v1.img')
    with open(first, 'wb') as image:
        for _ in range(BLOCKS * BLOCK >> 20):
            image.write(rng.randbytes(1 << 20))
    for number in range(2, count + 1):
        path = os.path.join(directory, f'v{number}.img')
        shutil.copyfile(os.path.join(directory, f'v{number - 1}.img'), path)
        change(path, rng)


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
