#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a version costs before it is fetched, and that asking changes nothing
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img skopeo docker-registry jq dd virt-template

IMAGES=/var/lib/libvirt/images
TARGET=$IMAGES/templates
STATE=/var/lib/virt-template

# manifest VERSION: as the registry has it
manifest() {
    skopeo inspect --tls-verify=false --raw "docker://$REGISTRY/golden/debian:$1"
}

# stored VERSION FIRST: bytes of index and frames of the layers from number FIRST on, from 0
stored() {
    manifest "$1" | jq --argjson first "$2" '
        reduce .layers[] as $blob ({layer: -1, bytes: 0};
            if $blob.mediaType | contains("index") then .layer += 1 else . end |
            if .layer >= $first then .bytes += $blob.size else . end) | .bytes'
}

# Names, sizes and times of all files of the host's state and pool
fingerprint() {
    find "$STATE" "$TARGET" -type f -printf '%p %s %T@ %C@ %i\n' | sort
}

# Requests for blobs that a manifest of a version names, so far
blob_requests() {
    manifest "$1" | jq -r '.config.digest, .layers[].digest' >blobs
    grep -cFf blobs "$REGISTRY_LOG" || [ $? = 1 ]
}

# dry_run REFERENCE: into cost.json; nothing changes
dry_run() {
    local before
    before=$(fingerprint)
    virt-template pull --dry-run --json "$1" >cost.json
    cat cost.json
    assert_eq "$(fingerprint)" "$before" 'files after a dry run'
    virt-template pull --dry-run "$1"
}

# cost FILTER VALUE: of the last dry run
cost() {
    assert_eq "$(jq -c "$1" cost.json)" "$2" "$1"
}

# differs FROM TO FILTER: what diff says of these versions
differs() {
    local before
    before=$(fingerprint)
    virt-template diff --json "$1" "$2" >diff.json
    cat diff.json
    assert_eq "$(fingerprint)" "$before" 'files after a diff'
    jq -e "$3" diff.json || fail "not $3"
    virt-template diff "$1" "$2" >diff.txt
    cat diff.txt
}

start_registry plain
STORE=docker://$REGISTRY/golden
make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img 1
cp one.img two.img
dd if=/dev/urandom of=two.img bs=4096 seek=700 count=50 conv=notrunc status=none
cp two.img three.img
truncate -s 96M three.img
dd if=/dev/urandom of=three.img bs=4096 seek=20000 count=30 conv=notrunc status=none
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0
publish "$STORE" golden.key three.img debian@1.2.0
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
virsh pool-refresh templates

step "a host that has nothing would fetch the whole chain"
requests=$(blob_requests 1.2.0)
dry_run debian@1.2.0
assert_eq "$(blob_requests 1.2.0)" "$requests" 'requests for blobs'
cost '[.name, .version]' '["debian","1.2.0"]'
cost .fetch "$(stored 1.2.0 0)"
cost .disk 0
cost '[.layers[] | .here]' '[false,false,false]'
cost '[.layers[].index]' "$(manifest 1.2.0 | jq -c '[.layers[] | select(.mediaType | contains("index")) | .digest]')"
cost '[.layers[].parent]' "[null,$(jq -c '.layers[0].index, .layers[1].index' cost.json | paste -sd,)]"
cost '[.layers[].shared]' '[["debian@1.0.0","debian@1.1.0"],["debian@1.1.0"],[]]'
cost '.layers[1].expected == 50 * 4096 and .layers[2].expected == 30 * 4096' true
cost '.expected == ([.layers[].expected] | add)' true
virt-template info debian@1.2.0 >info.txt
cat info.txt
assert_match '^Cost +.* to fetch; its layers take 0 B of this disk, and about ' "$(cat info.txt)"

step "versions that are not here are compared by their indexes"
differs debian@1.0.0 debian@1.1.0 '.from == "debian@1.0.0" and .to == "debian@1.1.0" and .relation == "above" and
    (.exact | not) and .changed == 50 and .added == 0 and .removed == 0'
