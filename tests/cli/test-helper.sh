#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-helper.sh PROGRAM DAEMON REGISTER_POOL: the verbs that ask virttemplated, with a real one.
# Needs root, as virttemplated does.
# shellcheck source=tests/cli/functions.sh
. "$(dirname "$0")/functions.sh"
DAEMON=$(cd "$ORIGIN" && realpath "$2")
REGISTER=$(cd "$ORIGIN" && realpath "$3")

STORE=oci:$PWD/golden
SOCKET=$PWD/run/virttemplated-sock
READ_ONLY=$SOCKET-ro
export VIRT_TEMPLATE_SOCKET=$SOCKET
daemon=
registry=

# Sealed layers are immutable
finish() {
    [ -z "$daemon" ] || kill "$daemon"
    [ -z "$registry" ] || kill "$registry"
    wait
    find "$SCRATCH" -name '*.qcow2' -exec chattr -f -i {} +
    rm -rf "$SCRATCH"
}
trap finish EXIT
[ "$(id -u)" = 0 ] || not_ok 'virttemplated gives its workers other users, so this needs root'

# The fetch worker reads the store as another user
chmod 755 .
mkdir run state pool second
head -c 30000000 /dev/urandom >disk.raw
truncate -s 64M disk.raw
virt-template key generate golden >/dev/null
virt-template store init --store "$STORE" --key golden.key | sed -n '/^{$/,/^}$/p' >policy.json
virt-template publish disk.raw debian@1.0.0 --quiet --store "$STORE" --key golden.key
virt-template publish disk.raw debian@1.1.0 --quiet --store "$STORE" --key golden.key

# Two users that every Debian has stand in for those that sysusers.d makes
"$DAEMON" --run-dir run --state-dir state --fetch-user nobody --unpack-user daemon \
    --worker-dir "$(dirname "$DAEMON")" >daemon.log 2>&1 &
daemon=$!
for _ in {1..100}; do
    [ ! -S "$READ_ONLY" ] || break
    sleep 0.1
done

# ---- options of the daemon ----

# no_daemon MESSAGE OPTION...
no_daemon() {
    local message=$1
    shift
    if "$DAEMON" --run-dir refused "$@" 2>stderr; then not_ok "virttemplated $* was accepted"; fi
    grep -qE -- "$message" stderr || not_ok "virttemplated $*: $(cat stderr)"
}
no_daemon '--connections 0: not a number from 1 to 32' --connections 0
no_daemon '--connections 33: not a number from 1 to 32' --connections 33
no_daemon '--retries -1: not a number from 0 to 20' --retries=-1
no_daemon '--stall 0: not a number from 1 to 600' --stall 0
no_daemon '--stall 601: not a number from 1 to 600' --stall 601
no_daemon '--catalog-grace -1: not a number from 0 to 8760' --catalog-grace=-1
no_daemon '--catalog-grace 8761: not a number from 0 to 8760' --catalog-grace 8761
no_daemon "parse integer value .*3d.* for --catalog-grace" --catalog-grace 3d
no_daemon "--limit-rate: 'much' is not a rate such as 10M" --limit-rate much
no_daemon '--limit-rate: a rate of 5 bytes per second is too low' --limit-rate 5

# ---- pools ----

refused 3 'knows no pool' list
"$REGISTER" "$SOCKET" "$PWD/pool" templates "$STORE" "$PWD/policy.json"
succeeds list
grep -qE '^debian +1\.0\.0 +64\.0 MiB +-$' stdout || not_ok 'list of a version that is not here'
grep -qE '^debian +1\.1\.0 +64\.0 MiB +-  current$' stdout || not_ok 'list of the current version'
succeeds list --pool "$PWD/pool"
refused 3 "no pool 'other'.*templates \\($PWD/pool\\)" list --pool other

# ---- one template ----

