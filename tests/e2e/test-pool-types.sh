#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Clones on a local file system and on one of the network, which libvirt mounts for a pool; templates
# and their store on the network, too. GlusterFS stands for all: as NFS it has no unnamed files.
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img qemu-io glusterd gluster mount.glusterfs mkfs.ext4 losetup qemu-system-x86_64 virt-template

SERVER=192.0.2.10
IMAGES=/var/lib/libvirt/images
STORE=oci:$PWD/golden

# The mount of /var/lib in a test is an overlay, which cannot carry what a brick writes
start_gluster() {
    mkdir -p brick glusterd /run/gluster /var/lib/glusterd /var/log/glusterfs
    mount --bind glusterd /var/lib/glusterd
    ip address add $SERVER/32 dev lo
    glusterd --no-daemon --log-file="$LOGS/glusterd.log" 3>&- &
    wait_daemon glusterd $! gluster pool list
    gluster volume create images $SERVER:"$PWD/brick" force
    gluster volume start images
}

fs_pool_xml() {
    cat <<END
<pool type='fs'>
  <name>fs</name><source><device path='$1'/><format type='ext4'/></source>
  <target><path>$IMAGES/fs</path></target>
</pool>
END
}

netfs_pool_xml() {
    cat <<END
<pool type='netfs'>
  <name>netfs</name>
  <source><host name='$SERVER'/><dir path='images'/><format type='glusterfs'/></source>
  <target><path>$IMAGES/netfs</path></target>
</pool>
END
}

make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img 1
publish "$STORE" golden.key one.img debian@1.0.0
start_gluster
truncate -s 512M fs.img
mkfs.ext4 -qF fs.img
loop=$(losetup --find --show fs.img)
cleanup_fn losetup -d "$loop"
fs_pool_xml "$loop" >fs.xml
netfs_pool_xml >netfs.xml
start_helper
start_virtlogd
start_libvirtd
define_pool templates "$STORE"
virsh vol-list templates

# clones POOL: each kind of clone in a pool, and its end
clones() {
    local images=$IMAGES/$1 before
    step "$1: libvirt mounts it"
    virsh pool-define "$1.xml"
    virsh pool-build "$1"
    virsh pool-start "$1"
    mountpoint "$images"

    step "$1: a linked clone"
    clone web.qcow2 debian@1.0.0.qcow2 "$1"
    assert_match "backing file: $IMAGES/templates/debian@1.0.0.qcow2" \
        "$(qemu-img info --backing-chain "$images/web.qcow2")"
    before=$(sha256sum <"$IMAGES/templates/debian@1.0.0.qcow2")
    qemu-io -c 'write -P 0xee 1M 4M' "$images/web.qcow2"
    qemu-img check "$images/web.qcow2"
    assert_eq "$(sha256sum <"$IMAGES/templates/debian@1.0.0.qcow2")" "$before" 'the base'
    assert_eq "$(virsh vol-info --bytes web.qcow2 "$1" | awk '/^Capacity/ {print $2}')" $((64 << 20))

    step "$1: full copies"
    volume_xml raw.img raw >raw.xml
    virsh vol-create-from "$1" raw.xml debian@1.0.0.qcow2 --inputpool templates
    cmp "$images/raw.img" one.img
    volume_xml full.qcow2 | sed "s|<format type='qcow2'/>|&<compat>1.1</compat><features/>|" >full.xml
    virsh vol-create-from "$1" full.xml debian@1.0.0.qcow2 --inputpool templates
    assert_no_match 'backing file' "$(qemu-img info "$images/full.qcow2")"
    qemu-img compare "$images/full.qcow2" one.img

    step "$1: a template is not removed while it has clones there"
    expect_fail "$images/web.qcow2" virsh vol-delete debian@1.0.0.qcow2 templates
    virsh pool-refresh "$1"
    virsh vol-delete web.qcow2 "$1"
    virsh vol-delete raw.img "$1"
    virsh vol-delete full.qcow2 "$1"
    virsh vol-delete debian@1.0.0.qcow2 templates
    assert_eq "$(find "$images" -mindepth 1 -not -name lost+found | tr '\n' ' ')" '' 'what is left'
}

clones fs
clones netfs

step "netfs: a store and a template pool on it"
far=oci:$IMAGES/netfs/golden
make_store "$far" golden.key
publish "$far" golden.key one.img far@1.0.0
define_pool far "$far" "$IMAGES/netfs/templates"
clone near.qcow2 far@1.0.0.qcow2 fs far
qemu-img compare "$IMAGES/fs/near.qcow2" one.img
clone far.qcow2 far@1.0.0.qcow2 netfs far
qemu-img compare "$IMAGES/netfs/far.qcow2" one.img
virt-template verify --pool far far@1.0.0

step "netfs: a guest starts from its clone and seed there, and the base stays as it was"
base=$IMAGES/netfs/templates/far@1.0.0.qcow2
before=$(stat -c '%u %g %a' "$base" && sha256sum <"$base")
virt-template provision far@1.0.0 guest --template-pool far --pool netfs --virt-type qemu \
    --no-network --memory 64 --set hostname=guest --start
assert_eq "$(virsh domstate guest)" running
[ -s "$IMAGES/netfs/templates/guest-seed.iso" ] || fail "there is no seed in the pool"
virsh destroy guest
virsh undefine guest
virsh vol-delete guest.qcow2 netfs
[ ! -e "$IMAGES/netfs/templates/guest-seed.iso" ] || fail "the seed outlived its guest"
assert_eq "$(stat -c '%u %g %a' "$base" && sha256sum <"$base")" "$before" 'the base'
expect_fail 'Read-only|not permitted|denied' dd if=/dev/zero of="$base" bs=4k count=1 conv=notrunc

step "netfs: what is there is known again after a restart, and removed"
restart_helper
restart_libvirtd
expect_fail 'near.qcow2|far.qcow2' virsh vol-delete far@1.0.0.qcow2 far
virsh vol-delete near.qcow2 fs
virsh vol-delete far.qcow2 netfs
virsh vol-delete far@1.0.0.qcow2 far

step "libvirt unmounts both"
virsh pool-destroy far
for pool in fs netfs; do
    virsh pool-destroy "$pool"
    ! mountpoint "$IMAGES/$pool" || fail "$pool is mounted still"
done
assert_libvirtd_alive
