#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-cycles.sh [CYCLES]: clones are made and deleted again and again, and by many at the same time:
# nothing is left over
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template sqlite3

STORE=oci:$PWD/golden
TEMPLATES=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default
LOOP=$VT_BUILD_DIR/tests/bench/clone-loop
CYCLES=${1:-1000}
WARM_UP=200
CLIENTS=50
CLONES_EACH=4
# Records of deleted clones stay until there are so many
RECORDS_MAX=256
GROWTH_KIB=1024

# rows: of all tables of the helper
rows() {
    local table
    for table in $(sqlite3 /var/lib/virt-template/*.db .tables); do
        echo "$table $(sqlite3 /var/lib/virt-template/*.db "select count(*) from $table")"
    done
}

records() {
    find $TEMPLATES/.clones -mindepth 1 | wc -l
}

# loop MODE COUNT PREFIX: times, in microseconds
loop() {
    "$LOOP" "$1" "$2" default templates debian.qcow2 "$3"
}

step "a template that is here, and what there is after $WARM_UP cycles"
make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img
publish "$STORE" golden.key one.img debian@1.0.0
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
virt-template pull debian@1.0.0 --pool templates
loop cycle $WARM_UP warm >took
rows >rows-before
fds_before=$(fds "$HELPER_PID") fds_libvirtd=$(fds "$LIBVIRTD_PID")
rss_before=$(rss "$HELPER_PID") rss_libvirtd=$(rss "$LIBVIRTD_PID")

step "$CYCLES cycles: no descriptor, file, record or row is left"
loop cycle "$CYCLES" cycle >took
assert_eq "$(wc -l <took)" "$CYCLES" "clones"
sort -n took | awk '{t[NR] = $1} END {
    printf "clone: median %.1f ms, p99 %.1f ms, longest %.1f ms\n",
        t[int(NR / 2)] / 1000, t[int(NR * 0.99)] / 1000, t[NR] / 1000 }'
echo "virttemplated: $rss_before to $(rss "$HELPER_PID") KiB, libvirtd: $rss_libvirtd to $(rss "$LIBVIRTD_PID") KiB"
assert_eq "$(ls -A $DEFAULT)" '' "files"
[ "$(records)" -le $RECORDS_MAX ] || fail "$(records) records of clones that are gone"
assert_eq "$(rows)" "$(cat rows-before)" "rows"
[ "$(fds "$HELPER_PID")" -le "$fds_before" ] || fail "the helper has $(fds "$HELPER_PID") descriptors, $fds_before before"
[ "$(fds "$LIBVIRTD_PID")" -le "$fds_libvirtd" ] || fail "libvirtd has $(fds "$LIBVIRTD_PID") descriptors, $fds_libvirtd before"
[ "$(rss "$HELPER_PID")" -le $((rss_before + GROWTH_KIB)) ] || fail "the helper takes $(rss "$HELPER_PID") KiB, $rss_before before"

step "$CLIENTS clients at the same time: none fails"
start=$(date +%s%N)
loop from $((CLIENTS * CLONES_EACH)) one >took
one=$(($(date +%s%N) - start))
start=$(date +%s%N)
pids=()
for ((i = 0; i < CLIENTS; i++)); do
    loop from $CLONES_EACH "many$i" >"took-$i" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || fail "a client failed"; done
many=$(($(date +%s%N) - start))
echo "$((CLIENTS * CLONES_EACH)) clones: one client $((one / 1000000)) ms, $CLIENTS clients with their connections $((many / 1000000)) ms"
assert_eq "$(cat took-* | wc -l)" $((CLIENTS * CLONES_EACH)) "clones"
assert_eq "$(find $DEFAULT -name 'many*.qcow2' | wc -l)" $((CLIENTS * CLONES_EACH)) "files"
for file in "$DEFAULT"/many*-0.qcow2; do qemu-img check -q "$file"; done
expect_fail "is needed by $((2 * CLIENTS * CLONES_EACH)) clones" virsh vol-delete debian@1.0.0.qcow2 templates
assert_libvirtd_alive

step "when the last clone is gone, so is the last record"
find $DEFAULT -name '*.qcow2' -delete
virsh vol-delete debian@1.0.0.qcow2 templates
assert_eq "$(records)" 0 "records"
