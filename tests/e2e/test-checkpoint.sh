#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A version that is stored twice: as a full layer, and as its difference; hosts take the cheaper way
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img skopeo docker-registry jq dd virt-template

IMAGES=/var/lib/libvirt/images
TARGET=$IMAGES/templates

# reads VERSION IMAGE: a clone of the version has the image's bytes
reads() {
    clone "clone-$1.qcow2" "debian@$1.qcow2"
    assert_eq "$(guest_sha256 "$IMAGES/default/clone-$1.qcow2")  -" "$(sha256sum <"$2")" "what a guest of $1 reads"
    virsh vol-delete "clone-$1.qcow2" default
}

manifest() {
    skopeo inspect --tls-verify=false --raw "docker://$REGISTRY/golden/debian:$1"
}

# layers_of TAG: how many there are
layers_of() {
    manifest "$1" | jq '[.layers[] | select(.mediaType | contains("index"))] | length'
}

# bridge_of VERSION: its tag
bridge_of() {
    echo "$(manifest "$1" | jq -r '.layers[0].digest' | tr : -).bridge"
}

# received: bytes of frames that the last job fetched
received() {
    virt-template jobs --json | jq '.jobs[0].received'
}

# frames TAG: bytes of the frames of the manifest's topmost layer
frames() {
    manifest "$1" | jq 'reduce .layers[] as $blob (0;
        if $blob.mediaType | contains("index") then 0 else . + $blob.size end)'
}

# cost FILTER REFERENCE: what a dry run says
cost() {
    virt-template pull --dry-run --json "$2" | jq "$1"
}

layers_here() {
    find $TARGET/.layers -maxdepth 1 -name '*.qcow2' | wc -l
}

