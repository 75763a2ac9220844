#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# From an image to a linked clone and back, through a store in a directory
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img qemu-io skopeo jq virt-template

STORE=oci:$PWD/golden
IMAGES=/var/lib/libvirt/images

allocation() {
    virsh vol-info --bytes "$1" "$2" | awk '/^Allocation/ {print $2}'
}

step "publish a raw and a qcow2 image"
make_key golden
make_store "$STORE" golden.key
make_image 64M one.img 1
make_image 96M two.img 2
qemu-img convert -f raw -O qcow2 two.img two.qcow2
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.qcow2 debian@1.1.0
one=$(sha256sum <one.img)
two=$(sha256sum <two.img)

step "an OCI tool reads what we wrote"
manifest=$(skopeo inspect --raw "oci:$PWD/golden:debian/1.0.0")
assert_eq "$(jq -r .artifactType <<<"$manifest")" application/vnd.virt-template.v1

step "the pool lists every version and the current one, none of them here"
make_policy "$PWD/golden.pub"
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
list=$(virsh vol-list templates)
for volume in debian@1.0.0.qcow2 debian@1.1.0.qcow2 debian.qcow2; do
    assert_match "$volume +$IMAGES/templates/$volume" "$list"
    assert_eq "$(allocation "$volume" templates)" 0 "allocation of $volume"
done
assert_match "<capacity unit='bytes'>$((64 << 20))<" "$(virsh vol-dumpxml debian@1.0.0.qcow2 templates)"
assert_match "<format type='qcow2'/>" "$(virsh vol-dumpxml debian.qcow2 templates)"

step "a linked clone of one version in another pool"
clone web1.qcow2 debian@1.0.0.qcow2
chain=$(qemu-img info --backing-chain "$IMAGES/default/web1.qcow2")
assert_match "backing file: $IMAGES/templates/debian@1.0.0.qcow2" "$chain"
assert_match 'backing file format: qcow2' "$chain"
assert_eq "$(guest_sha256 "$IMAGES/default/web1.qcow2")  -" "$one" 'what the guest reads'
qemu-img check "$IMAGES/default/web1.qcow2"
[ "$(stat -c %s "$IMAGES/default/web1.qcow2")" -lt $((1 << 20)) ] || fail "the clone is not small"
[ "$(allocation debian@1.0.0.qcow2 templates)" -gt 0 ] || fail "the template has no allocation"

step "the name without version means the current one, and the clone is tied to that version"
clone web2.qcow2 debian.qcow2
assert_match "backing file: $IMAGES/templates/debian@1.1.0.qcow2" \
    "$(qemu-img info "$IMAGES/default/web2.qcow2")"
assert_eq "$(guest_sha256 "$IMAGES/default/web2.qcow2")  -" "$two" 'what the guest reads'

step "a write to the clone does not reach the base, which nobody can alter"
base=$IMAGES/templates/debian@1.0.0.qcow2
before=$(sha256sum <"$base")
qemu-io -c 'write -P 0xee 1M 4M' "$IMAGES/default/web1.qcow2"
assert_eq "$(sha256sum <"$base")" "$before" 'the base'
assert_eq "$(stat -c '%a %U' "$base")" '444 root'
qemu-img check "$base"
expect_fail 'not permitted|denied' dd if=/dev/zero of="$base" bs=4k count=1 conv=notrunc
expect_fail 'not permitted|denied' chown libvirt-qemu "$base"

step "a raw destination is a full copy"
volume_xml web3.img raw >raw.xml
virsh vol-create-from default raw.xml debian@1.0.0.qcow2 --inputpool templates
assert_eq "$(sha256sum <"$IMAGES/default/web3.img")" "$one" 'the raw copy'

step "a template in use is not removed, and the error names the clones"
expect_fail "$IMAGES/default/web1.qcow2" virsh vol-delete debian@1.0.0.qcow2 templates
[ -f "$base" ]

step "without its clones it is evicted, and stays listed"
virsh vol-delete web1.qcow2 default
virsh vol-delete debian@1.0.0.qcow2 templates
[ ! -e "$base" ]
assert_match 'debian@1.0.0.qcow2' "$(virsh vol-list templates)"
assert_eq "$(allocation debian@1.0.0.qcow2 templates)" 0 'allocation after eviction'
clone web4.qcow2 debian@1.0.0.qcow2
assert_eq "$(guest_sha256 "$IMAGES/default/web4.qcow2")  -" "$one" 'fetched again'

step "everything is still there after a restart of both daemons"
restart_helper
restart_libvirtd
assert_match 'debian@1.1.0.qcow2' "$(virsh vol-list templates)"
assert_match 'urn:virt-template:pool:1' "$(virsh pool-dumpxml templates)"
assert_match "store url=.$STORE" "$(virsh pool-dumpxml templates)"
expect_fail "$IMAGES/default/web4.qcow2" virsh vol-delete debian@1.0.0.qcow2 templates
clone web5.qcow2 debian@1.0.0.qcow2

step "a name that is taken is refused, and the volume is as before"
before=$(sha256sum <"$IMAGES/default/web5.qcow2")
expect_fail "'web5.qcow2' already in use" clone web5.qcow2 debian@1.0.0.qcow2
assert_eq "$(sha256sum <"$IMAGES/default/web5.qcow2")" "$before"
assert_libvirtd_alive
