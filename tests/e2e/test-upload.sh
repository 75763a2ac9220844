#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A volume NAME-seed.iso of a template pool: what is uploaded into it becomes a seed
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template isoinfo tar jq

STORE=oci:$PWD/golden
POOL=/var/lib/libvirt/images/templates
# libvirt refreshes the pool in a thread of its own when an upload has ended
REFRESH_S=10

# upload NAME FILE
upload() {
    virsh vol-upload "$1-seed.iso" "$2" --pool templates
}

is_seed() {
    [ "$(isoinfo -d -i "$POOL/$1-seed.iso" 2>/dev/null | sed -n 's/^Volume id: //p')" = "$2" ]
}

# becomes NAME LABEL: the volume is an ISO image with this label, and libvirt knows its size
becomes() {
    wait_until $REFRESH_S is_seed "$1" "$2" || fail "$1-seed.iso is no seed $2"
    wait_until $REFRESH_S bash -c "virsh vol-dumpxml $1-seed.iso templates |
        grep -q \"<physical unit='bytes'>$(stat -c %s $POOL/"$1"-seed.iso)<\""
}

of_seed() {
    isoinfo -R -x "/$2" -i "$POOL/$1-seed.iso"
}

is_refused() {
    ! virsh vol-info "$1-seed.iso" templates
}

# refuses NAME REGEX: looking at the volume says why it is no seed
refuses() {
    wait_until $REFRESH_S is_refused "$1" || fail "$1-seed.iso is not refused"
    expect_fail "$2" virsh vol-info "$1-seed.iso" templates
}

make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
start_helper
start_virtlogd
start_libvirtd
define_pool templates "$STORE"

step "a cloud-config becomes a seed"
printf '#cloud-config\nhostname: web\n' >web.yaml
virsh vol-create-as templates web-seed.iso 1M
upload web web.yaml
becomes web CIDATA
assert_eq "$(of_seed web user-data)" "$(cat web.yaml)"
assert_match '^\{"instance-id":"web-[0-9a-f]{16}","local-hostname":"web"\}$' "$(of_seed web meta-data)"
assert_eq "$(stat -c '%a %U' $POOL/web-seed.iso)" '600 root'
first=$(sha256sum <$POOL/web-seed.iso)

step "the same again is the same; something else is another instance"
upload web web.yaml
becomes web CIDATA
assert_eq "$(sha256sum <$POOL/web-seed.iso)" "$first"
before=$(of_seed web meta-data)
echo 'timezone: Europe/Berlin' >>web.yaml
upload web web.yaml
becomes web CIDATA
[ "$(of_seed web meta-data)" != "$before" ] || fail 'the instance-id is the same'

step "an archive of files, for either datasource"
mkdir -p files/openstack/latest
printf '{"instance-id": "mine"}' >files/meta-data
printf '#!/bin/sh\ntrue\n' >files/user-data
printf 'version: 2\n' >files/network-config
tar -C files -cf nocloud.tar ./user-data ./meta-data ./network-config
virsh vol-create-as templates two-seed.iso 1M --allocation 0
upload two nocloud.tar
becomes two CIDATA
assert_eq "$(of_seed two meta-data)" '{"instance-id": "mine"}'
assert_eq "$(of_seed two network-config)" 'version: 2'
printf '{"uuid": "x"}' >files/openstack/latest/meta_data.json
tar -C files -cf openstack.tar openstack
upload two openstack.tar
becomes two config-2
assert_eq "$(of_seed two openstack/latest/meta_data.json)" '{"uuid": "x"}'

step "a seed that was made elsewhere stays as it is"
cp $POOL/web-seed.iso own.iso
virsh vol-create-as templates own-seed.iso 1M
upload own own.iso
wait_until $REFRESH_S is_seed own CIDATA
virsh pool-refresh templates
assert_eq "$(head -c "$(stat -c %s own.iso)" $POOL/own-seed.iso | sha256sum)" "$(sha256sum <own.iso)"

step "a domain boots with it"
clone web.qcow2 debian@1.0.0.qcow2 templates
cat >web.xml <<END
<domain type='qemu'><name>web</name><memory unit='MiB'>32</memory><os><type>hvm</type></os>
  <devices>
    <disk type='volume' device='disk'><driver name='qemu' type='qcow2'/>
      <source pool='templates' volume='web.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='volume' device='cdrom'><driver name='qemu' type='raw'/>
      <source pool='templates' volume='web-seed.iso'/><target dev='sda' bus='sata'/></disk>
  </devices></domain>
