#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-race.sh PROGRAM: two publishers of one registry, one of them held where it sets the tag of the catalog: it has
# looked at what is there, found it unchanged, and replaces what the other one writes meanwhile
# shellcheck source=tests/cli/functions.sh
. "$(dirname "$0")/functions.sh"

declare -A held
finish() {
    local pid
    for pid in $(jobs -pr); do
        kill "$pid"
    done
    wait
    rm -rf "$SCRATCH"
}
trap finish EXIT

appears() {
    local _
    for _ in {1..3000}; do
        [ ! -e "$1" ] || return 0
        sleep 0.02
    done
    not_ok "no '$1' came"
}

# publish_held latest|announced ARGUMENT...: in the background, until it is about to set that tag; its output is in
# held-TAG.json and .stderr
publish_held() {
    local tag=$1
    shift
    touch "proxy/hold-$tag"
    virt-template publish "$@" --json --quiet --key golden.key --store "$STORE" \
        >"held-$tag.json" 2>"held-$tag.stderr" &
    held[$tag]=$!
    appears "proxy/held-$tag"
}

# let_go latest|announced: sets $status
let_go() {
    rm -f "proxy/held-$1"
    status=0
    wait "${held[$1]}" || status=$?
}

# listed REFERENCE...: all of them are, and everything listed can be verified by its signature
listed() {
    local reference
    virt-template list --store "$STORE" --policy policy.json --json >stdout 2>stderr || not_ok 'the catalog is broken'
    for reference; do
        jq -e --arg name "${reference%@*}" --arg version "${reference#*@}" \
            '.templates[$name].versions[$version]' stdout >/dev/null ||
            not_ok "'$reference' was published, and is not in the catalog: $(cat stdout)"
    done
    ok "listed: $*"
}

# catalog JQ: of the catalog's document
catalog() {
    virt-template list --store "$STORE" --policy policy.json --json | jq -er "$1"
}

# hidden REFERENCE: until the catalog has it no more
hidden() {
    local _
    for _ in {1..600}; do
        catalog ".templates[\"${1%@*}\"].versions[\"${1#*@}\"]" >/dev/null || return 0
        sleep 0.1
    done
    not_ok "'$1' stays in the catalog"
}

# copy FROM TO: a tag, as it is
copy() {
    skopeo copy --quiet --preserve-digests --src-tls-verify=false --dest-tls-verify=false "$1" "$2" >&2
}

digest_of() {
    skopeo inspect --tls-verify=false --raw "$1" | sha256sum | cut -d' ' -f1
}

