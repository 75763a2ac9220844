#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The private machine is private, and the scratch file system can do what the pools need
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img python3

step "stock libvirtd answers on its own socket"
start_libvirtd --stock
define_dir_pool default
virsh vol-create-as default disk.qcow2 1M --format qcow2
assert_match 'disk.qcow2' "$(virsh vol-list default)"

step "only the loopback network is here"
assert_eq "$(ip -o link | cut -d: -f2)" ' lo' "network cards"

step "the scratch file system has O_TMPFILE, hard links and the immutable flag"
python3 - "$VT_SCRATCH" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_TMPFILE | os.O_WRONLY, 0o600)
os.link(f"proc/self/fd/{fd}", sys.argv[1] + "/linked", src_dir_fd=os.open("/", os.O_RDONLY))
END
chattr +i linked
expect_fail 'not permitted' rm -f linked
chattr -i linked

step "a registry of each kind answers"
start_registry
assert_eq "$(curl -s "http://$REGISTRY/v2/")" '{}' 'plain registry'
start_registry tls auth
assert_eq "$(curl -s --cacert tls/ca.crt -u "$REGISTRY_USER:$REGISTRY_PASSWORD" \
    "https://$REGISTRY/v2/")" '{}' 'registry with TLS and password'
assert_eq "$(curl -s -o answer -w '%{http_code}' --cacert tls/ca.crt "https://$REGISTRY/v2/")" 401 \
    'without a password'

step "an image is a clean file system, and another seed makes another one"
make_image 32M one.img 7
make_image 32M two.img 8
e2fsck -fn one.img
expect_fail differ cmp one.img two.img
