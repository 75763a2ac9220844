#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The trust policy: missing, malformed, rejecting; and each time what the error says
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template

STORE=oci:$PWD/golden

# refused REGEX: the policy as it is now lets no template through, and says why
refused() {
    expect_fail "$1" clone web.qcow2 debian@1.0.0.qcow2
    [ ! -e /var/lib/libvirt/images/default/web.qcow2 ]
    expect_fail "$1" virt-template list --store "$STORE" --policy "$POLICY"
    assert_match "$1" "$(virt-template list --pool templates 2>&1)"
    assert_libvirtd_alive
}

make_key golden
make_store "$STORE" golden.key
make_image 64M one.img
publish "$STORE" golden.key one.img debian@1.0.0
start_helper
start_libvirtd
define_dir_pool default
make_policy "$PWD/golden.pub"
define_pool templates "$STORE"
virsh vol-info debian@1.0.0.qcow2 templates

step "no policy: everything is rejected, and the error says how to write one"
rm "$POLICY"
refused "$POLICY"
assert_match 'sigstoreSigned|virt-template-pool\(5\)|policy.json\(5\)' "$output"

step "not JSON"
echo '{"default": [' >"$POLICY"
refused "$POLICY.*(JSON|line)"

step "a field that does not exist"
echo '{"default": [{"type": "reject"}], "defaults": []}' >"$POLICY"
refused 'defaults'

step "a duplicate field"
echo '{"default": [{"type": "reject"}], "default": [{"type": "insecureAcceptAnything"}]}' >"$POLICY"
refused 'default|duplicate'

step "a requirement that is not implemented"
echo '{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]}' >"$POLICY"
refused 'signedBy'

step "no default"
echo '{"transports": {}}' >"$POLICY"
refused 'default'

step "200,000 brackets"
head -c 200000 /dev/zero | tr '\0' '[' >"$POLICY"
refused "$POLICY"

step "reject"
echo '{"default": [{"type": "reject"}]}' >"$POLICY"
refused 'reject'

step "a key file that is not there"
make_policy /etc/virt-template/none.pub
refused '/etc/virt-template/none.pub'

step "the most specific scope counts: reject by default, our store by its key"
cat >"$POLICY" <<END
{"default": [{"type": "reject"}],
 "transports": {"oci": {"$PWD/golden": [
   {"type": "sigstoreSigned", "keyPath": "$PWD/golden.pub",
    "signedIdentity": {"type": "matchRepository"}}]}}}
END
virsh pool-refresh templates
clone web.qcow2 debian@1.0.0.qcow2
virsh vol-delete web.qcow2 default

step "insecureAcceptAnything takes what nobody signed"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$POLICY"
virsh pool-refresh templates
clone web.qcow2 debian@1.0.0.qcow2
