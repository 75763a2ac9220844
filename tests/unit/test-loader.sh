#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-loader.sh VERSION HARNESS LOADER ORPHAN STOCK MODULE BROKEN: the loader without libvirtd
#
# Whatever is wrong with our module: libvirt's own backend is registered, the result is success, and
# standard error has one line about it.
set -euo pipefail
version=$1 harness=$2 loader=$3 orphan=$4 stock=$5 module=$6 broken=$7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0
status=0

# place LOADER [MODULE]: in a folder of its own, as installed
place() {
    rm -rf "$work/dir"
    mkdir -p "$work/dir/virt-template"
    cp "$1" "$work/dir/libvirt_storage_backend_fs.so"
    [ -z "${2:-}" ] || cp "$2" "$work/dir/virt-template/$version.so"
}

# check WHAT RESULT LINES REGEX [VARIABLE...]: standard error has LINES lines that match REGEX
check() {
    local what=$1 result=$2 lines=$3 regex=$4 ok=ok got
    shift 4
    got=$(env "$@" "$harness" "$work/dir/libvirt_storage_backend_fs.so" 2>"$work/stderr")
    [ "$got" = "$result" ] || ok='not ok'
    [ "$(wc -l <"$work/stderr")" = "$lines" ] || ok='not ok'
    [ "$lines" = 0 ] || grep -Eq "$regex" "$work/stderr" || ok='not ok'
    count=$((count + 1))
    echo "$ok $count - $what"
    [ "$ok" = ok ] || { status=1; sed 's/^/# /' "$work/stderr"; echo "# $got, expected $result"; }
}

place "$loader" "$module"
check 'both are registered' 'result=0 stock=yes module=yes' 0 ''

place "$loader"
check 'no module for this version' 'result=0 stock=yes module=no' 1 \
    "^virt-template: no module for libvirt $version .*/virt-template/$version.so: No such file"

place "$loader"
cp "$module" "$work/dir/virt-template/1.2.3.so"
check 'a module of another version is left alone' 'result=0 stock=yes module=no' 1 'no module for'

echo 'not a library' >"$work/text"
place "$loader" "$work/text"
check 'a module that is no library' 'result=0 stock=yes module=no' 1 "$version does not load: .*"

place "$loader" "$broken"
check 'a module that needs a symbol which is not there' 'result=0 stock=yes module=no' 1 \
    "$version does not load: .*undefined symbol: virNoSuchSymbol"

place "$loader" "$stock"
check 'a module without our function' 'result=0 stock=yes module=no' 1 \
    'does not load: .*undefined symbol: virStorageBackendTemplateRegister'

place "$loader" "$module"
check 'a module that refuses' 'result=0 stock=yes module=yes' 1 "$version refuses to start" \
    VT_MODULE_RESULT=-1

check 'a backend of libvirt that fails: as without us' 'result=-1 stock=yes module=no' 0 '' \
    VT_STOCK_RESULT=-1

place "$orphan" "$module"
check 'a backend of libvirt that is not installed' 'result=0 stock=no module=no' 1 \
    '^virt-template: /nonexistent/fs.so: No such file'

echo "1..$count"
exit $status
