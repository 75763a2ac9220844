#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# size.sh: the size gate over the tree, after a proof that it sees a function that is too big
set -euo pipefail
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
{
    printf 'int\nf(int a, int b, int c, int d, int e, int g)\n{\n'
    for ((i = 0; i < 60; i++)); do echo "    if (a == $i) return b + c + d + e + g;"; done
    printf '    return 0;\n}\n'
} >"$probe/big.c"
! seen=$(tests/style/size.py "$probe/big.c" 2>&1) || refuse "the size gate passes a big function"
for word in lines complexity parameters; do
    grep -q "$word, at most" <<<"$seen" || refuse "the size gate does not count $word"
done

c_files | xargs tests/style/size.py || refuse "too big, see above"
verdict
