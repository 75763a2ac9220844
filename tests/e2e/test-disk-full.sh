#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The file system of the pool is full while a template is fetched
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template

STORE=oci:$PWD/golden
small=/var/lib/libvirt/images/templates

make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img
publish "$STORE" golden.key one.img debian@1.0.0
mkdir -p "$small"
# The image has 6 MiB of noise, which no compression makes smaller
mount -t tmpfs -o size=3m tmpfs "$small"
start_helper
start_libvirtd
define_dir_pool default
define_pool templates "$STORE"

step "the clone fails, and the error says that the disk is full"
expect_fail "'$small' has [0-9]+ bytes left, the template needs [0-9]+" clone web.qcow2 debian@1.0.0.qcow2
[ ! -e /var/lib/libvirt/images/default/web.qcow2 ]

step "nothing stands under a usable name, and the space is given back"
[ ! -e "$small/debian@1.0.0.qcow2" ]
wait_until 5 bash -c "[ \$(du -sk $small | cut -f1) -lt 256 ]" ||
    fail "left in the pool: $(du -a "$small")"
assert_libvirtd_alive

step "with more room the same call succeeds"
mount -o remount,size=64m "$small"
clone web.qcow2 debian@1.0.0.qcow2
assert_eq "$(guest_sha256 /var/lib/libvirt/images/default/web.qcow2)  -" "$(sha256sum <one.img)"
