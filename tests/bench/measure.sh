# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# measure.sh: what the benchmarks have in common; to be sourced. Sets bench_dir and root.

set -Eeuo pipefail
export LC_ALL=C
# That samples are of
round=1
bench_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$(dirname "$bench_dir")")
# shellcheck source=tests/packages.sh
. "$root/tests/packages.sh"
# shellcheck source=tests/e2e/isolate.sh
. "$root/tests/e2e/isolate.sh"

fail() {
    [ ! -f "${LOGS:-}/bench.log" ] || tail -n 30 "$LOGS/bench.log" >&2
    echo "bench: $*" >&2
    exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# prepare_build [WORK_DIR]: sets work; packages, and a build unless VT_BUILD_DIR is one. What the inner
# part writes is below the work folder, which should be on the disk to measure.
prepare_build() {
    work=$(realpath -m "${1:-/var/tmp/virt-template-bench}")
    mkdir -p "$work"
    install_packages build run demo test bench </dev/null >"$work/packages.log" 2>&1
    if [ -z "${VT_BUILD_DIR:-}" ]; then
        VT_BUILD_DIR=$work/build
        [ -f "$VT_BUILD_DIR/build.ninja" ] ||
            meson setup "$VT_BUILD_DIR" "$root" --prefix=/usr --buildtype=release >"$work/build.log"
        ninja -C "$VT_BUILD_DIR" >>"$work/build.log"
    fi
    export VT_BUILD_DIR VT_SCRATCH_BASE=$work
}

# ---- inside ------------------------------------------------------------------------------------

# enter: into the namespaces, with the functions of the e2e tests; samples go to $samples
enter() {
    vt_isolate_inner
    # shellcheck source=tests/e2e/machine.sh
    . "$root/tests/e2e/machine.sh"
    cd "$VT_SCRATCH"
    samples=$VT_SCRATCH/samples
}

# publish_versions COUNT: v1.img, v2.img... are published as disk, each over the one before, and pulled
publish_versions() {
    local number
    logged virt-template key generate golden
    make_policy "$PWD/golden.pub"
    logged virt-template store init --store "oci:$PWD/store" --key golden.key
    for ((number = 1; number <= $1; number++)); do
        logged virt-template publish --store "oci:$PWD/store" --key golden.key --max-chain "$1" \
            "v$number.img" "disk@$number.0.0"
    done
    start_helper
    start_libvirtd
    logged define_pool templates "oci:$PWD/store"
    for ((number = 1; number <= $1; number++)); do
        logged virt-template pull --pool templates "disk@$number.0.0"
    done
}

# report FILE: the table of the samples
report() {
    "$bench_dir/table.py" "$samples" | tee "$1"
}

# sample ROW ARM VALUE, in the round that runs
sample() {
    [ -n "$3" ] || fail "no figure for $1 of $2"
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$round" "$3" >>"$samples"
}

# logged COMMAND...: what it prints goes to the log
logged() {
    "$@" >>"$LOGS/bench.log" 2>&1 || fail "$* (see the log above)"
}

# Few contenders use more for the first time, their page cache included
WARM_MIB=4096

# settle: to start with a disk that has nothing to do and with memory that the host has given: what
# the one before left to be written, or gave back, is not the business of the next
settle() {
    sync
    "$VT_BUILD_DIR/tests/bench/touch-memory" $WARM_MIB
    sleep 0.3
}

# seconds COMMAND...: how long it took; what it prints goes to the log
seconds() {
    local start end
    settle
    start=$EPOCHREALTIME
    "$@" >>"$LOGS/bench.log" 2>&1 || fail "$* (see the log above)"
    end=$EPOCHREALTIME
    echo $((${end/./} - ${start/./})) | awk '{printf "%.6f", $1 / 1e6}'
}

# timed COMMAND...: sets `wall` and `cpu`, seconds, of the command and what it waited for
# shellcheck disable=SC2034 # the caller's
timed() {
    local times
    settle
    TIMEFORMAT='%R %U %S'
    times=$({ time "$@" >>"$LOGS/bench.log" 2>&1; } 2>&1) || fail "$* (see the log above)"
    wall=${times%% *}
    cpu=$(awk '{print $2 + $3}' <<<"$times")
}

# write_as_much FILE BESIDE: seconds that a disk takes for the bytes of FILE: nobody brings them quicker
write_as_much() {
    seconds dd if=/dev/zero of="$2/zeros" bs=1M count="$(du -mL "$1" | cut -f1)" oflag=direct conv=fsync
    rm "$2/zeros"
}

in_shell() {
    bash -o pipefail -c "$1"
}

# to_ms SECONDS
to_ms() {
    awk -v s="$1" 'BEGIN {printf "%.3f", s * 1e3}'
}

# megabytes BYTES
megabytes() {
    awk -v b="$1" 'BEGIN {printf "%.3f", b / 1e6}'
}

registry_requests() {
    grep -c 'msg="response completed"' "$REGISTRY_LOG" || [ $? = 1 ]
}