END
virsh create web.xml
virsh destroy web
virsh pool-refresh templates
becomes web CIDATA

step "what is no seed says so, and nothing starts with it"
printf '#cloud-config\n- a list\n' >bad.yaml
upload web bad.yaml
refuses web "'web-seed.iso' is no seed: .*user-data: line 2: not a mapping.*upload it again"
expect_fail 'is no seed' virsh create web.xml
assert_eq "$(head -c "$(stat -c %s bad.yaml)" $POOL/web-seed.iso)" "$(cat bad.yaml)" 'the upload'
upload web web.yaml
becomes web CIDATA
virsh vol-info web-seed.iso templates

step "neither user-data nor archive; an archive with more than files; too much"
echo hello >text
upload two text
refuses two "neither an ISO image nor a tar archive, and as user-data: .*does not begin with '#cloud-config'"
ln -s /etc/shadow files/vendor-data
tar -C files -cf link.tar user-data vendor-data
upload two link.tar
refuses two "'vendor-data' in the archive is no regular file"
tar -C files --transform 's|^|../|' -P -cf up.tar user-data
upload two up.tar
refuses two "is not a plain relative path"
tar -C files -cf none.tar network-config
upload two none.tar
refuses two "has neither 'user-data', 'meta-data'"
head -c 1200 nocloud.tar >cut.tar
virsh vol-delete two-seed.iso templates
virsh vol-create-as templates two-seed.iso 1200
virsh vol-info two-seed.iso templates
upload two cut.tar
refuses two 'archive'
virsh vol-delete two-seed.iso templates
virsh vol-create-as templates two-seed.iso 16M --allocation 0
{ echo '#cloud-config'; head -c 9000000 /dev/zero | tr '\0' '#'; } >large
upload two large
refuses two 'bytes, at most'

step "what was refused and is an ISO image by now is refused no more"
upload own bad.yaml
refuses own 'not a mapping'
upload own own.iso
wait_until $REFRESH_S virsh vol-info own-seed.iso templates || fail "own-seed.iso is still refused"

step "the seed is whose the upload was"
chown nobody $POOL/own-seed.iso
upload own web.yaml
becomes own CIDATA
assert_eq "$(stat -c '%a %U' $POOL/own-seed.iso)" '600 nobody'

step "many that are refused do not keep out one that is not"
for i in $(seq 30); do
    cp bad.yaml "$POOL/bad$i-seed.iso"
done
# The last one of the folder, for whoever takes the first ones
last=$(find $POOL -maxdepth 1 -name 'bad*-seed.iso' -printf '%f\n' | tail -n 1)
last=${last%-seed.iso}
cp web.yaml "$POOL/$last-seed.iso"
taken() {
    virsh pool-refresh templates && is_seed "$last" CIDATA
}
wait_until 30 taken || fail "$last-seed.iso is never looked at"
rm $POOL/bad*-seed.iso
virsh pool-refresh templates

step "an upload that goes on is left alone"
exec 9<>$POOL/two-seed.iso
cat web.yaml >&9
virsh pool-refresh templates
! is_seed two CIDATA || fail 'a file that is being written was taken'
exec 9>&-

assert_eq "$(find $POOL/.seeds -name '*.part')" '' 'halves of seeds'

step "another volume, another pool: as ever"
define_dir_pool default
virsh vol-create-as default web-seed.iso 1M
virsh vol-upload web-seed.iso web.yaml --pool default
virsh vol-create-as templates web.yaml 1M
virsh vol-upload web.yaml web.yaml --pool templates
virsh pool-refresh templates
assert_eq "$(head -c "$(stat -c %s web.yaml)" /var/lib/libvirt/images/default/web-seed.iso)" "$(cat web.yaml)"
assert_eq "$(head -c "$(stat -c %s web.yaml)" $POOL/web.yaml)" "$(cat web.yaml)"

step "without the helper an upload waits for it"
stop_helper
printf '#cloud-config\nhostname: late\n' >late.yaml
upload own late.yaml
virsh vol-info own-seed.iso templates
start_helper
virsh pool-refresh templates
becomes own CIDATA
assert_eq "$(of_seed own user-data)" "$(cat late.yaml)"

assert_libvirtd_alive
