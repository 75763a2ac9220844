# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Steps that every end-to-end test shares. A test sources this file first and then is a list of
#
#     step "what is shown"
#     command...
#
# It runs in a private machine (isolate.sh) with the real libvirtd, the real helper and the real
# registry. It stops at the first command that fails; then the logs of all daemons are printed.
# Standard output is TAP, all other output goes to standard error.

set -Eeuo pipefail
export LC_ALL=C

VT_E2E_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/isolate.sh
. "$VT_E2E_DIR/isolate.sh"
[ -n "${VT_INSIDE:-}" ] || vt_isolate_outer "$@"
vt_isolate_inner
cd "$VT_SCRATCH"

exec 3>&1 1>&2

# shellcheck source=tests/e2e/machine.sh
. "$VT_E2E_DIR/machine.sh"
# shellcheck source=tests/steps.sh
. "$VT_E2E_DIR/../steps.sh"

vt_print_logs() {
    local log
    for log in "$LOGS"/*; do
        [ -s "$log" ] || continue
        echo "--- $(basename "$log") (last 40 lines)"
        # The registry writes each request twice; libvirtd looks for network cards that are elsewhere
        grep -vE 'level=.*http.request|ethtool ioctl' "$log" | tail -n 40 | cut -c -300
    done
}
