# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Steps and checks of a test in shell. Who sources this has `set -E`, writes TAP to descriptor 3 and all else
# to standard error, and has a function vt_print_logs for the case that a step fails.

vt_steps=0
vt_step=

vt_step_ok() {
    [ -n "$vt_step" ] || return 0
    vt_steps=$((vt_steps + 1))
    echo "ok $vt_steps - $vt_step" >&3
    vt_step=
}

# Ends the step before (it has passed) and begins the next one
step() {
    vt_step_ok
    vt_step=$1
    echo "=== $1"
}

vt_cleanups=()

# Runs a command when the test ends, whatever its result; last added first
cleanup_fn() {
    vt_cleanups+=("$(printf '%q ' "$@")")
}

vt_finish() {
    local status=$? i
    trap - ERR EXIT
    set +e
    if [ $status = 0 ]; then
        vt_step_ok
    else
        vt_steps=$((vt_steps + 1))
        echo "not ok $vt_steps - ${vt_step:-before the first step}" >&3
        vt_print_logs
    fi
    echo "1..$vt_steps" >&3
    for ((i = ${#vt_cleanups[@]} - 1; i >= 0; i--)); do
        eval "${vt_cleanups[i]}"
    done
    exit $status
}
trap vt_finish EXIT
trap 'echo "FAILED at ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND"' ERR

fail() {
    echo "FAIL: $*"
    exit 1
}

assert_eq() {
    [ "$1" = "$2" ] || fail "${3:-values differ}: got '$1', expected '$2'"
}

# assert_match REGEX TEXT
assert_match() {
    grep -Eq -- "$1" <<<"$2" || fail "nothing matches '$1' in: $2"
}

assert_no_match() {
    ! grep -Eq -- "$1" <<<"$2" || fail "'$1' must not match in: $2"
}

# expect_fail MESSAGE_REGEX COMMAND...: it must fail, and say why. Its output is left in $output.
expect_fail() {
    local regex=$1 status=0
    shift
    output=$("$@" 2>&1) || status=$?
    echo "\$ $* -> $status"
    echo "$output"
    [ $status != 0 ] || fail "this must fail, but did not: $*"
    [ $status -lt 124 ] || fail "ended by a signal or a time limit: $*"
    assert_match "$regex" "$output"
}
