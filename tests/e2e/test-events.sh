#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the operator is told: each event with its message id and fields, as the journal gets it
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh docker-registry jq python3 virt-template

JOURNAL=$VT_SCRATCH/journal.json
TOOL=$VT_E2E_DIR/../tools/journal.py
POOL=/var/lib/libvirt/images/templates
IMAGES=/var/lib/libvirt/images

# By name, from what journalctl -x reads: a comment with the name, then the id
declare -A ids
while read -r name id; do ids[$name]=$id; done < <(
    awk '/^# [a-z-]+$/ {name = $2} /^-- / {print name, $2}' \
        "$(installed virt-template.catalog)")

start_journaled_helper() {
    as_unit python3 "$TOOL" run "$(installed virttemplated)" "$@" 3>&- >>"$LOGS/virttemplated.log" &
    HELPER_PID=$!
    wait_daemon virttemplated $HELPER_PID test -S $SOCKET
}

records() {
    jq -c "select(.MESSAGE_ID == \"${ids[$1]}\")" "$JOURNAL"
}

# event NAME JQ_CONDITION [COUNT]: exactly COUNT (1) records of that kind that are so
has_event() {
    [ "$(records "$1" | jq -c "select($2)" | wc -l)" = "${3:-1}" ]
}
event() {
    wait_until 20 has_event "$@" || { records "$1"; fail "no $1 event with $2"; }
}

# settled: what was sent to the journal before this stands in it
settled() {
    local mark="mark $RANDOM$RANDOM"
    logger --journald <<<"MESSAGE=$mark"
    wait_until 20 grep -q "$mark" "$JOURNAL" || fail 'the journal does not get on'
}

# counted METRIC: the sum of its samples
counted() {
    virt-template metrics | awk -v name="virt_template_$1" 'index($1, name) == 1 {sum += $2} END {print sum + 0}'
}
has_counted() {
    [ "$(counted "$1")" -ge "$2" ]
}

make_key golden
make_key other
make_policy "$PWD/golden.pub"
make_image 64M one.img 1
make_image 64M two.img 2
start_registry auth
install -m 600 <(printf '{"auths": {"%s": {"auth": "%s"}}}' "$REGISTRY" \
    "$(printf '%s:%s' $REGISTRY_USER $REGISTRY_PASSWORD | base64)") /etc/virt-template/auth.json
STORE=docker://$REGISTRY/golden
AUTH=(--authfile /etc/virt-template/auth.json)
virt-template store init --store "$STORE" --key golden.key "${AUTH[@]}"
publish "$STORE" golden.key one.img debian@1.0.0 "${AUTH[@]}"
publish "$STORE" golden.key two.img debian@2.0.0 "${AUTH[@]}"
python3 "$TOOL" listen "$JOURNAL" 3>&- &
wait_until 20 test -S /run/systemd/journal/stdout
start_journaled_helper
start_libvirtd
define_dir_pool default
define_pool templates "$STORE"

step "pulled: which, from which manifest, how many bytes, for whom"
virt-template pull debian@1.0.0
digest=$(virt-template info --json debian@1.0.0 | jq -r .manifest)
event pulled ".VIRT_TEMPLATE_POOL == \"$POOL\" and .VIRT_TEMPLATE_NAME == \"debian\" and
    .VIRT_TEMPLATE_VERSION == \"1.0.0\" and .VIRT_TEMPLATE_DIGEST == \"$digest\" and
    (.VIRT_TEMPLATE_BYTES | tonumber) > 6000000 and (.VIRT_TEMPLATE_REQUESTS | tonumber) > 3 and
    .VIRT_TEMPLATE_PEER_UID == \"0\" and (.VIRT_TEMPLATE_JOB | tonumber) > 0 and .PRIORITY == \"5\""

step "what is here already is not pulled again"
virt-template pull debian@1.0.0
event job-ended '.VIRT_TEMPLATE_NAME == "debian" and (.MESSAGE | test("done"))'
event pulled true

step "cloned: the path, and of which version; also by a full copy, and by others"
clone web.qcow2 debian@1.0.0.qcow2
event cloned ".VIRT_TEMPLATE_PATH == \"$IMAGES/default/web.qcow2\" and
    .VIRT_TEMPLATE_VERSION == \"1.0.0\" and .VIRT_TEMPLATE_DIGEST == \"$digest\""
