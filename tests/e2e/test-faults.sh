#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A registry that fails, breaks off or lies, over TLS: each fault ends in the right template or in an
# error that says what was wrong; nothing unverified is usable, and the next fetch works
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh openssl python3 jq zstd virt-template

PORT=5200
LAYERS=/var/lib/libvirt/images/templates/.layers
TEMPLATE=/var/lib/libvirt/images/templates/debian@1.0.0.qcow2
STORE=docker://registry.test:$PORT/golden
LAYOUT=$PWD/published/golden
# Longer than any outcome here may take; a fault that is waited for shows as this
PATIENCE_S=40
count=0

plan() {
    echo "$1" >faults/plan.new
    mv faults/plan.new faults/plan
}

# fault [KEY=VALUE...]: the plan, from its members
fault() {
    plan "$(jq -nc '[$ARGS.positional[] | capture("^(?<key>[a-z]+)=(?<value>.*)$"; "s")
        | if .key == "times" then .value |= tonumber else . end] | from_entries' --args "$@")"
}

nothing_usable() {
    [ ! -e $TEMPLATE ] || fail "the template stands under its usable name"
    assert_eq "$(find $LAYERS -name '*.qcow2' | wc -l)" 0 'layers under their final names'
}

# As it was published, and then away again, with all that a fetch left
is_right() {
    assert_eq "$(guest_sha256 $TEMPLATE)" "$digest" 'the template'
    virt-template evict --quiet debian@1.0.0
    nothing_usable
    assert_eq "$(find $LAYERS/.partial -type f | wc -l)" 0 'partial files'
}

# meets FAULT... -- OUTCOME: a fetch under it. OUTCOME: ok, or what the error says
meets() {
    local members=() status=0 begin=$SECONDS
    while [ "$1" != -- ]; do
        members+=("$1")
        shift
    done
    count=$((count + 1))
    echo "--- $count: ${members[*]}"
    : >faults/log
    fault "${members[@]}"
    timeout $PATIENCE_S virt-template pull --quiet debian@1.0.0 >error.txt 2>&1 || status=$?
    cat error.txt
    [ $status != 124 ] || fail "no outcome after $PATIENCE_S s" "no outcome after $PATIENCE_S s"
    echo "$((SECONDS - begin)) s, $(wc -l <faults/log) requests"
    assert_no_match '[[:cntrl:]]|YWxpY2U6' "$(cat error.txt)"
    if [ "$2" = ok ]; then
        assert_eq $status 0 'exit status'
    else
        [ $status != 0 ] || fail "this fault must not pass"
        assert_match "$2" "$(cat error.txt)"
        nothing_usable
        fault
        virt-template pull --quiet debian@1.0.0
    fi
    is_right
}

mkdir -p faults/tls published
echo '{}' >faults/plan
make_authority faults/tls ca
make_authority faults/tls stranger
make_certificate faults/tls server ca DNS:registry.test,DNS:other.test
make_certificate faults/tls wrong ca DNS:elsewhere.test
make_certificate faults/tls expired ca DNS:registry.test -1
make_certificate faults/tls unknown stranger DNS:registry.test
make_certificate faults/tls mutual ca DNS:registry.test
cp faults/tls/stranger.crt faults/tls/mutual.clients
cp faults/tls/stranger.crt faults/tls/self.crt
cp faults/tls/stranger.key faults/tls/self.key
echo '127.0.0.1 registry.test other.test' >>/etc/hosts
mkdir -p /etc/containers/certs.d/registry.test:$PORT
cp faults/tls/ca.crt /etc/containers/certs.d/registry.test:$PORT/
make_key golden
head -c 6M /dev/urandom >one.img
digest=$(sha256sum one.img | cut -d' ' -f1)
head -c 6M /dev/urandom >old.img
make_store "oci:$LAYOUT" golden.key
publish "oci:$LAYOUT" golden.key old.img debian@0.9.0
publish "oci:$LAYOUT" golden.key one.img debian@1.0.0
cat >"$POLICY" <<END
{"default": [{"type": "sigstoreSigned", "keyPath": "$PWD/golden.pub", "signedIdentity":
  {"type": "remapIdentity", "prefix": "registry.test:$PORT", "signedPrefix": "localhost"}}]}
