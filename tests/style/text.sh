#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# text.sh: licence lines, purpose lines, spelling, and links between documents
set -euo pipefail
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"

# Every source says its licence in its first lines
sources=$(all_files | grep -vE '^tests/data/' |
    grep -E '\.([ch]|sh|py|build|xml|rng|service|socket|in|conf|rst)$|/(run|demo)$')
for file in $sources; do
    head -n 4 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later' ||
        refuse "$file: no SPDX line on top"
done

# ... and what a module is for, in one line
for file in $(c_files | grep -E '^(helper|driver)/'); do
    sed -n 2p "$file" | grep -q '^/\* ' || refuse "$file: its second line does not say what it is for"
done

# No line of C is wider than a review window
for file in $(c_files); do
    ! grep -nE '^.{101,}$' "$file" >&2 || refuse "$file: wider than 100 columns"
done

# Links from one document to another lead somewhere
for file in $(all_files | grep -E '\.md$'); do
    for link in $(grep -oE '\]\([^)# ]+' "$file" | sed 's/^](//' | grep -vE '^[a-z]+:' || [ $? = 1 ]); do
        [ -e "$(dirname "$file")/$link" ] || refuse "$file: link to '$link', which does not exist"
    done
done

# What a document says is shown by a test is one that exists
tests=$(all_files | sed -n 's|^tests/.*/||p')
# shellcheck disable=SC2016 # the quotes of Markdown
for test in $(grep -ohE '`[a-z0-9-]+\.(sh|c|py)`' docs/threat-model.md | tr -d '`' | sort -u); do
    grep -qxF "$test" <<<"$tests" || refuse "docs/threat-model.md: there is no test $test"
done

# The way to every manual starts in README, and it is built and installed
for file in $(all_files | grep -E '^docs/man/.*\.rst$'); do
    page=$(basename "$file" .rst)
    grep -qF "${page%.*}(${page##*.})" README.md || refuse "README.md does not name ${page%.*}(${page##*.})"
    grep -qF "'${page%.*}': '${page##*.}'" docs/meson.build || refuse "$file: not in docs/meson.build"
done

# "datas" is in a field of policy.json
all_files | grep -vE '^(tests/data/|LICENSE|tests/fuzz/corpus/)' | xargs codespell -L datas,hda ||
    refuse "spelling, see above"
verdict
