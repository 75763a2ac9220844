#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# libvirtd with a module that is missing or broken: one line in its log, and stock behaviour
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img cc

backend=$(dirname "$(installed libvirt_storage_backend_fs.so)")
version=$(libvirtd --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+$')
module=$backend/virt-template/$version.so

# /usr is shared with the build: what is changed is a copy of the folder
cp -a "$backend" changed
mount --bind changed "$backend"

# pools_work LINES REGEX: libvirtd runs, a dir pool works, our line is there LINES times
pools_work() {
    local images=/var/lib/libvirt/images/plain-$RANDOM name
    name=$(basename "$images")
    start_libvirtd
    define_dir_pool "$name"
    virsh vol-create-as "$name" disk.qcow2 1M --format qcow2
    assert_match disk.qcow2 "$(virsh vol-list "$name")"
    virsh vol-delete disk.qcow2 "$name"
    assert_eq "$(grep -c '^virt-template: ' "$LOGS/libvirtd.out" || :)" "$1" 'lines of the loader'
    [ "$1" = 0 ] || assert_match "$2" "$(grep '^virt-template: ' "$LOGS/libvirtd.out")"
    rm "$LOGS/libvirtd.out"
}

step "the module loads without a word"
pools_work 0
grep -q "$module" "/proc/$LIBVIRTD_PID/maps" || fail "the module is not in libvirtd"
define_pool templates oci:/srv/golden
given=$(virsh pool-dumpxml templates | grep template:)
stop_libvirtd

step "all backends of libvirt are there, and are libvirt's own"
for link in "$backend"/libvirt_storage_backend_*.so; do
    [ -L "$link" ] || assert_eq "$(basename "$link")" libvirt_storage_backend_fs.so
done
start_libvirtd --stock
virsh pool-capabilities >stock.caps
restart_libvirtd
virsh pool-capabilities >ours.caps
diff -u stock.caps ours.caps
stop_libvirtd

step "no module for this version"
rm "$module"
pools_work 1 "no module for libvirt $version"
virsh pool-refresh templates
stop_libvirtd

step "a module that needs symbols which this libvirt does not have"
cat >needy.c <<'END'
int virNoSuchSymbol(void);
int virStorageBackendTemplateRegister(void);
int virStorageBackendTemplateRegister(void) { return virNoSuchSymbol(); }
END
cc -shared -fPIC -o "$module" needy.c
pools_work 1 "module for libvirt $version does not load: .*undefined symbol: virNoSuchSymbol"
stop_libvirtd

step "a module that is no library"
echo 'not a library' >"$module"
pools_work 1 "module for libvirt $version does not load"
stop_libvirtd

step "with the module back, the template pool has its settings"
umount "$backend"
pools_work 0
virsh pool-refresh templates
assert_eq "$(virsh pool-dumpxml templates | grep template:)" "$given"
assert_libvirtd_alive
