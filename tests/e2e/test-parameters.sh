#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Templates that take parameters: declared by the publisher, given by pool and instance, in the seed
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template isoinfo jq

STORE=oci:$PWD/golden
POOL=/var/lib/libvirt/images/templates
KEY='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleWtleWtleWtleWtleWtleWtleWtleWtl anna@host'

provision() {
    virt-template provision "$@" --virt-type qemu --no-network
}

# user_data NAME: the JSON behind the mark
user_data() {
    isoinfo -R -x /user-data -i "$POOL/$1-seed.iso" | sed 1d
}

nothing_left() {
    ! virsh dominfo "$1" || fail "the domain $1 is there"
    ! virsh vol-info "$1.qcow2" default || fail "the clone of $1 is there"
}

make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img
make_store "$STORE" golden.key
cat >profile.yaml <<'END'
parameters:
  - {name: admin, type: string, required: true, pattern: '[a-z]+', description: who administers it}
  - {name: keys, type: list}
  - {name: port, type: integer, default: 80, minimum: 1, maximum: 65535}
  - {name: resolver, type: ip}
user-data: |
  #cloud-config
  # text that came from the publisher
  timezone: Etc/UTC
  users:
    - {name: "${admin}", ssh_authorized_keys: "${keys}"}
  packages: [nginx]
  write_files:
    - {path: /etc/port, content: "port ${port}, $${HOME}", permissions: 0644}
  resolv_conf: {nameservers: ["${resolver}"]}
hardware: {memory: 48, vcpus: 1}
END
publish "$STORE" golden.key one.img debian@1.0.0 --profile profile.yaml
publish "$STORE" golden.key one.img plain@1.0.0
start_helper
start_virtlogd
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default

step "values, defaults of the template, and its hardware"
echo "$KEY" >anna.pub
provision debian@1.0.0 web --set admin=anna --set "keys=$KEY" --set keys=another --set timezone=Europe/Berlin \
    --set package=vim --start
assert_eq "$(user_data web | jq -c 'del(.random_seed)')" "$(jq -nc --arg key "$KEY" '{
    hostname: "web", manage_etc_hosts: true, timezone: "Europe/Berlin",
    users: [{name: "anna", ssh_authorized_keys: [$key, "another"]}],
    packages: ["nginx", "vim"],
    write_files: [{path: "/etc/port", content: "port 80, ${HOME}", permissions: 420}],
    resolv_conf: {nameservers: []}}')"
assert_match '<memory unit=.KiB.>49152<' "$(virsh dumpxml web)"
virsh destroy web

step "the current version, and what info says of it"
virt-template info debian >info.txt
assert_match '^Parameter +admin \(string, required\): who administers it$' "$(cat info.txt)"
assert_match '^Parameter +port \(integer, default 80\)$' "$(cat info.txt)"
virt-template info debian --json | jq -e '.parameters[1].type == "list" and .hardware.memory == 48'
provision debian two --set admin=bert --dry-run >two.xml
assert_match "<vt:template name=.debian. version=.1.0.0./>" "$(cat two.xml)"
assert_match "<vt:parameter name=.admin.>bert<" "$(cat two.xml)"

step "a value cannot become anything else"
sed -i "s/pattern: '\[a-z\]+', //" profile.yaml
publish "$STORE" golden.key one.img debian@1.1.0 --profile profile.yaml
virsh pool-refresh templates
# shellcheck disable=SC2016  # a reference of the template's, not the shell's
evil='x", "sudo": "ALL" #{}[]!&*: - ${port}'
provision debian@1.1.0 evil --set "admin=$evil" --start
assert_eq "$(user_data evil | jq -r '.users | length, .[0].name')" "1
$evil"
virsh destroy evil

step "what the declaration does not allow is refused before there is a domain"
expect_fail "parameter 'admin': 'Anna' is not what its pattern allows" \
    provision debian@1.0.0 bad --set admin=Anna
expect_fail "parameter 'port': '0' is not a whole number from 1 to 65535" \
    provision debian@1.0.0 bad --set admin=anna --set port=0
expect_fail 'no such key; parameters of the template: admin \(string, required\), keys \(list\)' \
    provision debian@1.0.0 bad --set admin=anna --set colour=red
expect_fail 'no such key; parameters of the template: none' provision plain@1.0.0 bad --set admin=anna
expect_fail "'admin' is given 2 times" provision debian@1.0.0 bad --set admin=a --set admin=b
nothing_left bad

step "a required value that nobody gives stops the start, and leaves nothing"
expect_fail "the parameter 'admin' has no value; the template has: admin \(string, required\)" \
    provision debian@1.0.0 bad --start
nothing_left bad
[ ! -e "$POOL/bad-seed.iso" ]

step "values of the pool are between those of the template and of the instance"
cat >/etc/virt-template/defaults.yaml <<'END'
# for all guests here
admin: operations
port: 8080
resolver: 192.0.2.53
unknown: [to, this, template]
END
chmod 0600 /etc/virt-template/defaults.yaml
virsh pool-dumpxml templates |
    sed "s|<template:trust|<template:instance defaults='/etc/virt-template/defaults.yaml'/>&|" >pool.xml
virsh pool-define pool.xml
virsh pool-destroy templates
virsh pool-start templates
assert_match "<template:instance defaults='/etc/virt-template/defaults.yaml'/>" "$(virsh pool-dumpxml templates)"
provision debian@1.0.0 three --set port=9090 --start
# shellcheck disable=SC2016  # the template's reference, kept
assert_eq "$(user_data three | jq -r '.users[0].name, .write_files[0].content, .resolv_conf.nameservers[0]')" \
    'operations
port 9090, ${HOME}
192.0.2.53'
virsh destroy three
provision plain@1.0.0 four --start
assert_no_match operations "$(user_data four)"
virsh destroy four

step "a file of defaults that is wrong, or away, stops those that need it"
echo 'port: [1, 2]' >/etc/virt-template/defaults.yaml
expect_fail "default of the pool: parameter 'port' is given 2 times" virsh start web
echo '- port' >/etc/virt-template/defaults.yaml
expect_fail 'defaults of the pool: line 1: not a mapping' virsh start web
rm /etc/virt-template/defaults.yaml
expect_fail "defaults of the pool 'templates'.*defaults.yaml.*No such file" virsh start web
virsh start four
virsh destroy four
echo '{}' >/etc/virt-template/defaults.yaml

step "a template that is not here, of another name, or away from the catalog"
redefine() {
    virsh dumpxml --inactive web | sed "$1" >web.xml
    virsh define web.xml
}
redefine '/<vt:template /s|1\.0\.0|9.0.0|'
expect_fail "the domain's template debian@9.0.0: .*not in the catalog" virsh start web
redefine '/<vt:template /s|9\.0\.0|1.0.0|'
virsh start web
virsh destroy web
virsh pool-refresh templates
virt-template evict debian@1.1.0 && fail 'a template was evicted that has clones'
virsh undefine evil
virsh vol-delete evil.qcow2 default
virt-template evict debian@1.1.0
redefine '/<vt:template /s|1\.0\.0|1.1.0|'
expect_fail "the domain's template debian@1.1.0: .*is not on this host: fetch it first" virsh start web

step "without the helper: a version is enough, the start checks"
stop_helper
provision debian@1.0.0 five --set colour=red --dry-run >five.xml
assert_match "<vt:parameter name=.colour.>red<" "$(cat five.xml)"
expect_fail 'parameters of the template: not known' provision debian six --set colour=red --dry-run

assert_libvirtd_alive