forget_all() {
    local volume
    for volume in "$TARGET"/*@*.qcow2; do
        virt-template evict "$(basename "$volume")"
    done
    assert_eq "$(layers_here)" 0 'layers here'
}

start_registry plain
STORE=docker://$REGISTRY/golden
make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M 0.img 1
for i in 1 2 3; do
    cp $((i - 1)).img $i.img
    dd if=/dev/urandom of=$i.img bs=4096 seek=$((600 + i * 20)) count=40 conv=notrunc status=none
done
truncate -s 80M 3.img
dd if=/dev/urandom of=3.img bs=4096 seek=18000 count=10 conv=notrunc status=none

step "every second version is a full layer, with a bridge"
publish "$STORE" golden.key 0.img debian@1.0.0 --checkpoint 2
publish "$STORE" golden.key 1.img debian@1.1.0 --checkpoint 2
publish "$STORE" golden.key 2.img debian@1.2.0 --checkpoint 2 >published.txt
cat published.txt
assert_match '^  full      a checkpoint: over debian@1.1.0 the chain would have more than 2 layers$' "$(cat published.txt)"
assert_match '^  bridge    hosts with debian@1.1.0 fetch [0-9.]+ KiB instead$' "$(cat published.txt)"
publish "$STORE" golden.key 3.img debian@1.3.0 --checkpoint 2
for version in 1.0.0:1 1.1.0:2 1.2.0:1 1.3.0:2; do
    assert_eq "$(layers_of "${version%:*}")" "${version#*:}" "layers of $version"
done
bridge=$(bridge_of 1.2.0)
assert_eq "$(layers_of "$bridge")" 3 'layers of the bridge'
assert_eq "$(manifest 1.2.0 | jq -c '.layers[0].annotations')" "$(manifest 1.3.0 | jq -c '.layers[0].annotations')" \
    'annotations of the full layer'
publish "$STORE" golden.key 2.img debian@1.2.0 --checkpoint 2 | grep 'nothing was uploaded'

step "a host that has nothing takes the full layer"
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
virsh pool-refresh templates
assert_eq "$(cost '[.layers[] | .fetch == .stored] | all' debian@1.3.0)" true 'no bridge'
virt-template pull debian@1.3.0
assert_eq "$(received)" $(($(frames 1.2.0) + $(frames 1.3.0))) 'bytes received'
reads 1.3.0 3.img
assert_eq "$(layers_here)" 2 'layers here'
forget_all

step "a host that has the version before takes the bridge, and ends with the same files"
virt-template pull debian@1.1.0
assert_eq "$(layers_here)" 2 'layers here'
announced=$(cost .fetch debian@1.2.0)
[ "$announced" -lt 700000 ] || fail "$announced bytes are announced"
virt-template pull --dry-run debian@1.2.0 >dry.txt
cat dry.txt
assert_match ' bridge ' "$(cat dry.txt)"
virt-template diff --json debian@1.1.0 debian@1.2.0 >diff.json
cat diff.json
jq -e --argjson fetch "$announced" '.fetch == $fetch and .relation == "unrelated" and .changed <= 8000' diff.json
virt-template pull debian@1.2.0
assert_eq "$(received)" "$(frames "$bridge")" 'bytes received'
[ "$(received)" -le "$announced" ] || fail "$(received) bytes were received, $announced announced"
assert_eq "$(layers_here)" 3 'layers here'
assert_eq "$(find $TARGET/.layers/.partial -type f | wc -l)" 0 'partial files'
virt-template verify debian@1.2.0
reads 1.2.0 2.img
virt-template diff --json debian@1.1.0 debian@1.2.0 | jq -e '.exact and .changed == 40'

step "what is made over the full layer works over it, whichever way it came"
virt-template pull debian@1.3.0
assert_eq "$(received)" "$(frames 1.3.0)" 'bytes received'
reads 1.3.0 3.img
virt-template verify debian@1.3.0
virt-template evict debian@1.1.0
virt-template evict debian@1.2.0
assert_eq "$(layers_here)" 2 'layers here'
reads 1.3.0 3.img
forget_all

step "a host that has an older version fetches what is between, over the bridge"
virt-template pull debian@1.0.0
virt-template pull debian@1.3.0
assert_eq "$(received)" $(($(frames 1.1.0) + $(frames "$bridge") + $(frames 1.3.0))) 'bytes received'
# 1.1.0 was on the way, and is not here
assert_eq "$(layers_here)" 3 'layers here'
reads 1.3.0 3.img
forget_all

step "what was cut goes on, with or without the bridge"
virt-template pull debian@1.1.0
full=$(manifest 1.2.0 | jq -r '.layers[0].digest | ltrimstr("sha256:")')
# Space was reserved, and nothing came
fallocate -l 64M "$TARGET/.layers/.partial/$full"
virt-template pull debian@1.2.0
assert_eq "$(received)" "$(frames "$bridge")" 'bytes received'
# All came but a few frames
cp --sparse=always "$TARGET/.layers/$full.qcow2" cut
size=$(stat -c %s cut)
fallocate -p -o $((size / 2)) -l 65536 cut
virt-template evict debian@1.2.0
cp --sparse=always cut "$TARGET/.layers/.partial/$full"
virt-template pull debian@1.2.0
[ "$(received)" -gt 0 ] || fail 'what was lost was not fetched'
[ "$(received)" -le 300000 ] || fail "$(received) bytes were received"
virt-template verify debian@1.2.0
reads 1.2.0 2.img
forget_all

step "a layer that is damaged costs bytes, and nothing else"
virt-template pull debian@1.1.0
layer=$TARGET/.layers/$(manifest 1.0.0 | jq -r '.layers[0].digest | ltrimstr("sha256:")').qcow2
chattr -i "$layer"
size=$(stat -c %s "$layer")
dd if=/dev/urandom of="$layer" bs=4096 seek=$((size / 4096 / 2)) count=8 conv=notrunc status=none
virt-template pull debian@1.2.0
[ "$(received)" -gt "$(frames "$bridge")" ] || fail 'the damage was taken for data'
[ "$(received)" -lt "$(frames 1.2.0)" ] || fail 'what was right was fetched again'
virt-template verify debian@1.2.0
reads 1.2.0 2.img
expect_fail 'does not|damaged|differ' virt-template verify debian@1.1.0
virt-template evict debian@1.2.0
virt-template pull debian@1.2.0
assert_eq "$(received)" "$(frames 1.2.0)" 'bytes received: no way over what is known to be damaged'
forget_all

step "a bridge of which a frame is wrong: the full layer is fetched"
virt-template pull debian@1.1.0
digest=$(manifest "$bridge" | jq -r '[.layers[] | select(.mediaType | contains("index") | not)][-1].digest | ltrimstr("sha256:")')
printf 'x' | dd of="$REGISTRY_DIR/docker/registry/v2/blobs/sha256/${digest:0:2}/$digest/data" bs=1 seek=20 conv=notrunc status=none
virt-template pull debian@1.2.0
assert_match 'is fetched in full, not as a difference: .*frame' "$(cat "$LOGS/virttemplated.log")"
virt-template verify debian@1.2.0
reads 1.2.0 2.img
forget_all

step "without the bridge, or with another one, the full layer is fetched"
virt-template pull debian@1.1.0
find "$REGISTRY_DIR" -path "*_manifests/tags/*.bridge*" -delete
digest=$(manifest 1.2.0 | jq -r '.layers[0].annotations["virt-template.layer.bridge.digest"] | ltrimstr("sha256:")')
truncate -s 2 "$REGISTRY_DIR/docker/registry/v2/blobs/sha256/${digest:0:2}/$digest/data"
virt-template pull debian@1.2.0
assert_eq "$(received)" "$(frames 1.2.0)" 'bytes received'
assert_match 'is fetched in full, not as a difference' "$(cat "$LOGS/virttemplated.log")"
reads 1.2.0 2.img
assert_libvirtd_alive
