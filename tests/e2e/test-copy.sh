#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Full copies: shared where the file system can, complete or gone, and the same as the template
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img jq mkfs.xfs mkfs.btrfs filefrag virt-template

STORE=oci:$PWD/golden
IMAGES=/var/lib/libvirt/images

# copy_xml NAME FORMAT [CAPACITY]: without the empty list of features a linked clone would be made
copy_xml() {
    local compat=
    [ "$2" = raw ] || compat='<compat>1.1</compat><features/>'
    echo "<volume><name>$1</name><capacity>${3:-0}</capacity>
        <target><format type='$2'/>$compat</target></volume>"
}

# full_copy NAME FORMAT VOLUME POOL INPUT_POOL [OPTION...]
full_copy() {
    copy_xml "$1" "$2" >"$1.xml"
    virsh vol-create-from "$4" "$1.xml" "$3" --inputpool "$5" "${@:6}"
}

# whole FILE FORMAT IMAGE: it reads as the image, needs no other file, and is a volume as any other
whole() {
    qemu-img compare -f "$2" -F raw "$1" "$3"
    assert_eq "$(qemu-img info --output json "$1" | jq -c '[.format, ."backing-filename"]')" \
        "[\"$2\",null]"
    assert_eq "$(stat -c '%a %U' "$1")" '600 root' "owner and mode of $1"
    assert_no_match '^....i' "$(lsattr "$1" 2>/dev/null || :)"
    [ "$2" = raw ] || qemu-img check "$1"
}

# shared FILE: all of its extents with data are those of another file, too
shared() {
    local extents
    extents=$(filefrag -v "$1" | grep -E '^ *[0-9]+:')
    [ "$(grep -c shared <<<"$extents")" -gt 0 ] || fail "nothing of $1 is shared: $extents"
}

# mounted KIND SIZE: a new file system with two pools on it, of templates and of copies
mounted() {
    truncate -s "$2" "$1.fs"
    "mkfs.$1" -q "$1.fs"
    mkdir -p "$IMAGES/$1"
    mount -o loop "$1.fs" "$IMAGES/$1"
    define_pool "$1-templates" "$STORE" "$IMAGES/$1/templates"
    define_dir_pool "$1" "$IMAGES/$1/copies"
}

used_mib() {
    sync -f "$1"
    df --output=used -BM "$1" | tail -n 1 | tr -dc 0-9
}

make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img 1
cp one.img two.img
dd if=/dev/urandom of=two.img bs=4096 seek=700 count=50 conv=notrunc status=none
dd if=one.img of=two.img bs=4096 skip=1000 seek=3003 count=300 conv=notrunc status=none
dd if=/dev/zero of=two.img bs=4096 seek=100 count=20 conv=notrunc status=none
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0
assert_eq "$(skopeo inspect --raw "oci:$PWD/golden:debian/1.1.0" |
    jq '[.layers[] | select(.mediaType | contains("index"))] | length')" 2 'layers of 1.1.0'
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default

step "a copy of a base and of a chain, raw and qcow2"
for format in raw qcow2; do
    full_copy "one.$format" $format debian@1.0.0.qcow2 default templates
    whole $IMAGES/default/one.$format $format one.img
    full_copy "two.$format" $format debian.qcow2 default templates
    whole $IMAGES/default/two.$format $format two.img
done
assert_eq "$(qemu-img info --output json $IMAGES/default/two.qcow2 |
    jq -c '[."cluster-size", ."format-specific".data.compat]')" '[65536,"1.1"]'
[ "$(du -k $IMAGES/default/two.raw | cut -f1)" -lt 32768 ] || fail "two.raw has no holes"
assert_match 'copy +done|done +copy|copy.*done' "$(virt-template jobs)"
[ ! -e "$IMAGES/templates/.clones" ] || assert_eq "$(find $IMAGES/templates/.clones -type l)" '' 'clones'

step "a larger copy"
for format in raw qcow2; do
    copy_xml "large.$format" $format $((5 << 40)) >large.xml
    virsh vol-create-from default large.xml debian.qcow2 --inputpool templates
    assert_eq "$(qemu-img info --output json $IMAGES/default/large.$format | jq '."virtual-size"')" $((5 << 40))
    [ $format = raw ] || qemu-img check $IMAGES/default/large.$format
    qemu-img dd -f $format -O raw if=$IMAGES/default/large.$format of=head.raw bs=1M count=64
    cmp head.raw two.img
    virsh vol-delete large.$format default
done

step "a pool with the strategy full, and a copy that wants the owner and mode it names"
define_pool copies "$STORE" '' "<template:clone strategy='full'/>"
clone whole.qcow2 debian.qcow2 default copies
whole $IMAGES/default/whole.qcow2 qcow2 two.img
echo "<volume><name>owned.raw</name><capacity>0</capacity><target><format type='raw'/>
    <permissions><mode>0640</mode><owner>65534</owner><group>0</group></permissions></target></volume>" >owned.xml
