#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-publish.sh PROGRAM: what is published is what other tools read; what must not be, is not
# shellcheck source=tests/cli/functions.sh
. "$(dirname "$0")/functions.sh"

STORE=oci:$PWD/golden
export TMPDIR=$PWD

# publish IMAGE NAME@VERSION [OPTION...] as arguments of succeeds and refused
head -c 3000000 /dev/urandom >disk.raw
truncate -s 16M disk.raw
head -c 100000 disk.raw | dd of=disk.raw bs=1M seek=12 conv=notrunc status=none
virt-template key generate golden >/dev/null
virt-template key generate other >/dev/null

# state: everything that the store holds, to see that a refusal changed nothing
state() {
    [ ! -d golden ] || (cd golden && find . -type f ! -name '.*.lock' | sort | xargs sha256sum)
}

# refuses STATUS REGEX IMAGE NAME@VERSION [OPTION...]: and the store is as it was
refuses() {
    local before
    before=$(state)
    refused "$1" "$2" publish "${@:3}" --store "$STORE"
    [ "$before" = "$(state)" ] || not_ok 'the refusal changed the store'
}

# ---- before there is a store ----

refuses 3 "golden'" disk.raw debian@1.0.0 --key golden.key
[ ! -e golden ] || not_ok 'a refusal made a store'
mkdir empty
refused 3 "no catalog.*store init|is not an OCI layout|oci-layout" \
    publish disk.raw debian@1.0.0 --key golden.key --store "oci:$PWD/empty"

# ---- store init ----

refused 2 'Use --store' store init --key golden.key
refused 2 'Use --key' store init --store "$STORE"
refused 2 'relative|absolute' store init --store oci:golden --key golden.key
refused 2 'ftp' store init --store ftp://x/y --key golden.key
refused 3 "'missing.key'" store init --store "$STORE" --key missing.key
refused 10 'other content' store init --store "oci:$PWD" --key golden.key
[ ! -e golden ] || not_ok 'a refusal made a store'
succeeds store init --store "$STORE" --key golden.key
sed -n '/^{$/,/^}$/p' stdout >policy.json
jq -e '.default[0].type == "reject"' policy.json >/dev/null || not_ok 'the printed policy is no policy'
sed -n '/^<pool/,/^<.pool/p' stdout >pool.xml
xmllint --noout pool.xml || not_ok 'the printed pool is no XML'
ok 'policy and pool are printed'
refused 10 'has a catalog' store init --store "$STORE" --key golden.key
succeeds list --store "$STORE" --policy policy.json

# ---- names, versions, keys ----

long=$(printf 'a%.0s' {1..300})
for name in ../evil a/b .. . a:b Debian '' "$long" $'a\tb' $'a\nb' $'\e[31m' -- 'json:{}' catalog; do
    refuses 2 '.' disk.raw --key golden.key -- "$name@1.0.0"
done
for version in 1 1.0 01.0.0 v1.0.0 1.0.0/.. 1.0.0: $'1.0.0\n' "1.0.0-$long" latest ''; do
    refuses 2 '.' disk.raw "debian@$version" --key golden.key
done
refuses 2 'has no version.*debian@1.0.0' disk.raw debian --key golden.key
refuses 2 'Use --key' disk.raw debian@1.0.0
refuses 3 "'missing.key'" disk.raw debian@1.0.0 --key missing.key
openssl pkey -in golden.key -aes256 -passout pass:secret -out encrypted.key
refuses 2 "'encrypted.key'.*passphrase" disk.raw debian@1.0.0 --key encrypted.key
refuses 2 "'golden.pub'" disk.raw debian@1.0.0 --key golden.pub
head -c 100000 /dev/urandom >noise.key
refuses 1 'noise.key' disk.raw debian@1.0.0 --key noise.key
refuses 4 'catalog' disk.raw debian@1.0.0 --key other.key
refuses 2 'level 0' disk.raw debian@1.0.0 --key golden.key --level 0
refuses 2 'level 20' disk.raw debian@1.0.0 --key golden.key --level 20
refuses 2 'expires' disk.raw debian@1.0.0 --key golden.key --expires 0
refuses 2 'max-chain 0' disk.raw debian@1.0.0 --key golden.key --max-chain 0
refuses 2 'max-chain 65' disk.raw debian@1.0.0 --key golden.key --max-chain 65
refuses 2 'checkpoint -1' disk.raw debian@1.0.0 --key golden.key --checkpoint=-1
refuses 2 'checkpoint 65' disk.raw debian@1.0.0 --key golden.key --checkpoint 65
refuses 2 'parent.*has no version' disk.raw debian@1.0.0 --key golden.key --parent debian
refuses 2 'parent' disk.raw debian@1.0.0 --key golden.key --parent ../x@1.0.0
refuses 3 'parent.*debian@0.9.0' disk.raw debian@1.0.0 --key golden.key --parent debian@0.9.0
refuses 2 'the os is not a word' disk.raw debian@1.0.0 --key golden.key --os 'a b'
refuses 2 "'vmdk' is neither" disk.raw debian@1.0.0 --key golden.key --format vmdk

