#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What docs/operations.md tells operators to do: a lost database, a pool that moves, one that is lost
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img tar virt-template

STORE=oci:$PWD/golden
IMAGES=/var/lib/libvirt/images
POOL=$IMAGES/templates

reads_as_before() {
    qemu-img check "$IMAGES/default/web.qcow2"
    assert_eq "$(guest_sha256 "$IMAGES/default/web.qcow2")  -" "$(sha256sum <one.img)" "the guest's disk"
}

host_with_template "$STORE"
clone web.qcow2 debian@1.0.0.qcow2

step "the database is lost: no layer and no clone is"
stop_helper
rm /var/lib/virt-template/state.db*
start_helper
virsh pool-refresh templates
assert_match 'debian +1.0.0 .*here' "$(virt-template list)"
clone next.qcow2 debian@1.0.0.qcow2
expect_fail "needed by 2 clones" virt-template evict debian@1.0.0
reads_as_before

step "the pool moves to another file system, below the same path"
virsh pool-destroy templates
virt-template jobs
mkdir "$VT_SCRATCH/new"
truncate -s 200M disk.ext4
mke2fs -q -t ext4 disk.ext4
mount -o loop disk.ext4 "$VT_SCRATCH/new"
cleanup_fn umount -l "$VT_SCRATCH/new"
chattr -f -i $POOL/.layers/*.qcow2
cp -a --sparse=always $POOL/. "$VT_SCRATCH/new/"
rm -rf "${POOL:?}"/* $POOL/.layers $POOL/.clones
mount --bind "$VT_SCRATCH/new" $POOL
cleanup_fn umount -l $POOL
chattr +i $POOL/.layers/*.qcow2
virsh pool-start templates
reads_as_before
virt-template verify debian@1.0.0
expect_fail "needed by 2 clones" virt-template evict debian@1.0.0
clone third.qcow2 debian@1.0.0.qcow2

step "the pool is lost: a pull makes the same files again, and the records come from the backup"
tar -C $POOL -cf clones.tar .clones
virsh pool-destroy templates
chattr -i $POOL/.layers/*.qcow2
rm -rf "${POOL:?}"/*.qcow2 $POOL/.layers $POOL/.clones
virsh pool-start templates --build
virt-template pull debian@1.0.0
tar -C $POOL -xf clones.tar
reads_as_before
expect_fail "needed by 3 clones" virt-template evict debian@1.0.0
assert_libvirtd_alive

step "the pool is given up"
for name in web next third; do virsh vol-delete $name.qcow2 default; done
virt-template evict debian@1.0.0
virsh pool-destroy templates
virsh pool-undefine templates