assert_eq "$(jq .fetch diff.json)" "$(stored 1.1.0 1)" 'bytes to fetch'
assert_match '^  changed   at most 50 blocks \(200.0 KiB\)$' "$(cat diff.txt)"
differs debian@1.0.0 debian 'select(.to == "debian@1.2.0") | .relation == "above" and .changed == 50 and .added == 8192'
differs debian@1.2.0 debian@1.0.0 '.relation == "below" and .changed == 50 and .removed == 8192 and .fetch == 0'
differs debian debian@1.2.0 '.relation == "same" and .changed == 0 and .fetch == 0'
# written anew, but the content of 10 of these blocks is as before
cp one.img four.img
dd if=two.img of=four.img bs=4096 skip=700 seek=700 count=20 conv=notrunc status=none
dd if=/dev/urandom of=four.img bs=4096 seek=710 count=10 conv=notrunc status=none
publish "$STORE" golden.key four.img debian@1.3.0 --parent none --no-current
virsh pool-refresh templates
differs debian@1.0.0 debian@1.3.0 '.relation == "unrelated" and (.exact | not) and .changed >= 20 and .changed <= 16384'
expect_fail "'debian@7.0.0' is not in the catalog" virt-template diff debian@1.0.0 debian@7.0.0
expect_fail "'-x'" virt-template diff debian@1.0.0 -- -x

step "what is expected is what comes, and then nothing is left to fetch"
clone one.qcow2 debian@1.0.0.qcow2
dry_run debian@1.0.0
cost '[.fetch, .expected]' '[0,0]'
cost .disk "$(($(stat -c %b "$TARGET/debian@1.0.0.qcow2") * 512))"
dry_run debian@1.1.0
cost .fetch "$(stored 1.1.0 1)"
cost '[.layers[].here]' '[true,false]'
expected=$(jq .expected cost.json)
virt-template pull debian@1.1.0
dry_run debian@1.1.0
cost .fetch 0
taken=$(jq '.layers[1].disk' cost.json)
if [ "$taken" -lt "$expected" ] || [ "$taken" -gt $((expected + 1048576)) ]; then
    fail "the layer takes $taken bytes, $expected were expected"
fi
virt-template info --json debian@1.1.0 >info.json
jq -e '.cost.fetch == 0 and (.cost.layers | length) == 2 and
    .cost.layers[0].shared == ["debian@1.0.0"] and .cost.layers[1].shared == []' info.json

step "versions that are here are compared block by block"
virt-template pull debian@1.3.0
differs debian@1.0.0 debian@1.3.0 '.exact and .changed == 20'
assert_match '^  changed   20 blocks \(80.0 KiB\)$' "$(cat diff.txt)"
differs debian@1.1.0 debian@1.3.0 '.exact and .changed == 40 and .relation == "unrelated"'
differs debian@1.0.0 debian@1.1.0 '.exact and .changed == 50'
virt-template evict debian@1.3.0
differs debian@1.0.0 debian@1.3.0 '.exact | not'

step "a version without a copy here is asked for at the store; what is here does not need it"
virt-template info --json debian@1.2.0 | jq -e '.cost.fetch > 0 and .cost.layers[2].here == false'
stop_registry
virt-template info --json debian@1.1.0 | jq -e '.cost.fetch == 0'
virt-template info --json debian@1.2.0 >away.json
jq -e '.cost == null and (."cost-unknown" | length > 0)' away.json
expect_fail "$REGISTRY" virt-template pull --dry-run debian@1.2.0
expect_fail "$REGISTRY" virt-template diff debian@1.0.0 debian@1.2.0
differs debian@1.0.0 debian@1.1.0 '.exact and .changed == 50'

step "what is not trusted, or not there, has no cost"
expect_fail 'debian@9.9.9' virt-template pull --dry-run debian@9.9.9
make_key other
make_policy "$PWD/other.pub"
expect_fail 'not trusted|not signed|signature' virt-template pull --dry-run debian@1.1.0
expect_fail 'not trusted|not signed|signature' virt-template diff debian@1.0.0 debian@1.1.0
assert_libvirtd_alive
