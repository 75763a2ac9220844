#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The directory of the pool, or of the clone, is missing or cannot be written
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template setpriv strace

STORE=oci:$PWD/golden

# All threads of libvirtd
is_traced() {
    ! grep -L "^TracerPid:.[1-9]" "/proc/$LIBVIRTD_PID"/task/*/status | grep -q .
}

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

step "a file system that knows neither a rename that replaces nothing nor links"
strace -f -qq -p "$LIBVIRTD_PID" -o calls -e trace=renameat2,?link,linkat \
    -e inject=renameat2:error=EINVAL -e inject=?link,linkat:error=EPERM 3>&- &
tracer=$!
wait_until 20 is_traced
clone plain.qcow2 debian@1.0.0.qcow2 default readonly
stop_pid $tracer
grep 'renameat2.*INJECTED' calls
grep 'link.*INJECTED' calls
assert_eq "$(find /var/lib/libvirt/images/default ! -type d -printf '%f\n')" plain.qcow2
qemu-img check /var/lib/libvirt/images/default/plain.qcow2
virsh vol-delete plain.qcow2 default

step "a folder where only the user may create files that they are for, as where a server squashes root"
mkdir bin squashed
cat >bin/libvirtd <<END
#!/bin/sh
exec setpriv --bounding-set -dac_override $(command -v libvirtd) "\$@"
END
chmod +x bin/libvirtd
chown 1234:1234 squashed
define_dir_pool squashed "$PWD/squashed"
PATH=$PWD/bin:$PATH restart_libvirtd
volume_xml hers.qcow2 |
    sed 's,</target>,<permissions><mode>0600</mode><owner>1234</owner><group>1234</group></permissions>&,' >hers.xml
virsh vol-create-from squashed hers.xml debian@1.0.0.qcow2 --inputpool readonly
assert_eq "$(find squashed -mindepth 1 -printf '%f %U:%G %m\n')" "hers.qcow2 1234:1234 600"
expect_fail 'Permission denied|not permitted' clone roots.qcow2 debian@1.0.0.qcow2 squashed readonly
assert_eq "$(ls -A squashed)" hers.qcow2
