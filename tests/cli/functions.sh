# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests of virt-template share. Sourced with the program's path in $1 of the script; leaves
# the script in a directory of its own. Speaks TAP.
set -euo pipefail

PROGRAM=$(realpath "$1")
# shellcheck disable=SC2034 # used by the scripts
SOURCE_DIR=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck disable=SC2034
ORIGIN=$PWD
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
cd "$SCRATCH"
export LC_ALL=C.UTF-8
unset VIRT_TEMPLATE_SOCKET
number=0

virt-template() {
    "$PROGRAM" "$@"
}

ok() {
    number=$((number + 1))
    echo "ok $number - $*"
}

# not_ok MESSAGE: the test ends here; a script without its plan fails
not_ok() {
    number=$((number + 1))
    echo "not ok $number - $*"
    [ ! -s "$SCRATCH/stderr" ] || sed 's/^/# /' "$SCRATCH/stderr"
    exit 1
}

plan() {
    echo "1..$number"
}

# succeeds ARGUMENT...: of virt-template; its output is in the file stdout
succeeds() {
    virt-template "$@" >stdout 2>stderr || not_ok "exit status $? of: virt-template $*"
    ok "virt-template $*"
}

# refused STATUS REGEX ARGUMENT...: ends with this status and says this, in one error message
refused() {
    local wanted=$1 regex=$2 status=0
    shift 2
    virt-template "$@" >stdout 2>stderr || status=$?
    [ $status = "$wanted" ] || not_ok "exit status $status in place of $wanted: virt-template $*"
    grep -qE "^virt-template: .*($regex)" stderr || not_ok "no '$regex' in the error: virt-template $*"
    ! grep -q '[[:cntrl:]]' stderr || not_ok "control characters in the error: virt-template $*"
    # a name may hold what TAP must not
    ok "refused: virt-template $(printf '%q ' "$@" | cut -c -150)"
}

# shellcheck disable=SC2034 # both are used by the scripts
# start_registry: on a port that was free a moment ago; sets $STORE, and $registry, its process
start_registry() {
    local port
    port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
    cat >registry.yml <<END
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $PWD/data}}
http: {addr: 127.0.0.1:$port}
END
    docker-registry serve registry.yml >registry.log 2>&1 &
    registry=$!
    for _ in {1..100}; do
        ! curl -sf "http://127.0.0.1:$port/v2/" >/dev/null || break
        sleep 0.1
    done
    STORE=docker://127.0.0.1:$port/golden
}
