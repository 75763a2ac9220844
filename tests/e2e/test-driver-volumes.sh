#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every volume call of libvirt on templates and their clones
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img qemu-io virt-template xmllint jq mkfs.ext4 losetup

STORE=oci:$PWD/golden
TEMPLATES=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default
MIB=$((1 << 20))

# field FIELD VOLUME POOL: of vol-info, in bytes
field() {
    virsh vol-info --bytes "$2" "$3" | awk -v field="$1:" '$1 == field {print $2}'
}

# over FILE BACKING: it is a qcow2 overlay over this file
over() {
    local info
    info=$(qemu-img info -U --output json "$1")
    assert_eq "$(jq -r '.format + " " + ."full-backing-filename" + " " + ."backing-filename-format"' \
        <<<"$info")" "qcow2 $2 qcow2" "$1"
    qemu-img check -q "$1"
}

# backed_xml NAME BACKING [FORMAT [MORE_TARGET [CAPACITY]]]: for vol-create
backed_xml() {
    cat <<END
<volume><name>$1</name><capacity>${5:-0}</capacity>
  <target><format type='${3:-qcow2}'/>${4:-}</target>
  <backingStore><path>$2</path><format type='qcow2'/></backingStore></volume>
END
}

step "publish two versions"
make_key golden
make_store "$STORE" golden.key
make_image 64M one.img 1
make_image 96M two.img 2
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0
one=$(sha256sum <one.img | cut -d' ' -f1)
two=$(sha256sum <two.img | cut -d' ' -f1)
make_policy "$PWD/golden.pub"
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default

