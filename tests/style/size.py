#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""size.py FILE...: no C function or file grows beyond docs/coding-style.md. There is no allow-list."""
import re
import subprocess
import sys

MAX_FUNCTION_LINES = 60
MAX_COMPLEXITY = 15
MAX_FILE_LINES = 600
MAX_PARAMETERS = 5
# Do not count: a callback's own pointer and the error
FREE_PARAMETER = re.compile(r'GError \*\*|\buser_data$|\bopaque$')
# The signatures of these callbacks are GLib's and libvirt's
FOREIGN_SIGNATURE = re.compile(r'GDBusMethodInvocation \*|GDBusConnection \*\w+, const char \*sender|'
                               r'GVariant \*arguments, gpointer |virStreamPtr ')


def parameters(lines, first):
    """Those of the function whose definition begins in line `first` (from 1)"""
    text = ' '.join(line.strip() for line in lines[first - 1:first + 20])
    match = re.match(r'[^(]*\(((?:[^()]|\([^()]*\))*)\)', text)
    if not match or FOREIGN_SIGNATURE.search(match.group(1)):
        return []
    flat = re.sub(r'\([^()]*\)', '', match.group(1))
    return [p for p in map(str.strip, flat.split(',')) if p and not FREE_PARAMETER.search(p)]


def check_functions(path, lines):
    report = subprocess.run(['pmccabe', path], check=True, capture_output=True, text=True).stdout
    for row in report.splitlines():
        fields = row.split('\t')
        complexity, first, length = int(fields[1]), int(fields[3]), int(fields[4])
        name = fields[5].split(': ')[-1]
        count = len(parameters(lines, first))
        for what, is_now, limit in (('lines', length, MAX_FUNCTION_LINES),
                                    ('complexity', complexity, MAX_COMPLEXITY),
                                    ('parameters', count, MAX_PARAMETERS)):
            if is_now > limit:
                yield f'{path}:{first}: {name}: {is_now} {what}, at most {limit}'


def check_file(path):
    with open(path, encoding='utf-8') as file:
        lines = file.read().splitlines()
    if len(lines) > MAX_FILE_LINES:
        yield f'{path}: {len(lines)} lines, at most {MAX_FILE_LINES}'
    if path.endswith('.h') and '#pragma once' not in lines:
        yield f'{path}: no #pragma once'
    if path.endswith('.c'):
        yield from check_functions(path, lines)


def main(paths):
    breaches = [breach for path in paths for breach in check_file(path)]
    print('\n'.join(breaches), file=sys.stderr)
    return 1 if breaches or not paths else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
