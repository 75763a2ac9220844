#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Uploads into docker-registry that are cut. It drops what came of a blob whose request was cut, and
# knows nothing of it (2.8.2: 404 for the location): that part is sent again, and nothing else is.
# A registry that keeps such parts is in tests/unit/test-store-faults.c.
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/e2e/network.sh
. "$VT_E2E_DIR/network.sh"
requires virsh docker-registry curl jq python3 virt-template

MIB=$((1024 * 1024))
# What a blob of frames has at most
BLOB=$((256 * MIB))
# Documents (an index of 3.5 MiB), heads of requests, and what was in sockets
SMALL=$((8 * MIB))

# no_more_than BYTES WHAT
no_more_than() {
    echo "$2: $(seen sent) bytes sent, at most $1"
    [ "$(seen sent)" -le "$1" ] || fail "$2: $(seen sent) bytes were sent, more than $1"
}

has_sent() {
    [ "$(seen_now sent)" -gt "$1" ]
}

make_key golden
make_policy "$PWD/golden.pub"
start_registry
start_network
make_store "docker://$PROXY/golden" golden.key
make_store "docker://$PROXY/killed" golden.key
# Two blobs of frames, of 256 and about 44 MiB: noise is not compressed
head -c 300M /dev/urandom >one.img
digest=$(sha256sum one.img | cut -d' ' -f1)

step "cuts in the second blob cost what had come of it: the first one is not sent again"
network "{\"upcuts\": [$((BLOB + 10 * MIB)), $((BLOB + 40 * MIB))]}"
publish "docker://$PROXY/golden" golden.key one.img debian@1.0.0
finish
assert_eq "$(seen cuts)" 2 'cuts'
no_more_than $((300 * MIB + 40 * MIB + SMALL)) 'two cuts'

step "after the death of the publisher in the second blob, the next one sends that only"
network '{"rate": 100000000}'
publish "docker://$PROXY/killed" golden.key one.img debian@1.0.0 >first.txt 2>&1 &
publisher=$!
wait_until 60 has_sent $((BLOB + 10 * MIB)) || fail 'the upload does not get on'
kill -KILL "$(pgrep -P $publisher -x virt-template || echo $publisher)"
! wait $publisher || fail 'it was not killed'
finish
publish "docker://$PROXY/killed" golden.key one.img debian@1.0.0
finish
no_more_than $((44 * MIB + SMALL)) 'after the death'

step "what was published so has every byte"
start_helper
start_libvirtd
for store in golden killed; do
    define_pool $store "docker://$PROXY/$store"
    virt-template pull --quiet --pool $store debian@1.0.0
    assert_eq "$(guest_sha256 /var/lib/libvirt/images/$store/debian@1.0.0.qcow2)" "$digest" $store
done