virsh vol-create-from default owned.xml debian.qcow2 --inputpool templates
assert_eq "$(stat -c '%a %u' $IMAGES/default/owned.raw)" '640 65534'

step "a copy for which there is no room is gone, and says why"
mkdir $IMAGES/small
mount -t tmpfs -o size=4m tmpfs $IMAGES/small
define_dir_pool small
for format in raw qcow2; do
    expect_fail 'has [0-9]+ bytes left, the copy needs [0-9]+' \
        full_copy "none.$format" $format debian.qcow2 small templates
    assert_eq "$(find $IMAGES/small -type f)" '' 'left behind'
    assert_no_match none "$(virsh vol-list small)"
done

step "file systems that share blocks: a copy takes next to nothing, and is a file of its own"
for kind in xfs btrfs; do
    mounted $kind 600M
    virt-template pull --pool $kind-templates debian@1.1.0
    before=$(used_mib $IMAGES/$kind)
    for format in raw qcow2; do
        for version in 1.0.0:one.img 1.1.0:two.img; do
            file=copy-${version%:*}.$format
            full_copy "$file" $format "debian@${version%:*}.qcow2" $kind $kind-templates
            whole "$IMAGES/$kind/copies/$file" $format "${version#*:}"
            shared "$IMAGES/$kind/copies/$file"
        done
    done
    full_copy asked.raw raw debian@1.0.0.qcow2 $kind $kind-templates --reflink
    whole "$IMAGES/$kind/copies/asked.raw" raw one.img
    [ $(($(used_mib $IMAGES/$kind) - before)) -le 12 ] ||
        fail "five copies on $kind took $(($(used_mib $IMAGES/$kind) - before)) MiB"
    # The template is not what is written to a copy of it
    head -c 1M /dev/urandom | dd of="$IMAGES/$kind/copies/asked.raw" conv=notrunc status=none
    virt-template verify --pool $kind-templates debian@1.1.0
done

step "--reflink where blocks cannot be shared is an error, and leaves nothing"
expect_fail 'cannot share blocks' full_copy other.raw raw debian.qcow2 xfs templates --reflink
[ ! -e $IMAGES/xfs/copies/other.raw ]
assert_no_match other "$(virsh vol-list xfs)"

step "a copy that takes long can be seen, and cancelled"
head -c 512M /dev/zero | openssl enc -aes-128-ctr -K 00000000000000000000000000000001 -iv 0 >noise.img 2>/dev/null
publish "$STORE" golden.key noise.img noise@1.0.0
virsh pool-refresh templates
virt-template pull --pool templates noise@1.0.0

# stopped_copy: of noise into slow.raw, whose worker does not go on; sets `child` and `worker`
stopped_copy() {
    full_copy slow.raw raw noise.qcow2 default templates >slow.txt 2>&1 &
    child=$!
    wait_until 10 pgrep -x copy-worker >/dev/null
    worker=$(pgrep -x copy-worker)
    kill -STOP "$worker"
    assert_eq "$(virt-template jobs --json |
        jq -r '[.. | objects | select(.kind? == "copy" and .state == "running")][0].name')" noise
}

stopped_copy
expect_fail 'a job works on' virsh vol-delete noise@1.0.0.qcow2 templates
virt-template jobs --cancel "$(virt-template jobs --json |
    jq '[.. | objects | select(.kind? == "copy" and .state == "running")][0].id')"
! wait $child || fail "a cancelled copy succeeded"
grep -i cancel slow.txt
[ ! -e $IMAGES/default/slow.raw ]
assert_no_match slow "$(virsh vol-list default)"

step "a helper that is killed in the middle of a copy: the client is told, and nothing is left"
stopped_copy
kill -KILL "$HELPER_PID"
wait "$HELPER_PID" || :
HELPER_PID=
! wait $child || fail "a copy without the helper succeeded"
cat slow.txt
[ ! -e $IMAGES/default/slow.raw ]
wait_until 5 sh -c '! pgrep -x copy-worker'
rm -f $SOCKET $SOCKET-ro
start_helper
full_copy slow.raw raw noise.qcow2 default templates
whole $IMAGES/default/slow.raw raw noise.img

step "more copies at once than the helper runs jobs"
children=()
for i in {1..20}; do
    full_copy "many-$i.raw" raw debian.qcow2 default templates &
    children+=($!)
done
for child in "${children[@]}"; do wait "$child"; done
for i in {1..20}; do cmp "$IMAGES/default/many-$i.raw" two.img; done
assert_libvirtd_alive
