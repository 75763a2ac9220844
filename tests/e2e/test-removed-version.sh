#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A version is removed from the catalog: clones of it live on, new ones follow what is here
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img openssl virt-template

STORE=oci:$PWD/golden
IMAGES=/var/lib/libvirt/images

# The catalog is asked for anew after a moment
not_listed() {
    virsh pool-refresh templates
    ! grep -q "$1" <(virsh vol-list templates)
}

make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img 1
make_image 64M two.img 2
make_image 64M three.img 3
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@2.0.0
publish "$STORE" golden.key three.img debian@3.0.0
start_helper
start_libvirtd
define_dir_pool default
define_pool templates "$STORE"
clone web.qcow2 debian@1.0.0.qcow2

step "a removed version that is not here is gone, and a clone of it is refused"
"$VT_E2E_DIR/forge.py" golden uncatalog golden.key debian 2.0.0
wait_until 15 not_listed debian@2.0.0
expect_fail 'debian@2.0.0' clone two.qcow2 debian@2.0.0.qcow2
[ ! -e "$IMAGES/default/two.qcow2" ]

step "a clone made before keeps its base"
"$VT_E2E_DIR/forge.py" golden uncatalog golden.key debian 1.0.0
sleep 2
virsh pool-refresh templates
qemu-img check "$IMAGES/default/web.qcow2"
assert_eq "$(guest_sha256 "$IMAGES/default/web.qcow2")  -" "$(sha256sum <one.img)"
[ -f "$IMAGES/templates/debian@1.0.0.qcow2" ]

step "a version that is here but no longer in the catalog makes no new clones"
expect_fail 'catalog' clone late.qcow2 debian@1.0.0.qcow2
[ ! -e "$IMAGES/default/late.qcow2" ]
assert_libvirtd_alive