# ---- images ----

refuses 3 "'missing.raw'" missing.raw debian@1.0.0 --key golden.key
refuses 2 'neither a regular file' "$PWD" debian@1.0.0 --key golden.key
mkfifo fifo
refuses 2 'neither a regular file' fifo debian@1.0.0 --key golden.key
: >empty.raw
refuses 2 'empty' empty.raw debian@1.0.0 --key golden.key
echo secret >secret
truncate -s 1M secret
qemu-img create -q -f qcow2 -b "$PWD/secret" -F raw backing.qcow2
refuses 1 "backing.qcow2.*backing file" backing.qcow2 debian@1.0.0 --key golden.key
qemu-img create -q -f qcow2 -o data_file=data.raw,data_file_raw=on data.qcow2 1M
refuses 1 "data.qcow2.*in another file" data.qcow2 debian@1.0.0 --key golden.key
# aes, because the making of a luks key measures the CPU and fails on a busy machine
qemu-img create -q -f qcow2 --object secret,id=s,data=x -o encrypt.format=aes,encrypt.key-secret=s \
    encrypted.qcow2 1M
refuses 1 "encrypted.qcow2.*encrypt" encrypted.qcow2 debian@1.0.0 --key golden.key
qemu-img create -q -f qcow2 snapshot.qcow2 1M
qemu-img snapshot -c one snapshot.qcow2
refuses 1 "snapshot.qcow2.*snapshot" snapshot.qcow2 debian@1.0.0 --key golden.key
refuses 2 "disk.raw.*" disk.raw debian@1.0.0 --key golden.key --format qcow2
for format in vmdk vdi vhdx vpc; do
    qemu-img convert -O $format disk.raw disk.$format
done
for format in vmdk vdi vhdx; do
    refuses 1 "format $format.*qemu-img convert -f $format" disk.$format debian@1.0.0 --key golden.key
done
refuses 1 'format vpc.*qemu-img convert' disk.vpc debian@1.0.0 --key golden.key
printf '# Disk DescriptorFile\nRW 1 FLAT "/etc/shadow" 0\n' >text.raw
refuses 1 'format vmdk' text.raw debian@1.0.0 --key golden.key
for program in gzip xz 'zstd -q'; do
    $program -c <disk.raw >disk.packed
    refuses 1 'compressed.*decompress it first' disk.packed debian@1.0.0 --key golden.key
done
# Cut off; it would read as zeros
qemu-img create -q -f qcow2 cut.qcow2 1G
truncate -s 70000 cut.qcow2
refuses 2 "'cut.qcow2' is damaged" cut.qcow2 debian@1.0.0 --key golden.key
[ -z "$(find . -maxdepth 1 -name 'vt*' -o -maxdepth 1 -name '*.tmp')" ] || not_ok 'temporary files'

# ---- profiles ----

# refuses_profile STATUS REGEX: stdin as a profile
refuses_profile() {
    cat >profile.yaml
    refuses "$1" "profile.yaml.*$2" disk.raw debian@1.0.0 --key golden.key --profile profile.yaml
}

refuses 3 "'missing.yaml'" disk.raw debian@1.0.0 --key golden.key --profile missing.yaml
refuses_profile 2 'not a mapping' <<<'- a'
refuses_profile 2 'unknown field "parameter"' <<<'parameter: []'
refuses_profile 2 'parameters\[0\]: name .hostname. means something else' \
    <<<'parameters: [{name: hostname, type: string}]'
refuses_profile 2 'user-data.runcmd\[0\]: .*\$\{x\}: no such parameter is declared' \
    <<<"user-data: {runcmd: ['echo \${x}']}"
refuses_profile 2 'begins with .#cloud-config' <<<'user-data: "#!/bin/sh"'
refuses_profile 2 'user-data: line 2' <<<'user-data: "#cloud-config\n- a"'
refuses_profile 2 'memory' <<<'hardware: {memory: much}'
refuses_profile 2 'MAC address belongs to one guest' \
    <<<'hardware: {interfaces: [{network: default, mac: "52:54:00:12:34:56"}]}'
# what provision --set knows already is not to be declared
VIRT_TEMPLATE_LIBEXEC_DIR=${VIRT_TEMPLATE_LIBEXEC_DIR:-} virt-template provision --help |
    sed -n '/Keys of --set/,/^$/s/^  \([a-z-]*\) .*/\1/p' >keys
