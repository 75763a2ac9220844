#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Networks that are cut, slow or gone: what was received is not fetched again, limits hold, and
# errors say what is missing
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/e2e/network.sh
. "$VT_E2E_DIR/network.sh"
requires virsh docker-registry jq dd python3 virt-template

LAYERS=/var/lib/libvirt/images/templates/.layers
FRAME=$((128 * 1024))
CONNECTIONS=8

# no_more_than BYTES WHAT
no_more_than() {
    echo "$2: $(seen bytes) bytes, at most $1"
    [ "$(seen bytes)" -le "$1" ] || fail "$2: $(seen bytes) bytes came, more than $1"
}

# is_right [VERSION]
is_right() {
    virt-template verify --quiet "debian@${1:-1.1.0}"
    virt-template evict --quiet "debian@${1:-1.1.0}"
    assert_eq "$(find $LAYERS -name '*.qcow2' | wc -l)" 0 'layers here'
}

has_received() {
    [ "$(seen_now bytes)" -gt "$1" ]
}

# half_way [WHOLE]: until 40 percent of the layers came
half_way() {
    wait_until 30 has_received $((${1:-$whole} * 40 / 100)) || fail 'the fetch does not get on'
}

written() {
    virt-template jobs --json | jq '[.jobs[] | select(.state == "running")][0].done // 0'
}

is_written() {
    [ $(($(written) + $1)) -ge "$came" ]
}

# settle BYTES: nothing comes any more, and all that came but for so much is written. That may take
# a while: the unpack worker of a loaded machine leaves some MiB of the ring for later
settle() {
    came=$(network '{"rate": 100}' | jq .bytes)
    wait_until 60 is_written "$1" ||
        fail "$(written) of $came bytes that came are written, all but $1 should be"
}

# not_again WHOLE AGAIN WHAT: after settle(), the death of somebody, and a fetch to the end
not_again() {
    local sum=$((came + $(seen bytes)))
    echo "$3: $came bytes before, $(seen bytes) after, of $1; at most $2 twice"
    [ $sum -le $(($1 + $2)) ] || fail "$3: $((sum - $1)) bytes came twice, more than $2"
}

worker_pid() {
    pgrep -P "$HELPER_PID" -f "/$1-worker" | head -n 1
}

make_key golden
make_policy "$PWD/golden.pub"
start_registry
start_network
STORE=docker://$PROXY/golden
make_store "$STORE" golden.key
head -c 40M /dev/urandom >one.img
truncate -s 64M one.img
cp one.img two.img
dd if=/dev/urandom of=two.img bs=1M seek=30 count=12 conv=notrunc status=none
dd if=one.img of=two.img bs=4096 skip=1000 seek=6003 count=300 conv=notrunc status=none
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0
start_helper
start_libvirtd
define_pool templates "$STORE"

step "undisturbed: few requests, each as long as a slot of the ring"
finish
virt-template pull debian@1.1.0
finish
whole=$(seen bytes)
blobs=$(skopeo inspect --tls-verify=false --raw "docker://$REGISTRY/golden/debian:1.1.0" |
    jq '[.layers[] | select(.mediaType | contains("index") | not) | .size] | map(. / 4194304 | ceil) | add')
echo "$whole bytes in $(seen requests) requests, of which $blobs are ranges of blobs"
[ "$(seen requests)" -le $((blobs + 12)) ] || fail "$(seen requests) requests for $blobs ranges of 4 MiB"
is_right

step "with 10 disconnects hardly a byte comes twice"
finish
network "$(jq -nc --argjson whole "$whole" --argjson seed "$RANDOM" \
    '{cuts: [range(10) | (. * 0.097 + ($seed % 97) / 1000) * $whole | floor]}')"
virt-template pull debian@1.1.0
finish
assert_eq "$(seen cuts)" 10 'disconnects'
no_more_than $((whole * 102 / 100)) '10 disconnects'
is_right

# What a death costs: a frame of each connection, and what is in its sockets. Of a chain also what
# waits for the layers below it to be complete: at most the layers above the base
again=$((CONNECTIONS * (FRAME + 64 * 1024)))

