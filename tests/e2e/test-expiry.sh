#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A catalog that has expired: what is here works, what is not here is fetched for some days more, and
# then refused until somebody publishes
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh jq openssl python3 virt-template

STORE=oci:$PWD/golden
POOL=/var/lib/libvirt/images/templates
EXPIRED="the catalog of '$STORE' for the pool '$POOL' expired at"

# sign_expiry HOURS: the publisher has signed a catalog that expired so long ago
sign_expiry() {
    EXPIRY=$(date -u -d "-$1 hours" +%Y-%m-%dT%H:%M:%SZ)
    virt-template list --store "$STORE" --json |
        jq -c --arg expiry "$EXPIRY" '.expires = $expiry | .serial += 1' >catalog.json
    "$VT_E2E_DIR/forge.py" golden catalog golden.key catalog.json
    virsh pool-refresh templates
}

# member VERSION NAME: of what `info` says
member() {
    virt-template info --json "debian@$1" | jq -c ".[\"$2\"]"
}

# gauge NAME: of the one pool
gauge() {
    virt-template metrics | awk -v name="virt_template_$1{" 'index($1, name) == 1 {print $2}'
}

# told: records of the event itself
told() {
    grep -cF "warning: $EXPIRED $EXPIRY" "$LOGS/virttemplated.log"
}

warnings() {
    virt-template list 2>warnings >list.txt
    cat warnings
}

# levels: what `doctor` says of the catalog and the store
levels() {
    virt-template doctor --json >report || :  # its exit status is about all checks
    jq -r '[.checks[] | select(.check == "pool templates: catalog" or .check == "pool templates: store").level]
        | join(" ")' report
}

refuses() {
    expect_fail "$EXPIRED $EXPIRY: versions that are not on this host are not fetched since 20.*publish any version.*--catalog-grace" \
        "$@"
}

host_with_template "$STORE"
make_image 64M two.img 2
publish "$STORE" golden.key two.img debian@1.1.0 --no-current
virsh pool-refresh templates

step "a valid catalog: no warning"
assert_eq "$(warnings)" ''
assert_eq "$(member 1.0.0 warning)" null
assert_eq "$(gauge catalog_grace_end_timestamp_seconds)" \
    $(($(gauge catalog_expiry_timestamp_seconds) + 72 * 3600)) 'end of the grace'

step "within the grace: fetched, and a warning says until when"
sign_expiry 2
assert_match "$EXPIRED $EXPIRY: versions that are not on this host are fetched until 20.*publish" "$(warnings)"
assert_match "$EXPIRED $EXPIRY" "$(member 1.0.0 warning)"
assert_eq "$(levels)" 'WARN WARN'
virt-template pull debian
assert_eq "$(member 1.0.0 state)" '["current","here"]'

step "... and the operator is told once"
virsh pool-refresh templates
assert_match "$EXPIRED" "$(warnings)"
assert_eq "$(told)" 1 'records'

step "after the grace: what is not here is refused, with the reason and what to do"
sign_expiry 73
refuses virt-template pull debian@1.1.0
refuses clone refused.qcow2 debian@1.1.0.qcow2
assert_eq "$(find $POOL -name 'debian@1.1.0*' | wc -l)" 0 'files of the version'
assert_eq "$(member 1.1.0 state)" '["catalog expired"]'
assert_match "not fetched since" "$(warnings)"
assert_match "debian +1.1.0 .* catalog expired" "$(cat list.txt)"
assert_eq "$(levels)" 'WARN FAIL'
assert_eq "$(told)" 1 'records'

step "... what is here works, by its version and as the current one"
virt-template pull debian
virt-template pull debian@1.0.0
clone one.qcow2 debian@1.0.0.qcow2
clone current.qcow2 debian.qcow2
virt-template verify debian
assert_eq "$(member 1.0.0 state)" '["current","here"]'
virsh vol-info debian@1.1.0.qcow2 templates
virsh vol-delete one.qcow2 default
virsh vol-delete current.qcow2 default

step "... and a current one that is not here is refused like any other"
virt-template evict debian@1.0.0
refuses virt-template pull debian

step "the grace can be longer, and none"
restart_helper --catalog-grace 100
virt-template pull debian@1.1.0
virt-template evict debian@1.1.0
sign_expiry 1
restart_helper --catalog-grace 0
refuses virt-template pull debian@1.1.0
restart_helper --catalog-grace 1000

step "the same image again makes a new catalog, and what was refused is fetched"
restart_helper
sign_expiry 80
refuses virt-template pull debian@1.1.0
publish "$STORE" golden.key one.img debian@1.0.0
virt-template pull debian@1.1.0
virt-template pull debian
assert_eq "$(member 1.0.0 state)" '["current","here"]'
virsh pool-refresh templates
assert_eq "$(warnings)" ''
serial=$(gauge catalog_serial)
publish "$STORE" golden.key one.img debian@1.0.0
virsh pool-refresh templates
assert_eq "$(gauge catalog_serial)" "$serial" 'serial, as a valid catalog is left alone'
