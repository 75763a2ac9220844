#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-away.sh PROGRAM: without a helper, every verb that needs one says so, and at once
# shellcheck source=tests/cli/functions.sh
. "$(dirname "$0")/functions.sh"

export VIRT_TEMPLATE_SOCKET=$PWD/none
for verb in list jobs 'info a' 'pull a@1.0.0' 'verify a' 'evict a' 'jobs --cancel=1' 'jobs --follow' metrics 'list --json'; do
    # shellcheck disable=SC2086 # words
    refused 9 "$PWD/none.*systemctl start" $verb
done
refused 9 "$PWD/other" list --socket "$PWD/other"
refused 2 'a/b' pull a/b
refused 2 'semantic version' pull a@
refused 2 '--store lists a store' list --store "oci:$PWD" --pool x
refused 2 'need --store' list --policy x

# doctor finds this, and more on a machine without our module
status=0
virt-template doctor --json >report 2>stderr || status=$?
[ $status = 1 ] || not_ok "exit status $status of doctor"
jq -e '.ok == false and ([.checks[] | select(.check == "helper")][0].level == "FAIL")' report \
    >/dev/null || not_ok 'doctor does not report the helper'
jq -e 'all(.checks[] | select(.level != "OK"); .advice != null)' report >/dev/null ||
    not_ok 'a finding without advice'
ok 'doctor --json'
status=0
virt-template doctor >report 2>stderr || status=$?
[ $status = 1 ] || not_ok "exit status $status of doctor"
grep -qE "^FAIL  helper: .*$PWD/none" report || not_ok 'doctor does not report the helper'
ok 'doctor'
plan
