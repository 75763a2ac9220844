#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# units.sh BUILD_DIR: systemd understands our units, and finds the services closed enough
set -euo pipefail
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"
build=$1

# Of systemd-analyze security, times ten
DAEMON_MOST=15
WORKER_MOST=20

command -v systemd-analyze >/dev/null || refuse "systemd-analyze is not installed"
units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
# What they start is not installed here
cp policies/systemd/*.socket policies/systemd/*.slice "$units"
for unit in "$build"/policies/virttemplated*.service "$build"/policies/virttemplated*.socket; do
    sed 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' "$unit" >"$units/$(basename "$unit")"
done
# Ours first, then the system's
export SYSTEMD_UNIT_PATH=$units:

# problems UNIT: what systemd has to say about ours
problems() {
    systemd-analyze verify --man=no "$1" 2>&1 | grep -F virttemplated || [ $? = 1 ]
}
for unit in "$units"/*; do
    complaint=$(problems "$unit")
    [ -z "$complaint" ] || refuse "$(basename "$unit"): $complaint"
done

# open_more UNIT MOST: its exposure is above that
open_more() {
    ! systemd-analyze security --offline=yes --threshold="$2" "$1" >/dev/null 2>&1
}
! open_more "$units/virttemplated.service" $DAEMON_MOST ||
    refuse "virttemplated.service: exposure above $DAEMON_MOST tenths"
for kind in copy fetch seed unpack upload; do
    ! open_more "$units/virttemplated-$kind@.service" $WORKER_MOST ||
        refuse "virttemplated-$kind@.service: exposure above $WORKER_MOST tenths"
done

# The gate itself: a unit that is not closed, and one that is wrong, are seen
printf '[Service]\nExecStart=/bin/true\n' >"$units/virttemplated-open.service"
open_more "$units/virttemplated-open.service" 90 || refuse "this gate does not see an open unit"
printf '[Service]\nExecStrat=/bin/true\n' >"$units/virttemplated-wrong.service"
[ -n "$(problems "$units/virttemplated-wrong.service")" ] ||
    refuse "this gate does not see a wrong unit"

verdict
