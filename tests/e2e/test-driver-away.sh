#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The helper is away or hangs: listing goes on, what needs it fails in time, nothing is deleted
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img python3 virt-template

STORE=oci:$PWD/golden
TEMPLATES=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default
# What a call may take: the bound, and room for a loaded machine
BOUND_S=6

# in_time COMMAND...: ends within the bound, whatever its result
in_time() {
    local start=$SECONDS status=0
    "$@" || status=$?
    [ $((SECONDS - start)) -le $BOUND_S ] || fail "took $((SECONDS - start)) s: $*"
    return $status
}

# needs_helper REGEX: each call that needs the helper fails in time, says so, and changes nothing
needs_helper() {
    expect_fail "$1" in_time clone new.qcow2 debian@1.0.0.qcow2
    expect_fail "$1" in_time virsh vol-delete debian@1.0.0.qcow2 templates
    expect_fail "$1" in_time virsh vol-delete debian@1.1.0.qcow2 templates
    expect_fail "$1" in_time virsh vol-download debian@1.1.0.qcow2 download --pool templates
    [ -e $TEMPLATES/debian@1.0.0.qcow2 ] || fail "the template was deleted"
    [ ! -e $DEFAULT/new.qcow2 ] || fail "half a clone was left behind"
    assert_no_match new.qcow2 "$(virsh vol-list default)"
}

# queries: each in time
queries() {
    in_time virsh pool-refresh templates
    list=$(in_time virsh vol-list templates --details)
    for volume in "$@"; do
        assert_match "$volume" "$list"
        in_time virsh vol-info "$volume" templates
        in_time virsh vol-dumpxml "$volume" templates
    done
    in_time virsh vol-info web1.qcow2 default
    assert_libvirtd_alive
}

step "one version is here, another is not"
make_key golden
make_store "$STORE" golden.key
make_image 64M one.img 1
make_image 96M two.img 2
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0
make_policy "$PWD/golden.pub"
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
clone web1.qcow2 debian@1.0.0.qcow2
queries debian@1.0.0.qcow2 debian@1.1.0.qcow2 debian.qcow2

step "the helper is killed: the list is what it was"
kill -KILL "$HELPER_PID"
wait "$HELPER_PID" || :
HELPER_PID=
queries debian@1.0.0.qcow2 debian@1.1.0.qcow2 debian.qcow2
needs_helper 'virttemplated does not answer'

step "libvirtd restarts without the helper: the list is what is on disk"
restart_libvirtd
queries debian@1.0.0.qcow2
assert_no_match debian@1.1.0 "$list"
assert_match "64.00 MiB" "$(virsh vol-info debian@1.0.0.qcow2 templates)"
expect_fail 'does not answer' in_time clone new.qcow2 debian@1.0.0.qcow2
expect_fail 'does not answer' in_time virsh vol-delete debian@1.0.0.qcow2 templates
[ -e $TEMPLATES/debian@1.0.0.qcow2 ]

step "a pool can be started, stopped and defined without the helper"
virsh pool-destroy templates
in_time virsh pool-start templates
pool_xml other "$STORE" >other.xml
virsh pool-define other.xml
virsh pool-build other
in_time virsh pool-start other
virsh pool-destroy other
virsh pool-undefine other

step "the helper is back: nothing has to be done but a refresh"
rm -f $SOCKET $SOCKET-ro
start_helper
queries debian@1.0.0.qcow2 debian@1.1.0.qcow2 debian.qcow2
clone web2.qcow2 debian.qcow2

step "a helper that restarts between two calls is not noticed"
restart_helper
clone web3.qcow2 debian@1.0.0.qcow2

step "a helper that lost its state gets to know the pool again"
stop_helper
rm -rf /var/lib/virt-template/*
start_helper
clone web4.qcow2 debian@1.0.0.qcow2
expect_fail 'web1.qcow2' virsh vol-delete debian@1.0.0.qcow2 templates

step "the helper hangs, with a connection that is open"
kill -STOP "$HELPER_PID"
queries debian@1.0.0.qcow2 debian@1.1.0.qcow2 debian.qcow2
needs_helper 'virttemplated does not answer'

step "the helper hangs, and the connection has to be made"
restart_libvirtd
queries debian@1.0.0.qcow2
expect_fail 'does not answer.*it hangs' in_time clone new.qcow2 debian@1.0.0.qcow2

step "many clients at the same time wait together, not one after the other"
start=$SECONDS
pids=()
for i in 1 2 3 4 5 6 7 8; do
    volume_xml "many$i.qcow2" >"many$i.xml"
    virsh vol-create-from default "many$i.xml" debian@1.0.0.qcow2 --inputpool templates &
    pids+=($!)
done
for pid in "${pids[@]}"; do ! wait "$pid" || fail "a clone was made without the helper"; done
[ $((SECONDS - start)) -le $((2 * BOUND_S)) ] || fail "8 clients took $((SECONDS - start)) s"
assert_libvirtd_alive

step "the helper goes on: so does everything else"
kill -CONT "$HELPER_PID"
wait_until 10 virsh pool-refresh templates
queries debian@1.0.0.qcow2 debian@1.1.0.qcow2 debian.qcow2
clone web5.qcow2 debian.qcow2

step "a process that is no helper, but listens"
stop_helper
python3 -c "
import socket, time
s = socket.socket(socket.AF_UNIX)
s.bind('$SOCKET')
s.listen(16)
open('listening', 'w')
c = []
while True: c.append(s.accept()); c[-1][0].send(b'NONSENSE\r\n' * 10)
" &
wait_until 5 test -e listening
queries debian@1.0.0.qcow2 debian@1.1.0.qcow2 debian.qcow2
needs_helper 'virttemplated does not answer'

step "a helper that takes its time for each answer: a refresh has one bound for all of them"
rm -f $SOCKET
python3 "$VT_E2E_DIR/rubbish.py" $SOCKET 1 counts slow &
late=$!
wait_until 5 test -S $SOCKET
start=$SECONDS
in_time virsh pool-refresh templates
[ $((SECONDS - start)) -ge 3 ] || fail 'it was not asked'
assert_libvirtd_alive
kill $late
