# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the style gates look at: the files of the tree, never those of a build.

VT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$VT_ROOT" || exit 1

# all_files: every file of the project that is not a build product; also outside of git
all_files() {
    if [ -e .git ]; then
        git -c safe.directory="$VT_ROOT" ls-files --cached --others --exclude-standard |
            while read -r file; do [ ! -f "$file" ] || echo "$file"; done
    else
        find . -path './build*' -prune -o -type f -print | sed 's|^\./||'
    fi
}

# c_files: the C that we wrote
c_files() {
    all_files | grep -E '\.[ch]$'
}

# shell_files: by name or by their first line
shell_files() {
    all_files | grep -E '\.sh$'
    all_files | grep -vE '\.(sh|c|h|md|xml|json|build|img|bin)$' |
        while read -r file; do ! head -n 1 "$file" | grep -aqE '^#!/bin/(ba)?sh' || echo "$file"; done
}

failures=0

# refuse MESSAGE: counts a breach and goes on, so that one run shows all of them
refuse() {
    echo "$*" >&2
    failures=$((failures + 1))
}

# verdict: the exit status of a gate
verdict() {
    [ "$failures" = 0 ] || echo "$failures breach(es)" >&2
    [ "$failures" = 0 ]
}
