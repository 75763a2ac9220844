#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# While a template is fetched and a copy is built, every query answers and the allocation grows
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template docker-registry

IMAGES=/var/lib/libvirt/images
MIB=$((1 << 20))
# Enough for some looks before a copy is complete; a fetch takes longer than a copy, on any machine
SIZE_MIB=768
SLOWLY=(--limit-rate 300M)

# watch VOLUME POOL PID FILE: the allocation in bytes, again and again until PID ends
watch_volume() {
    : >"$4"
    while kill -0 "$3" 2>/dev/null; do
        virsh vol-info --bytes "$1" "$2" >"$4.info" 2>&1 ||
            grep -q 'no storage vol' "$4.info" || fail "vol-info $1: $(<"$4.info")"
        awk '$1 == "Allocation:" {print $2}' "$4.info" >>"$4"
    done
}

# What a file system itself needs for a file counts, too, and ext4 gives a block of that back at times
METADATA=65536

# grew FILE LAST: the values never fall, and at least one lies between nothing and the last one
grew() {
    awk -v spare=$METADATA '$1 + spare < most {exit 1} $1 > most {most = $1}' "$1" || fail "the allocation went down: $(tr '\n' ' ' <"$1")"
    awk -v last="$2" '$1 > 0 && $1 < last {seen = 1} END {exit !seen}' "$1" ||
        fail "no growth was seen: $(tr '\n' ' ' <"$1")"
}

step "publish an image of $SIZE_MIB MiB of noise"
start_registry
STORE=docker://$REGISTRY/golden
make_key golden
make_store "$STORE" golden.key
head -c ${SIZE_MIB}M /dev/zero |
    openssl enc -aes-128-ctr -K 00000000000000000000000000000001 -iv 0 >noise.img 2>/dev/null
publish "$STORE" golden.key noise.img noise@1.0.0
make_policy "$PWD/golden.pub"
start_helper "${SLOWLY[@]}"
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default

step "while it is fetched for a clone, the allocation of the template grows, and the clone answers"
clone web1.qcow2 noise.qcow2 &
child=$!
watch_volume noise@1.0.0.qcow2 templates $child template.txt &
watchers=($!)
watch_volume noise.qcow2 templates $child alias.txt &
watchers+=($!)
watch_volume web1.qcow2 default $child clone.txt
wait $child
wait "${watchers[@]}"
grew template.txt $((SIZE_MIB * MIB))
grew alias.txt $((SIZE_MIB * MIB))
[ -s clone.txt ] || fail "the clone did not answer"

step "a full copy grows while it is built"
volume_xml full.img raw >full.xml
virsh vol-create-from default full.xml noise.qcow2 --inputpool templates &
child=$!
watch_volume full.img default $child full.txt
wait $child
grew full.txt $((SIZE_MIB * MIB))
cmp -n $((SIZE_MIB * MIB)) noise.img $IMAGES/default/full.img

step "two clients that need the same template: one fetch"
virsh vol-delete web1.qcow2 default
virsh vol-delete noise@1.0.0.qcow2 templates
for i in 2 3; do clone web$i.qcow2 noise@1.0.0.qcow2 & pids[i]=$!; done
for i in 2 3; do wait "${pids[i]}"; done
for i in 2 3; do
    [ "$(stat -c %s $IMAGES/default/web$i.qcow2)" -lt $MIB ] || fail "web$i is not small"
done
assert_eq "$(virt-template jobs --json |
    jq '[.. | objects | select(.kind? == "fetch" and .received > 0)] | length')" 2 \
    "fetches that moved something since the start"

step "a helper that is killed while it fetches: the client is told, nothing is left, and again it works"
for i in 2 3; do virsh vol-delete web$i.qcow2 default; done
virsh vol-delete noise@1.0.0.qcow2 templates
expect_fail 'virttemplated' clone web4.qcow2 noise@1.0.0.qcow2 &
child=$!
wait_until 10 grep -q VmRSS "/proc/$HELPER_PID/status"
sleep 0.2
kill -KILL "$HELPER_PID"
wait "$HELPER_PID" || :
HELPER_PID=
wait $child
[ ! -e $IMAGES/default/web4.qcow2 ] || fail "half a clone was left behind"
rm -f $SOCKET $SOCKET-ro
start_helper "${SLOWLY[@]}"
clone web4.qcow2 noise@1.0.0.qcow2
assert_libvirtd_alive