END
python3 "$VT_E2E_DIR/../tools/broken-registry.py" "$LAYOUT" $PORT faults 3>&- >>"$LOGS/faults.log" 2>&1 &
wait_daemon broken-registry $! curl -s --cacert faults/tls/ca.crt -o ping https://registry.test:$PORT/v2/
start_helper --retries 1
start_libvirtd
define_pool templates "$STORE"

step "without a fault it is a registry"
virt-template pull debian@1.0.0
is_right

step "servers in trouble"
meets fault=status arg=500 on=range times=1 -- ok
meets fault=status arg=502 on=manifest times=1 -- ok
meets fault=status arg=503:0 on=document times=1 -- ok
meets fault=status arg=504 on=signature times=1 -- ok
meets fault=status arg=500 on=range -- 'given up after 2 attempts: .*HTTP 500: ORDERED'
meets fault=status arg=503 on=manifest -- 'given up after 2 attempts: .*HTTP 503: ORDERED'
meets fault=status arg=429 on=range times=1 -- ok
meets fault=status arg=429:1 on=range times=2 -- ok
meets fault=status arg=429 on=manifest -- 'HTTP 429: .*limits requests, try later'
meets fault=status arg=429:86400 on=range -- 'wants to be left alone for 86400 s'
meets fault=status arg=429:99999999999999999999 on=range times=1 -- ok
meets fault=status arg=429:-5 on=manifest times=1 -- ok
meets fault=status arg=503:soon on=document times=1 -- ok
meets fault=status arg=403 on=range -- 'HTTP 403: ORDERED.*what the user of the auth file may do'
meets fault=status arg=404 on=range -- 'HTTP 404: ORDERED'
meets fault=status arg=404 on=manifest -- 'HTTP 404: ORDERED'
meets fault=status arg=404 on=signature -- 'no signature'
meets fault=status arg=418 on=range -- 'HTTP 418'
meets fault=empty arg=204 on=range -- 'too early'
meets fault=empty arg=200 on=manifest -- 'manifest'
meets fault=empty arg=200 on=range -- 'ends too early'

step "who may not"
meets fault=challenge arg=basic on=range -- 'HTTP 401.*asks for user and password'
meets fault=challenge arg=bearer on=range -- 'HTTP 401.*check the credentials'
meets fault=challenge arg=bearer on=manifest -- 'HTTP 401.*check the credentials'
meets fault=challenge arg=none on=manifest -- 'HTTP 401'
meets fault=challenge arg=long on=manifest -- 'WWW-Authenticate header is malformed'
meets fault=challenge arg=open on=manifest -- 'WWW-Authenticate header is malformed'
meets fault=challenge arg=plain on=manifest -- 'token server without HTTPS'
meets fault=challenge arg=local on=manifest -- 'token server on this machine'

step "transfers that break off"
meets fault=close arg=head on=range times=1 -- ok
meets fault=close arg=head on=manifest times=1 -- ok
for at in 0 1 half -1; do
    meets fault=close arg=$at on=range times=1 -- ok
    meets fault=close arg=$at on=document times=1 -- ok
done
meets fault=close arg=0 on=range -- 'given up after 2 attempts'
meets fault=close arg=half on=manifest -- 'given up after 2 attempts'
meets fault=close arg=head on=any -- 'given up after 2 attempts|check the network'

step "one bit"
for at in first middle last; do
    meets fault=flip arg=$at on=range -- 'frame|digest'
    meets fault=flip arg=$at on=document -- 'digest|signature|are not those'
    meets fault=flip arg=$at on=manifest -- 'in the store has other content'
done
meets fault=flip arg=middle on=range times=1 -- 'frame|digest'

step "lengths and ranges that lie"
meets fault=trailing arg=counted on=range -- 'more bytes than|more than'
meets fault=trailing arg=counted on=document -- 'larger|digest|bytes'
meets fault=trailing arg=not on=range -- ok
meets fault=length arg=+1000 on=range times=1 -- ok
meets fault=length arg=-1000 on=range times=1 -- 'HTTP/0.9'
meets fault=length arg=-1 on=range -- 'given up after 2 attempts|too early'
meets fault=length arg=-5 on=document -- 'digest|bytes|size|are not those'
meets fault=length arg=99999999999999999999999 on=range times=1 -- ok
meets fault=length arg=x on=document times=1 -- ok
meets fault=length arg=chunked on=range -- ok
meets fault=length arg=chunked on=document -- ok
meets fault=length arg=none on=range times=1 -- ok
for lie in shifted total unknown huge none parts; do
    meets fault=content_range arg=$lie on=range -- 'HTTP 206 with Content-Range'
