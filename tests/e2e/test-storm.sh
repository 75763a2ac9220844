#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# 120 clients call libvirt while the helper is killed, stopped, or answers rubbish: libvirtd lives on
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template python3

STORE=oci:$PWD/golden
DEFAULT=/var/lib/libvirt/images/default
STORM=$VT_BUILD_DIR/tests/bench/storm
READERS=100
WRITERS=20
CALLS=100000
# Of each part of the storm; the sum is CALLS
QUIET=$((CALLS * 4 / 10)) KILLED=$((CALLS * 3 / 10)) STOPPED=$((CALLS / 10)) RUBBISH=$((CALLS * 2 / 10))
# No call takes longer than 5 s once the helper is away; the rest is for a loaded machine
LIMIT_MS=15000
# What libvirtd may have in memory more than before, whatever the helper answers
GROWTH_KIB=$((96 * 1024))

# storm CALLS SEED [READERS WRITERS]: prints what the clients say
storm() {
    "$STORM" "${3:-$READERS}" "${4:-$WRITERS}" "$1" "$2" $LIMIT_MS
    assert_libvirtd_alive
}

# settled: no more descriptors than before the storm, when the clients have gone
settled() {
    [ "$(fds "$LIBVIRTD_PID")" -le "$fds_before" ]
}

# end_of_storm NAME: what libvirtd has kept
end_of_storm() {
    wait_until 20 settled ||
        fail "$1: $(fds "$LIBVIRTD_PID") descriptors, $fds_before before: $(ls -l "/proc/$LIBVIRTD_PID/fd")"
    echo "$1: $(fds "$LIBVIRTD_PID") descriptors, $(rss "$LIBVIRTD_PID") KiB in memory"
    [ "$(rss "$LIBVIRTD_PID")" -le $((rss_before + GROWTH_KIB)) ] ||
        fail "libvirtd takes $(rss "$LIBVIRTD_PID") KiB, $rss_before before"
}

# torment FUNCTION: again and again, until the file `calm` is there
torment() {
    while [ ! -e calm ]; do "$1"; done
}

# during FUNCTION CALLS SEED: a storm, in which the function is called again and again
during() {
    local tormentor
    rm -f calm
    torment "$1" &
    tormentor=$!
    storm "$2" "$3"
    touch calm
    wait $tormentor
}

# some_ms MIN MAX: sleeps
some_ms() {
    sleep "$(printf '%d.%03d' $(((RANDOM % ($2 - $1) + $1) / 1000)) $(((RANDOM % ($2 - $1) + $1) % 1000)))"
}

# virt_is_well: the module has seen that there is a helper again
virt_is_well() {
    virsh pool-refresh templates && virsh vol-list templates | grep -q debian@1.1.0
}

step "two versions, one of them here with a clone, and two pools of templates"
make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img
make_image 64M two.img 2
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0
start_helper
start_libvirtd
define_pool templates "$STORE"
define_pool other "$STORE"
define_dir_pool default
clone keep.qcow2 debian@1.0.0.qcow2
virsh vol-create-as default small.qcow2 64M --format raw
# what is loaded at the first use, and threads that libvirtd starts when it has much to do
storm $((CALLS / 50)) 1
virsh pool-refresh templates
fds_before=$(fds "$LIBVIRTD_PID") rss_before=$(rss "$LIBVIRTD_PID")
echo "before: $fds_before descriptors, $rss_before KiB in memory"

step "$QUIET calls of $READERS readers and $WRITERS writers, and a helper that is well"
storm $QUIET 2
end_of_storm quiet

# the helper is a child of this shell, and the tormentor a subshell: it goes by pids in files
start_by_pid() {
    (
        HELPER_PID=
        start_helper
        echo "$HELPER_PID" >helper.pid
    )
}

kill_helper() {
    kill -KILL "$(cat helper.pid)"
    rm -f $SOCKET $SOCKET-ro
    some_ms 0 1500
    start_by_pid
    some_ms 200 2000
}

stop_and_go() {
    kill -STOP "$(cat helper.pid)"
    some_ms 100 8000
    kill -CONT "$(cat helper.pid)"
    some_ms 100 1500
}

step "$KILLED calls while the helper is killed and started again and again"
stop_helper
start_by_pid
during kill_helper $KILLED 3
end_of_storm killed

step "$STOPPED calls while the helper is stopped and goes on"
during stop_and_go $STOPPED 4
end_of_storm stopped

step "$RUBBISH calls while something else answers in its place"
kill -KILL "$(cat helper.pid)"
rm -f $SOCKET
python3 "$VT_E2E_DIR/rubbish.py" $SOCKET 1 counts &
RUBBISH_PID=$!
wait_until 5 test -S $SOCKET
# most calls of readers do not need the helper
storm $RUBBISH 5 $WRITERS $READERS
kill $RUBBISH_PID
cat counts
[ "$(wc -l <counts)" = 10 ] || fail "not all kinds of rubbish were answered"

step "afterwards all is as it was: one clone, one template, and what is asked is answered"
rm -f $SOCKET
HELPER_PID=
start_helper
wait_until 20 virt_is_well
end_of_storm rubbish
clone last.qcow2 debian.qcow2
virsh pool-refresh default
assert_eq "$(virsh vol-list default | awk 'NR > 2 && NF {print $1}' | xargs)" 'keep.qcow2 last.qcow2 small.qcow2'
assert_eq "$(find $DEFAULT -type f -printf "%f\n" | sort | xargs)" 'keep.qcow2 last.qcow2 small.qcow2' "files"
assert_match "$DEFAULT/keep.qcow2" "$(virsh vol-delete debian@1.0.0.qcow2 templates 2>&1 || :)"
qemu-img check -q $DEFAULT/keep.qcow2
