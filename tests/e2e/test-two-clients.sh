#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Clients that want the same template at the same time share one fetch
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img docker-registry virt-template jq

make_key golden
make_policy "$PWD/golden.pub"
make_image 256M one.img
start_registry plain
STORE=docker://$REGISTRY/golden
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
start_helper
start_libvirtd
define_dir_pool default
define_dir_pool second
define_pool templates "$STORE"

# frame_requests: how often a blob with frames was asked for
frame_requests() {
    grep -c "GET.*/golden/debian/blobs/sha256:$frames" "$REGISTRY_LOG" || [ $? = 1 ]
}
frames=$(curl -s -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
    "http://$REGISTRY/v2/golden/debian/manifests/1.0.0" |
    jq -r '[.layers[] | select(.mediaType | contains("frames"))] | max_by(.size).digest')
frames=${frames#sha256:}

step "two pools, one command line: all succeed"
clone a.qcow2 debian@1.0.0.qcow2 default &
first=$!
clone b.qcow2 debian@1.0.0.qcow2 second &
second=$!
virt-template pull --pool templates debian@1.0.0 &
third=$!
wait $first
wait $second
wait $third
for file in default/a second/b; do
    assert_eq "$(guest_sha256 "/var/lib/libvirt/images/$file.qcow2")  -" "$(sha256sum <one.img)"
done

step "the data went over the network once"
together=$(frame_requests)
virsh vol-delete a.qcow2 default
virsh vol-delete b.qcow2 second
virsh vol-delete debian@1.0.0.qcow2 templates
clone alone.qcow2 debian@1.0.0.qcow2 default
assert_eq "$together" $(($(frame_requests) - together)) 'requests of three clients and of one'
assert_eq "$(find /var/lib/libvirt/images/templates/.layers -name '*.qcow2' | wc -l)" 1 'layer files'
