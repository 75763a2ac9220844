#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Metrics: strict OpenMetrics, numbers that agree with what was done, and the socket that serves them
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh docker-registry curl python3 systemd-socket-activate virt-template

TOOLS=$VT_E2E_DIR/../tools
POOL=/var/lib/libvirt/images/templates
SERVED=/run/virt-template/metrics-sock

# scrape: the samples are in the file samples, with the short name of the pool's labels
scrape() {
    virt-template metrics >metrics.txt
    python3 "$TOOLS/openmetrics.py" metrics.txt | sed "s|,target=\"[^\"]*\"||; s|^virt_template_||" >samples
}

# value SAMPLE: its number, or nothing
value() {
    awk -v sample="$1" '$1 == sample {print $2}' samples
}

# is SAMPLE NUMBER, above SAMPLE NUMBER
is() {
    assert_eq "$(value "$1")" "$2" "$1"
}
above() {
    [ "$(value "$1")" -gt "$2" ] || fail "$1 is '$(value "$1")', not above $2"
}

step "before anything was done: all counters are there, and zero"
start_registry plain
mkdir network
echo '{}' >network/plan
python3 "$TOOLS/cut-proxy.py" 5100 "${REGISTRY##*:}" network 3>&- >>"$LOGS/proxy.log" 2>&1 &
PROXY=$!
STORE=docker://127.0.0.1:5100/golden
wait_daemon proxy $PROXY curl -s -o ping "http://127.0.0.1:5100/v2/"
make_key golden
make_key other
make_policy "$PWD/golden.pub"
make_image 64M one.img 1
make_image 64M two.img 2
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@2.0.0
start_helper
scrape
above start_time_seconds $(($(date +%s) - 600))
is "build_info{version=\"$(virt-template --version | cut -d' ' -f2)\"}" 1
is 'jobs_ended_total{kind="fetch",outcome="done"}' 0
is fetched_bytes_total 0
is 'refusals_total{reason="untrusted"}' 0

step "a pool: its catalog, when that expires, and that the store is there"
start_libvirtd
define_dir_pool default
define_pool templates "$STORE"
# The directory is measured beside the first answers
measured() {
    scrape
    [ -n "$(value 'local_versions{pool="templates"}')" ]
}
wait_until 20 measured || fail "the pool's directory is not measured"
is 'catalog_serial{pool="templates"}' 3
is 'catalog_trusted{pool="templates"}' 1
is 'store_up{pool="templates"}' 1
is 'templates{pool="templates"}' 1
is 'versions{pool="templates"}' 2
is 'local_versions{pool="templates"}' 0
above 'catalog_expiry_timestamp_seconds{pool="templates"}' $(($(date +%s) + 360 * 86400))
above 'catalog_checked_timestamp_seconds{pool="templates"}' $(($(date +%s) - 600))
above 'free_bytes{pool="templates"}' 1000000
above store_requests_total 0
above workers_started_total 0
is worker_failures_total 0

step "a fetch, clones, an eviction: counted, and the disk that they take"
received=$(virt-template pull debian@1.0.0 >/dev/null; virt-template jobs --json | jq '.jobs[0].received')
sleep 1.1  # so long what was measured counts as new
scrape
is fetched_bytes_total "$received"
is 'jobs_ended_total{kind="fetch",outcome="done"}' 1
is 'jobs{kind="fetch"}' 0
is 'local_versions{pool="templates"}' 1
is 'local_layers{pool="templates"}' 1
is 'layer_bytes{pool="templates"}' "$(du -B1 $POOL/debian@1.0.0.qcow2 | cut -f1)"
is 'partial_bytes{pool="templates"}' 0
clone one.qcow2 debian@1.0.0.qcow2
clone two.qcow2 debian@1.0.0.qcow2
volume_xml full.raw raw >full.xml
virsh vol-create-from default full.xml debian@1.0.0.qcow2 --inputpool templates
virt-template pull debian@2.0.0
virt-template evict debian@2.0.0
virt-template verify debian@1.0.0
sleep 1.1
scrape
is 'clones_total{kind="linked"}' 2
is 'clones_total{kind="copy"}' 1
is evictions_total 1
above verified_bytes_total 1000000
is 'jobs_ended_total{kind="verify",outcome="done"}' 1
is 'jobs_ended_total{kind="copy",outcome="done"}' 1
is 'local_versions{pool="templates"}' 1

step "a job that runs, its partial file, and its end by a crashed worker"
virt-template pull --detach --limit-rate 64K debian@2.0.0
has_partial() {
    scrape
    is 'jobs{kind="fetch"}' 1
    [ "$(value 'partial_bytes{pool="templates"}')" -gt 0 ]
}
wait_until 20 has_partial
worker=$(pgrep -P "$HELPER_PID" fetch-worker)
kill -SEGV "$worker"
wait_until 20 sh -c "virt-template jobs --json | jq -e '.jobs[0].state == \"failed\"'"
scrape
is worker_failures_total 1
is 'jobs{kind="fetch"}' 0
is 'jobs_ended_total{kind="fetch",outcome="failed"}' 1

