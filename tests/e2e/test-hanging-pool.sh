#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The directory of one pool does not answer: another pool, jobs and metrics do; then nothing is lost
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template fusermount3

STORE=oci:$PWD/golden
FAR=/var/lib/libvirt/images/far
# As many may wait for one directory that hangs (vtd-visit.c)
WAITING=64
CLIENTS=()

# What an answer takes on a loaded machine; a client gives up after 20 s itself
soon() { timeout 15 "$@"; }

hang() { kill -STOP "$SERVER_PID"; }
go_on() { kill -CONT "$SERVER_PID"; }

# hangs: a thread of the helper waits for the server of the directory
hangs() {
    grep -qs fuse /proc/"$HELPER_PID"/task/*/wchan /proc/"$HELPER_PID"/task/*/stack
}

step "two pools, one of them on a server"
make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img 1
make_image 64M two.img 2
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@2.0.0
mkdir -p server "$FAR"
"$VT_BUILD_DIR/tests/crash/pass-through" "$PWD/server" "$FAR" 3>&- >>"$LOGS/server.log" 2>&1 &
SERVER_PID=$!
wait_daemon server $SERVER_PID mountpoint -q "$FAR"
start_helper
start_virtlogd
start_libvirtd
define_pool near "$STORE"
define_dir_pool default
pool_xml far "$STORE" "$FAR" >far.xml
virsh pool-define far.xml
virsh pool-start far
for pool in near far; do
    virt-template pull -q -p $pool debian@1.0.0
    virt-template pull -q -p $pool debian@2.0.0
done
clone before.qcow2 debian@1.0.0.qcow2 default far

step "the server does not answer: the other pool lists, clones, pulls and evicts at once"
hang
virt-template evict -p $FAR debian@2.0.0 >evicted 2>&1 &
EVICT=$!
wait_until 20 hangs
soon virt-template list -p near | grep -q 'debian'
clone near.qcow2 debian@1.0.0.qcow2 default near
soon virt-template evict -p near debian@2.0.0
soon virt-template jobs >/dev/null
soon virt-template metrics >metrics.txt
grep -q 'local_versions{pool="near"' metrics.txt
kill -0 $EVICT

step "it answers again: what was begun is done, and nothing is lost"
go_on
wait $EVICT || fail "evict: $(cat evicted)"
[ ! -e $FAR/debian@2.0.0.qcow2 ]
clone after.qcow2 debian@1.0.0.qcow2 default far
expect_fail 'needed by 2 clones.*after.qcow2.*before.qcow2' virt-template evict -p $FAR debian@1.0.0
[ "$(guest_sha256 /var/lib/libvirt/images/default/after.qcow2)" = "$(guest_sha256 one.img raw)" ]

step "so many wait and no more: who comes then is told why"
hang
for number in $(seq $((WAITING + 1))); do
    virt-template list -p $FAR >"waiting.$number" 2>&1 &
    CLIENTS+=($!)
done
refused() {
    ! timeout 3 virt-template list -p $FAR >refused 2>&1 &&
        grep -Eq "the directory '$FAR' of the pool does not answer.* [0-9]+ wait" refused
}
wait_until 60 refused || fail "$(cat refused)"
soon virt-template list -p near | grep -q debian
# Those who may only look leave room for those who may do more
expect_fail "does not answer" setpriv --reuid nobody --clear-groups \
    virt-template list -p $FAR --socket $SOCKET-ro

step "fetches for it end, too, before there is no room for those of other pools"
job=$(virt-template pull -p $FAR -d debian@2.0.0 | grep -oE '[0-9]+' | head -n 1)
ended() {
    soon virt-template jobs --json >jobs.json
    jq -e --argjson id "$job" '.jobs[] | select(.id == $id and .state == "failed") |
        .message | contains("does not answer")' jobs.json
}
wait_until 40 ended
soon virt-template pull -q -p near debian@2.0.0
go_on
for number in "${!CLIENTS[@]}"; do
    wait "${CLIENTS[$number]}" || grep -q 'does not answer' "waiting.$((number + 1))" ||
        fail "client $number: $(cat "waiting.$((number + 1))")"
