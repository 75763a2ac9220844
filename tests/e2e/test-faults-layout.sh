#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A store in a directory that somebody damages, or changes while it is read: links, FIFOs, devices,
# files that are missing, replaced or of another size
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template

LAYOUT=$PWD/store/golden
POOL=/var/lib/libvirt/images/templates
forge=$VT_E2E_DIR/forge.py
count=0

# Where a part of the version is: blob manifest, index, frames, payload
blob() {
    local digest
    digest=$("$forge" good/golden digest "$1" debian 1.0.0)
    echo "$LAYOUT/blobs/sha256/${digest#sha256:}"
}

restore() {
    rm -rf "$LAYOUT"
    cp -a good/golden "$LAYOUT"
}

is_right() {
    assert_eq "$(guest_sha256 $POOL/debian@1.0.0.qcow2)" "$digest" 'the template'
    virt-template evict --quiet debian@1.0.0
    assert_eq "$(find $POOL/.layers -name '*.qcow2') $(find $POOL/.layers/.partial -type f)" ' ' 'files left'
}

# refuses MESSAGE COMMAND...: with what COMMAND made of the layout a fetch fails; then it is mended
refuses() {
    local message=$1
    shift
    count=$((count + 1))
    echo "--- $count: $*"
    "$@"
    expect_fail "$message" timeout 60 virt-template pull --quiet debian@1.0.0
    [ ! -e $POOL/debian@1.0.0.qcow2 ] || fail "the template stands under its usable name"
    assert_eq "$(find $POOL/.layers -name '*.qcow2' ! -path '*/.partial/*' | wc -l)" 0 'layers'
    restore
    virt-template pull --quiet debian@1.0.0
    is_right
}

# accepts COMMAND...
accepts() {
    count=$((count + 1))
    echo "--- $count: $*"
    "$@"
    virt-template pull --quiet debian@1.0.0
    is_right
    restore
}

# by KIND COMMAND...: in the place of a blob stands what COMMAND PATH makes
by() {
    local path
    path=$(blob "$1")
    shift
    rm "$path"
    "$@" "$path"
}

symlink() {
    ln -s /etc/passwd "$1"
}

to_itself() {
    ln -s "$(basename "$1")" "$1"
}

hard_link() {
    cp "good${1#"$PWD/store"}" linked
    ln linked "$1"
}

device() {
    mknod "$1" c 1 5
}

larger() {
    cp "good${1#"$PWD/store"}" "$1"
    truncate -s +1 "$1"
}

smaller() {
    cp "good${1#"$PWD/store"}" "$1"
    truncate -s -1 "$1"
}

huge() {
    truncate -s 8E "$1" 2>/dev/null || truncate -s 1T "$1"
}

not_readable() {
    cp "good${1#"$PWD/store"}" "$1"
    chmod 000 "$1"
}

turn_directory() {
    mv "$LAYOUT/blobs/sha256" "$LAYOUT/blobs/aside"
    ln -s aside "$LAYOUT/blobs/sha256"
}

# The file is replaced by others, half of which are bad, as fast as that goes
keep_replacing() {
    local path=$1
    cp "$path" keep
    head -c "$(stat -c %s "$path")" /dev/zero >zeros
    while [ -e replacing ]; do
        cp zeros "$path.new"
        mv "$path.new" "$path"
        cp keep "$path.new"
        mv "$path.new" "$path"
    done
}

make_key golden
make_policy "$PWD/golden.pub"
head -c 6M /dev/urandom >one.img
digest=$(sha256sum one.img | cut -d' ' -f1)
mkdir good store
# The name of the layout is part of what is signed
make_store "oci:$PWD/good/golden" golden.key
publish "oci:$PWD/good/golden" golden.key one.img debian@1.0.0
restore
start_helper --retries 1
start_libvirtd
define_pool templates "oci:$LAYOUT"

step "without a fault it is a store"
virt-template pull debian@1.0.0
is_right

for kind in manifest index frames; do
    step "in the place of a blob: $kind"
    refuses 'symbolic link' by $kind symlink
    refuses 'symbolic link' by $kind to_itself
    refuses 'not a regular file' by $kind mkfifo
    refuses 'not a regular file|No such device' by $kind device
    refuses 'not a regular file' by $kind mkdir
    refuses 'cannot open.*No such file' by $kind true
    refuses 'cannot open.*Permission denied' by $kind not_readable
    refuses 'bytes' by $kind larger
    refuses 'bytes' by $kind smaller
    refuses 'bytes|more than' by $kind huge
    accepts by $kind hard_link
done

step "directories that are links, and a store that is none"
refuses 'symbolic link' turn_directory
refuses 'not an OCI layout|No such file' rm "$LAYOUT/oci-layout"
refuses 'cannot open the store|not an OCI layout' rm -r "$LAYOUT"

step "files that change while they are read: the right template, or an error, and nothing between"
for kind in frames index manifest; do
    : >replacing
    keep_replacing "$(blob $kind)" &
    changer=$!
    for _ in 1 2 3 4 5; do
        count=$((count + 1))
        if virt-template pull --quiet debian@1.0.0 >error.txt 2>&1; then
            is_right
        else
            assert_match 'digest|other content|damaged|changed|magic|No such file|bytes' "$(cat error.txt)"
            [ ! -e $POOL/debian@1.0.0.qcow2 ] || fail "the template stands under its usable name"
        fi
    done
    # Killed, it would leave a program that goes on for a moment
    rm replacing
    wait $changer
    restore
    virt-template pull --quiet debian@1.0.0
    is_right
done

step "an index.json that is replaced, or rubbish, keeps the known list and says so"
for content in '' '{}' '[]' '{"manifests":[{}]}'; do
    count=$((count + 1))
    printf '%s' "$content" >"$LAYOUT/index.json.new"
    mv "$LAYOUT/index.json.new" "$LAYOUT/index.json"
    restart_helper --retries 1
    virsh pool-refresh templates
    virt-template list >list.txt 2>&1
    cat list.txt
    assert_match 'debian +1.0.0' "$(cat list.txt)"
    assert_match 'warning: .*index.json|warning: .*no manifest is named' "$(cat list.txt)"
    restore
done

echo "$count faults of a layout"
[ $count -ge 40 ] || fail "only $count faults"
