#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Users that are not root: a libvirtd, a pool and a helper of their own
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/e2e/session.sh
. "$VT_E2E_DIR/session.sh"
requires virsh qemu-img jq setpriv useradd pgrep virt-template

STORE=oci:$PWD/golden

step "the helper starts with the pool of a user, and belongs to him"
make_user anna 5001
make_key golden
make_image 64M one.img 1
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
one=$(sha256sum <one.img | cut -d' ' -f1)
as anna mkdir -p home/anna/.config/virt-template
POLICY=home/anna/.config/virt-template/policy.json make_policy "$PWD/golden.pub"
start_session anna
session_pool anna templates "$STORE"
as anna virsh pool-define-as default dir --target "$PWD/home/anna/images"
as anna virsh pool-build default
as anna virsh pool-start default
assert_match 'debian@1.0.0.qcow2' "$(as anna virsh vol-list templates)"
helper=$(helper_of anna)
[ -n "$helper" ] || fail "no helper runs"
assert_eq "$(stat -c '%a %U' "$(session_socket anna)")" '600 anna'

step "a linked clone fetches the template"
session_clone anna web1.qcow2 debian@1.0.0.qcow2
assert_eq "$(guest_sha256 home/anna/images/web1.qcow2)" "$one" 'what the guest reads'
assert_eq "$(stat -c '%a %U' home/anna/templates/debian@1.0.0.qcow2)" '444 anna'
assert_session_alive anna
