#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The store is away, comes back, and goes while a template is being fetched
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img docker-registry virt-template

IMAGES=/var/lib/libvirt/images
# What the pool may keep libvirtd from answering, and some seconds for a loaded machine
BOUND_S=10

# within_bound COMMAND...: its answer may be an error, but it comes in time
within_bound() {
    local start=$SECONDS
    "$@" || echo "(failed, as it may)"
    [ $((SECONDS - start)) -le $BOUND_S ] || fail "took $((SECONDS - start)) s: $*"
}

make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img 1
make_image 64M two.img 2
start_registry plain
STORE=docker://$REGISTRY/golden
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@2.0.0
start_helper
start_libvirtd
define_dir_pool default
define_pool templates "$STORE"
clone before.qcow2 debian@1.0.0.qcow2

step "without the store the pool lists what it knew"
stop_registry
within_bound virsh pool-refresh templates
assert_match 'debian@1.0.0.qcow2' "$(virsh vol-list templates)"
assert_match 'debian@2.0.0.qcow2' "$(virsh vol-list templates)"

step "what is here is cloned as before"
clone away.qcow2 debian@1.0.0.qcow2
qemu-img check "$IMAGES/default/away.qcow2"

step "what is not here is refused, and the error names the store"
expect_fail "$REGISTRY" clone missing.qcow2 debian@2.0.0.qcow2
[ ! -e "$IMAGES/default/missing.qcow2" ]
assert_libvirtd_alive

step "a pool of a store that was never reached starts, empty"
within_bound define_pool never docker://127.0.0.1:9/golden
assert_no_match 'qcow2' "$(virsh vol-list never)"
expect_fail '127.0.0.1:9' virt-template list --store docker://127.0.0.1:9/golden

step "a store that accepts and says nothing blocks nobody"
python3 -c '
import socket, time
s = socket.create_server(("127.0.0.1", 5099))
time.sleep(600)' 3>&- &
within_bound define_pool silent docker://127.0.0.1:5099/golden
within_bound virsh pool-refresh silent
within_bound virsh vol-list templates

step "the store is back: the same clone succeeds"
start_registry plain
clone missing.qcow2 debian@2.0.0.qcow2
assert_eq "$(guest_sha256 "$IMAGES/default/missing.qcow2")  -" "$(sha256sum <two.img)"

step "without the helper libvirtd lists what is on disk, and says what is missing"
stop_helper
within_bound virsh pool-refresh templates
assert_match 'debian@1.0.0.qcow2' "$(virsh vol-list templates)"
expect_fail 'virttemplated' clone helpless.qcow2 debian@2.0.0.qcow2
[ ! -e "$IMAGES/default/helpless.qcow2" ]
assert_libvirtd_alive

step "and works again when it is back"
start_helper
clone again.qcow2 debian@2.0.0.qcow2