volume_xml full.raw raw >full.xml
virsh vol-create-from default full.xml debian@1.0.0.qcow2 --inputpool templates
event cloned ".VIRT_TEMPLATE_PATH == \"$IMAGES/default/full.raw\" and .VIRT_TEMPLATE_JOB"
cat >backed.xml <<END
<volume><name>backed.qcow2</name><capacity>67108864</capacity>
  <target><format type='qcow2'/><compat>1.1</compat><features><lazy_refcounts/></features></target>
  <backingStore><path>$POOL/debian@1.0.0.qcow2</path><format type='qcow2'/></backingStore></volume>
END
virsh vol-create default backed.xml
event cloned ".VIRT_TEMPLATE_PATH == \"$IMAGES/default/backed.qcow2\" and (.MESSAGE | test(\"others\"))"

step "evicted: by whom"
virt-template pull debian@2.0.0
virt-template evict debian@2.0.0
event evicted '.VIRT_TEMPLATE_VERSION == "2.0.0" and .VIRT_TEMPLATE_PEER_UID == "0"'

step "damaged, and repaired"
layer=$(find $POOL/.layers -maxdepth 1 -name '*.qcow2')
chattr -i "$layer"
printf 'damage!!' | dd of="$layer" bs=1 seek=3000000 conv=notrunc status=none
expect_fail damaged virt-template verify debian@1.0.0
event damaged ".VIRT_TEMPLATE_DIGEST == \"sha256:$(basename "$layer" .qcow2)\" and
    .VIRT_TEMPLATE_REASON == \"corrupt\" and .PRIORITY == \"4\""
event job-failed '.VIRT_TEMPLATE_REASON == "corrupt" and (.MESSAGE | test("^verify of debian@1.0.0"))'
expect_fail damaged clone refused.qcow2 debian@1.0.0.qcow2
event refused '.VIRT_TEMPLATE_METHOD == "MakeOverlay" and .VIRT_TEMPLATE_REASON == "corrupt"'
virt-template verify --repair debian@1.0.0
event repaired '.VIRT_TEMPLATE_VERSION == "1.0.0" and (.VIRT_TEMPLATE_BYTES | tonumber) > 0'

step "refused: a policy that trusts another key, at a use and at a fetch"
make_policy "$PWD/other.pub"
expect_fail 'key|sign' clone untrusted.qcow2 debian@1.0.0.qcow2
event refused '.VIRT_TEMPLATE_METHOD == "MakeOverlay" and .VIRT_TEMPLATE_REASON == "untrusted" and
    .VIRT_TEMPLATE_PEER_UID == "0"'
expect_fail 'key|sign' virt-template pull debian@2.0.0
event refused '.VIRT_TEMPLATE_NAME == "debian" and .VIRT_TEMPLATE_VERSION == "2.0.0" and
    .VIRT_TEMPLATE_REASON == "untrusted" and .VIRT_TEMPLATE_JOB'
virsh pool-refresh templates
event refused '.VIRT_TEMPLATE_NAME == "catalog" and .VIRT_TEMPLATE_REASON == "untrusted"'

step "the same refusal of the catalog is told once"
# The store is asked again by who lists a second later; each answer that is refused is counted
before=$(counted refusals_total)
refused_again() {
    virt-template list >list.txt
    has_counted refusals_total $((before + 3))
}
wait_until 60 refused_again || fail 'the store was not asked again'
settled
has_event refused '.VIRT_TEMPLATE_NAME == "catalog"' || fail "told more than once: $(records refused)"
make_policy "$PWD/golden.pub"
virsh pool-refresh templates

step "peer refused: who, and what he called; many are few records"
begin=$(date +%s)
expect_fail 'read-only' setpriv --reuid nobody --clear-groups \
    virt-template pull debian@2.0.0 --socket $SOCKET-ro
event peer-refused ".VIRT_TEMPLATE_PEER_UID == \"$(id -u nobody)\" and
    .VIRT_TEMPLATE_METHOD == \"Fetch\" and .VIRT_TEMPLATE_REASON == \"read-only\""
before=$(counted peer_refusals_total)
python3 - $SOCKET-ro <<'END'
import os, socket, sys
os.setuid(65534)
for i in range(100):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        try:
            s.sendall(b"\0AUTH ANONYMOUS\r\n")
            while s.recv(100).startswith(b"REJECTED"):
                s.sendall(b"AUTH KERBEROS_V4\r\nBEGIN\r\n")
        except OSError:
            pass
