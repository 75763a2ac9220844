#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# AppArmor's part of libvirt finds each file of a chain, and lets a guest write to its clone alone
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template python3

STORE=oci:$PWD/golden
IMAGES=/var/lib/libvirt/images
# What libvirtd runs, under this profile, when a domain starts
AA_HELPER=/usr/lib/libvirt/virt-aa-helper
PROFILE=/etc/apparmor.d/usr.lib.libvirt.virt-aa-helper

# guest_profile DISK: what the profile of a guest with this disk gets, without loading it
guest_profile() {
    local uuid=9f1c2bb6-2a4c-4b0f-8f2a-7d1e0d1b3c55
    $AA_HELPER --dryrun --replace --uuid libvirt-$uuid <<XML
<domain type='qemu'><name>web</name><uuid>$uuid</uuid><memory>65536</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='$1'/><target dev='vda' bus='virtio'/></disk></devices></domain>
XML
}

# chain DISK: its files, the top first
chain() {
    qemu-img info --backing-chain --output json "$1" | jq -r '.[].filename'
}

# confined DISK DEPTH: the guest may write to the disk, and read what is below it
confined() {
    local file top=$1 files rules
    rules=$(guest_profile "$1" 2>&1)
    mapfile -t files < <(chain "$1")
    assert_eq ${#files[@]} "$2" "files of the chain of $1"
    for file in "${files[@]}"; do
        if [ "$file" = "$top" ]; then
            assert_match "^ *\"$file\" rwk,\$" "$rules"
        else
            assert_match "^ *\"$file\" rk,\$" "$rules"
            assert_match "deny \"$file\" w," "$rules"
            assert_no_match "^ *\"$file\" [a-z]*w" "$rules"
        fi
    done
    python3 "$VT_E2E_DIR/apparmor.py" $PROFILE "${files[@]}"
}

step "three versions over each other, and clones of the last one in both pools"
make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M image
for version in 1.0.0 1.1.0 1.2.0; do
    dd if=/dev/urandom of=image bs=4096 seek=700 count=50 conv=notrunc status=none
    publish "$STORE" golden.key image debian@$version --parent auto
done
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
clone web.qcow2 debian@1.2.0.qcow2
clone near.qcow2 debian@1.2.0.qcow2 templates

step "virt-aa-helper finds the whole chain, and may read each file of it"
confined $IMAGES/default/web.qcow2 4
confined $IMAGES/templates/near.qcow2 4

step "the same for pools at other usual places"
vt_scratch_over /srv
vt_scratch_over /home
mkdir /srv/vm /home/anna
for target in /srv/vm/templates /var/lib/libvirt/golden /home/anna/templates; do
    define_pool other "$STORE" $target
    clone other.qcow2 debian@1.2.0.qcow2 other other
    confined $target/other.qcow2 4
    virsh vol-delete other.qcow2 other
    virsh pool-destroy other
    virsh pool-undefine other
done

step "what would not be found: names without a suffix that the profile knows, and hidden folders of a home"
expect_fail 'no rule allows it' python3 "$VT_E2E_DIR/apparmor.py" $PROFILE /var/lib/virt-template/blobs/00ff
expect_fail 'audit deny' python3 "$VT_E2E_DIR/apparmor.py" $PROFILE /home/anna/.local/share/t/a.qcow2

step "virt-aa-helper refuses a disk of the system: doctor warns of such a pool"
expect_fail 'skipped|invalid|could not' guest_profile /usr/share/common-licenses/GPL-2
assert_libvirtd_alive
