#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What an administrator says about registries: client certificates, mirrors, blocks, proxies; and
# HTTP/2, with nginx before docker-registry
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh openssl docker-registry nginx tinyproxy skopeo jq virt-template

TLS=$PWD/tls
CERTS=/etc/containers/certs.d
RULES=/etc/containers/registries.conf.d/golden.conf
STORE=docker://registry.test:6000/golden
TEMPLATE=/var/lib/libvirt/images/templates/debian@1.0.0.qcow2

# front NAME PORT REGISTRY [SETTING...]: nginx that speaks TLS and HTTP/2 before a registry
front() {
    local name=$1 port=$2 registry=$3
    shift 3
    cat <<END
server {
    listen 127.0.0.1:$port ssl http2;
    server_name $name;
    ssl_certificate $TLS/$name.crt;
    ssl_certificate_key $TLS/$name.key;
    access_log $LOGS/$name-$port.log line;
    client_max_body_size 0;
    $(printf '%s\n' "$@")
    location / {
        proxy_pass http://$registry;
        proxy_set_header Host \$http_host;
        proxy_set_header X-Forwarded-Proto https;
        proxy_buffering off;
        proxy_request_buffering off;
    }
}
END
}

# requests SERVER [REGEX]: how many it got since forget()
requests() {
    sed -nE "\\|${2:-.}|p" "$LOGS/$1.log" | wc -l
}