succeeds info debian
grep -qE '^Version +1\.1\.0$' stdout || not_ok 'info without version is not about the current one'
refused 3 "'nope'" info nope
refused 3 '3\.0\.0' pull debian@3.0.0
refused 3 'fetch it first|not on this host|not here' verify debian@1.0.0
refused 2 '--json is for --dry-run' pull --json debian@1.0.0
for rate in fast 0 10X -1 1.5M ''; do
    refused 2 "--limit-rate: '$rate' is not a rate such as 10M" pull --limit-rate="$rate" debian@1.0.0
done
refused 2 '--limit-rate: a rate of 1024 bytes per second is too low: the least is 16K' \
    pull --limit-rate 1K debian@1.0.0
succeeds pull --dry-run debian@1.0.0
grep -qE '^debian@1\.0\.0: [0-9.]+ MiB to fetch; its layers take 0 B of this disk, and about 28\.6 MiB more$' stdout ||
    not_ok 'the sum of a dry run'
grep -qE '^[0-9a-f]{12} +- +no +[0-9.]+ MiB +about 28\.6 MiB +debian@1\.1\.0$' stdout ||
    not_ok 'the layers of a dry run'
[ -z "$(find pool -name '*.qcow2' -o -name .layers)" ] || not_ok 'a dry run leaves something behind'
refused 3 '3\.0\.0' pull --dry-run debian@3.0.0
succeeds pull --limit-rate 100M debian@1.0.0
grep -q 'received .* verified$' stdout || not_ok 'pull does not say what it did'
[ ! -s stderr ] || not_ok 'a progress bar without a terminal'
qemu-img compare -q -f raw -F qcow2 disk.raw file:pool/debian@1.0.0.qcow2 ||
    not_ok 'the pulled template is another disk'
succeeds pull debian@1.0.0.qcow2
! grep -q received stdout || not_ok 'a second pull received something'
succeeds list
grep -qE '^debian +1\.0\.0 .* here$' stdout || not_ok 'list of a version that is here'
virt-template pull --dry-run --json debian@1.0.0 | jq -e '.fetch == 0 and .expected == 0 and .disk > 0 and
    (.layers | length) == 1 and .layers[0].here and .layers[0].parent == null' >/dev/null ||
    not_ok 'pull --dry-run --json'
succeeds info debian@1.0.0
grep -qE '^Cost +nothing to fetch; its layers take [0-9.]+ MiB of this disk$' stdout || not_ok 'cost of info'
succeeds verify debian@1.0.0
grep -q 'is intact' stdout || not_ok 'verify does not say that it is intact'
virt-template verify --json debian@1.0.0 | jq -e '.intact and .checked > 0' >/dev/null ||
    not_ok 'verify --json'
virt-template list --json | jq -e '.pool == "templates" and .warning == "" and
    ([.templates[] | select(.version == "1.0.0")][0] | .complete and .allocation > 0)' >/dev/null ||
    not_ok 'list --json'
virt-template info --json debian@1.0.0 |
    jq -e '.capacity == 67108864 and .clones == [] and (.state | index("here"))' >/dev/null ||
    not_ok 'info --json'
virt-template jobs --json | jq -e '.jobs | length >= 3 and .[0].state == "done"' >/dev/null ||
    not_ok 'jobs --json'
ok 'JSON of list, info, verify, jobs'
succeeds jobs
grep -qE 'fetch +debian@1\.0\.0 +done +100%' stdout || not_ok 'jobs'
refused 3 '99' jobs --cancel 99

# ---- a local copy that was altered ----

