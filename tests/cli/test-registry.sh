#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-registry.sh PROGRAM: publishing into a registry, which has no lock to offer
# shellcheck source=tests/cli/functions.sh
. "$(dirname "$0")/functions.sh"

registry=
finish() {
    [ -z "$registry" ] || kill "$registry"
    wait
    rm -rf "$SCRATCH"
}
trap finish EXIT

head -c 5000000 /dev/urandom >disk.raw
virt-template key generate golden >/dev/null
start_registry

refused 3 'no catalog.*store init' publish disk.raw debian@1.0.0 --store "$STORE" --key golden.key
succeeds store init --store "$STORE" --key golden.key
sed -n '/^{$/,/^}$/p' stdout >policy.json
refused 10 'has a catalog' store init --store "$STORE" --key golden.key
succeeds publish disk.raw debian@1.0.0 --store "$STORE" --key golden.key
succeeds publish disk.raw debian@1.0.0 --store "$STORE" --key golden.key
grep -q 'nothing was uploaded' stdout || not_ok 'it does not say that nothing was uploaded'
! grep -q renewed stdout || not_ok 'a new catalog was renewed'
succeeds publish disk.raw short@1.0.0 --store "$STORE" --key golden.key --expires 20
succeeds publish disk.raw short@1.0.0 --store "$STORE" --key golden.key --expires 30
! grep -q renewed stdout || not_ok 'a catalog of which more than half is left was renewed'
succeeds publish disk.raw short@1.0.0 --store "$STORE" --key golden.key
grep -qE '^  catalog   was valid until [0-9T:-]*Z, renewed: serial 4$' stdout || not_ok 'it does not say that it renewed it'
succeeds publish disk.raw short@1.0.0 --store "$STORE" --key golden.key --json
jq -e '.unchanged and (.renewed | not) and .serial == 4' stdout >/dev/null || not_ok 'renewed twice'
skopeo inspect --tls-verify=false --raw "$STORE/debian:1.0.0" |
    jq -e '.artifactType == "application/vnd.virt-template.v1"' >/dev/null || not_ok 'skopeo'
ok 'skopeo reads it'

for i in 1 2 3 4; do
    virt-template publish disk.raw "many$i@1.0.0" --quiet --key golden.key --store "$STORE" &
    jobs[i]=$!
done
for i in 1 2 3 4; do
    wait "${jobs[i]}" || not_ok "publisher $i"
done
succeeds list --store "$STORE" --policy policy.json
[ "$(grep -c '^many[1-4] ' stdout)" = 4 ] || not_ok 'a version of several publishers was lost'
ok 'four publishers at once'

kill "$registry"
wait "$registry" || [ $? = 143 ]
registry=
refused 6 '127.0.0.1' publish disk.raw debian@1.1.0 --store "$STORE" --key golden.key
refused 6 '127.0.0.1' list --store "$STORE" --policy policy.json
plan