[ "$(wc -l <keys)" -ge 16 ] || not_ok 'the keys of --set are not found'
while read -r key; do
    refuses_profile 2 "name .$key. means" <<<"parameters: [{name: $key, type: string}]"
done <keys

# ---- and what is right ----

succeeds publish disk.raw debian@1.0.0 --key golden.key --store "$STORE"
grep -q 'serial 2' stdout || not_ok 'no summary'
manifest=$(skopeo inspect --raw "$STORE:debian/1.0.0")
[ "$(jq -r .artifactType <<<"$manifest")" = application/vnd.virt-template.v1 ] || not_ok artifactType
[ "$(jq -r '.annotations["org.opencontainers.image.version"]' <<<"$manifest")" = 1.0.0 ] ||
    not_ok 'annotation of the version'
[ "$(jq -r '.layers | length' <<<"$manifest")" = 2 ] || not_ok 'layers'
skopeo inspect --raw "$STORE:catalog/latest" | jq -e '.layers | length == 1' >/dev/null ||
    not_ok 'catalog'
ok 'skopeo reads it'

before=$(state)
succeeds publish disk.raw debian@1.0.0 --key golden.key --store "$STORE"
grep -q 'nothing was uploaded' stdout || not_ok 'it does not say that nothing was uploaded'
[ "$before" = "$(state)" ] || not_ok 'publishing again changed the store'
cp disk.raw changed.raw
printf x | dd of=changed.raw bs=1 seek=5000000 conv=notrunc status=none
refuses 10 'debian@1.0.0 exists.*immutable' changed.raw debian@1.0.0 --key golden.key

