#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Used machines become images: nothing of them is left, in ext4, btrfs, xfs and vfat
set -euo pipefail
# shellcheck source=tests/e2e/guest.sh
. "$(dirname "$0")/guest.sh"
make_guest_image
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virt-template qemu-system-x86_64 qemu-img qemu-io debugfs e2fsck sfdisk mkfs.btrfs \
    mkfs.xfs mkswap mformat mcopy xfs_repair btrfs setpriv busybox

# In every file that has to go, and nowhere else
MARK=virt-template-secret-of-one-machine

# The guest that does it has the kernel of the image: this machine may have none
debugfs -R "rdump /boot $PWD" "$(guest_system "$GUEST_IMAGE")"
debugfs -R "rdump /usr/lib/modules $PWD" "$(guest_system "$GUEST_IMAGE")"
KERNEL=$(echo "$PWD"/boot/vmlinuz-*)
MODULES=$(echo "$PWD"/modules/*)
[ -f "$KERNEL" ] || fail "no kernel in $GUEST_IMAGE"
[ -f "$MODULES/modules.dep" ] || fail "no modules in $GUEST_IMAGE"
chmod -R a+rX boot modules
mkdir images
chown nobody: images

as_nobody() {
    setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}

prepare() {
    as_nobody virt-template prepare --with qemu --kernel "$KERNEL" --modules "$MODULES" "$@"
}

# secret FILE BYTES: full of the mark
secret() {
    mkdir -p "$(dirname "$1")"
    yes $MARK | head -c "$2" >"$1" || [ $? = 141 ]
}

# secrets_in RAW: how many marks its disk has, in files or free space
secrets_in() {
    { grep -ao $MARK "$1" || [ $? = 1 ]; } | wc -l
}

# secrets_in_qcow2 FILE
secrets_in_qcow2() {
    qemu-img convert -O raw "$1" whole.raw
    secrets_in whole.raw
}

# commands_to_spoil: for debugfs(8), whose write puts a file into the current folder
commands_to_spoil() {
    local folder name
    printf '%s\n' 'rm /etc/machine-id' 'cd /etc' 'write id machine-id' 'mkdir /var/cache/apt'
    while read -r folder name; do
        printf '%s\n' "mkdir $folder" "cd $folder" "write mark $name"
    done <<'FILES'
/etc/ssh ssh_host_ed25519_key
/etc/ssh ssh_host_ed25519_key.pub
/etc/udev/rules.d 70-persistent-net.rules
/var/lib/systemd random-seed
/var/lib/dhcp dhclient.eth0.leases
/var/lib/cloud user-data.txt
/var/log syslog
/var/log syslog.1
/var/log/journal system.journal
/var/cache/apt/archives hello_1_amd64.deb
/root .bash_history
/tmp session
FILES
    printf '%s\n' 'cd /srv' 'write big big' 'rm big'
}

# spoil IMAGE: a machine has run on it
spoil() {
    secret mark 20000
    secret big 60000000
    echo 0123456789abcdef0123456789abcdef >id
    commands_to_spoil >commands
    debugfs -w -f commands "$(guest_system "$1")"
}

# of IMAGE PATH: what debugfs(8) says of it
stat_of() {
    debugfs -R "stat $2" "$(guest_system "$1")" 2>&1
}

allocated() {
    qemu-img info --output=json "$1" | jq '."actual-size"'
}

step "a used Debian, raw: the report names everything, and nothing is left"
cp --sparse=always "$GUEST_IMAGE" images/debian.raw
spoil images/debian.raw
qemu-img convert -O qcow2 images/debian.raw images/debian.qcow2
chown nobody: images/*
[ "$(secrets_in images/debian.raw)" -gt 100000 ] || fail 'the image is not spoiled'
before=$(allocated images/debian.raw)
prepare -v images/debian.raw >report
cat report
assert_match '^Debian GNU/Linux 12.*, ext4, partition 1$' "$(<report)"
for line in 'machine-id      1 file, ' 'ssh-host-keys   2 files, ' 'random-seed     1 file, ' \
    'cloud-init      1 file, ' 'net-names       1 file, ' 'dhcp-leases     1 file, ' \
    'logs            3 files, ' 'shell-history   1 file, ' 'tmp-files       1 file, ' \
    'package-caches  1 file, ' 'caches          nothing to do' 'logs: /var/log/syslog.1' \
    'free-space      .* on this disk, was '; do
    assert_match "^  $line" "$(<report)"
done
assert_eq "$(secrets_in images/debian.raw)" 0 'secrets left'
[ $((before - $(allocated images/debian.raw))) -gt 55000000 ] || fail 'the image did not shrink'
e2fsck -fn "$(guest_system images/debian.raw)"
assert_match 'Mode: +0?644.*' "$(stat_of images/debian.raw /var/log/syslog)"
assert_match 'Size: 0$' "$(stat_of images/debian.raw /etc/machine-id)"
for path in /etc/ssh/ssh_host_ed25519_key /var/log/syslog.1 /var/log/journal/system.journal \
    /var/lib/cloud/user-data.txt /root/.bash_history; do
    assert_match 'File not found' "$(stat_of images/debian.raw $path)"
done
for path in /etc/os-release /var/log /var/log/journal /tmp /usr/bin/cloud-init; do
    assert_match 'Inode: [0-9]+' "$(stat_of images/debian.raw $path)"
done

step "once more there is nothing to do"
prepare images/debian.raw >report
assert_eq "$(grep -c 'nothing to do' report)" 12 "$(<report)"

step "--dry-run says the same of a qcow2 that cannot be written, and changes nothing"
chmod 0444 images/debian.qcow2
sum=$(sha256sum <images/debian.qcow2)
prepare --dry-run images/debian.qcow2 >report
cat report
assert_match '^  logs            3 files to do, ' "$(<report)"
assert_eq "$(sha256sum <images/debian.qcow2)" "$sum"

step "only what is asked for"
chmod 0644 images/debian.qcow2
prepare -o logs,tmp-files images/debian.qcow2 >report
assert_eq "$(wc -l <report)" 3 "$(<report)"
prepare -o -free-space,-machine-id images/debian.qcow2 >report
assert_match '^  ssh-host-keys   2 files' "$(<report)"
assert_match '^  logs            nothing to do' "$(<report)"
assert_no_match 'free-space|machine-id' "$(<report)"

step "a qcow2 loses what was deleted long ago, also between what is used"
before=$(allocated images/debian.qcow2)
[ "$(secrets_in_qcow2 images/debian.qcow2)" -gt 100000 ] || fail 'free space was zeroed unasked'
prepare images/debian.qcow2
assert_eq "$(secrets_in_qcow2 images/debian.qcow2)" 0 'secrets left'
[ $((before - $(allocated images/debian.qcow2))) -gt 55000000 ] || fail 'the image did not shrink'
qemu-img check -q images/debian.qcow2

step "btrfs, xfs, vfat and swap, found by fstab"
secret root/etc/ssh/ssh_host_rsa_key 20000
secret root/var/lib/systemd/random-seed 20000
secret log/syslog.1 20000
secret log/syslog 20000
secret random-seed 512
mkdir -p root/run root/efi root/var/log root/usr/lib root/etc/sysconfig/network-scripts
echo 'PRETTY_NAME="Small System"' >root/usr/lib/os-release
# Who reads them waits for ever
mkfifo root/etc/os-release root/etc/sysconfig/network-scripts/ifcfg-eth0
echo '0123456789abcdef0123456789abcdef' >root/etc/machine-id
cat >root/etc/fstab <<'FSTAB'
# root
LABEL=system            /         btrfs  defaults         0 1
UUID=11111111-2222-4333-8444-555555555555 /var/log  xfs  nodev  0 2
/dev/sda1               /efi      vfat   umask=0077       0 2
UUID=00000000-2222-4333-8444-555555555555 /srv  ext4  nofail  0 2
/dev/sda4               none      swap   sw               0 0
FSTAB
printf '/none\n0 0\nd--755 0 0\nsyslog ---644 0 0 log/syslog\nsyslog.1 ---644 0 0 log/syslog.1\n$\n' >log.proto
truncate -s 40M esp; truncate -s 320M log.xfs; truncate -s 256M root.btrfs; truncate -s 64M swap
mformat -i esp -F -c 1 -v ESP ::
mmd -i esp ::/loader
mcopy -i esp random-seed ::/loader/random-seed
mkfs.xfs -q -m uuid=11111111-2222-4333-8444-555555555555 -p log.proto log.xfs
mkfs.btrfs -q -L system --rootdir root root.btrfs
mkswap -q -L swap swap
secret swapped 1000000
dd if=swapped of=swap bs=1M seek=20 conv=notrunc status=none
truncate -s 700M images/small.raw
sfdisk -q --no-reread --no-tell-kernel images/small.raw <<'TABLE'
label: gpt
start=1MiB, size=40MiB, type=U
start=41MiB, size=256MiB
start=297MiB, size=320MiB
start=617MiB, size=64MiB, type=S
TABLE
put() {
    dd if="$1" of=images/small.raw bs=1M seek="$2" conv=notrunc,sparse status=none
}
put esp 1
put root.btrfs 41
put log.xfs 297
put swap 617
chown nobody: images/small.raw
[ "$(secrets_in images/small.raw)" -gt 10000 ] || fail 'the image is not spoiled'
prepare -v images/small.raw >report
cat report
for line in 'Small System, btrfs, partition 2$' '  machine-id      1 file, ' \
    '  ssh-host-keys   1 file, ' '  random-seed     2 files, ' '  logs            2 files, ' \
    'note: /srv \(UUID=00000000.*is not in this image' '  random-seed: /efi/loader/random-seed'; do
    assert_match "^$line" "$(<report)"
done
assert_eq "$(secrets_in images/small.raw)" 0 'secrets left'
dd if=images/small.raw of=root.btrfs bs=1M skip=41 count=256 conv=sparse status=none
dd if=images/small.raw of=log.xfs bs=1M skip=297 count=320 conv=sparse status=none
dd if=images/small.raw of=swap bs=1M skip=617 count=64 conv=sparse status=none
btrfs check root.btrfs
xfs_repair -n log.xfs
assert_eq "$(blkid -p -o value -s LABEL swap)" swap

step "what cannot be prepared is refused, and says why"
expect_fail 'no operation .nonsense., but: machine-id, ' prepare -o nonsense images/debian.raw
expect_fail 'both has an operation and leaves it out' prepare -o logs,-logs images/debian.raw
expect_fail "cannot open the image 'images/none'" prepare images/none
head -c 1M /dev/urandom >images/noise
chown nobody: images/noise
expect_fail 'no Linux system in this image' prepare images/noise
printf 'KDMV' >images/disk.vmdk
expect_fail 'in format vmdk; only raw and qcow2' prepare -n images/disk.vmdk
expect_fail 'in format qcow2, not raw' prepare -f raw images/debian.qcow2
qemu-img create -q -f qcow2 -b debian.qcow2 -F qcow2 images/clone.qcow2
chown nobody: images/clone.qcow2
expect_fail 'backing file' prepare images/clone.qcow2
chmod 0444 images/noise
expect_fail 'for writing: Permission denied' prepare images/noise
expect_fail 'neither a regular file' prepare -n images
for kind in LUKS LVM; do
    truncate -s 20M images/$kind
    echo 'start=1MiB' | sfdisk -q --no-reread --no-tell-kernel images/$kind
done
printf 'LUKS\xba\xbe' | dd of=images/LUKS bs=1M seek=1 conv=notrunc status=none
printf 'LABELONE' | dd of=images/LVM bs=512 seek=2049 conv=notrunc status=none
expect_fail 'partition 1 is LUKS, which only --with guestfs' prepare -n images/LUKS
expect_fail 'partition 1 is LVM, which only --with guestfs' prepare -n images/LVM
expect_fail 'guestfish and virt-sparsify are not installed' \
    env PATH=/nonexistent "$(command -v virt-template)" prepare --with guestfs images/debian.raw
expect_fail 'neither .auto. nor' prepare --with magic images/debian.raw
expect_fail 'not between 1 and' prepare --time-limit 0 images/debian.raw
expect_fail 'no modules.dep in' prepare --modules /etc images/debian.raw
expect_fail 'kernel ./nonexistent. cannot be read' prepare --kernel /nonexistent images/debian.raw
expect_fail 'the guest ended before|QEMU cannot work' prepare --kernel /etc/passwd images/debian.raw
expect_fail 'took longer than 1 s' prepare --time-limit 1 images/debian.raw
mkdir broken
printf '%s\n' '#!/bin/sh' 'echo "qemu: -blockdev {}: Input/output error" >&2; exit 1' >broken/qemu-system-x86_64
chmod 0755 broken broken/*
expect_fail 'QEMU cannot work on .*-blockdev .*Input/output error' env PATH="$PWD/broken:$PATH" \
    virt-template prepare --with qemu --kernel "$KERNEL" --modules "$MODULES" images/debian.raw
mkdir empty
expect_fail 'no static busybox|static busybox is needed' unshare --mount sh -c \
    "mount --bind /usr/bin/env \$(readlink -f \$(command -v busybox)) && \$0 \"\$@\"" \
    setpriv --reuid nobody --regid nogroup --clear-groups virt-template prepare --with qemu \
    --kernel "$KERNEL" --modules "$MODULES" images/debian.raw

step "an image that a guest has is refused, and stays as it is"
sum=$(sha256sum <images/debian.qcow2)
qemu-system-x86_64 -S -nodefaults -display none -machine q35,accel=tcg \
    -blockdev driver=qcow2,node-name=disk,file.driver=file,file.filename=images/debian.qcow2 \
    -device virtio-blk-pci,drive=disk &
guest=$!
# To ask qemu-img would take a lock, in the way of the guest's
inode=$(stat -c %i images/debian.qcow2)
wait_until 20 grep -q ":$inode " /proc/locks || fail 'the guest has no lock'
expect_fail 'in use by another program' prepare images/debian.qcow2
expect_fail 'in use by another program' prepare -n images/debian.qcow2
stop_pid $guest
assert_eq "$(sha256sum <images/debian.qcow2)" "$sum"

step "the guest does not outlive the program"
setpriv --reuid nobody --regid nogroup --clear-groups virt-template prepare -n --with qemu \
    --kernel "$KERNEL" --modules "$MODULES" images/debian.qcow2 &
pid=$!
wait_until 20 pgrep -P $pid || fail 'there is no guest'
guest=$(pgrep -P $pid)
assert_match 'qemu' "$(readlink "/proc/$guest/exe")"
kill -KILL $pid
wait $pid || [ $? = 137 ]
wait_until 10 test ! -e "/proc/$guest/exe" || fail 'the guest goes on'
