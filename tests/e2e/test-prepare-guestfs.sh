#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Used machines become images with libguestfs, which also opens what the guest of virt-template prepare cannot
set -euo pipefail
# It is no package that the tests need: it brings a hundred others
for program in guestfish virt-sparsify; do
    command -v $program >/dev/null || { echo "1..0 # SKIP '$program' is not installed"; exit 0; }
done
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virt-template guestfish virt-sparsify qemu-img cpio busybox jq

# In every file that has to go, and nowhere else
MARK=virt-template-secret-of-one-machine

# guestfs COMMAND...: in the image, of a system whose root is on LVM
in_image() {
    guestfish --format=raw -a used.raw -- run : "$@"
}

in_root() {
    in_image mount /dev/system/root / : "$@"
}

# marks FILE: how many its disk has, in files or free space
marks() {
    { grep -ao $MARK "$1" || [ $? = 1 ]; } | wc -l
}

prepare() {
    virt-template prepare --with guestfs --format raw "$@" used.raw
}

step "a system on LVM has been in use"
mkdir -p root/{bin,etc/ssh,usr/lib,var/log,root,tmp}
printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Small System"\n' >root/etc/os-release
echo '/dev/system/root / ext4 defaults 0 1' >root/etc/fstab
echo 0123456789abcdef0123456789abcdef >root/etc/machine-id
for file in etc/ssh/ssh_host_ed25519_key var/log/syslog.1 root/.bash_history tmp/session srv-data; do
    yes $MARK | head -c 20000 >root/$file || [ $? = 141 ]
done
echo kept >root/etc/motd
tar -C root -cf root.tar .
truncate -s 256M used.raw
in_image part-disk /dev/sda mbr : pvcreate /dev/sda1 : vgcreate system /dev/sda1 : \
    lvcreate-free root system 100 : mkfs ext4 /dev/system/root : mount /dev/system/root / : \
    tar-in root.tar / : rm /srv-data
[ "$(marks used.raw)" -gt 2000 ] || fail 'the image is not used'

step "a dry run says what there is to do, and changes nothing"
before=$(sha256sum <used.raw)
prepare --dry-run >report
cat report
assert_match '^Small System, libguestfs$' "$(cat report)"
assert_match '^  ssh-host-keys +1 file to do, ' "$(cat report)"
assert_eq "$(sha256sum <used.raw)" "$before"

step "only what is asked for"
prepare -o shell-history >report
cat report
assert_match '^  shell-history +1 file, ' "$(cat report)"
assert_eq "$(wc -l <report)" 2 "$(cat report)"

step "all of it: nothing is left of the machine, also in free space"
prepare >report
cat report
for line in 'machine-id +1 file, ' 'ssh-host-keys +1 file, ' 'logs +1 file, ' 'shell-history +nothing to do' \
    'tmp-files +1 file, ' 'free-space .* on this disk'; do
    assert_match "^  $line" "$(cat report)"
done
assert_eq "$(marks used.raw)" 0 'marks left'
in_root cat /etc/motd : is-file /etc/ssh/ssh_host_ed25519_key : filesize /etc/machine-id : ls / >after
assert_eq "$(sed '/^$/d' after | xargs)" 'kept false 0 bin etc lost+found root tmp usr var'

step "what is no system is refused, in words"
truncate -s 16M used.raw
: >used.raw
truncate -s 16M used.raw
expect_fail "guestfish has failed, see above; '--with qemu' needs no libguestfs" prepare