# layer NAME@TAG: digest of the version's index: the same content, the same index
layer() {
    skopeo inspect --raw "$STORE:$1" | jq -r '.layers[0].digest'
}
for options in '' '-c' '-o cluster_size=4k' '-o compat=0.10' '-o extended_l2=on'; do
    # shellcheck disable=SC2086 # options
    qemu-img convert -O qcow2 $options disk.raw disk.qcow2
    version=1.1.$((${minor:--1} + 1))
    minor=${version##*.}
    succeeds publish disk.qcow2 "debian@$version" --parent none --key golden.key --store "$STORE"
    [ "$(layer "debian/$version")" = "$(layer debian/1.0.0)" ] ||
        not_ok "a qcow2 ($options) gives another layer than the raw disk"
done
ok 'qcow2 and raw of one disk give one layer'
succeeds publish changed.raw debian@1.0.1+b.5 --no-current --key golden.key --store "$STORE"
succeeds publish disk.vdi debian@9.0.0 --format raw --no-current --key golden.key --store "$STORE"
virt-template list --store "$STORE" --policy policy.json >listed
grep -qE '^debian +1\.1\.4 .*current$' listed || not_ok 'the last one is not the current one'
grep -qE '^debian +1\.0\.1\+b\.5 .*Z$' listed || not_ok '--no-current made it current'
virt-template list --store "$STORE" --policy policy.json --json |
    jq -e '.templates.debian.current == "1.1.4" and (.templates.debian.versions | length == 8)' \
        >/dev/null || not_ok 'list --json'
ok 'list'
virt-template publish disk.raw quiet@1.0.0 --quiet --key golden.key --store "$STORE" >quiet 2>&1
[ ! -s quiet ] || not_ok '--quiet prints'
ok '--quiet'
sed "s|\"keyData\": \"[^\"]*\"|\"keyPath\": \"$PWD/other.pub\"|" policy.json >strangers.json
refused 4 'signed|key' list --store "$STORE" --policy strangers.json
refused 4 'missing.json' list --store "$STORE" --policy missing.json

# ---- a version as what differs from another one ----

succeeds publish changed.raw delta@1.0.0 --parent auto --key golden.key --store "$STORE"
grep -q 'full  *it is the first version of delta' stdout || not_ok 'it does not say why it is a full layer'
succeeds publish disk.raw delta@1.1.0 --key golden.key --store "$STORE"
grep -qE 'delta  *over delta@1.0.0: .* instead of about 2.9 MiB; chain of 2 layers' stdout ||
    not_ok 'it does not say what was saved'
succeeds publish disk.raw delta@1.1.0 --parent auto --key golden.key --store "$STORE"
grep -q 'nothing was uploaded' stdout || not_ok 'a delta again is not unchanged'
refuses 10 'delta@1.1.0 exists' disk.raw delta@1.1.0 --parent none --key golden.key
[ "$(skopeo inspect --raw "$STORE:delta/1.1.0" | jq -c '[.layers[].mediaType | sub(".*layer."; "")]')" = \
    '["index.v1","frames.v1+zstd","index.v1"]' ] || not_ok 'layers of a delta'
virt-template publish disk.raw delta@1.2.0 --parent debian@1.0.0 --json --key golden.key \
    --store "$STORE" >json || not_ok '--json'
jq -e '.parent == "debian@1.0.0" and .full == null and .layers == 1 and .unique == 0 and
    .stored == 0 and ."stored-full" > 2900000' json >/dev/null || not_ok '--json with a parent'
virt-template publish disk.raw delta@1.3.0 --max-chain 1 --json --key golden.key \
    --store "$STORE" >json || not_ok '--max-chain'
jq -e '.parent == null and (.full | test("2 layers")) and .layers == 1' json >/dev/null ||
    not_ok '--json of a full layer'
virt-template publish changed.raw delta@1.3.1 --checkpoint 1 --json --key golden.key \
    --store "$STORE" >json || not_ok '--checkpoint'
jq -e '.parent == null and (.full | test("a checkpoint: over delta@1.3.0")) and .layers == 1 and
    .bridge == "delta@1.3.0" and ."stored-bridge" < 100000 and .stored > 2900000' json >/dev/null ||
    not_ok '--json of a checkpoint'
# as it was, in another repository: there is no bridge
virt-template publish changed.raw other-delta@1.0.0 --parent delta@1.3.1 --json --key golden.key \
    --store "$STORE" | jq -e '.layers == 1 and .stored == 0' >/dev/null || not_ok 'the same disk'
[ "$(skopeo inspect --raw "$STORE:delta/1.3.1" | jq '.layers[0].annotations | keys | map(select(test("bridge"))) | length')" = 2 ] ||
    not_ok 'the bridge is not named'
[ "$(skopeo inspect --raw "$STORE:other-delta/1.0.0" | jq '.layers[0].annotations | keys | map(select(test("bridge"))) | length')" = 0 ] ||
    not_ok 'a bridge is named that is not there'
# nothing to store, nothing to bridge
virt-template publish changed.raw delta@1.3.9 --parent delta@1.3.1 --no-current --checkpoint 1 --json --key golden.key \
    --store "$STORE" | jq -e '.layers == 1 and .stored == 0 and .bridge == null and .full == null' >/dev/null ||
    not_ok 'a checkpoint of the same disk'
succeeds publish disk.raw delta@1.3.2 --checkpoint 5 --key golden.key --store "$STORE"
grep -q 'delta  *over delta@1.3.1: ' stdout || not_ok 'no delta over a checkpoint'
head -c 3000000 /dev/urandom >different.raw
succeeds publish different.raw delta@1.4.0 --parent auto --key golden.key --store "$STORE"
grep -q 'full  *about 100 % of the data is not in delta@1.3.2' stdout || not_ok 'a delta of all'
virt-template publish disk.raw delta@1.5.0 --checkpoint 1 --json --key golden.key --store "$STORE" |
    jq -e '.bridge == null and (.full | test("about 100 %"))' >/dev/null || not_ok 'a bridge from another disk'
ok 'layers over layers'

# ---- many publishers of one layout lose nothing ----

for i in 1 2 3 4; do
    virt-template publish disk.raw "many$i@1.0.0" --quiet --key golden.key --store "$STORE" \
        >stderr 2>&1 &
    jobs[i]=$!
done
for i in 1 2 3 4; do
    wait "${jobs[i]}" || not_ok "publisher $i"
done
virt-template list --store "$STORE" --policy policy.json >listed
[ "$(grep -c '^many[1-4] ' listed)" = 4 ] || not_ok 'a version of several publishers was lost'
ok 'four publishers at once'

# ---- a version with a profile ----

cat >profile.yaml <<'END'
parameters:
  - {name: admin, type: string, required: true, description: who administers it}
user-data: |
  #cloud-config
  users: [{name: "${admin}"}]
hardware: {memory: 1024}
END
succeeds publish disk.raw profiled@1.0.0 --key golden.key --store "$STORE" --profile profile.yaml
config=golden/blobs/sha256/$(skopeo inspect --raw "$STORE:profiled/1.0.0" | jq -r '.config.digest | ltrimstr("sha256:")')
[ "$(jq -c '[.parameters[0].name, ."user-data".users[0].name, .hardware.memory]' "$config")" = \
    "[\"admin\",\"\${admin}\",1024]" ] || not_ok 'the config lacks the profile'
before=$(state)
succeeds publish disk.raw profiled@1.0.0 --key golden.key --store "$STORE" --profile profile.yaml
[ "$before" = "$(state)" ] || not_ok 'publishing again changed the store'
refuses 10 'exists with another profile.*immutable' disk.raw profiled@1.0.0 --key golden.key
sed -i 's/1024/2048/' profile.yaml
refuses 10 'exists with another profile' disk.raw profiled@1.0.0 --key golden.key --profile profile.yaml
refuses 10 'exists with another profile' disk.raw debian@1.0.0 --key golden.key --profile profile.yaml
plan