END
wait_until 20 has_counted peer_refusals_total $((before + 100)) ||
    fail "$(counted peer_refusals_total) refusals are counted, at least $((before + 100)) were made"
settled
# 20 in a minute, and the next minute may have begun meanwhile, once or more
told=$(records peer-refused | wc -l)
most=$((20 * (2 + ($(date +%s) - begin) / 60)))
echo "$told of $(counted peer_refusals_total) are told, at most $most"
{ [ "$told" -ge 20 ] && [ "$told" -le $most ]; } || fail "$told refusals are told, 20 to $most are right"

step "job failed: the registry has lost a blob"
mv "$REGISTRY_DIR/docker" away
expect_fail . virt-template pull debian@2.0.0
event job-failed '.VIRT_TEMPLATE_VERSION == "2.0.0" and .VIRT_TEMPLATE_REASON == "not-found"'
mv away "$REGISTRY_DIR/docker"

step "store away"
stop_registry
# Half a minute after it was asked last it is asked again
tells_away() {
    virsh --quiet pool-refresh templates
    has_event store-away "$@"
}
wait_until 60 tells_away .VIRT_TEMPLATE_POOL || fail "no store-away event"
event store-away ".VIRT_TEMPLATE_POOL == \"$POOL\" and .VIRT_TEMPLATE_REASON == \"network\""
start_registry auth

step "recovered: what a daemon that was killed had begun"
stop_helper
start_journaled_helper --limit-rate 64K
virsh pool-refresh templates
virt-template pull debian@2.0.0 &
wait_until 30 sh -c "virt-template jobs --json | jq -e '[.jobs[] | select(.state == \"running\" and .received > 0)] | length > 0'"
kill -KILL "$HELPER_PID"
wait "$HELPER_PID" 2>/dev/null || :  # killed
rm -f $SOCKET $SOCKET-ro
start_journaled_helper
event recovered '.VIRT_TEMPLATE_VERSION == "2.0.0" and .VIRT_TEMPLATE_JOB and (.MESSAGE | test("it goes on"))'
event pulled '.VIRT_TEMPLATE_VERSION == "2.0.0"' 2

step "recovered: a repair that was interrupted between two names"
stop_helper
layer=$(find $POOL/.layers -maxdepth 1 -name '*.qcow2' -samefile $POOL/debian@1.0.0.qcow2)
chattr -i "$layer"
ln "$layer" "$POOL/.layers/.partial/$(basename "$layer" .qcow2).old"
cp "$layer" next.qcow2
mv next.qcow2 "$layer"
start_journaled_helper
event recovered ".VIRT_TEMPLATE_POOL == \"$POOL\" and (.MESSAGE | test(\"repair\"))"
[ "$layer" -ef $POOL/debian@1.0.0.qcow2 ] || fail "the version is still the old file"

step "no record has a secret or a control character"
assert_no_match "$REGISTRY_PASSWORD|$(printf '%s:%s' $REGISTRY_USER $REGISTRY_PASSWORD | base64)" "$(cat "$JOURNAL")"
jq -e 'to_entries | map(.value | test("[\u0000-\u001f\u007f]") | not) | all' "$JOURNAL" >/dev/null

step "without the journal each is one line on stderr"
restart_helper
virt-template evict debian@2.0.0
wait_until 20 grep -Eqx \
    "[0-9TZ:.-]+ virttemplated: debian@2.0.0 was evicted from '$POOL'" "$LOGS/virttemplated.log"

step "each id stands in the man page, and journalctl -x can explain it"
catalog=$VT_SCRATCH/explained/usr/lib/systemd/catalog
mkdir -p "$catalog"
cp "$(installed virt-template.catalog)" "$catalog"
journalctl --root="$VT_SCRATCH/explained" --update-catalog
explained=$(journalctl --root="$VT_SCRATCH/explained" --list-catalog)
for name in "${!ids[@]}"; do
    assert_match "${ids[$name]}" "$(cat "$(installed virttemplated.8)")"
    assert_match "^${ids[$name]} virt-template: ." "$explained"
done
assert_eq ${#ids[@]} 12 "events that journalctl -x explains"
