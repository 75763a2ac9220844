#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What test-verity.sh runs, on an ext4 with fs-verity that is the whole of /dev/vda
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/e2e/bases.sh
. "$VT_E2E_DIR/bases.sh"
# shellcheck source=tests/e2e/session.sh
. "$VT_E2E_DIR/session.sh"
requires virsh qemu-img jq lsattr filefrag setpriv virt-template

STORE=oci:$PWD/golden

# with FLAGS [FOLDER]: how many names have these, as lsattr writes them
with() {
    bases "${2:-}" | xargs lsattr | cut -d' ' -f1 | grep -c "$1" || :
}

# all_have_it: of a user's, with their mode, which is another one for a moment
all_have_it() {
    [ "$(with V /home/anna/templates)" = 3 ] &&
        [ "$(bases /home/anna/templates | xargs stat -c %a | sort -u)" = 444 ]
}

no_helper() {
    [ -z "$(helper_of anna)" ]
}

# lose FILE: the disk loses a block in the middle of it
lose() {
    local at physical
    at=$(($(stat -c %s "$1") / 4096 / 2))
    # 0:        0..    4095:      34816..     38911:   4096:             last,eof
    physical=$(filefrag -b4096 -v "$1" | tr -d ':.' | awk -v at="$at" \
        '$1 ~ /^[0-9]+$/ && $2 <= at && at <= $3 {print $4 + at - $2}')
    [ -n "$physical" ] || fail "block $at of $1 is a hole"
    dd if=/dev/urandom of=/dev/vda bs=4096 seek="$physical" count=1 oflag=direct status=none
    echo 3 >/proc/sys/vm/drop_caches
}

step "fs-verity: all layers of a chain that is fetched at once are sealed with it"
publish_two "$STORE" 32M
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
virt-template pull debian@1.1.0 --pool templates
assert_eq "$(with '^....i.*V')" 3 "names that are immutable, with fs-verity"
virt-template pull debian@1.0.0 --pool templates
assert_eq "$(with '^....i.*V')" 4 "names that are immutable, with fs-verity"
below=$(qemu-img info --output json $TEMPLATES/debian@1.1.0.qcow2 | jq -r '."full-backing-filename"')

step "fs-verity: without the immutable flag, too, root cannot write"
chattr -i $TEMPLATES/debian@1.0.0.qcow2
expect_fail 'not permitted' dd if=/dev/zero of=$TEMPLATES/debian@1.0.0.qcow2 bs=1 count=1 conv=notrunc
chattr +i $TEMPLATES/debian@1.0.0.qcow2

step "fs-verity: clones, verify and a new start of the helper, as without"
clone web.qcow2 debian@1.1.0.qcow2
two=$(sha256sum <two.img)
assert_eq "$(guest_sha256 /var/lib/libvirt/images/default/web.qcow2)  -" "$two" "what a guest reads"
virt-template verify debian@1.1.0 --pool templates
restart_helper
virt-template verify debian@1.1.0 --pool templates
assert_eq "$(with '^....i.*V')" 4 "names that are immutable, with fs-verity"

step "fs-verity: what the disk lost cannot be read, verify says where, and it is repaired"
lose "$below"
expect_fail 'Input/output error' sha256sum "$below"
expect_fail 'is damaged: layer 1 of 2 .* cannot be read: Input/output error' virt-template verify --quiet debian@1.1.0 --pool templates
virt-template verify --repair debian@1.1.0 --pool templates
virt-template verify debian@1.1.0 --pool templates
assert_eq "$(with '^....i.*V')" 4 "names that are immutable, with fs-verity"
assert_eq "$(guest_sha256 /var/lib/libvirt/images/default/web.qcow2)  -" "$two" "what a guest reads"

step "fs-verity: a helper without the right to set the flag adds read-only mounts"
stop_helper
bases | xargs chattr -i
as_unit() { exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-linux_immutable "$@"; }
start_helper
assert_eq "$(with '^....-.*V')" 4 "names with fs-verity alone"
assert_eq "$(findmnt --list --noheadings --output TARGET | grep -c "^$TEMPLATES/.*qcow2\$")" 4 "read-only mounts"
virsh vol-delete web.qcow2 default
virt-template evict debian@1.1.0 --pool templates
virt-template evict debian@1.0.0 --pool templates
assert_eq "$(bases)" '' "what is left"
assert_libvirtd_alive
stop_libvirtd
stop_helper

step "fs-verity: a user who is not root seals his layers with it, and cannot change them"
make_user anna 5001
as anna mkdir -p /home/anna/.config/virt-template
POLICY=/home/anna/.config/virt-template/policy.json make_policy "$PWD/golden.pub"
chmod 644 /home/anna/.config/virt-template/policy.json
start_session anna
session_pool anna templates "$STORE"
as anna virt-template pull debian@1.1.0 --pool templates
assert_eq "$(with '^....-.*V' /home/anna/templates)" 3 "names with fs-verity"
base=/home/anna/templates/debian@1.1.0.qcow2
as anna chmod 600 $base
expect_fail 'not permitted' as anna dd if=/dev/zero of=$base bs=1 count=1 conv=notrunc
as anna chmod 444 $base
as anna virt-template verify debian@1.1.0 --pool templates

step "fs-verity: layers of a user that came back without it get it when his helper starts"
as anna virsh pool-define-as default dir --target /home/anna/images
as anna virsh pool-build default
as anna virsh pool-start default
session_clone anna web.qcow2 debian@1.1.0.qcow2
stop_session anna
kill "$(helper_of anna)"
wait_until 60 no_helper || fail "the helper does not end"
for layer in $(bases /home/anna/templates/.layers); do
    names=$(find /home/anna/templates -samefile "$layer")
    as anna cp --preserve=mode "$layer" /home/anna/copy
    for name in $names; do as anna ln -f /home/anna/copy "$name"; done
    as anna rm /home/anna/copy
done
assert_eq "$(with V /home/anna/templates)" 0 "names with fs-verity"
start_session anna
as anna virt-template list --pool templates
wait_until 60 all_have_it || fail "$(with V /home/anna/templates) names have fs-verity"
assert_eq "$(guest_sha256 /home/anna/images/web.qcow2)  -" "$two" "what a guest reads"
stop_session anna