done
wait_until 20 virt-template pull -q -p far debian@2.0.0
virt-template verify -p far debian@2.0.0

step "a directory of libvirt's own hangs: who clones into it holds up only those it shares a pool with"
libvirtd_hangs() {
    grep -qs fuse /proc/"$LIBVIRTD_PID"/task/*/wchan /proc/"$LIBVIRTD_PID"/task/*/stack
}
# between_others VOLUME: a clone in pools of which no other client here needs one
between_others() {
    volume_xml "$1" >"$1.xml"
    soon virsh vol-create-from other "$1.xml" near.qcow2 --inputpool default
}
define_dir_pool plain "$FAR/plain"
define_dir_pool other
define_dir_pool third
virsh vol-create-as plain small.qcow2 1M --format qcow2
volume_xml into.qcow2 >into.xml
hang
virsh vol-create-from plain into.xml debian@1.0.0.qcow2 --inputpool near >into 2>&1 &
INTO=$!
wait_until 20 libvirtd_hangs
between_others first.qcow2
go_on
wait $INTO || fail "$(cat into)"
virsh pool-refresh plain
hang
virsh vol-create-from third into.xml small.qcow2 --inputpool plain >out 2>&1 &
OUT=$!
wait_until 20 libvirtd_hangs
between_others one-more.qcow2
go_on
wait $OUT || fail "$(cat out)"

step "it hangs while it is locked: who has copied out of it holds up nobody"
# Long enough to be met in the middle
head -c 512M /dev/urandom >server/plain/large.img
virsh pool-refresh plain
volume_xml copy.qcow2 >copy.xml
virsh vol-create-from third copy.xml large.img --inputpool plain >copied 2>&1 &
COPY=$!
copies() { CONVERT_PID=$(pgrep -P "$LIBVIRTD_PID" qemu-img); }
wait_until 20 copies
# What the server has taken from it would keep it until the answer
kill -STOP "$CONVERT_PID"
stopped() { ! grep -h '^State:' /proc/"$CONVERT_PID"/task/*/status | grep -qv 'State:.T'; }
wait_until 20 stopped
hang
virsh vol-info small.qcow2 plain >info 2>&1 3>&- &
INFO=$!
wait_until 20 libvirtd_hangs
kill -KILL "$CONVERT_PID"
convert_gone() { ! kill -0 "$CONVERT_PID"; }
wait_until 20 convert_gone
sleep 1
between_others second.qcow2
volume_xml in-third.qcow2 >in-third.xml
soon virsh vol-create-from third in-third.xml debian@1.0.0.qcow2 --inputpool near
kill -0 $COPY
go_on
wait $INFO || fail "$(cat info)"
! wait $COPY || fail "a copy whose qemu-img was killed is made"
grep -q 'Failed to create vol' copied
virsh pool-destroy plain
assert_libvirtd_alive

step "the helper starts, and serves the other pool, while the directory hangs"
stop_helper
hang
start_helper
soon virt-template list -p near | grep -q debian
clone again.qcow2 debian@1.0.0.qcow2 default near

step "the helper ends while the directory hangs, and leaves nothing open in the other one"
kill -TERM "$HELPER_PID"
gone() { ! [ -S $SOCKET ]; }
wait_until 30 gone
go_on
wait "$HELPER_PID" || fail "virttemplated: status $?"
HELPER_PID=
rm -f $SOCKET $SOCKET-ro
grep -q "does not end: it is left to the next start" "$LOGS/virttemplated.log"
start_helper
virt-template list -p far | grep -q debian
clone last.qcow2 debian@1.0.0.qcow2 default far
assert_libvirtd_alive
