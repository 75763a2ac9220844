#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Versions over versions: only what is new is stored and fetched, and what a guest reads is right
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img skopeo jq dd virt-template

STORE=oci:$PWD/golden
IMAGES=/var/lib/libvirt/images
LAYERS=$IMAGES/templates/.layers

# reads VERSION IMAGE: a clone of the version has the image's bytes
reads() {
    clone "clone-$1.qcow2" "debian@$1.qcow2"
    assert_eq "$(guest_sha256 "$IMAGES/default/clone-$1.qcow2")  -" "$(sha256sum <"$2")" "what a guest of $1 reads"
    qemu-img check "$IMAGES/default/clone-$1.qcow2"
}

# index_of NUMBER VERSION: digest of the layer with that number, from 0, the lowest first
index_of() {
    skopeo inspect --raw "oci:$PWD/golden:debian/$2" |
        jq -r "[.layers[] | select(.mediaType | contains(\"index\"))][$1].digest | ltrimstr(\"sha256:\")"
}

layers_here() {
    find $LAYERS -maxdepth 1 -name '*.qcow2' | wc -l
}

make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img 1
cp one.img two.img
dd if=/dev/urandom of=two.img bs=4096 seek=700 count=50 conv=notrunc status=none
# moved by some blocks, and cut out elsewhere
dd if=one.img of=two.img bs=4096 skip=1000 seek=3003 count=300 conv=notrunc status=none
dd if=/dev/zero of=two.img bs=4096 seek=100 count=20 conv=notrunc status=none
cp two.img three.img
truncate -s 96M three.img
dd if=/dev/urandom of=three.img bs=4096 seek=20000 count=30 conv=notrunc status=none
dd if=/dev/urandom of=three.img bs=4096 seek=710 count=3 conv=notrunc status=none

step "a version that is mostly another one is published as what changed"
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0 --parent auto
publish "$STORE" golden.key three.img debian@1.2.0 --parent debian@1.1.0
for version in 1.0.0:1 1.1.0:2 1.2.0:3; do
    assert_eq "$(skopeo inspect --raw "oci:$PWD/golden:debian/${version%:*}" |
        jq '[.layers[] | select(.mediaType | contains("index"))] | length')" "${version#*:}" \
        "layers of $version"
done
for version in 1.1.0:50 1.2.0:33; do
    assert_eq "$(skopeo inspect --raw "oci:$PWD/golden:debian/${version%:*}" |
        jq --argjson max $((${version#*:} * 4096 + 65536)) '.layers[-1].size <= $max')" true \
        "small blobs of ${version%:*}"
done

step "a host without any of it fetches the whole chain"
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
reads 1.2.0 three.img
assert_eq "$(layers_here)" 3 'layers here'
chain=$(qemu-img info --backing-chain "$IMAGES/templates/debian@1.2.0.qcow2")
assert_match "backing file: $LAYERS/$(index_of 1 1.2.0).qcow2" "$chain"
assert_match "backing file: $LAYERS/$(index_of 0 1.2.0).qcow2" "$chain"
assert_match 'extended l2: true' "$chain"

step "a version whose layers are here comes without its data"
virt-template pull debian@1.1.0 >pulled.txt
cat pulled.txt
reads 1.1.0 two.img
assert_eq "$(layers_here)" 3 'layers here'
assert_eq "$(stat -c %i "$IMAGES/templates/debian@1.1.0.qcow2")" \
    "$(stat -c %i "$LAYERS/$(index_of 1 1.2.0).qcow2")" 'the layer of 1.1.0'

step "every layer is sealed, and verified through the chain"
virt-template verify debian@1.2.0
for layer in "$LAYERS"/*.qcow2; do
    assert_eq "$(stat -c '%a %U' "$layer")" '444 root' "$layer"
    ! sh -c "echo x >>$layer" 2>/dev/null || fail "$layer can be written"
done

step "a layer stays as long as a version needs it"
virsh vol-delete clone-1.1.0.qcow2 default
virt-template evict debian@1.1.0
assert_eq "$(layers_here)" 3 'layers here'
assert_eq "$(guest_sha256 "$IMAGES/default/clone-1.2.0.qcow2")  -" "$(sha256sum <three.img)" 'what a guest reads'
expect_fail 'clone-1.2.0.qcow2' virt-template evict debian@1.2.0
virsh vol-delete clone-1.2.0.qcow2 default
virt-template evict debian@1.2.0
assert_eq "$(layers_here)" 0 'layers here'
assert_eq "$(find $LAYERS -maxdepth 1 -name '*.index' | wc -l)" 0 'indexes here'

step "upwards, each version brings its own layer only"
reads 1.0.0 one.img
assert_eq "$(layers_here)" 1 'layers here'
reads 1.1.0 two.img
assert_eq "$(layers_here)" 2 'layers here'
reads 1.2.0 three.img
assert_eq "$(layers_here)" 3 'layers here'
virsh vol-delete clone-1.0.0.qcow2 default
virt-template evict debian@1.0.0
assert_eq "$(layers_here)" 3 'layers here'
assert_eq "$(guest_sha256 "$IMAGES/default/clone-1.1.0.qcow2")  -" "$(sha256sum <two.img)" 'what a guest reads'

step "damage of a layer is damage of all above it, and its name is told"
middle=$LAYERS/$(index_of 1 1.2.0).qcow2
chattr -i "$middle"
size=$(stat -c %s "$middle")
cp "$middle" kept.qcow2
printf 'xxxx' | dd of="$middle" bs=1 seek=$((size - 131072 * 2 + 8192)) conv=notrunc status=none
expect_fail 'of the layer' virt-template verify debian@1.2.0
expect_fail 'damaged' clone late.qcow2 debian@1.2.0.qcow2
expect_fail 'damaged' clone late.qcow2 debian@1.1.0.qcow2
restart_helper
expect_fail 'damaged' clone late.qcow2 debian@1.1.0.qcow2
# What is refused is not listed
virsh pool-refresh templates
assert_no_match 'debian@1.[12]' "$(virsh vol-list templates)"
# The start has sealed it again
chattr -i "$middle"
cat kept.qcow2 >"$middle"
virt-template verify debian@1.2.0
virsh pool-refresh templates
clone late.qcow2 debian@1.2.0.qcow2

step "a layer that somebody removed is missed by name"
mv "$middle" away.qcow2
expect_fail "layer sha256:$(index_of 1 1.2.0), which debian@1.2.0 is made over, was removed" \
    clone later.qcow2 debian@1.2.0.qcow2
mv away.qcow2 "$middle"
clone later.qcow2 debian@1.2.0.qcow2
assert_libvirtd_alive
