#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The same through docker-registry: plain, with TLS, with a password
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img skopeo docker-registry htpasswd jq virt-template

IMAGES=/var/lib/libvirt/images

publish_options=()

# through POOL STORE: publishes, lists, clones and compares
through() {
    publish "$2" golden.key one.img debian@1.0.0 "${publish_options[@]}"
    define_pool "$1" "$2"
    assert_match 'debian@1.0.0.qcow2' "$(virsh vol-list "$1")"
    clone "$1.qcow2" debian@1.0.0.qcow2 default "$1"
    assert_eq "$(guest_sha256 "$IMAGES/default/$1.qcow2")  -" "$digest" "the clone of $1"
}

make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img
digest=$(sha256sum <one.img)
start_helper
start_libvirtd
define_dir_pool default

step "plain HTTP on the loopback address"
start_registry plain
make_store "docker://$REGISTRY/golden" golden.key
through plain "docker://$REGISTRY/golden"

step "other tools see ordinary artifacts"
manifest=$(skopeo inspect --tls-verify=false --raw "docker://$REGISTRY/golden/debian:1.0.0")
assert_eq "$(jq -r .artifactType <<<"$manifest")" application/vnd.virt-template.v1
assert_match '"catalog"|golden/catalog' "$(curl -s "http://$REGISTRY/v2/_catalog")"

step "publishing the same image again uploads no data again"
publish "docker://$REGISTRY/golden" golden.key one.img debian@1.0.1
assert_eq "$(find "$REGISTRY_DIR" -path '*/blobs/sha256/*' -name data -size +1M | wc -l)" 1 \
    'blobs of frames in the registry'
uploads=$(grep -cE '"PUT /v2/golden/debian/blobs/uploads/[^"]*" 201' "$REGISTRY_LOG")
[ "$uploads" -lt 12 ] || fail "$uploads uploads for two versions of one image"

step "a version cannot be published twice, unless it is the same"
make_image 64M other.img 9
expect_fail 'debian@1.0.0 exists with other content' \
    publish "docker://$REGISTRY/golden" golden.key other.img debian@1.0.0
assert_match 'nothing was uploaded' \
    "$(publish "docker://$REGISTRY/golden" golden.key one.img debian@1.0.0)"

step "TLS by an authority that this host does not know is refused"
start_registry tls
expect_fail 'certificate|TLS|SSL' make_store "docker://$REGISTRY/golden" golden.key

step "TLS with the authority among the system's"
cat tls/ca.crt >>/etc/ssl/certs/ca-certificates.crt
make_store "docker://$REGISTRY/golden" golden.key
through tls "docker://$REGISTRY/golden"

step "without a password the registry refuses, and the error says what it wants"
start_registry tls auth
expect_fail '401|password|credentials|log in' make_store "docker://$REGISTRY/golden" golden.key

step "a wrong password is refused, and is not printed"
skopeo login --authfile wrong.json --username $REGISTRY_USER --password $REGISTRY_PASSWORD \
    "$REGISTRY"
sed -i "s|\"auth\": .*|\"auth\": \"$(printf '%s:guessed-wrong' $REGISTRY_USER | base64)\"|" wrong.json
expect_fail '401|password|credentials|log in' virt-template store init \
    --store "docker://$REGISTRY/golden" --key golden.key --authfile wrong.json
assert_no_match 'guessed-wrong' "$output"

step "with the password of containers-auth.json(5) it works, for the command and the daemon"
skopeo login --authfile /etc/virt-template/auth.json --username $REGISTRY_USER \
    --password $REGISTRY_PASSWORD "$REGISTRY"
virt-template store init --store "docker://$REGISTRY/golden" --key golden.key \
    --authfile /etc/virt-template/auth.json
publish_options=(--authfile /etc/virt-template/auth.json)
through auth "docker://$REGISTRY/golden"