head -c 600000 /dev/urandom >one.raw
head -c 600000 /dev/urandom >two.raw
virt-template key generate golden >/dev/null
start_registry
mkdir proxy
port=${STORE##*:}
python3 "$SOURCE_DIR/tests/tools/hold-proxy.py" "${port%%/*}" proxy &
appears proxy/port
STORE=docker://127.0.0.1:$(cat proxy/port)/golden
succeeds store init --store "$STORE" --key golden.key
sed -n '/^{$/,/^}$/p' stdout >policy.json

# What somebody announces who has no key that we trust: the same store, the next serial, well signed
EVIL=${STORE%golden}evil
virt-template key generate evil >/dev/null
copy "$STORE/catalog:latest" "$EVIL/catalog:latest"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >any.json
succeeds publish one.raw evil@1.0.0 --store "$EVIL" --key evil.key --policy any.json
hex=$(digest_of "$EVIL/catalog:latest")
copy "$EVIL/catalog:latest" "$STORE/catalog:announced-2-$hex"
copy "$EVIL/catalog:sha256-$hex.sig" "$STORE/catalog:sha256-$hex.sig"
# ... and what says nothing
own=$(digest_of "$STORE/catalog:latest")
for tag in "announced-99-$own" "announced-99-${hex/[0-9]/g}" announced-99 announced-x-y "announced-99-${hex//?/0}"; do
    copy "$STORE/catalog:latest" "$STORE/catalog:$tag"
done
succeeds publish one.raw base@1.0.0 --store "$STORE" --key golden.key
listed base@1.0.0
[ "$(catalog '.templates | keys | join(" ")')" = base ] || not_ok 'what nobody signed is in the catalog'
[ "$(catalog .serial)" = 2 ] || not_ok "the serial jumped to $(catalog .serial)"
ok 'announcements that mean nothing'

# Both add another one
publish_held latest one.raw slow@1.0.0
succeeds publish two.raw fast@1.0.0 --store "$STORE" --key golden.key
let_go latest
[ $status = 0 ] || not_ok "the held publisher ended with $status: $(cat held-latest.stderr)"
listed base@1.0.0 slow@1.0.0 fast@1.0.0

# Both add the same one: the one that knows of the other one wins
publish_held latest one.raw same@1.0.0
succeeds publish two.raw same@1.0.0 --store "$STORE" --key golden.key --json
manifest=$(jq -r .manifest stdout)
let_go latest
[ $status = 10 ] || not_ok "the held publisher ended with $status: $(cat held-latest.stderr)"
grep -q 'same@1.0.0 was published by somebody else at the same time' held-latest.stderr || not_ok "it says: $(cat held-latest.stderr)"
listed base@1.0.0 slow@1.0.0 fast@1.0.0 same@1.0.0
[ "$(catalog '.templates.same.versions["1.0.0"].manifest')" = "$manifest" ] || not_ok 'the loser is in the catalog'
[ "sha256:$(digest_of "$STORE/same:1.0.0")" = "$manifest" ] || not_ok 'the tag leads to the loser'
ok 'the one that was held gives way'

# Neither knows of the other one, and both write: one of them wins, and that one is in the catalog
publish_held announced one.raw soon@1.0.0
publish_held latest two.raw soon@1.0.0
before=$(digest_of "$STORE/catalog:latest")
rm proxy/held-announced
for _ in {1..1200}; do
    [ "$(digest_of "$STORE/catalog:latest")" = "$before" ] || break
    sleep 0.05
done
let_go latest
one=$status
let_go announced
case $one/$status in
0/10) winner=latest ;;
10/0) winner=announced ;;
*) not_ok "they ended with $one and $status: $(cat held-*.stderr)" ;;
esac
listed base@1.0.0 same@1.0.0 soon@1.0.0
[ "$(catalog '.templates.soon.versions["1.0.0"].manifest')" = "$(jq -r .manifest held-$winner.json)" ] ||
    not_ok 'the loser is in the catalog'
ok "one of them wins: $winner"

# One is killed before it can look at what it hides: the next one looks
publish_held latest one.raw dead@1.0.0
succeeds publish two.raw alive@1.0.0 --store "$STORE" --key golden.key
kill -9 "${held[latest]}"
wait "${held[latest]}" || [ $? = 137 ]
rm proxy/held-latest
hidden alive@1.0.0
succeeds publish two.raw next@1.0.0 --store "$STORE" --key golden.key
listed base@1.0.0 slow@1.0.0 fast@1.0.0 same@1.0.0 alive@1.0.0 next@1.0.0

# A catalog is renewed by the one who has won, when what the loser announced is still there, and the registry is slow:
# a version that is published stays what it is
TWIN=${STORE%golden}twin
hex=$(digest_of "$STORE/catalog:latest")
for tag in latest "sha256-$hex.sig"; do
    copy "$STORE/catalog:$tag" "$TWIN/catalog:$tag"
done
succeeds publish two.raw won@1.0.0 --store "$STORE" --key golden.key --json
manifest=$(jq -r .manifest stdout)
succeeds publish one.raw won@1.0.0 --store "$TWIN" --key golden.key
hex=$(digest_of "$TWIN/catalog:latest")
copy "$TWIN/catalog:latest" "$STORE/catalog:announced-$(catalog .serial)-$hex"
copy "$TWIN/catalog:sha256-$hex.sig" "$STORE/catalog:sha256-$hex.sig"
publish_held latest two.raw won@1.0.0 --expires 3650
sleep 6
let_go latest
[ $status = 0 ] || not_ok "the renewal ended with $status: $(cat held-latest.stderr)"
jq -e .renewed held-latest.json >/dev/null || not_ok "nothing was renewed: $(cat held-latest.json)"
[ "$(catalog '.templates.won.versions["1.0.0"].manifest')" = "$manifest" ] || not_ok 'a published version was replaced'
ok 'a renewal keeps what is published'

# A registry that does not tell what tags it has
touch proxy/no-list
succeeds publish two.raw unlisted@1.0.0 --store "$STORE" --key golden.key
refused 10 'unlisted@1.0.0 exists' publish one.raw unlisted@1.0.0 --store "$STORE" --key golden.key
listed base@1.0.0 alive@1.0.0 next@1.0.0 unlisted@1.0.0
rm proxy/no-list
succeeds publish two.raw last@1.0.0 --store "$STORE" --key golden.key
listed unlisted@1.0.0 last@1.0.0
plan
