#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The directory of the pool, or of the clone, is missing or cannot be written
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template

STORE=oci:$PWD/golden

make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img
publish "$STORE" golden.key one.img debian@1.0.0
start_helper
start_libvirtd
define_dir_pool default

step "a pool without its directory does not start, and the error names it"
pool_xml missing "$STORE" "$PWD/no/such/folder" >missing.xml
virsh pool-define missing.xml
expect_fail "no/such/folder" virsh pool-start missing

step "a read-only directory: the pool lists, and a clone says why it cannot be made"
mkdir readonly
mount -t tmpfs -o ro tmpfs readonly
define_pool readonly "$STORE" "$PWD/readonly"
assert_match 'debian@1.0.0.qcow2' "$(virsh vol-list readonly)"
expect_fail 'Read-only|read-only' clone web.qcow2 debian@1.0.0.qcow2 default readonly
[ ! -e /var/lib/libvirt/images/default/web.qcow2 ]
assert_libvirtd_alive

step "it is fetched when the directory can be written"
mount -o remount,rw "$PWD/readonly"
clone web.qcow2 debian@1.0.0.qcow2 default readonly

step "a destination pool that is read-only"
mkdir target
define_dir_pool target "$PWD/target"
mount -t tmpfs -o ro tmpfs target
expect_fail 'Read-only|read-only' clone web2.qcow2 debian@1.0.0.qcow2 target readonly
assert_libvirtd_alive

step "a clone keeps its base while its file system is not mounted, and no longer"
mkdir disk vms
mount -t tmpfs tmpfs disk
mount --bind disk vms
define_dir_pool vms "$PWD/vms"
clone db.qcow2 debian@1.0.0.qcow2 vms readonly
virsh vol-delete web.qcow2 default
virsh pool-destroy vms
umount vms
expect_fail "$PWD/vms/db.qcow2" virsh vol-delete debian@1.0.0.qcow2 readonly
mount --bind disk vms
virsh pool-start vms
virsh vol-delete db.qcow2 vms
virsh vol-delete debian@1.0.0.qcow2 readonly
[ ! -e readonly/debian@1.0.0.qcow2 ]
