#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Pools without templates: every call has the same result with our module and without
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img mkfs.ext4

# run COMMAND...: into the record, with its exit status; what differs from run to run is left out
run() {
    local status=0
    echo "\$ $*"
    "$@" 2>&1 | sed -E '/<uuid>|<available|UUID:|Available:|<[amcb]time>|Allocation:|<allocation/d' ||
        status=${PIPESTATUS[0]}
    echo "-> $status"
}

# Every volume call on the running pool $1
volume_calls() {
    local pool=$1
    run virsh vol-create-as "$pool" raw.img 4M
    run virsh vol-create-as "$pool" disk.qcow2 8M --format qcow2
    run virsh vol-create-as "$pool" over.qcow2 8M --format qcow2 --backing-vol disk.qcow2 \
        --backing-vol-format qcow2
    run virsh vol-create-as "$pool" disk.qcow2 8M
    run virsh vol-create-as "$pool" a@1.0.0.qcow2 1M --format qcow2
    run virsh vol-create-as "$pool" .hidden 1M
    run virsh vol-clone disk.qcow2 copy.qcow2 --pool "$pool"
    volume_xml from.img raw >from.xml
    run virsh vol-create-from "$pool" from.xml disk.qcow2 --inputpool "$pool"
    run virsh vol-resize disk.qcow2 16M --pool "$pool"
    run virsh vol-resize disk.qcow2 1M --pool "$pool"
    head -c 1M /dev/zero | tr '\0' x >upload
    run virsh vol-upload raw.img upload --pool "$pool"
    run virsh vol-download raw.img download --pool "$pool"
    run cmp -n 1048576 upload download
    run virsh vol-wipe raw.img --pool "$pool"
    run virsh vol-download raw.img download --pool "$pool"
    run sha256sum download
    run virsh pool-refresh "$pool"
    run virsh vol-list "$pool"
    for volume in raw.img disk.qcow2 over.qcow2 copy.qcow2 from.img a@1.0.0.qcow2 .hidden; do
        run virsh vol-info "$volume" --pool "$pool"
        run virsh vol-dumpxml "$volume" --pool "$pool"
        run virsh vol-path "$volume" --pool "$pool"
        run virsh vol-key "$volume" --pool "$pool"
    done
    run virsh vol-name "/var/lib/libvirt/images/$pool/raw.img"
    run virsh vol-info nothing.img --pool "$pool"
    rm "/var/lib/libvirt/images/$pool/from.img"
    run virsh vol-info from.img --pool "$pool"
    run virsh vol-delete from.img --pool "$pool"
    run virsh vol-delete raw.img --pool "$pool"
    run virsh vol-delete raw.img --pool "$pool"
    run virsh vol-delete disk.qcow2 --pool "$pool" --delete-snapshots
    run virsh vol-delete a@1.0.0.qcow2 --pool "$pool"
}

fs_pool_xml() {
    cat <<END
<pool type='fs' xmlns:fs='http://libvirt.org/schemas/storagepool/fs/1.0'>
  <name>fs</name><source><device path='$1'/><format type='ext4'/></source>
  <target><path>/var/lib/libvirt/images/fs</path></target>
  <fs:mount_opts><fs:option name='noatime'/></fs:mount_opts>
</pool>
END
}

# everything RECORD: the life of a dir pool and of a file system pool
everything() {
    truncate -s 64M fs.img
    mkfs.ext4 -qF -U 3941f61d-abb6-44c3-b502-f704112480b6 fs.img
    loop=$(losetup --find --show fs.img)
    fs_pool_xml "$loop" >fs.xml
    {
        run virsh pool-define-as dir dir --target /var/lib/libvirt/images/dir
        run virsh pool-start dir
        run virsh pool-build dir
        run virsh pool-start dir
        run virsh pool-dumpxml dir
        volume_calls dir
        run virsh pool-define fs.xml
        run virsh pool-build fs
        run virsh pool-start fs
        run virsh pool-dumpxml fs
        volume_calls fs
        run virsh pool-refresh fs
        run virsh pool-destroy fs
        run virsh pool-undefine fs
        rm -rf /var/lib/libvirt/images/dir/*  /var/lib/libvirt/images/dir/.hidden
        run virsh pool-destroy dir
        run virsh pool-delete dir
        run virsh pool-undefine dir
    } >"$1"
    losetup -d "$loop"
    sed -i "s|$loop|LOOP|" "$1"
    rm -rf /var/lib/libvirt/images/fs fs.img
}

step "a record of all calls with libvirt as it comes"
start_libvirtd --stock
everything stock.txt
[ "$(grep -c '^-> 0' stock.txt)" -gt 60 ] || fail "the calls do not work at all"
stop_libvirtd

step "the same record with our module, also without the helper"
start_libvirtd
everything ours.txt
diff -u stock.txt ours.txt

step "the same set of pool types"
assert_libvirtd_alive
virsh pool-capabilities >ours.caps
restart_libvirtd --stock
virsh pool-capabilities >stock.caps
# libvirt describes the name space of fs and netfs pools only
diff -u stock.caps ours.caps