step "a template that is not here answers every query"
[ -z "$(find $TEMPLATES -name '*.qcow2' -size +0)" ] || fail "a template is here already"
assert_eq "$(virsh vol-list templates | grep -c debian)" 3
for version in @1.0.0:64 @1.1.0:96 :96; do
    volume=debian${version%:*}.qcow2
    capacity=$((${version#*:} * MIB))
    assert_eq "$(field Capacity "$volume" templates)" $capacity "capacity of $volume"
    assert_eq "$(field Allocation "$volume" templates)" 0 "allocation of $volume"
    assert_eq "$(virsh vol-path "$volume" templates)" "$TEMPLATES/$volume"
    assert_eq "$(virsh vol-name "$TEMPLATES/$volume")" "$volume"
    assert_eq "$(virsh vol-pool "$TEMPLATES/$volume")" templates
    key=$(virsh vol-key "$volume" templates)
    assert_eq "$(virsh vol-name "$key")" "$volume" "volume of the key"
    virsh vol-dumpxml "$volume" templates >volume.xml
    assert_eq "$(xmllint --xpath 'string(//format/@type)' volume.xml)" qcow2
    assert_eq "$(xmllint --xpath 'string(//mode)' volume.xml)" 0444
    assert_eq "$(xmllint --xpath 'string(//capacity)' volume.xml)" $capacity
done
expect_fail 'no storage vol' virsh vol-info debian@9.9.9.qcow2 templates
expect_fail 'no storage vol' virsh vol-info .layers templates

step "vol-create-from: a linked clone in another pool, and in this one"
clone web1.qcow2 debian@1.0.0.qcow2
over $DEFAULT/web1.qcow2 $TEMPLATES/debian@1.0.0.qcow2
assert_eq "$(guest_sha256 $DEFAULT/web1.qcow2)" "$one"
assert_eq "$(stat -c '%a %U' $DEFAULT/web1.qcow2)" '600 root'
clone local.qcow2 debian@1.0.0.qcow2 templates
over $TEMPLATES/local.qcow2 $TEMPLATES/debian@1.0.0.qcow2
assert_match local.qcow2 "$(virsh vol-list templates)"
assert_match "<path>$TEMPLATES/debian@1.0.0.qcow2</path>" "$(virsh vol-dumpxml web1.qcow2 default)"

step "the same from the name without version: the clone is tied to the version"
clone web2.qcow2 debian.qcow2
over $DEFAULT/web2.qcow2 $TEMPLATES/debian@1.1.0.qcow2
assert_eq "$(guest_sha256 $DEFAULT/web2.qcow2)" "$two"
[ ! -e $TEMPLATES/debian.qcow2 ] || fail "the name without version became a file"

step "a larger capacity, an owner and a mode"
cat >big.xml <<END
<volume><name>big.qcow2</name><capacity unit='G'>3</capacity><target><format type='qcow2'/>
<permissions><mode>0640</mode><owner>$(id -u nobody)</owner><group>0</group></permissions>
</target></volume>
END
virsh vol-create-from default big.xml debian.qcow2 --inputpool templates
over $DEFAULT/big.qcow2 $TEMPLATES/debian@1.1.0.qcow2
assert_eq "$(field Capacity big.qcow2 default)" $((3 << 30))
assert_eq "$(stat -c '%a %U' $DEFAULT/big.qcow2)" '640 nobody'
volume_xml less.qcow2 qcow2 $MIB >less.xml
virsh vol-create-from default less.xml debian.qcow2 --inputpool templates
assert_eq "$(field Capacity less.qcow2 default)" $((96 * MIB)) "no clone is smaller than its template"

step "vol-clone copies the template's description; the clone can be written all the same"
virsh vol-clone debian@1.1.0.qcow2 copy.qcow2 --pool templates
over $TEMPLATES/copy.qcow2 $TEMPLATES/debian@1.1.0.qcow2
assert_eq "$(stat -c %a $TEMPLATES/copy.qcow2)" 600

step "a raw volume, and one with options of its own, is a full copy"
volume_xml full.img raw >full.xml
virsh vol-create-from default full.xml debian@1.0.0.qcow2 --inputpool templates
assert_eq "$(head -c $((64 * MIB)) $DEFAULT/full.img | sha256sum | cut -d' ' -f1)" "$one"
cat >lazy.xml <<END
<volume><name>lazy.qcow2</name><capacity>0</capacity><target><format type='qcow2'/>
<compat>1.1</compat><features><lazy_refcounts/></features></target></volume>
END
virsh vol-create-from default lazy.xml debian.qcow2 --inputpool templates
assert_eq "$(qemu-img info --output json $DEFAULT/lazy.qcow2 |
    jq -c '[."backing-filename", ."format-specific".data."lazy-refcounts"]')" '[null,true]'
assert_eq "$(guest_sha256 $DEFAULT/lazy.qcow2)" "$two"
volume_xml meta.qcow2 >meta.xml
virsh vol-create-from default meta.xml debian.qcow2 --inputpool templates --prealloc-metadata
assert_eq "$(qemu-img info --output json $DEFAULT/meta.qcow2 | jq -c '."backing-filename"')" null

step "a clone of a clone, and a copy of a plain volume, are what libvirt makes of them"
volume_xml second.qcow2 >second.xml
virsh vol-create-from default second.xml web1.qcow2 --inputpool default
assert_eq "$(guest_sha256 $DEFAULT/second.qcow2)" "$one"

step "vol-create over the path of a template, as cockpit and terraform do it"
backed_xml over1.qcow2 $TEMPLATES/debian@1.0.0.qcow2 >over1.xml
virsh vol-create default over1.xml
over $DEFAULT/over1.qcow2 $TEMPLATES/debian@1.0.0.qcow2
backed_xml over2.qcow2 $TEMPLATES/debian.qcow2 | sed "s,<format type='qcow2'/></backing,</backing," >over2.xml
virsh vol-create templates over2.xml
over $TEMPLATES/over2.qcow2 $TEMPLATES/debian@1.1.0.qcow2
virsh vol-create-as default over3.qcow2 200M --format qcow2 --backing-vol $TEMPLATES/debian.qcow2 \
    --backing-vol-format qcow2
over $DEFAULT/over3.qcow2 $TEMPLATES/debian@1.1.0.qcow2
assert_eq "$(field Capacity over3.qcow2 default)" $((200 * MIB))
backed_xml over4.qcow2 $TEMPLATES/debian@1.1.0.qcow2 qcow2 \
    '<compat>1.1</compat><features><lazy_refcounts/></features>' >over4.xml
virsh vol-create default over4.xml
over $DEFAULT/over4.qcow2 $TEMPLATES/debian@1.1.0.qcow2
for volume in over1 over3 over4; do
    assert_match "<path>$TEMPLATES/debian@1" "$(virsh vol-dumpxml $volume.qcow2 default)"
done

step "vol-create over a template that cannot be: nothing is left behind"
backed_xml bad.qcow2 $TEMPLATES/debian@9.9.9.qcow2 >bad.xml
expect_fail '9\.9\.9' virsh vol-create default bad.xml
backed_xml bad.qcow2 $TEMPLATES/debian.qcow2 qcow2 '' $MIB >bad.xml
expect_fail 'smaller' virsh vol-create default bad.xml
backed_xml bad.img $TEMPLATES/debian.qcow2 raw >bad.xml
expect_fail 'backing storage not supported for raw' virsh vol-create default bad.xml
backed_xml bad.qcow2 $TEMPLATES/debian@1.0.0.qcow2 >bad.xml
expect_fail 'backing store cannot be' virsh vol-create-from default bad.xml debian@1.1.0.qcow2 \
    --inputpool templates
assert_eq "$(find $DEFAULT -name 'bad*')" '' "files of refused volumes"
assert_no_match bad "$(virsh vol-list default)"

step "a name that is taken, or is a template's, is refused"
before=$(sha256sum <$DEFAULT/web1.qcow2)
expect_fail 'exist|already in use' clone web1.qcow2 debian@1.0.0.qcow2
touch $DEFAULT/unknown.qcow2
expect_fail 'exists' clone unknown.qcow2 debian@1.0.0.qcow2
assert_eq "$(stat -c %s $DEFAULT/unknown.qcow2)" 0
assert_eq "$(sha256sum <$DEFAULT/web1.qcow2)" "$before"
expect_fail 'for templates' virsh vol-create-as templates debian@3.0.0.qcow2 1M --format qcow2
expect_fail 'for templates' virsh vol-create-as templates .layers 1M
expect_fail 'exist' virsh vol-create-as templates debian.qcow2 1M --format qcow2

step "vol-download gives the template's file, by both names"
virsh vol-download debian@1.0.0.qcow2 download.qcow2 --pool templates
cmp download.qcow2 $TEMPLATES/debian@1.0.0.qcow2
virsh vol-download debian.qcow2 download.qcow2 --pool templates --sparse
assert_eq "$(guest_sha256 download.qcow2)" "$two"

step "resize, wipe and upload of a template are refused"
for volume in debian@1.0.0.qcow2 debian.qcow2; do
    expect_fail 'is a template and cannot be resized' virsh vol-resize $volume 1G --pool templates
    expect_fail 'is a template and cannot be wiped' virsh vol-wipe $volume --pool templates
    expect_fail 'is a template and cannot be written' \
        virsh vol-upload $volume one.img --pool templates
done
assert_eq "$(guest_sha256 $TEMPLATES/debian@1.0.0.qcow2)" "$one"

step "of a clone they work as for any volume"
virsh vol-resize local.qcow2 1G --pool templates
assert_eq "$(field Capacity local.qcow2 templates)" $((1 << 30))
virsh vol-wipe full.img --pool default
virsh vol-upload full.img one.img --pool default
assert_eq "$(head -c $((64 * MIB)) $DEFAULT/full.img | sha256sum | cut -d' ' -f1)" "$one"

step "the list is the same after a refresh"
before=$(virsh vol-list templates)
virsh pool-refresh templates
assert_eq "$(virsh vol-list templates)" "$before"

step "vol-delete with clones is refused and names them"
expect_fail "$DEFAULT/web1.qcow2" virsh vol-delete debian@1.0.0.qcow2 templates
assert_match "$TEMPLATES/local.qcow2" "$output"
assert_match "$DEFAULT/over1.qcow2" "$output"
expect_fail "$DEFAULT/web2.qcow2" virsh vol-delete debian.qcow2 templates
assert_match "$DEFAULT/over4.qcow2" "$output"
expect_fail 'unsupported flags' virsh vol-delete debian.qcow2 templates --delete-snapshots

step "vol-delete without clones evicts, the volume stays, and is fetched again when it is needed"
for volume in web1 over1; do virsh vol-delete $volume.qcow2 default; done
virsh vol-delete local.qcow2 templates
virsh vol-delete debian@1.0.0.qcow2 templates
[ ! -e $TEMPLATES/debian@1.0.0.qcow2 ]
assert_match debian@1.0.0.qcow2 "$(virsh vol-list templates)"
assert_eq "$(field Allocation debian@1.0.0.qcow2 templates)" 0
expect_fail 'no copy of debian@1.0.0' virsh vol-delete debian@1.0.0.qcow2 templates
assert_match debian@1.0.0.qcow2 "$(virsh vol-list templates)"
virsh vol-download debian@1.0.0.qcow2 download.qcow2 --pool templates
assert_eq "$(guest_sha256 download.qcow2)" "$one"

step "a file system pool takes linked clones and copies as a dir pool does"
truncate -s 512M fs.img
mkfs.ext4 -qF fs.img
loop=$(losetup --find --show fs.img)
cleanup_fn losetup -d "$loop"
virsh pool-define-as fs fs --source-dev "$loop" --source-format ext4 --target /var/lib/libvirt/images/fs
virsh pool-build fs
virsh pool-start fs
cleanup_fn virsh pool-destroy fs
clone linked.qcow2 debian.qcow2 fs
over /var/lib/libvirt/images/fs/linked.qcow2 $TEMPLATES/debian@1.1.0.qcow2
virsh vol-create-from fs full.xml debian@1.0.0.qcow2 --inputpool templates
assert_eq "$(head -c $((64 * MIB)) /var/lib/libvirt/images/fs/full.img | sha256sum | cut -d' ' -f1)" "$one"
backed_xml backed.qcow2 $TEMPLATES/debian.qcow2 >backed.xml
virsh vol-create fs backed.xml
over /var/lib/libvirt/images/fs/backed.qcow2 $TEMPLATES/debian@1.1.0.qcow2
expect_fail /var/lib/libvirt/images/fs/linked.qcow2 virsh vol-delete debian@1.1.0.qcow2 templates

step "a pool with the strategy full makes full copies"
define_pool copies "$STORE" '' "<template:clone strategy='full'/>"
clone whole.qcow2 debian@1.0.0.qcow2 default copies
assert_eq "$(qemu-img info --output json $DEFAULT/whole.qcow2 | jq -c '."backing-filename"')" null
assert_eq "$(guest_sha256 $DEFAULT/whole.qcow2)" "$one"
virsh vol-delete debian@1.0.0.qcow2 copies
assert_libvirtd_alive