step "damage and repair"
layer=$(find $POOL/.layers -maxdepth 1 -name '*.qcow2')
chattr -i "$layer"
printf 'damage!!' | dd of="$layer" bs=1 seek=3000000 conv=notrunc status=none
expect_fail damaged virt-template verify debian@1.0.0
scrape
is 'damaged_layers{pool="templates"}' 1
above damaged_places_total 0
virt-template verify --repair debian@1.0.0
scrape
is 'damaged_layers{pool="templates"}' 0
is repaired_layers_total 1

step "refusals: of a template, of the catalog, of a peer"
make_policy "$PWD/other.pub"
expect_fail 'key|sign' clone refused.qcow2 debian@1.0.0.qcow2
virsh pool-refresh templates
expect_fail read-only setpriv --reuid nobody --clear-groups \
    virt-template evict debian@1.0.0 --socket $SOCKET-ro
scrape
above 'refusals_total{reason="untrusted"}' 1
is 'peer_refusals_total{reason="read-only"}' 1
is 'catalog_trusted{pool="templates"}' 0
is 'store_up{pool="templates"}' 1
make_policy "$PWD/golden.pub"

step "a store that is away, and that was asked again"
is store_retries_total 0
echo '{"cuts": [1000000, 2000000]}' >network/plan
kill -HUP "$PROXY"
wait_until 20 test -e network/loaded
virsh pool-refresh templates
virt-template pull debian@2.0.0
scrape
above store_retries_total 0
stop_pid "$PROXY"
virsh pool-refresh templates
wait_until 20 sh -c "virt-template list | grep -q . && virt-template metrics | grep -q '^virt_template_store_up.* 0\$'"
scrape
is 'catalog_serial{pool="templates"}' 3
above 'catalog_checked_timestamp_seconds{pool="templates"}' 0
stop_helper
start_helper
scrape
is 'catalog_serial{pool="templates"}' 3
is 'catalog_checked_timestamp_seconds{pool="templates"}' ''
is fetched_bytes_total 0

step "everybody may ask, over the socket that reads"
setpriv --reuid nobody --clear-groups virt-template metrics --socket $SOCKET-ro >nobody.txt
python3 "$TOOLS/openmetrics.py" nobody.txt >/dev/null

step "the socket: what the units say, once for each connection"
mkdir -p "$(dirname $SERVED)"
unit=$(installed virttemplated-metrics@.service)
assert_match "^ListenStream=$SERVED\$" "$(cat "$(installed virttemplated-metrics.socket)")"
read -ra command < <(sed -n 's/^ExecStart=//p' "$unit")
systemd-analyze verify --man=no "$(installed virttemplated-metrics.socket)" "$unit" 2>verified || :  # units of the machine may be bad
assert_no_match 'virttemplated-metrics' "$(cat verified)"
systemd-socket-activate --accept --inetd -l $SERVED "${command[@]}" 3>&- 2>"$LOGS/socket.log" &
SERVER=$!
wait_until 20 test -S $SERVED
curl -sS -D head --unix-socket $SERVED http://localhost/metrics >served.txt
assert_match '^HTTP/1.1 200 OK' "$(cat head)"
assert_match '^Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8' "$(cat head)"
python3 "$TOOLS/openmetrics.py" served.txt >/dev/null
assert_eq "$(curl -s -o body -w '%{http_code}' --unix-socket $SERVED http://localhost/secret)" 404
assert_eq "$(curl -s -o body -w '%{http_code}' --unix-socket $SERVED -d x http://localhost/metrics)" 405
assert_eq "$(curl -s -I -o head -w '%{http_code}' --unix-socket $SERVED http://localhost/metrics)" 200

step "... as plain text for who says nothing, or hangs up first"
python3 - $SERVED >plain.txt <<'END'
import socket, sys
for shut in (True, False):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        if shut:
            s.shutdown(socket.SHUT_WR)
        text = b"".join(iter(lambda: s.recv(65536), b""))
        assert text.endswith(b"\n# EOF\n"), text
sys.stdout.buffer.write(text)
END
python3 "$TOOLS/openmetrics.py" plain.txt >/dev/null

step "without virttemplated a scraper is told so"
stop_helper
assert_eq "$(curl -s -o body -w '%{http_code}' --unix-socket $SERVED http://localhost/metrics)" 503
assert_match 'cannot be reached' "$(cat body)"
expect_fail 'cannot be reached' virt-template metrics
kill $SERVER

step "the strict parser sees what is not right"
expect_fail . python3 "$TOOLS/openmetrics.py" <(sed '$d' metrics.txt)
expect_fail . python3 "$TOOLS/openmetrics.py" <(sed 's/_total / /' metrics.txt)
expect_fail . python3 "$TOOLS/openmetrics.py" <(sed 's/^# HELP virt_template_evictions.*/# HELP x y./' metrics.txt)
