#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# libvirtd is killed at each system call of a clone that changes something: the clone is whole, or
# there is nothing of it, and a user's own files stay
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img ss jq virt-template

IMAGES=/var/lib/libvirt/images
INJECT=$VT_BUILD_DIR/tests/crash/inject
TEMPLATE=debian@1.0.0.qcow2
points=0

# Without a chance to end well
kill_libvirtd() {
    kill -KILL "$LIBVIRTD_PID"
    wait "$LIBVIRTD_PID" || :  # killed
    LIBVIRTD_PID=
}

# files POOL: names in its folder; the helper's folders are not of interest
files() {
    find "$IMAGES/$1" -mindepth 1 -maxdepth 1 ! -type d -printf '%f %s\n' | sort
}

full_copy() {
    volume_xml "$1" raw >"volume-$1.xml"
    virsh vol-create-from "$3" "volume-$1.xml" "$2" --inputpool templates
}

# strike NUMBER COMMAND...: libvirtd is killed at point NUMBER of it, or finds no such point
strike() {
    local injector number=$1
    shift
    rm -f points.log
    "$INJECT" libvirtd kill "$number" points.log pid "$LIBVIRTD_PID" 3>&- &
    injector=$!
    wait_until 20 grep -q ready points.log
    "$@" || grep -q ^hit points.log  # its connection was cut
    if grep -q ^hit points.log; then
        wait "$injector" "$LIBVIRTD_PID" || :  # killed
        LIBVIRTD_PID=
        start_libvirtd
    else
        stop_pid "$injector"
    fi
}

# check_clone POOL FORMAT FILE: it is whole, or not there
check_clone() {
    local path=$IMAGES/$1/$3
    [ -e "$path" ] || return 0
    virsh vol-info "$3" "$1"
    qemu-img compare -q -f raw -F "$2" one.img "$path"
    virsh vol-delete "$3" "$1"
}

# strike_all POOL FORMAT COMMAND: at each point, one after the other
strike_all() {
    local number=0 before
    before=$(files "$1")
    while number=$((number + 1)) && strike $number "$3" made $TEMPLATE "$1" && grep ^hit points.log; do
        check_clone "$1" "$2" made
        assert_eq "$(files "$1")" "$before" "what is there after point $number of $3"
        "$3" made $TEMPLATE "$1"
        check_clone "$1" "$2" made
    done
    [ $number -gt 3 ] || fail "there are no points"
    points=$((points + number - 1))
    check_clone "$1" "$2" made
    assert_eq "$(files "$1")" "$before" "what is there after $3"
}

# Whether something was sent to the helper that it has not read
is_sent() {
    ss -xH src "$SOCKET" | awk '$3 > 0 {sent = 1} END {exit !sent}'
}

host_with_template "oci:$PWD/golden"
full_copy warm $TEMPLATE default
virsh vol-delete warm default
for pool in default templates; do
    touch $IMAGES/$pool/.virt-template-mine $IMAGES/$pool/.virt-template-new-mine $IMAGES/$pool/empty
done

step "killed at each point of a linked clone into another pool"
strike_all default qcow2 clone

step "killed at each point of a linked clone into the template's own pool"
strike_all templates qcow2 clone

step "killed at each point of a full copy"
strike_all default raw full_copy
echo "$points points in total"

step "killed before the helper answers: no file is left, and the helper fills none"
before=$(files default)
for how in clone full_copy; do
    kill -STOP "$HELPER_PID"
    $how made $TEMPLATE default &
    pid=$!
    wait_until 20 is_sent
    [ "$(files default)" != "$before" ] || fail "a clone is made without a file"
    kill_libvirtd
    ! wait $pid || fail "a clone was made without libvirtd"
    start_libvirtd
    assert_eq "$(files default)" "$before" "what is there after the start of libvirtd"
    kill -CONT "$HELPER_PID"
    # To it the helper hangs
    restart_libvirtd
    virsh pool-refresh templates
done
assert_eq "$(files default)" "$before" "what is there after the helper went on"

step "killed while the helper fills a full copy: nothing is left, and the helper gives it up"
mkdir workers
program=$(installed copy-worker)
ln -s "$(dirname "$program")"/*-worker workers
rm workers/copy-worker
cat >workers/copy-worker <<END
#!/bin/sh
while [ ! -e $PWD/go ]; do sleep 0.05; done
exec $program "\$@"
END
chmod +x workers/copy-worker
restart_helper --worker-dir "$PWD/workers"
restart_libvirtd
full_copy made $TEMPLATE default &
pid=$!
wait_until 20 eval 'virt-template jobs | grep -q running'
grep ":$(stat -c %i $IMAGES/default/.virt-template-new-*-*) " /proc/locks ||
    fail "libvirtd gave up its lock of the file that it makes"
kill_libvirtd
! wait $pid || fail "a copy was made without libvirtd"
start_libvirtd
assert_eq "$(files default)" "$before" "what is there after the start of libvirtd"
touch go
wait_until 20 eval '! virt-template jobs | grep -q running'
assert_match 'was deleted while it was made' "$(virt-template jobs --json)"
assert_eq "$(files default)" "$before" "what is there after the helper went on"

step "a file that a user puts there while a copy is made that fails stays"
rm go
full_copy mine $TEMPLATE default 2>failed.txt &
pid=$!
wait_until 20 eval 'virt-template jobs | grep -q running'
echo precious >$IMAGES/default/mine
virt-template jobs --cancel "$(virt-template jobs --json |
    jq '[.. | objects | select(.kind? == "copy" and .state == "running")][0].id')"
! wait $pid || fail "a cancelled copy succeeded"
grep -i cancel failed.txt
assert_eq "$(cat $IMAGES/default/mine)" precious "what a user has put there"
expect_fail 'no storage vol' virsh vol-info mine default
rm $IMAGES/default/mine
touch go
assert_eq "$(files default)" "$before" "what is there after a copy that was cancelled"

step "a file of a user's that the pool does not list stays, and is told of"
for how in clone full_copy; do
    : >$IMAGES/default/mine
    expect_fail "'$IMAGES/default/mine'.*exists" $how mine $TEMPLATE default
    [ -e $IMAGES/default/mine ] || fail "a file of a user's was removed"
    expect_fail 'no storage vol' virsh vol-info mine default
    rm $IMAGES/default/mine
    $how mine $TEMPLATE default
    virsh vol-delete mine default
    [ ! -e $IMAGES/default/mine ] || fail "a volume was not deleted"
done
assert_libvirtd_alive
