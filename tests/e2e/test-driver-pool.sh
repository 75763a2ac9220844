#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The settings of a template pool in libvirtd: dumped, kept over restarts, and refused when wrong
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh xmllint

schema=$(installed pool-template.rng)
samples=$VT_E2E_DIR/../data/pool

# settings POOL [OPTION]: our elements of the dump, one a line
settings() {
    virsh pool-dumpxml "$@" | grep -E '<template:|xmlns:template'
}

step "the settings are dumped as they were given, and the dump follows the schema"
start_libvirtd
define_pool templates docker://registry.example:5000/golden '' \
    "<template:clone strategy='full'/><template:cache max='200' unit='GiB'/>"
before=$(settings templates)
assert_match "<pool type='dir' xmlns:template='urn:virt-template:pool:1'>" "$before"
assert_match "<template:store url='docker://registry.example:5000/golden'/>" "$before"
assert_match "<template:trust policy='$POLICY'/>" "$before"
assert_match "<template:clone strategy='full'/>" "$before"
assert_match "<template:cache max='200' unit='GiB'/>" "$before"
virsh pool-dumpxml templates >dump.xml
xmllint --noout --relaxng "$schema" dump.xml

step "they are the same after a restart, after stop and start, and after a definition from the dump"
restart_libvirtd
assert_eq "$(settings templates)" "$before" 'after a restart'
virsh pool-destroy templates
assert_eq "$(settings templates --inactive)" "$before" 'stopped'
# libvirt takes a dir pool whose folder exists for running when it starts
restart_libvirtd
assert_eq "$(settings templates)" "$before" 'after a restart, stopped'
virsh pool-define dump.xml
assert_eq "$(settings templates --inactive)" "$before" 'defined from its dump'

step "other settings count from the next start on"
sed "s/strategy='full'/strategy='linked'/" dump.xml >edited.xml
virsh pool-define edited.xml
assert_match "strategy='full'" "$(settings templates)"
virsh pool-destroy templates
virsh pool-start templates
assert_match "strategy='linked'" "$(settings templates)"

step "a transient pool has them too"
pool_xml transient oci:/srv/golden >transient.xml
mkdir -p /var/lib/libvirt/images/transient
virsh pool-create transient.xml
assert_match "url='oci:/srv/golden'" "$(settings transient)"
virsh pool-destroy transient

step "a wrong element or attribute is refused by name, and nothing is defined"
pools=$(virsh pool-list --all --name)
for sample in "$samples"/refuse-*.xml "$samples"/module-*.xml; do
    reason=$(sed -n 's/^<!-- error: \(.*\) -->$/\1/p' "$sample")
    output=$(virsh pool-define "$sample" 2>&1) && fail "$sample is accepted"
    grep -qF -- "$reason" <<<"$output" || fail "$sample: '$reason' is not in: $output"
done
assert_eq "$(virsh pool-list --all --name)" "$pools" 'pools after the refusals'

step "every accepted sample can be defined"
for sample in "$samples"/accept-*.xml; do
    sed "s/templates/sample/; /<uuid>/d" "$sample" >sample.xml
    virsh pool-define sample.xml
    virsh pool-undefine sample
done

step "a pool folder that is missing fails as it does for libvirt, and the pool can be built then"
pool_xml late oci:/srv/golden >late.xml
virsh pool-define late.xml
expect_fail 'cannot open directory' virsh pool-start late
virsh pool-build late
virsh pool-start late
assert_libvirtd_alive
