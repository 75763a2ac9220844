#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-stock-backends.sh SOURCE_TREE NAME...: we link every backend that this libvirt looks for
set -euo pipefail
tree=$1
shift
known=$(printf '%s\n' fs "$@" | sort)
asked=$(sed -n 's/.*VIR_STORAGE_BACKEND_REGISTER(vir.*, "\(.*\)");/\1/p' \
    "$tree/src/storage/storage_backend.c" | sort)
echo 1..1
if [ -n "$asked" ] && [ "$known" = "$asked" ]; then
    echo 'ok 1 - the list of driver/meson.build is the list of libvirt'
else
    echo 'not ok 1 - the list of driver/meson.build is the list of libvirt'
    diff <(echo "$known") <(echo "$asked") | sed 's/^/# /'
    exit 1
fi