layer=$(find pool/.layers -name '*.qcow2')
chattr -i "$layer"
chmod 644 "$layer"
printf xxxxxxxxxxxxxxxx | dd of="$layer" bs=1 seek=10000000 conv=notrunc status=none
refused 5 'debian@1.0.0|guest offset|does not' verify debian@1.0.0
status=0
virt-template verify --json debian@1.0.0 >verdict 2>stderr || status=$?
[ $status = 5 ] || not_ok "exit status $status of verify --json"
jq -e '.intact == false and (.reason | length > 0)' verdict >/dev/null || not_ok 'bad verdict as JSON'
ok 'verify --json of a bad copy'
succeeds diff debian@1.0.0 debian
grep -qE '^  changed +at most 0 blocks \(0 B\)$' stdout || not_ok 'diff reads a copy that is damaged'
refused 2 'needs NAME' diff debian
refused 2 "'Debian'" diff debian Debian
refused 3 '3\.0\.0' diff debian@3.0.0 debian
succeeds verify --repair debian@1.0.0
grep -q 'is intact now: 1 of 1 layers were repaired' stdout || not_ok 'verify --repair does not say what it did'
qemu-img compare -q -f raw -F qcow2 disk.raw file:pool/debian@1.0.0.qcow2 ||
    not_ok 'the repaired template is another disk'
succeeds verify debian@1.0.0
succeeds verify --repair debian@1.0.0
grep -q 'is intact: ' stdout || not_ok 'verify --repair of a good copy'
virt-template verify --repair --json debian@1.0.0 | jq -e '.intact and (has("repaired") | not)' >/dev/null ||
    not_ok 'verify --repair --json of a good copy'
succeeds evict debian@1.0.0
[ ! -e pool/debian@1.0.0.qcow2 ] || not_ok 'evict left it there'
refused 3 '.' evict debian@1.0.0

# ---- who may what ----

as_nobody() {
    setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}
cp "$PROGRAM" program
PROGRAM=$PWD/program
as_nobody "$PROGRAM" list --socket "$READ_ONLY" >listed || not_ok 'list as another user'
grep -q '^debian' listed || not_ok 'list as another user says nothing'
as_nobody "$PROGRAM" pull --dry-run debian --socket "$READ_ONLY" >listed || not_ok 'dry run as another user'
status=0
as_nobody "$PROGRAM" list 2>stderr || status=$?
[ $status = 11 ] || not_ok "exit status $status for the socket of root"
grep -q 'run this as root' stderr || not_ok 'the error does not say what to do'
status=0
as_nobody "$PROGRAM" pull debian --socket "$READ_ONLY" 2>stderr || status=$?
[ $status = 11 ] || not_ok "exit status $status for pull over the read-only socket"
ok 'other users may read'

refused 2 'only a libvirt of this host' list --connect test:///default
refused 2 'only a libvirt of this host' pull debian -c qemu+ssh://away/system
refused 2 'root has no session' jobs --connect qemu:///session
refused 2 'does not go with' list --store "$STORE" --connect qemu:///system

# ---- secrets ----

