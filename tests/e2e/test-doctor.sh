#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# virt-template doctor on a host that works, and on the same host with one thing broken at a time
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template jq

STORE=oci:$PWD/golden
MODULES=$(dirname "$(installed libvirt_storage_backend_fs.so)")
# The helper does not ask a store that was away at each call
ASKED_AGAIN_S=60

# examine: the report is in the file report, the exit status in $status
examine() {
    status=0
    virt-template doctor --json >report || status=$?
}

# level CHECK: OK, WARN or FAIL
level() {
    jq -r --arg check "$1" '[.checks[] | select(.check == $check)][0].level' report
}

# finds CHECK REGEX: this check fails, says why, says what to do, and makes the command fail
finds() {
    examine
    assert_eq "$(level "$1")" FAIL "$1"
    assert_eq "$status" 1 'exit status'
    jq -e --arg check "$1" --arg regex "$2" '[.checks[] | select(.check == $check)][0] |
        (.found | test($regex)) and (.advice | length > 0)' report || fail "$(jq . report)"
}

# good CHECK: this one is fine
good() {
    examine
    [ "$(level "$1")" = OK ]
}

# /usr is read-only here; this folder is to be broken
cp -a "$MODULES" modules
mount --bind modules "$MODULES"
make_key golden
make_key other
make_policy "$PWD/golden.pub"
make_image 64M one.img
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
start_helper
start_libvirtd
define_pool templates "$STORE"
# A backend is loaded when it is first needed
virsh vol-list templates

step "a host that works passes"
virt-template doctor
examine
jq -e '.ok and all(.checks[]; .level != "FAIL")' report
for check in module loader drop-in loaded hook helper users qemu-img 'pool templates: directory' \
    'pool templates: store' 'pool templates: policy' 'pool templates: catalog'; do
    assert_eq "$(level "$check")" OK "$check"
done

step "a module for another version of libvirt only"
mv "$MODULES/virt-template" "$MODULES/virt-template.away"
mkdir "$MODULES/virt-template"
touch "$MODULES/virt-template/1.2.3.so"
finds module 'no module for libvirt.*1\.2\.3'
rm -r "$MODULES/virt-template"
mv "$MODULES/virt-template.away" "$MODULES/virt-template"
good module

step "a backend of libvirt's that has no link"
link=$MODULES/libvirt_storage_backend_logical.so
target=$(readlink "$link")
rm "$link"
finds loader 'libvirt_storage_backend_logical\.so'
ln -s "$target" "$link"
good loader

step "libvirtd was started without the drop-in"
restart_libvirtd --stock
finds loaded 'without the drop-in'
restart_libvirtd
virsh vol-list templates
good loaded

step "libvirt's hook is away, or is not to be run"
hook=/etc/libvirt/hooks/qemu.d/virt-template
mv $hook hook
finds hook 'No such file.*without their seeds'
install -m 0644 hook $hook
finds hook 'no executable file'
chmod 0755 $hook
good hook

step "the store is away"
mv golden golden.away
finds 'pool templates: catalog' 'golden'
mv golden.away golden
good 'pool templates: catalog'
wait_until $ASKED_AGAIN_S good 'pool templates: store'

step "the policy trusts another key"
make_policy "$PWD/other.pub"
finds 'pool templates: catalog' 'not trusted|key'
echo '{' >"$POLICY"
finds 'pool templates: policy' 'policy.json'
make_policy "$PWD/golden.pub"
good 'pool templates: policy'
wait_until $ASKED_AGAIN_S good 'pool templates: store'

step "a catalog that expires soon is a warning"
publish "$STORE" golden.key one.img debian@1.1.0 --expires 2
examine
assert_eq "$(level 'pool templates: catalog')" WARN
assert_eq "$status" 0 'exit status'
publish "$STORE" golden.key one.img debian@1.2.0
good 'pool templates: catalog'

step "no helper"
stop_helper
finds helper 'cannot be reached'
start_helper
good helper
