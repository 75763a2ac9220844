#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Stores that lie: each is refused by name and reason, and leaves nothing usable behind
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template openssl python3

forge=$VT_E2E_DIR/forge.py
IMAGES=/var/lib/libvirt/images
number=0

# bad_store: a fresh copy of the good store in bad-N, and its pool's name in $pool. The name of the
# directory is part of what is signed, so each copy has a folder of its own.
bad_store() {
    number=$((number + 1))
    mkdir "bad-$number"
    cp -a good/golden "bad-$number/golden"
    layout=$PWD/bad-$number/golden
    pool=bad$number
}

part() {
    "$forge" "$layout" digest "$@"
}

# pool_refuses REGEX: the pool starts and lists, but a clone fails and says why; nothing is left
pool_refuses() {
    define_pool $pool "oci:$layout"
    expect_fail "$1" clone $pool.qcow2 debian@1.0.0.qcow2 default $pool
    [ ! -e $IMAGES/default/$pool.qcow2 ] || fail "a clone was left behind"
    [ ! -e $IMAGES/$pool/debian@1.0.0.qcow2 ] || fail "a template was left under its usable name"
    [ ! -e $IMAGES/$pool/debian.qcow2 ] || fail "a template was left under its usable name"
    [ -z "$(find $IMAGES/$pool -name '*.qcow2' -size +0)" ] || fail "a layer was left behind"
    assert_libvirtd_alive
    virsh pool-destroy $pool
}

step "the good store works"
make_key golden
make_key other
make_image 64M one.img 1
make_image 64M two.img 2
mkdir good
make_store "oci:$PWD/good/golden" golden.key
publish "oci:$PWD/good/golden" golden.key one.img debian@1.0.0
publish "oci:$PWD/good/golden" golden.key two.img debian@2.0.0
make_policy "$PWD/golden.pub"
start_helper
start_libvirtd
define_dir_pool default
bad_store
define_pool $pool "oci:$layout"
clone fine.qcow2 debian@1.0.0.qcow2 default $pool
virsh vol-delete fine.qcow2 default

step "a template without signature"
bad_store
"$forge" "$layout" unsign debian 1.0.0
pool_refuses 'debian@1.0.0.*no signature|not signed|unsigned'

step "a catalog without signature: nothing of the store is listed"
bad_store
"$forge" "$layout" unsign catalog latest
define_pool $pool "oci:$layout"
assert_no_match 'debian' "$(virsh vol-list $pool)"
expect_fail 'not found|no storage vol|signature' clone x.qcow2 debian@1.0.0.qcow2 default $pool

step "a signature of another version"
bad_store
"$forge" "$layout" transplant debian 2.0.0 1.0.0
pool_refuses 'digest'

step "a tag that points at another version does not deceive: the catalog decides"
bad_store
"$forge" "$layout" swap debian 2.0.0 1.0.0
define_pool $pool "oci:$layout"
clone swapped.qcow2 debian@1.0.0.qcow2 default $pool
assert_eq "$(guest_sha256 $IMAGES/default/swapped.qcow2)  -" "$(sha256sum <one.img)"
virsh vol-delete swapped.qcow2 default

for kind in manifest index frames; do
    step "one flipped bit in: $kind"
    bad_store
    digest=$(part $kind debian 1.0.0)
    "$forge" "$layout" flip "$digest"
    pool_refuses "${digest#sha256:}|digest|does not match|damaged|corrupt"
done

step "one flipped bit in the payload that both signatures are about"
bad_store
"$forge" "$layout" flip "$(part payload debian 1.0.0)"
"$forge" "$layout" flip "$(part bundle debian 1.0.0)"
pool_refuses 'signature'

step "one flipped bit in one form of the signature only: the other one counts"
bad_store
"$forge" "$layout" flip "$(part payload debian 1.0.0)"
define_pool $pool "oci:$layout"
clone half.qcow2 debian@1.0.0.qcow2 default $pool
virsh vol-delete half.qcow2 default

for offset in 0 -1; do
    step "one flipped bit in the frames, at byte $offset"
    bad_store
    "$forge" "$layout" flip "$(part frames debian 1.0.0)" $offset
    pool_refuses 'frame|digest|does not match'
done

for damage in truncate grow remove; do
    for kind in index frames; do
        step "$damage: $kind"
        bad_store
        "$forge" "$layout" $damage "$(part $kind debian 1.0.0)"
        pool_refuses 'size|digest|truncated|bytes|not found|No such file|missing'
    done
done

for size in +1 -1 0 99999999999999; do
    for kind in index frames; do
        step "a signed manifest with a wrong size of $kind: $size"
        bad_store
        "$forge" "$layout" resize golden.key debian 1.0.0 $kind $size
        pool_refuses 'size|large|bytes'
    done
done

step "a signed index that is noise"
bad_store
head -c 4096 /dev/urandom >noise
"$forge" "$layout" reindex golden.key debian 1.0.0 noise
pool_refuses 'index'

step "a signed catalog that nests 200,000 arrays, and one with a name twice"
bad_store
head -c 200000 /dev/zero | tr '\0' '[' >deep
"$forge" "$layout" catalog golden.key deep
define_pool $pool "oci:$layout"
assert_no_match 'debian' "$(virsh vol-list $pool)"
bad_store
echo '{"_type":"virt-template-catalog","_type":"virt-template-catalog"}' >twice
"$forge" "$layout" catalog golden.key twice
define_pool $pool "oci:$layout"
assert_no_match 'debian' "$(virsh vol-list $pool)"

step "signed by a key that the policy does not name"
make_policy "$PWD/other.pub"
bad_store
define_pool $pool "oci:$layout"
assert_no_match 'debian' "$(virsh vol-list $pool)"
expect_fail 'signature|not found|no storage vol' clone x.qcow2 debian@1.0.0.qcow2 default $pool
expect_fail 'key|signature' virt-template list --store "oci:$layout" --policy "$POLICY"

step "the right key among wrong ones"
make_key third
make_policy "$PWD/other.pub" "$PWD/golden.pub" "$PWD/third.pub"
bad_store
define_pool $pool "oci:$layout"
clone fine.qcow2 debian@1.0.0.qcow2 default $pool

assert_libvirtd_alive
