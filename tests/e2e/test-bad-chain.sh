#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Chains that are none, ancestors that are gone or damaged, and a disk that is full half-way
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img docker-registry skopeo losetup mkfs.ext2 virt-template

IMAGES=/var/lib/libvirt/images
POOL=$IMAGES/templates
LAYERS=$POOL/.layers

forge() {
    "$VT_E2E_DIR/forge.py" golden "$@"
}

layers_here() {
    find "$LAYERS" -maxdepth 1 -name '*.qcow2' | wc -l
}

# reads FILE IMAGE: a guest on FILE reads the bytes of IMAGE
reads() {
    assert_eq "$(guest_sha256 "$1")  -" "$(sha256sum <"$2")" "what a guest on $1 reads"
}

make_key golden
make_policy "$PWD/golden.pub"
STORE=oci:$PWD/golden
make_store "$STORE" golden.key
make_image 64M one.img 1
cp one.img two.img
# What was moved comes from the ancestor's file: it must be the right one, and right
dd if=/dev/urandom of=two.img bs=4096 seek=700 count=50 conv=notrunc status=none
dd if=one.img of=two.img bs=4096 skip=3000 seek=9003 count=300 conv=notrunc status=none
make_image 64M other.img 5
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0 --parent debian@1.0.0
publish "$STORE" golden.key other.img other@1.0.0 --parent none
for version in 1.0.0 1.1.0 1.2.0 1.3.0; do
    publish "$STORE" golden.key two.img "forged@$version" --parent none
done
forge relayer golden.key forged 1.0.0 debian/1.1.0:1
forge relayer golden.key forged 1.1.0 other/1.0.0:0 debian/1.1.0:1
forge relayer golden.key forged 1.2.0 debian/1.1.0:0 debian/1.1.0:1 debian/1.1.0:1
forge relayer golden.key forged 1.3.0 debian/1.1.0:1 debian/1.1.0:0
start_helper
start_libvirtd
define_dir_pool default
define_pool templates "$STORE"

step "an ancestor is missing in the manifest"
expect_fail 'layer 1 of the manifest is a delta layer, without its parent before it' \
    clone bad.qcow2 forged@1.0.0.qcow2

step "an ancestor is another layer than the index names"
expect_fail 'layer 2 of the manifest is not made over the layer before it' \
    clone bad.qcow2 forged@1.1.0.qcow2

step "a layer is its own ancestor"
expect_fail 'forged@1.2.0.*(twice|again)' clone bad.qcow2 forged@1.2.0.qcow2

step "the layers stand in the wrong order"
expect_fail 'layer 1 of the manifest is a delta layer' clone bad.qcow2 forged@1.3.0.qcow2

step "nothing of it is here; other versions work"
assert_eq "$(layers_here)" 0 'layers here'
assert_eq "$(find "$POOL" -maxdepth 1 -name 'forged*' | wc -l)" 0 'versions here'
clone one.qcow2 debian@1.0.0.qcow2
reads "$IMAGES/default/one.qcow2" one.img

step "a damaged ancestor: nothing is made over it once that is known"
base=$(find "$LAYERS" -maxdepth 1 -name '*.qcow2')
# The bytes that 1.1.0 has elsewhere
offset=$(qemu-img map --output json "$base" |
    jq '[.[] | select(.data and .start <= 3010 * 4096 and .start + .length > 3010 * 4096)][0] | 3010 * 4096 - .start + .offset')
chattr -i "$base"
printf 'damage!!' | dd of="$base" bs=1 seek="$offset" conv=notrunc status=none
chattr +i "$base"
expect_fail 'layer 1 of 1 ' virt-template verify --quiet debian@1.0.0
expect_fail 'damaged.*verify --repair' virt-template pull --quiet debian@1.1.0
[ ! -e "$POOL/debian@1.1.0.qcow2" ]

step "a damaged ancestor that nobody knew of: what was taken from it is repaired, too"
virsh vol-delete one.qcow2 default
virt-template evict debian@1.0.0
clone one.qcow2 debian@1.0.0.qcow2
chattr -i "$base"
printf 'damage!!' | dd of="$base" bs=1 seek="$offset" conv=notrunc status=none
chattr +i "$base"
clone two.qcow2 debian@1.1.0.qcow2
[ "$(guest_sha256 "$IMAGES/default/two.qcow2")  -" != "$(sha256sum <two.img)" ] ||
    fail 'the damage does no harm, so this proves nothing'
expect_fail 'layer 1 of 2 ' virt-template verify --quiet debian@1.1.0
assert_match '2 of 2 layers were repaired' "$(virt-template verify --repair debian@1.1.0)"
virt-template verify --quiet debian@1.1.0
reads "$IMAGES/default/two.qcow2" two.img
reads "$IMAGES/default/one.qcow2" one.img

step "the disk is full half-way through an overlay"
stop_helper
make_image 64M base.img 1
cp base.img over.img
dd if=/dev/urandom of=over.img bs=1M seek=20 count=40 conv=notrunc status=none
start_registry plain
REMOTE=docker://$REGISTRY/golden
make_store "$REMOTE" golden.key
publish "$REMOTE" golden.key base.img big@1.0.0
publish "$REMOTE" golden.key over.img big@1.1.0 --parent big@1.0.0
# A file system that cannot reserve space: what is written decides
truncate -s 90M small.img
mkfs.ext2 -q -m 0 small.img
loop=$(losetup --find --show small.img)
cleanup_fn losetup -d "$loop"
mkdir -p "$IMAGES/small"
mount "$loop" "$IMAGES/small"
cleanup_fn umount "$IMAGES/small"
start_helper
define_pool small "$REMOTE"
virt-template pull --pool small --quiet big@1.0.0
# The registry stops when the overlay has begun, until somebody else has filled the disk
(
    wait_until 20 bash -c "[ -s \"\$(find $IMAGES/small/.layers/.partial -type f | head -n 1)\" ]"
    kill -STOP "$REGISTRY_PID"
    dd if=/dev/zero of="$IMAGES/small/filler" bs=1M count=100 2>/dev/null || :  # until it is full
    kill -CONT "$REGISTRY_PID"
) &
filler=$!
expect_fail 'cannot write .*No space left on device' virt-template pull --pool small --quiet big@1.1.0
wait $filler
[ ! -e "$IMAGES/small/big@1.1.0.qcow2" ]
virt-template verify --pool small --quiet big@1.0.0
ls -ls "$IMAGES/small/.layers" "$IMAGES/small/.layers/.partial"

step "with more room the same call goes on where it stopped"
rm "$IMAGES/small/filler"
virt-template pull --pool small big@1.1.0
virt-template verify --pool small --quiet big@1.1.0
reads "$IMAGES/small/big@1.1.0.qcow2" over.img
assert_libvirtd_alive
