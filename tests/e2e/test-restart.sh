#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# libvirtd restarts, and is killed, in the middle of a fetch and of clones: both are well afterwards
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template

TEMPLATES=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default
# So that a fetch of 10 MiB takes some seconds
RATE=2M
CLIENTS=4

# kill_libvirtd: without a chance to end well
kill_libvirtd() {
    kill -KILL "$LIBVIRTD_PID"
    wait "$LIBVIRTD_PID" || :  # killed
    LIBVIRTD_PID=
}

fetching() {
    virt-template jobs | grep -q running
}

# interrupted_fetch HOW VERSION: HOW ends libvirtd while a clone waits for the fetch
interrupted_fetch() {
    local pid
    clone "fetch-$2.qcow2" "debian@$2.qcow2" &
    pid=$!
    wait_until 20 fetching
    "$1"
    wait $pid || :  # libvirtd may have waited for it at its end
    fetching || [ -e "$TEMPLATES/debian@$2.qcow2" ] || fail "the fetch has ended with libvirtd"
    start_libvirtd
    wait_until 60 test -e "$TEMPLATES/debian@$2.qcow2"
    virt-template verify "debian@$2" --pool templates
    virsh pool-refresh default
    rm -f "$DEFAULT/fetch-$2.qcow2"
    virsh pool-refresh default
    clone "fetch-$2.qcow2" "debian@$2.qcow2"
    qemu-img check -q "$DEFAULT/fetch-$2.qcow2"
}

# clones N: as many as one client can make until libvirtd is gone
clones() {
    local i=0
    while clone "clone-$1-$i.qcow2" debian@1.0.0.qcow2 && [ $i -lt 200 ]; do
        i=$((i + 1))
    done
}

# interrupted_clones HOW
interrupted_clones() {
    local pids=() i file
    for ((i = 0; i < CLIENTS; i++)); do
        clones "$i" >>clones.log 2>&1 &
        pids+=($!)
    done
    wait_until 20 test -e "$DEFAULT/clone-0-5.qcow2"
    "$1"
    for pid in "${pids[@]}"; do wait "$pid" || :; done  # their last call has failed
    start_libvirtd
    info=$(virt-template info debian@1.0.0 --pool templates)
    assert_eq "$(find $DEFAULT -name '.*' -type f)" "" "what is left"
    for file in "$DEFAULT"/clone-*.qcow2; do
        qemu-img check -q "$file"
        assert_match "$file" "$info"
    done
    virsh pool-refresh default
    for file in "$DEFAULT"/clone-*.qcow2; do virsh vol-delete "$(basename "$file")" default; done
    clone again.qcow2 debian@1.0.0.qcow2
    virsh vol-delete again.qcow2 default
}

step "three versions in a registry"
start_registry
STORE=docker://$REGISTRY/golden
make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
for n in 0 1 2; do
    make_image 64M image $((n + 1))
    publish "$STORE" golden.key image debian@1.$n.0
done
start_helper --limit-rate=$RATE
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default

step "libvirtd is stopped while a clone waits for a fetch: the fetch goes on"
interrupted_fetch stop_libvirtd 1.0.0

step "libvirtd is killed while a clone waits for a fetch: the fetch goes on"
interrupted_fetch kill_libvirtd 1.1.0

step "libvirtd is stopped while clones are made: each is whole"
interrupted_clones stop_libvirtd

step "libvirtd is killed while clones are made: each is whole"
interrupted_clones kill_libvirtd

step "libvirtd is killed while a clone waits for the store, as the helper lost its state: no file is left"
stop_helper
rm -rf /var/lib/virt-template/*
start_helper
kill -STOP "$REGISTRY_PID"
clone waits.qcow2 debian@1.0.0.qcow2 &
pid=$!
wait_until 20 fetching
[ ! -e $DEFAULT/waits.qcow2 ] || fail "there is a file before there is a clone"
kill_libvirtd
! wait $pid || fail "a clone was made without libvirtd"
kill -CONT "$REGISTRY_PID"
start_libvirtd
[ ! -e $DEFAULT/waits.qcow2 ] || fail "a file was left"
clone waits.qcow2 debian@1.0.0.qcow2
qemu-img check -q $DEFAULT/waits.qcow2
assert_libvirtd_alive