forget() {
    local log
    for log in "$LOGS"/*.test-*.log; do
        : >"$log"
    done
}

pull() {
    forget
    virt-template pull --quiet --pool templates debian@1.0.0
    assert_eq "$(guest_sha256 $TEMPLATE)" "$digest" 'the template'
    virt-template evict --quiet --pool templates debian@1.0.0
}

pull_fails() {
    forget
    expect_fail "$1" virt-template pull --quiet --pool templates debian@1.0.0
    [ ! -e $TEMPLATE ] || fail "the template stands under its usable name"
}

mkdir "$TLS" nginx
make_authority "$TLS" ca
make_authority "$TLS" clients
make_authority "$TLS" stranger
make_certificate "$TLS" registry.test ca DNS:registry.test
make_certificate "$TLS" mirror.test ca DNS:mirror.test
make_certificate "$TLS" host clients
make_certificate "$TLS" nobody stranger
echo '127.0.0.1 registry.test mirror.test cdn.test' >>/etc/hosts
start_registry
main=$REGISTRY
# shellcheck disable=SC2016 # nginx's own variable
cached='rewrite ^/v2/cache/(.*) /v2/$1 break;'
cat >nginx.conf <<END
daemon off;
pid $PWD/nginx/pid;
error_log $LOGS/nginx.log warn;
events { worker_connections 256; }
http {
    log_format line '\$server_protocol \$request_method \$uri \$http_range \$status "\$ssl_client_s_dn"';
    client_body_temp_path $PWD/nginx/body;
    proxy_temp_path $PWD/nginx/proxy;
    fastcgi_temp_path $PWD/nginx/fastcgi;
    uwsgi_temp_path $PWD/nginx/uwsgi;
    scgi_temp_path $PWD/nginx/scgi;
    $(front registry.test 6000 "$main")
    $(front registry.test 6001 "$main" "ssl_client_certificate $TLS/clients.crt;" 'ssl_verify_client on;')
    $(front mirror.test 6002 "$main" "$cached")
    $(front mirror.test 6003 "$main" 'location ~ blobs { return 404; }')
    $(front mirror.test 6004 "$main" 'location ~ (blobs|manifests) { return 200 "not this"; }')
}
END
nginx -c "$PWD/nginx.conf" 3>&- >>"$LOGS/nginx.out" 2>&1 &
wait_daemon nginx $! curl -sk -o ping https://registry.test:6000/v2/
for port in 6000 6001; do
    mkdir -p $CERTS/registry.test:$port
    cp "$TLS/ca.crt" $CERTS/registry.test:$port/
done
make_key golden
make_policy "$PWD/golden.pub"
head -c 24M /dev/urandom >one.img
digest=$(sha256sum one.img | cut -d' ' -f1)
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
start_helper --retries 1
start_libvirtd
define_pool templates "$STORE"

step "HTTP/2 where TLS agrees on it, for documents, ranges and uploads"
pull
assert_eq "$(requests registry.test-6000 '^HTTP/2.0 ')" "$(requests registry.test-6000)" 'requests in HTTP/2'
[ "$(requests registry.test-6000 'bytes=.* 206 ')" -ge 6 ] || fail "no ranges were asked for"

step "a limit of the rate, with HTTP/2"
virt-template pull --quiet --pool templates --limit-rate 16M debian@1.0.0
virt-template evict --quiet --pool templates debian@1.0.0

# The name that was signed has the other port
cat >"$POLICY" <<END
{"default": [{"type": "sigstoreSigned", "keyPath": "$PWD/golden.pub",
              "signedIdentity": {"type": "matchRepository"}}],
 "transports": {"docker": {"registry.test:6001": [{"type": "sigstoreSigned",
   "keyPath": "$PWD/golden.pub", "signedIdentity":
     {"type": "remapIdentity", "prefix": "registry.test:6001", "signedPrefix": "registry.test:6000"}}]}}}
END
CLIENT=$CERTS/registry.test:6001

# list_clients: asks the registry that wants a client certificate, as the command does
list_clients() {
    virt-template list --store docker://registry.test:6001/golden --policy "$POLICY"
}

step "a registry that wants a client certificate refuses nobody's, and a stranger's"
expect_fail 'registry.test:6001/.*HTTP 400' list_clients
cp "$TLS/nobody.crt" "$CLIENT/host.cert"
expect_fail "has no key beside it, '$CLIENT/host.key'" list_clients
cp "$TLS/host.key" "$CLIENT/host.key"
expect_fail 'key and certificate are not a pair' list_clients
cp "$TLS/nobody.key" "$CLIENT/host.key"
expect_fail 'registry.test:6001/.*HTTP 400' list_clients
rm "$CLIENT/host.cert"
expect_fail "the key '$CLIENT/host.key' has no certificate" list_clients

step "with the right one it answers: the command, and the daemon's worker, which may not read the key"
cp "$TLS/host.crt" "$CLIENT/host.cert"
cp "$TLS/host.key" "$CLIENT/host.key"
chmod 600 "$CLIENT/host.key"
assert_match 'debian +1.0.0' "$(list_clients)"
define_pool clients docker://registry.test:6001/golden
virt-template pull --quiet --pool clients debian@1.0.0
assert_eq "$(guest_sha256 /var/lib/libvirt/images/clients/debian@1.0.0.qcow2)" "$digest" 'the template'
assert_match '206 "CN=host"' "$(cat "$LOGS/registry.test-6001.log")"
virsh pool-destroy clients
virsh pool-undefine clients

mkdir -p $CERTS/mirror.test:600{2,3,4}
for port in 6002 6003 6004; do
    cp "$TLS/ca.crt" $CERTS/mirror.test:$port/
done

# rules TEXT: the file of rules; pulls read it anew
rules() {
    cat >$RULES
}

step "a mirror gives what is named by a digest; tags and signatures are the registry's alone"
rules <<END
[[registry]]
prefix = "registry.test:6000/golden"
location = "registry.test:6000/golden"
[[registry.mirror]]
location = "mirror.test:6002/cache/golden"
END
pull
assert_eq "$(requests registry.test-6000 'bytes=')" 0 'ranges from the registry'
[ "$(requests mirror.test-6002 'bytes=.* 206 ')" -ge 6 ] || fail "no ranges from the mirror"
assert_no_match 'manifests/(sha256-|latest|1.0.0)' "$(cat "$LOGS/mirror.test-6002.log")"
assert_match 'manifests/sha256-' "$(cat "$LOGS/registry.test-6000.log")"

step "mirrors that are away, have nothing, or say something else are passed over"
for location in mirror.test:6009 mirror.test:6003/golden mirror.test:6004/golden; do
    rules <<END
[[registry]]
prefix = "registry.test:6000"
location = "registry.test:6000"
mirror-by-digest-only = true
  [[registry.mirror]]
  location = "$location"
  [[registry.mirror]]
  location = "mirror.test:6002/cache"
END
    pull
    assert_eq "$(requests registry.test-6000 'bytes=')" 0 "ranges from the registry, behind $location"
done
rules <<END
[[registry]]
location = "registry.test:6000"
mirror = [{ location = "mirror.test:6009" }, { location = "mirror.test:6003" }]
END
pull
[ "$(requests registry.test-6000 'bytes=.* 206 ')" -ge 6 ] || fail "no ranges from the registry"

step "a mirror for tags is none for us"
rules <<END
[[registry]]
location = "registry.test:6000"
[[registry.mirror]]
location = "mirror.test:6004"
pull-from-mirror = "tag-only"
END
pull
assert_eq "$(requests mirror.test-6004)" 0 'requests to the mirror'

step "another location under the same name: trust is about the name"
rules <<END
[[registry]]
prefix = "registry.test:6000/golden"
location = "mirror.test:6002/cache/golden"
END
pull
assert_eq "$(requests registry.test-6000)" 0 'requests to the registry'

step "uploads go to the registry, not to a mirror"
rules <<END
[[registry]]
location = "registry.test:6000"
[[registry.mirror]]
location = "mirror.test:6002/cache"
END
forget
head -c 3M /dev/urandom >two.img
publish "$STORE" golden.key two.img other@1.0.0
assert_no_match 'PUT|POST|PATCH' "$(cat "$LOGS/mirror.test-6002.log")"
assert_match 'PUT /v2/golden/other/blobs/uploads/' "$(cat "$LOGS/registry.test-6000.log")"

step "what is blocked is refused by name, also below the store's name"
rules <<END
[[registry]]
prefix = "registry.test:6000/golden/debian"
blocked = true
END
pull_fails "'registry.test:6000/golden/debian' is blocked by the rule 'registry.test:6000/golden/debian'"
assert_eq "$(requests registry.test-6000)" 0 'requests to the registry'
rules <<END
[[registry]]
prefix = "*.test"
blocked = true
END
pull_fails "is blocked by the rule '\*.test'"

step "a file that is wrong is an error that names it and its line"
echo 'registry = 3' | rules
pull_fails "$RULES: registry: is not an array"
printf '[[registry]]\nlocation = "a.test"\nblock = true\n' | rules
pull_fails "$RULES: .*block"
printf '[[registry]]\nlocation = "a.test\n' | rules
pull_fails "$RULES: line 2: a string without its end"
rm $RULES

step "a proxy: for the registry, not for hosts of no_proxy, and an error that names it when it is away"
cat >tinyproxy.conf <<END
Port 6080
Listen 127.0.0.1
LogFile "$PWD/tinyproxy.log"
LogLevel Connect
ConnectPort 6000
END
tinyproxy -d -c tinyproxy.conf 3>&- >>"$LOGS/tinyproxy.out" 2>&1 &
proxy=$!
wait_daemon tinyproxy $proxy curl -s -o ping http://127.0.0.1:6080/
: >tinyproxy.log
stop_helper
https_proxy=http://127.0.0.1:6080 start_helper --retries 1
pull
assert_match 'CONNECT registry.test:6000' "$(tr -d "\0" <tinyproxy.log)"
: >tinyproxy.log
stop_helper
https_proxy=http://127.0.0.1:6080 no_proxy=registry.test start_helper --retries 1
pull
assert_no_match CONNECT "$(tr -d "\0" <tinyproxy.log)"
stop_helper
https_proxy=http://127.0.0.1:6081 start_helper --retries 1
pull_fails 'port 6081.*check the network'
stop_helper
start_helper --proxy http://127.0.0.1:6080
pull
assert_match 'CONNECT registry.test:6000' "$(tr -d "\0" <tinyproxy.log)"
