#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""count.py FOLDER: adds up the checks in meson's test logs (*.json) and in TAP files (*.tap).

Each TAP point is a check. A test program without TAP is one check, and so is a program that ended
badly although all its points passed. Ends with "N passed, N failed", with ", N skipped" if any.
"""
import glob
import json
import os
import re
import sys

POINT = re.compile(r'^\s*(not ok|ok)\b(.*)$')
GOOD = ('OK', 'EXPECTEDFAIL')


def points(name, text):
    """(outcome, description) of each TAP point"""
    for line in text.splitlines():
        match = POINT.match(line)
        if not match:
            continue
        if re.search(r'#\s*skip', match.group(2), re.IGNORECASE):
            yield 'skipped', name + match.group(2)
        else:
            yield ('passed' if match.group(1) == 'ok' else 'failed'), name + match.group(2)


def program(record):
    """The checks of one test program in meson's log"""
    name, result = record['name'], record['result']
    found = list(points(name, record.get('stdout', '')))
    if result == 'SKIP' and not found:
        return [('skipped', name)]
    if result not in GOOD + ('SKIP',) and not any(outcome == 'failed' for outcome, _ in found):
        found.append(('failed', f'{name}: {result}'))
    return found or [('passed', name)]


def checks(folder):
    for path in sorted(glob.glob(os.path.join(folder, '*.json'))):
        with open(path, encoding='utf-8') as file:
            for line in file:
                yield from program(json.loads(line))
    for path in sorted(glob.glob(os.path.join(folder, '*.tap'))):
        with open(path, encoding='utf-8') as file:
            yield from points(os.path.basename(path) + ': ', file.read())


def main(folder):
    counts = {'passed': 0, 'failed': 0, 'skipped': 0}
    for outcome, description in checks(folder):
        counts[outcome] += 1
        if outcome != 'passed':
            print(f'{outcome}: {description}')
    skipped = f", {counts['skipped']} skipped" if counts['skipped'] else ''
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
    return 0 if counts['failed'] == 0 and counts['passed'] > 0 else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