done
meets fault=content_range arg=whole on=range -- ok
meets fault=changing on=range -- 'frame [0-9]+ .*does not have its digest'
meets fault=encoded arg=content on=range -- 'more bytes than|frame|digest|too early|given up'
meets fault=encoded arg=content on=document -- 'digest|larger|are not those|bytes'
meets fault=encoded arg=bomb on=document -- 'digest|larger|are not those|bytes'

step "answers without end"
meets fault=endless arg=body on=range -- 'more bytes than|more than'
meets fault=endless arg=body on=document -- 'larger than allowed'
meets fault=endless arg=body on=manifest -- 'larger than allowed'
meets fault=endless arg=error on=range -- 'HTTP 400'
meets fault=endless arg=head on=manifest -- 'GET https.*'
meets fault=head arg=huge on=range -- 'GET https.*'
meets fault=head arg=many on=manifest -- 'GET https.*'
meets fault=head arg=rubbish on=range -- 'GET https.*'
meets fault=head arg=control on=manifest -- ok
meets fault=head arg=digest on=manifest -- ok

step "redirects"
meets fault=redirect arg=good on=range -- ok
meets fault=redirect arg=loop on=range -- 'redirects'
meets fault=redirect arg=loop on=manifest -- 'redirects'
meets fault=redirect arg=none on=document -- 'HTTP 307'
for where in http otherhttp file gopher; do
    meets fault=redirect arg=$where on=range -- 'rotocol'
done
meets fault=redirect arg=file on=manifest -- 'rotocol'
meets fault=redirect arg=user on=document -- ok
meets fault=redirect arg=local on=document -- 'onnect'

step "lists of referrers"
for what in loop pages million deep elsewhere html; do
    meets fault=referrers arg=$what on=signature -- 'no signature|pages|larger|host|JSON|nest'
done

step "other content than was asked for"
meets fault=other arg=debian/0.9.0 on=manifest -- 'in the store has other content'
meets fault=other arg=catalog/latest on=manifest -- 'has [0-9]+ bytes in the store, not'

step "certificates"
for name in expired wrong unknown self; do
    meets certificate=$name -- 'certificate.*/etc/containers/certs.d'
done
# What libcurl sees of the alert depends on what it was sending then
meets certificate=mutual -- 'wants a client certificate|given up after 2 attempts'

step "a registry with nothing but IPv6"
cp /etc/hosts hosts
sed 's/^127.0.0.1 registry.test/::1 registry.test/' hosts >/etc/hosts
meets none=1 -- ok
cat hosts >/etc/hosts

step "transfers in which nothing comes: given up after two attempts of --stall each"
restart_helper --retries 7 --stall 2
for kind in range manifest; do
    meets fault=stall arg=none on=$kind times=1 -- ok
    meets fault=stall arg=none on=$kind -- 'given up after 2 attempts: .*too slow'
    meets fault=drip on=$kind -- 'given up after 2 attempts: .*too slow'
done
meets fault=stall arg=half on=range times=1 -- ok
meets fault=stall arg=half on=document -- 'given up after 2 attempts: .*too slow'

step "passwords and tokens"
printf '{"auths":{"registry.test:%s":{"auth":"YWxpY2U6c2VjcmV0"}}}' $PORT >/etc/virt-template/auth.json
restart_helper --retries 1
meets auth=basic -- ok
meets auth=token:100 -- ok
meets auth=token:2 -- ok
meets auth=token:2 fault=close arg=half on=range times=1 -- ok
meets auth=basic fault=redirect arg=other on=range -- ok
assert_match 'registry.test:5200 GET .* Basic YWxpY2U6c2VjcmV0 307' "$(cat faults/log)"
assert_match 'other.test:5200 GET .*hop=1 bytes.* - 206' "$(cat faults/log)"
meets auth=token:100 fault=redirect arg=other on=document -- ok
assert_no_match 'other.test:5200 .*(Basic|Bearer)' "$(cat faults/log)"
meets fault=challenge arg=elsewhere on=manifest -- 'no password is sent there|HTTP 401'
assert_no_match 'other.test:5200 .*(Basic|Bearer)' "$(cat faults/log)"
meets fault=challenge arg=basic on=manifest -- 'HTTP 401'
rm /etc/virt-template/auth.json
restart_helper --retries 1
meets auth=basic -- 'HTTP 401.*asks for user and password'

