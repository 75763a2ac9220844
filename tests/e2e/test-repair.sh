#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Damaged layers are found, named, and made again from what is right and the frames that are not
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img qemu-nbd docker-registry skopeo jq virt-template

IMAGES=/var/lib/libvirt/images
LAYERS=$IMAGES/templates/.layers
FRAME=131072

# reads FILE IMAGE: a guest on FILE reads the bytes of IMAGE
reads() {
    assert_eq "$(guest_sha256 "$1")  -" "$(sha256sum <"$2")" "what a guest on $1 reads"
}

# layer NUMBER: file of the layer of 1.2.0 with that number, from 0, the lowest first
layer() {
    echo "$LAYERS/$(skopeo inspect --tls-verify=false --raw "docker://$REGISTRY/golden/debian:1.2.0" |
        jq -r "[.layers[] | select(.mediaType | contains(\"index\"))][$1].digest | ltrimstr(\"sha256:\")")"
}

# flip FILE OFFSET...: other bytes there, behind the seal's back
flip() {
    local file=$1
    shift
    chattr -i "$file"
    for offset in "$@"; do
        printf 'damage!!' | dd of="$file" bs=1 seek="$offset" conv=notrunc status=none
    done
    chattr +i "$file"
}

# Bytes of blobs that the registry has sent so far
sent() {
    grep 'response completed' "$REGISTRY_LOG" | grep 'http.request.method=GET' | grep '/blobs/' |
        sed -n 's/.*http.response.written=\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n + 0 }'
}

snapshot() {
    (cd "$IMAGES/templates" && find . -type f ! -name '*.proofs' -printf '%p %i %s %T@\n' | sort)
}

make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img 1
cp one.img two.img
dd if=/dev/urandom of=two.img bs=4096 seek=700 count=200 conv=notrunc status=none
dd if=one.img of=two.img bs=4096 skip=1000 seek=3003 count=300 conv=notrunc status=none
cp two.img three.img
dd if=/dev/urandom of=three.img bs=4096 seek=8000 count=30 conv=notrunc status=none
start_registry plain
STORE=docker://$REGISTRY/golden
make_store "$STORE" golden.key
for version in 1.0.0:one 1.1.0:two 1.2.0:three; do
    publish "$STORE" golden.key "${version#*:}.img" "debian@${version%:*}" --parent auto
done
start_helper
start_libvirtd
define_dir_pool default
define_pool templates "$STORE"
virt-template pull debian@1.0.0
virt-template pull debian@1.1.0
clone web.qcow2 debian@1.2.0.qcow2
base=$(layer 0).qcow2 middle=$(layer 1).qcow2 top=$(layer 2).qcow2
[ -f "$base" ] && [ -f "$middle" ] && [ -f "$top" ]

step "a chain that is intact is repaired by doing nothing"
before=$(sent)
files=$(snapshot)
assert_match 'is intact: ' "$(virt-template verify --repair debian@1.2.0)"
assert_eq "$(snapshot)" "$files" 'files'
assert_eq "$(sent)" "$before" 'bytes that the registry sent'

step "damage of several layers is told by layer and place"
size=$(stat -c %s "$base")
first=$((size / 2 / 4096 * 4096)) second=$((size / 2 / 4096 * 4096 + 4 * FRAME))
flip "$base" $((first + 100)) $((second + 100))
expect_fail "layer 1 of 3 \(sha256:$(basename "$base" .qcow2)\): .* \(frame [0-9]+\).*, and 1 more places" \
    virt-template verify --quiet debian@1.2.0
expect_fail 'verify --repair' clone late.qcow2 debian@1.0.0.qcow2

step "a repair fetches the damaged frames only"
virt-template jobs
qemu-nbd --read-only -f qcow2 --socket "$PWD/nbd" --persistent --shared 4 "$IMAGES/default/web.qcow2" &
nbd=$!
wait_until 10 test -S "$PWD/nbd"
old=$(stat -c %i "$base")
before=$(sent)
virt-template verify --repair debian@1.2.0 >repaired.txt
cat repaired.txt
fetched=$(($(sent) - before))
echo "the registry sent $fetched bytes for two frames"
if [ $fetched = 0 ] || [ $fetched -gt $((2 * (FRAME + 576))) ]; then
    fail "the registry sent $fetched bytes"
fi
assert_match '1 of 3 layers were repaired' "$(cat repaired.txt)"

step "paths, seals and the versions' names are as before; clones read the right bytes"
[ "$(stat -c %i "$base")" != "$old" ]
assert_eq "$(stat -c '%i %h' "$IMAGES/templates/debian@1.0.0.qcow2")" "$(stat -c '%i' "$base") 2" 'the version is the layer'
assert_eq "$(stat -c '%a %U' "$base")" '444 root' "$base"
! sh -c "echo x >>$base" 2>/dev/null || fail "$base can be written"
virt-template verify debian@1.2.0
reads "$IMAGES/default/web.qcow2" three.img
clone late.qcow2 debian@1.0.0.qcow2
reads "$IMAGES/default/late.qcow2" one.img
assert_eq "$(find "$LAYERS/.partial" -type f | wc -l)" 0 'files that the repair left'

step "who runs keeps the damaged file until it is started again, and that is told"
assert_match 'running guests have the damaged copy open' "$(cat repaired.txt)"
expect_fail 'Content mismatch' qemu-img compare -f raw -F raw "nbd+unix:///?socket=$PWD/nbd" three.img
stop_pid $nbd

step "layers are repaired from the bottom up, what they have from others included"
size=$(stat -c %s "$base")
flip "$base" $((first + 100))
# Metadata, what was moved, and what is new
size=$(stat -c %s "$middle")
flip "$middle" 300000 $((size - 131072 + 4096)) $((size - 131072 * 4 + 8192))
mv "$(layer 2).index" kept.index
echo bad >"$(layer 2).index"
expect_fail 'layer 3 of 3 .*kept index is damaged' virt-template verify --quiet debian@1.2.0
before=$(sent)
assert_match '2 of 3 layers were repaired' "$(virt-template verify --repair debian@1.2.0)"
echo "the registry sent $(($(sent) - before)) bytes"
cmp kept.index "$(layer 2).index"
virt-template verify debian@1.2.0
reads "$IMAGES/default/web.qcow2" three.img
qemu-img check "$IMAGES/default/web.qcow2"

step "a layer that somebody removed comes back"
virt-template evict debian@1.1.0
chattr -i "$middle"
rm "$middle"
expect_fail "was removed from .*verify --repair" clone later.qcow2 debian@1.2.0.qcow2
assert_match '1 of 3 layers were repaired' "$(virt-template verify --repair debian@1.2.0)"
virt-template verify debian@1.2.0
reads "$IMAGES/default/web.qcow2" three.img
clone later.qcow2 debian@1.2.0.qcow2

step "a layer that cannot be opened is told, and costs the daemon none of its descriptors"
input=$(readlink "/proc/$(pgrep -x virttemplated)/fd/0")
chattr -i "$base"
mv "$base" "$IMAGES/kept"
ln -s "$IMAGES/kept" "$base"
for _ in 1 2 3; do
    expect_fail 'cannot open' virt-template verify --quiet debian@1.2.0
done
assert_eq "$(readlink "/proc/$(pgrep -x virttemplated)/fd/0")" "$input" "what the daemon's input is"
mv "$IMAGES/kept" "$base"
chattr +i "$base"
virt-template verify debian@1.2.0

assert_libvirtd_alive