UUID=6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f
seed=$PWD/pool/web-seed.iso
secrets=$PWD/pool/.seeds/web-seed.iso.$UUID.secrets
# keeps YAML, keeps_not STATUS REGEX YAML [ARGUMENT...]
keeps() {
    succeeds instance secrets "$seed" $UUID <<<"$1"
}
keeps_not() {
    local status=$1 regex=$2 text=$3
    shift 3
    [ $# -gt 0 ] || set -- "$seed" $UUID
    refused "$status" "$regex" instance secrets "$@" <<<"$text"
    ! grep -q hunter2 stderr || not_ok 'a secret is shown'
}
keeps "$(printf 'token: "hunter2"\nb: |\n  x: 1\n  y')"
[ "$(stat -c '%a %U' "$secrets")" = '600 root' ] || not_ok "mode $(stat -c '%a %U' "$secrets")"
[ "$(stat -c %a pool/.seeds)" = 700 ] || not_ok "mode $(stat -c %a pool/.seeds)"
grep -qxF '"token": "hunter2"' "$secrets" || not_ok 'the secret is not there'
grep -qxF '"b": "x: 1\x0ay\x0a"' "$secrets" || not_ok 'the lines are not there'
keeps 'token: "next"'
[ "$(cat "$secrets")" = '"token": "next"' ] || not_ok 'the old secrets are there'
keeps_not 2 'stdin: line 1: not a mapping' hunter2
keeps_not 2 'stdin: the key of secret number 1 is not' 'hunter2 x: y'
keeps_not 2 "'pin' is not a string: write it in quotes" 'pin: 0123'
keeps_not 2 'not a mapping' '# nothing'
keeps_not 2 'is not <directory of a template pool>/NAME-seed.iso' 'a: hunter2' "$PWD/pool/x.iso" $UUID
keeps_not 3 "the seed's path '/tmp/x-seed.iso'" 'a: hunter2' /tmp/x-seed.iso $UUID
keeps_not 2 "part that is empty" 'a: hunter2' "$PWD/pool/../pool/x-seed.iso" $UUID
keeps_not 2 'the UUID of a domain' 'a: hunter2' "$seed" web
keeps_not 2 'needs SEED_PATH DOMAIN_UUID' 'a: hunter2' "$seed"
refused 2 'there is no secret' instance secrets "$seed" $UUID </dev/null
refused 1 'more than 1048576 bytes' instance secrets "$seed" $UUID <disk.raw
[ "$(cat "$secrets")" = '"token": "next"' ] || not_ok 'what was refused was kept'
status=0
as_nobody "$PROGRAM" instance secrets "$seed" $UUID --socket "$READ_ONLY" <<<'a: b' 2>stderr || status=$?
[ $status = 11 ] || not_ok "exit status $status for secrets over the read-only socket"
chmod 755 pool/.seeds
keeps_not 11 "/pool/.seeds' holds secrets, but others" 'a: hunter2'
chmod 700 pool/.seeds
succeeds instance secrets "$seed" $UUID --remove
[ ! -e "$secrets" ] || not_ok 'the secrets are still there'
succeeds instance secrets "$seed" $UUID --remove
! grep -q hunter2 daemon.log || not_ok 'a secret is in the log'

# ---- several pools, and doctor ----

"$REGISTER" "$SOCKET" "$PWD/second" second "oci:$PWD/none" "$PWD/policy.json"
refused 2 "--pool .*templates.*second|--pool .*second.*templates" list
succeeds list --pool templates
virt-template doctor --json >report 2>stderr || [ $? = 1 ] || not_ok 'doctor'
level() {
    jq -r --arg check "$1" '[.checks[] | select(.check == $check)][0].level' report
}
for check in helper 'pool templates: directory' 'pool templates: store' 'pool templates: policy' \
    'pool templates: catalog'; do
    [ "$(level "$check")" = OK ] || not_ok "doctor: $check: $(level "$check")"
done
[ "$(level 'pool second: store')" = FAIL ] || not_ok 'doctor does not see that a store is away'
[ "$(level 'pool second: catalog')" = FAIL ] || not_ok 'doctor does not see that a catalog is away'
rm policy.json
rmdir second || rm -r second
virt-template doctor --json >report 2>stderr || [ $? = 1 ] || not_ok 'doctor'
[ "$(level 'pool templates: policy')" = FAIL ] || not_ok 'doctor does not see that the policy is away'
[ "$(level 'pool second: directory')" = FAIL ] || not_ok 'doctor does not see a missing directory'
ok 'doctor'

# ---- following jobs, while the rest of this test makes some ----

"$PROGRAM" jobs --follow --json >events 2>/dev/null &
follower=$!
setpriv --reuid nobody --regid nogroup --clear-groups "$PROGRAM" jobs --follow --json \
    --socket "$READ_ONLY" >events-nobody 2>/dev/null &
stranger=$!

# happened JQ_CONDITION: an event with it was shown
happened() {
    for _ in {1..200}; do
        jq -es "map(select($1)) | length > 0" events >/dev/null 2>&1 && return
        sleep 0.05
    done
    not_ok "no event with $1: $(cat events)"
}

# ---- Ctrl-C cancels ----

start_registry
mkdir slow
head -c 50000000 /dev/urandom >big.raw
virt-template store init --store "$STORE" --key golden.key | sed -n '/^{$/,/^}$/p' >registry.json
virt-template publish big.raw big@1.0.0 --quiet --level 1 --store "$STORE" --key golden.key
"$REGISTER" "$SOCKET" "$PWD/slow" slow "$STORE" "$PWD/registry.json"
# Takes longer than this test at such a rate, so that it cannot be done before it is cancelled
"$PROGRAM" pull --pool slow --limit-rate 256K big 2>stderr &
pull=$!
is_job() {
    virt-template jobs --json |
        jq -e --arg state "$1" '.jobs[0] | .name == "big" and .state == $state' >/dev/null
}
for _ in {1..100}; do
    ! is_job running || break
    sleep 0.05
done
# The program looks for Ctrl-C only once it knows the job
happened '.event == "progress" and .job.phase == "transfer" and .job.total == 50003968'
sleep 0.3
kill -INT $pull
status=0
wait $pull || status=$?
[ $status = 130 ] || not_ok "exit status $status after Ctrl-C"
is_job cancelled || not_ok 'Ctrl-C does not cancel the job'
ok 'Ctrl-C cancels the job'
happened '.event == "started" and .job.name == "big" and .job.kind == "fetch"'
happened '.event == "ended" and .job.name == "big" and .job.state == "cancelled"'
job=$(jq -s '[.[] | select(.event == "ended")][0].job.id' events)
refused 130 'the job was cancelled' jobs --follow "$job"
grep -qxE "$job  fetch big@1\.0\.0  cancelled after .* received: .*" stdout || not_ok 'line of a cancelled job'
ok 'jobs --follow of jobs that begin and end'
succeeds pull --pool slow big
qemu-img compare -q -f raw -F qcow2 big.raw file:slow/big@1.0.0.qcow2 ||
    not_ok 'what was fetched after Ctrl-C is another disk'
succeeds pull --detach --pool slow big
grep -qxE 'job [0-9]+' stdout || not_ok '--detach does not say which job'
succeeds jobs --follow "$(sed 's/job //' stdout)"
grep -qxE '[0-9]+  fetch big@1\.0\.0  done after .*, 0 B received' stdout || not_ok 'line of a job that is done'
virt-template evict --pool slow big >/dev/null
succeeds pull --detach --limit-rate 20M --pool slow big
job=$(sed 's/job //' stdout)
virt-template jobs --follow --json "$job" >one || not_ok "exit status $? for a job that is done"
jq -es --argjson job "$job" 'all(.[]; .job.id == $job) and .[0].event == "present" and
    .[-1].event == "ended" and .[-1].job.state == "done"' one >/dev/null || not_ok "followed: $(cat one)"
refused 3 '99' jobs --follow 99
refused 2 'not the number of a job' jobs --follow 1x
refused 2 'one argument too many; to follow a job' jobs 1
refused 2 'do not go together' jobs --follow --cancel 1
mv data/docker away
virt-template evict --pool slow big >/dev/null
succeeds pull --detach --pool slow big
refused 3 'lost a part|not found|NotFound|404|unknown' jobs --follow "$(sed 's/job //' stdout)"
mv away data/docker
ok 'jobs --follow JOB'
"$PROGRAM" jobs --follow >/dev/null 2>stderr &
interrupted=$!
sleep 0.3
kill -INT $interrupted
status=0
wait $interrupted || status=$?
[ $status = 130 ] || not_ok "exit status $status of --follow after Ctrl-C"
[ ! -s events-nobody ] || not_ok "others are told of root's jobs: $(cat events-nobody)"
kill -0 $stranger || not_ok 'who has no jobs does not follow any more'
ok 'others are told of their own jobs only'

kill "$daemon"
wait "$daemon" || not_ok 'virttemplated did not end in peace'
for pid in $follower $stranger; do
    status=0
    wait "$pid" || status=$?
    [ $status = 9 ] || not_ok "exit status $status of --follow when virttemplated has ended"
done
ok 'jobs --follow ends with virttemplated'
daemon=
refused 9 'cannot be reached' list
plan
