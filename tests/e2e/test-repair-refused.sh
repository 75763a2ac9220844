#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What stands in the way of a repair is told, and then nothing has changed
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img losetup mkfs.ext4 virt-template

STORE=oci:$PWD/golden
IMAGES=/var/lib/libvirt/images
POOL=$IMAGES/templates
LAYERS=$POOL/.layers

reads() {
    assert_eq "$(guest_sha256 "$1")  -" "$(sha256sum <"$2")" "what a guest on $1 reads"
}

# flip FILE: other bytes in its middle, behind the seal's back
flip() {
    local size
    size=$(stat -c %s "$1")
    chattr -i "$1"
    printf 'damage!!' | dd of="$1" bs=1 seek=$((size / 2 - size / 2 % 4096)) conv=notrunc status=none
    chattr +i "$1"
}

snapshot() {
    (cd "$POOL" && find . -path ./lost+found -prune -o -type f ! -name filler -printf '%p %i %s %T@ %m\n' | sort)
}

# repair_fails REGEX: and nothing has changed
repair_fails() {
    local before
    before=$(snapshot)
    expect_fail "$1" virt-template verify --repair --quiet debian@1.1.0
    assert_eq "$(snapshot)" "$before" 'files after a repair that failed'
    assert_eq "$(find "$LAYERS/.partial" -type f | wc -l)" 0 'files that a repair left'
    [[ $(lsattr "$base") = ----i* ]] || fail "$base is not sealed"
}

make_key golden
make_key other
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img 1
cp one.img two.img
dd if=/dev/urandom of=two.img bs=4096 seek=700 count=200 conv=notrunc status=none
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0 --parent auto
truncate -s 200M pool.img
mkfs.ext4 -q -m 0 pool.img
loop=$(losetup --find --show pool.img)
cleanup_fn losetup -d "$loop"
mkdir -p "$POOL"
mount "$loop" "$POOL"
cleanup_fn umount "$POOL"
start_helper
start_libvirtd
define_dir_pool default
define_pool templates "$STORE"
clone one.qcow2 debian@1.0.0.qcow2
clone two.qcow2 debian@1.1.0.qcow2
base=$LAYERS/$(qemu-img info --output json "$POOL/debian@1.1.0.qcow2" |
    sed -n 's|.*"backing-filename": ".*/.layers/\(.*\)".*|\1|p')
[ -f "$base" ] || fail "no base '$base'"
flip "$base"

step "the store is away"
mv golden elsewhere
repair_fails "was not repaired, nothing was changed: layer 1 of 2: .*$PWD/golden"
mv elsewhere golden

step "the store has lost the frames"
mv golden/blobs/sha256 kept-blobs
mkdir golden/blobs/sha256
find kept-blobs -type f -size -200k -exec cp {} golden/blobs/sha256/ \;
repair_fails 'was not repaired, nothing was changed: layer 1 of 2: .*sha256[:/]'
rm -r golden/blobs/sha256
mv kept-blobs golden/blobs/sha256

step "the policy does not trust the signature any more"
make_policy "$PWD/other.pub"
repair_fails 'other.pub|signature'
make_policy "$PWD/golden.pub"

step "the disk is full"
fallocate -l "$(($(stat -f -c '%a * %S' "$POOL") - 2000000))" "$POOL/filler"
repair_fails 'was not repaired, nothing was changed: layer 1 of 2: .* needs [0-9]+ bytes, .* has [0-9]+ left'
rm "$POOL/filler"

step "only the layer that is damaged is named"
expect_fail 'layer 1 of 2 ' virt-template verify --quiet debian@1.1.0
assert_no_match 'layer 2 of 2' "$output"

step "killed at any time, the pool is right or is repaired again"
for delay in 0.02 0.05 0.1 0.15 0.2 0.3; do
    virt-template verify --repair --quiet debian@1.1.0 &
    client=$!
    sleep $delay
    kill -KILL "$HELPER_PID"
    wait "$HELPER_PID" 2>/dev/null || :  # killed
    wait $client 2>/dev/null || :  # its helper is gone
    HELPER_PID=
    rm -f $SOCKET $SOCKET-ro
    start_helper
    virsh pool-refresh templates
    virt-template verify --repair debian@1.1.0
    virt-template verify --quiet debian@1.1.0
    reads "$IMAGES/default/two.qcow2" two.img
    reads "$IMAGES/default/one.qcow2" one.img
    assert_eq "$(stat -c %i "$POOL/debian@1.0.0.qcow2")" "$(stat -c %i "$base")" 'the version is its layer'
    flip "$base"
done
virt-template verify --repair debian@1.1.0

step "an interrupted exchange of names is brought to its end"
flip "$base"
cp --sparse=always "$base" right.qcow2
virt-template verify --repair debian@1.1.0
stop_helper
hex=$(basename "$base" .qcow2)
chattr -i "$base"
cp --sparse=always right.qcow2 "$LAYERS/.partial/$hex.old"
ln -f "$LAYERS/.partial/$hex.old" "$POOL/debian@1.0.0.qcow2"
start_helper
virsh pool-refresh templates
assert_eq "$(stat -c %i "$POOL/debian@1.0.0.qcow2")" "$(stat -c %i "$base")" 'the version is its layer'
[ ! -e "$LAYERS/.partial/$hex.old" ]
[[ $(lsattr "$base") = ----i* ]] || fail "$base is not sealed"
virt-template verify debian@1.1.0
reads "$IMAGES/default/one.qcow2" one.img

step "cancelled: nothing has changed"
flip "$base"
before=$(snapshot)
virt-template verify --repair debian@1.1.0 2>cancelled &
client=$!
sleep 0.05
kill -INT $client
status=0
wait $client || status=$?
echo "exit status $status: $(cat cancelled)"
[ $status = 0 ] || assert_eq "$(snapshot)" "$before" 'files after a repair that was cancelled'

step "a version that the catalog does not have any more"
"$VT_E2E_DIR/forge.py" golden uncatalog golden.key debian 1.1.0
repair_fails "debian@1.1.0' is not in the catalog"
assert_libvirtd_alive
