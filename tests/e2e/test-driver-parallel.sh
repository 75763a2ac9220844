#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many clients at the same time: all calls end, and end well (libvirt's own locks are no match)
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template timeout

STORE=oci:$PWD/golden
IMAGES=/var/lib/libvirt/images
CLIENTS=8
ROUNDS=25
# Far more than it takes; a lock that is never released takes for ever
LIMIT_S=120

# client NUMBER: commands for one virsh
client() {
    local i name
    for ((i = 0; i < ROUNDS; i++)); do
        name=c$1-$i
        volume_xml "$name.qcow2" >"$name.xml"
        volume_xml "back$name.qcow2" >"back$name.xml"
        echo "vol-create-from default $name.xml debian.qcow2 --inputpool templates"
        echo "vol-create-from templates back$name.xml small.qcow2 --inputpool default"
        echo "vol-info debian@1.0.0.qcow2 templates"
        echo "pool-refresh templates"
        echo "vol-dumpxml $name.qcow2 default"
        echo "vol-list templates"
        echo "vol-delete debian@1.0.0.qcow2 templates"
        echo "vol-delete back$name.qcow2 templates"
        [ $((i % 5)) = 0 ] || echo "vol-delete $name.qcow2 default"
    done
}

step "a template and a small plain volume"
make_key golden
make_store "$STORE" golden.key
make_image 64M one.img 1
publish "$STORE" golden.key one.img debian@1.0.0
make_policy "$PWD/golden.pub"
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
virsh vol-create-as default small.qcow2 1M --format qcow2
clone first.qcow2 debian.qcow2

step "$CLIENTS clients clone in both directions, refresh, list and delete"
pids=()
for ((n = 0; n < CLIENTS; n++)); do
    client $n >"client-$n"
    timeout $LIMIT_S virsh <"client-$n" >"output-$n" 2>&1 &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    status=0
    wait "$pid" || status=$?
    # virsh tells whether its last command failed; 124 is the time limit
    [ $status -lt 2 ] || fail "a client ended with $status: $(tail -n 3 output-*)"
done
assert_libvirtd_alive

step "nothing failed but what has to"
# A pool in which a volume is built is not refreshed, and what is in use is not deleted
errors=$(grep -h '^error: ' output-* |
    grep -vE 'Failed to (refresh|delete)|asynchronous jobs running|is needed by|still in use' || :)
assert_eq "$errors" '' 'errors'
assert_eq "$(cat output-* | grep -c '^Vol .* created from')" $((2 * CLIENTS * ROUNDS)) 'clones made'

step "every clone that is left is whole"
virsh pool-refresh default
for ((n = 0; n < CLIENTS; n++)); do
    for ((i = 0; i < ROUNDS; i += 5)); do
        qemu-img check -q $IMAGES/default/c$n-$i.qcow2
    done
done
expect_fail "is needed by $((CLIENTS * ROUNDS / 5 + 1)) clones" virsh vol-delete debian@1.0.0.qcow2 templates