finish
virt-template pull debian@1.0.0
finish
base=$(seen bytes)
is_right 1.0.0
for worker in fetch unpack; do
    step "after the death of the $worker worker the next fetch goes on"
    network '{"rate": 12000000}'
    virt-template pull --quiet debian@1.0.0 >first.txt 2>&1 &
    pull=$!
    half_way "$base"
    settle $again
    kill -KILL "$(worker_pid $worker)"
    ! wait $pull || fail "the fetch did not notice that its $worker worker died"
    cat first.txt
    network '{}' >network/before
    came=$((came + $(jq .bytes network/before)))
    virt-template pull debian@1.0.0
    finish
    not_again "$base" $again "death of the $worker worker"
    is_right 1.0.0
done

step "after the death of virttemplated the job goes on"
network '{"rate": 12000000}'
virt-template pull --detach debian@1.1.0
half_way
settle $((again + whole - base))
kill -KILL "$HELPER_PID"
wait "$HELPER_PID" || :  # it was killed
HELPER_PID=
rm -f $SOCKET $SOCKET-ro
network '{}' >network/before
came=$((came + $(jq .bytes network/before)))
start_helper
virt-template pull debian@1.1.0
finish
not_again "$whole" $((again + whole - base)) 'death of virttemplated'
is_right

step "a network that is away for some seconds is waited for"
network '{"rate": 12000000}'
virt-template pull --detach debian@1.1.0
half_way
seen_before=$(network '{"down": true}' | jq .bytes)
sleep 3
network '{}'
virt-template pull debian@1.1.0
finish
echo "$seen_before before, $(seen bytes) after"
[ $((seen_before + $(seen bytes))) -le $((whole * 102 / 100)) ] || fail 'too much came twice'
is_right

step "one that stays away is given up, and the error says what to do"
restart_helper --retries 1
network '{"rate": 12000000}'
virt-template pull --quiet debian@1.1.0 >first.txt 2>&1 &
pull=$!
half_way
network '{"down": true}'
! wait $pull || fail 'the fetch did not notice that the network is away'
cat first.txt
assert_match "debian@1.1.0: layer sha256:[0-9a-f]{64}: given up after 2 attempts: GET http://$PROXY/v2/golden/debian/blobs/sha256:[0-9a-f]{64}: .*check the network.*what was received is kept" \
    "$(cat first.txt)"
network '{}'
virt-template pull debian@1.1.0
is_right

step "a limit of the rate holds for all connections together"
restart_helper
finish
begin=$(date +%s%N)
virt-template pull --limit-rate 8M debian@1.1.0
elapsed_ms=$((($(date +%s%N) - begin) / 1000000))
finish
least_ms=$((whole * 1000 / 8388608))
echo "$elapsed_ms ms for $(seen bytes) bytes, at least $least_ms"
[ $elapsed_ms -gt $((least_ms * 9 / 10)) ] || fail "$elapsed_ms ms: faster than the limit allows"
is_right

step "that of the host too, and that of connections"
restart_helper --limit-rate 8M --connections 2
finish
begin=$(date +%s%N)
virt-template pull debian@1.1.0
elapsed_ms=$((($(date +%s%N) - begin) / 1000000))
finish
[ $elapsed_ms -gt $((least_ms * 9 / 10)) ] || fail "$elapsed_ms ms: faster than the limit allows"
[ "$(seen peak)" -le 2 ] || fail "$(seen peak) connections at once, 2 are allowed"
is_right
restart_helper

step "a blob that the registry lost is named, and other versions still work"
blob=$(skopeo inspect --tls-verify=false --raw "docker://$REGISTRY/golden/debian:1.1.0" |
    jq -r '.layers[-1].digest | ltrimstr("sha256:")')
layer=$(skopeo inspect --tls-verify=false --raw "docker://$REGISTRY/golden/debian:1.1.0" |
    jq -r '[.layers[] | select(.mediaType | contains("index"))][-1].digest')
rm "$REGISTRY_DIR/docker/registry/v2/blobs/sha256/${blob:0:2}/$blob/data"
expect_fail "debian@1.1.0: layer $layer: GET http://$PROXY/v2/golden/debian/blobs/sha256:$blob: HTTP 404.*use another one, or publish its image as a new one" \
    virt-template pull debian@1.1.0
virt-template pull debian@1.0.0
virt-template verify debian@1.0.0
define_dir_pool default
clone one.qcow2 debian@1.0.0.qcow2
expect_fail "sha256:$blob" clone two.qcow2 debian@1.1.0.qcow2
assert_libvirtd_alive

step "the image can be published anew"
publish "$STORE" golden.key two.img debian@1.1.1 --parent none
virt-template pull debian@1.1.1
virt-template verify debian@1.1.1