# catalog_meets FAULT... -- WARNING: the list stays as it was, with a warning
catalog_meets() {
    local members=()
    while [ "$1" != -- ]; do
        members+=("$1")
        shift
    done
    count=$((count + 1))
    echo "--- $count: ${members[*]}"
    # After a failure it is not asked again at once
    restart_helper --retries 1
    fault "${members[@]}"
    virsh pool-refresh templates
    virt-template list >list.txt 2>&1
    cat list.txt
    assert_match 'debian@1.0.0|1.0.0' "$(cat list.txt)"
    assert_match "$2" "$(cat list.txt)"
    fault
}

step "the catalog"
catalog_meets fault=status arg=500 on=catalog -- 'HTTP 500'
catalog_meets fault=status arg=404 on=catalog -- 'HTTP 404'
catalog_meets fault=flip arg=middle on=catalog -- 'is not trusted'
catalog_meets fault=endless arg=body on=catalog -- 'larger'
catalog_meets fault=close arg=head on=catalog -- 'given up after 2 attempts'
catalog_meets fault=other arg=debian/0.9.0 on=catalog -- 'is not trusted|not a catalog'

cp -a published good

step "an older catalog and manifest, as they were signed then"
count=$((count + 1))
restart_helper --retries 1
"$VT_E2E_DIR/forge.py" "$LAYOUT" uncatalog golden.key debian 0.9.0
virsh pool-refresh templates
assert_no_match '0.9.0' "$(virt-template list)"
rm -rf "$LAYOUT"
cp -a good/golden "$LAYOUT"
restart_helper --retries 1
virsh pool-refresh templates
virt-template list >list.txt 2>&1
assert_match 'a catalog that is older \(serial 3\) than the one known here \(serial 4\)' "$(cat list.txt)"
assert_no_match '0.9.0' "$(cat list.txt)"

# forged COMMAND... -- OUTCOME: what the publisher's own key signed is hostile
forged() {
    local command=()
    while [ "$1" != -- ]; do
        command+=("$1")
        shift
    done
    count=$((count + 1))
    echo "--- $count: ${command[*]}"
    "$VT_E2E_DIR/forge.py" "$LAYOUT" "${command[@]}"
    # A host that has seen no other catalog of this store
    define_pool "forged-$count" "$STORE"
    expect_fail "$2" timeout $PATIENCE_S virt-template pull --quiet --pool "forged-$count" debian@1.0.0
    assert_eq "$(find "/var/lib/libvirt/images/forged-$count" -name '*.qcow2' ! -path '*/.partial/*' | wc -l)" 0 \
        'layers under their final names'
    virsh pool-destroy "forged-$count"
    rm -rf "$LAYOUT"
    cp -a good/golden "$LAYOUT"
}

step "what a publisher's key signed, and is hostile"
head -c 1G /dev/zero | zstd -q >bomb
forged reframe golden.key debian 1.0.0 bomb -- 'is not one zstd frame of'
# Magic, content size in 4 bytes, a window of 2^31, 131072 bytes of content, one raw block
{
    printf '\x28\xb5\x2f\xfd\x80\xa8\x00\x00\x02\x00\x01\x00\x10'
    head -c 128K /dev/urandom
} >window
forged reframe golden.key debian 1.0.0 window -- 'wants a zstd window of more than 8 MiB'
head -c 100000 /dev/urandom >noise
forged reframe golden.key debian 1.0.0 noise -- 'is not one zstd frame of'
for number in '48 8 0x8000000000000000' '56 8 0xffffffffffffffff' '76 4 0xffffffff' \
    '80 4 0xffffffff' '72 4 16384' '32 4 0'; do
    # shellcheck disable=SC2086 # three words
    forged poke golden.key debian 1.0.0 $number -- 'index'
done
for size in +1 -1 0 99999999999999 9223372036854775807; do
    forged resize golden.key debian 1.0.0 frames $size -- 'size|large|bytes'
done
forged uncatalog golden.key debian 1.0.0 -- 'debian@1.0.0'

echo "$count faults of the registry"
[ $count -ge 60 ] || fail "only $count faults"
