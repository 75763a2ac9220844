#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Several guests that belong together: made in the order of what they need, all or none, and removed
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img jq ip virt-template

STORE=oci:$PWD/golden
TEMPLATES=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default

up() {
    virt-template application up "$@" --virt-type qemu
}

domains() {
    virsh list --all --name | sort | xargs
}

nothing_left() {
    assert_eq "$(domains)" "${1:-}" domains
    assert_eq "$(cd $DEFAULT && echo ./*)" "${2:-./*}" clones
    assert_eq "$(find $TEMPLATES -name '*-seed.iso')" '' seeds
}

# state NAME: as the list has it
state() {
    virt-template application list -j shop.yaml | jq -r ".[] | select(.domain == \"$1\").state"
}

# lease N...: what libvirt's DHCP server notes when it has given 192.0.2.N to the card 52:54:00:00:00:0N;
# the disks here have no system that would ask for one
lease() {
    mkdir -p /var/lib/libvirt/dnsmasq
    printf '%s\n' "$@" | jq -s 'map({"ip-address": "192.0.2.\(.)", "expiry-time": 4000000000,
        "mac-address": "52:54:00:00:00:0\(.)"})' >/var/lib/libvirt/dnsmasq/lan.status
}

host_with_template "$STORE"
define_dir_pool fast
ip link add lan type bridge
ip link set lan up
ip address add 192.0.2.1/24 dev lan
echo "<network><name>lan</name><forward mode='bridge'/><bridge name='lan'/></network>" >lan.xml
virsh net-define lan.xml
virsh net-start lan

cat >shop.yaml <<'END'
application: shop
instances:
  web:
    template: debian@1.0.0
    count: 2
    needs: [cache, db]
    set: {user: anna, sudo: yes, package: [nginx, curl]}
    hardware: {memory: 64, interfaces: []}
  cache:
    template: debian
    needs: [db]
    hardware: {memory: 64, interfaces: []}
  db:
    template: debian@1.0.0
    size: 1G
    strategy: full
    pool: fast
    hardware: {memory: 64, interfaces: [{network: lan, mac: "52:54:00:00:00:07"}]}
END

step "all guests of the document are made"
up shop.yaml >up.log
assert_eq "$(cat up.log)" "shop-web-1 is defined
shop-web-2 is defined
shop-cache is defined
shop-db is defined"
assert_eq "$(domains)" 'shop-cache shop-db shop-web-1 shop-web-2'
assert_eq "$(qemu-img info --output json /var/lib/libvirt/images/fast/shop-db.qcow2 |
    jq -c '[."virtual-size", ."backing-filename"]')" '[1073741824,null]'
virsh dumpxml shop-web-2 >web.xml
assert_match '<vt:package>curl</vt:package>' "$(cat web.xml)"
assert_match "<vta:application .*name='shop' instance='web'" "$(tr '"' "'" <web.xml)"
virt-template application list shop.yaml >list.log
assert_match '^shop-db +db +shut off +-$' "$(cat list.log)"

step "once more changes nothing; what is missing is made again"
uuid=$(virsh domuuid shop-db)
up shop.yaml | grep -c 'there already' | grep -qx 4
virsh undefine shop-cache
virsh vol-delete shop-cache.qcow2 default
assert_eq "$(state shop-cache)" missing
up shop.yaml
assert_eq "$(virsh domuuid shop-db)" "$uuid"
assert_eq "$(state shop-cache)" 'shut off'

step "they start in the order of what they need"
up shop.yaml --start >start.log
assert_eq "$(cat start.log)" "shop-db is started
shop-cache is started
shop-web-1 is started
shop-web-2 is started"
assert_eq "$(state shop-web-2)" running
[ -s $TEMPLATES/shop-web-2-seed.iso ] || fail "there is no seed"

step "down removes them with clones and seeds, but not what has only the name, or is a copy"
virsh dumpxml --inactive shop-cache | sed "s|<name>shop-cache<|<name>shop-copy<|
    s|$DEFAULT/shop-cache|$DEFAULT/shop-copy|; s|shop-cache-seed|shop-copy-seed|; /<uuid>/d" >copy.xml
cp $DEFAULT/shop-cache.qcow2 $DEFAULT/shop-copy.qcow2
virsh define copy.xml
virsh pool-refresh default
virt-template provision debian shop-extra --virt-type qemu --memory 64 --no-network
virt-template application down shop.yaml >down.log
assert_eq "$(cat down.log)" "shop-web-1 is removed
shop-web-2 is removed
shop-cache is removed
shop-db is removed"
nothing_left 'shop-copy shop-extra' './shop-copy.qcow2 ./shop-extra.qcow2'
[ ! -e /var/lib/libvirt/images/fast/shop-db.qcow2 ] || fail "the clone of shop-db is there"
assert_eq "$(virt-template application down shop.yaml)" ''
assert_eq "$(state shop-db)" missing
for name in copy extra; do
    virsh undefine shop-$name
    virsh vol-delete shop-$name.qcow2 default
done

step "down keeps the domain whose clone it cannot reach"
up shop.yaml
virsh pool-destroy fast
expect_fail "the pool 'fast', which has the clone of 'shop-db', does not run" \
    virt-template application down shop.yaml
assert_eq "$(domains)" shop-db
virsh pool-start fast
assert_eq "$(virt-template application down shop.yaml)" 'shop-db is removed'
nothing_left
[ ! -e /var/lib/libvirt/images/fast/shop-db.qcow2 ] || fail "the clone of shop-db is there"

step "up that is interrupted leaves nothing; down ends between two guests, and can go on"
sed 's/count: 2/count: 60/; s/memory: 64/memory: 32/' shop.yaml >many.yaml
virt-template application up many.yaml --virt-type qemu >many.log 2>&1 &
pid=$!
wait_until 20 virsh dominfo shop-web-3 || fail "nothing is made"
kill -TERM $pid
status=0
wait $pid || status=$?
assert_eq $status 130 'exit status of up'
nothing_left
up many.yaml >many.log
virt-template application down many.yaml >half.log 2>&1 &
pid=$!
wait_until 20 grep -q 'is removed' half.log || fail "nothing is removed"
kill -TERM $pid
status=0
wait $pid || status=$?
assert_eq $status 130 'exit status of down'
assert_eq "$(cd $DEFAULT && find . -name '*.qcow2' | sed 's|./||; s|.qcow2||' | sort)" \
    "$(virsh list --all --name | grep -v -e '^$' -e shop-db | sort)" 'clones and domains'
virt-template application down many.yaml
nothing_left

step "dependants start only when what they need has an address; if it gets none, nothing is left"
expect_fail "what was made is removed again: 'shop-db' runs, but has no address" \
    up shop.yaml --start --wait 2
nothing_left
sed '/^  web:/,/^  cache:/{/^  cache:/!d}; s/interfaces: \[\]/interfaces: [{network: lan, mac: "52:54:00:00:00:08"}]/' \
    shop.yaml >two.yaml
up two.yaml --start --wait 60 >wait.log 2>&1 &
pid=$!
wait_until 30 virsh domstate shop-db || fail "shop-db is not made"
wait_until 30 sh -c 'virsh domstate shop-db | grep -qx running' || fail "shop-db does not start"
sleep 2
assert_eq "$(virsh domstate shop-cache)" 'shut off' 'shop-cache, as long as shop-db is not up'
lease 7 8
wait $pid || fail "$(cat wait.log)"
assert_eq "$(cat wait.log)" "shop-db 192.0.2.7
shop-cache 192.0.2.8"
assert_match '^shop-cache +cache +running +192.0.2.8$' "$(virt-template application list two.yaml)"
virt-template application down two.yaml
nothing_left

step "a name that is taken, a template or pool that is not there: refused before anything is made"
virt-template provision debian shop-web-2 --virt-type qemu --memory 64 --no-network
expect_fail "there is a domain 'shop-web-2' already, which does not belong to 'shop'" up shop.yaml
assert_eq "$(state shop-web-2)" 'not of this application'
nothing_left shop-web-2 ./shop-web-2.qcow2
virsh undefine shop-web-2
virsh vol-delete shop-web-2.qcow2 default
sed 's/template: debian$/template: fedora/' shop.yaml >bad.yaml
expect_fail "cache: no running pool has the template 'fedora'" up bad.yaml
sed 's/pool: fast/pool: slow/' shop.yaml >bad.yaml
expect_fail "db: cannot use the pool 'slow'" up bad.yaml
sed 's/size: 1G/size: huge/' shop.yaml >bad.yaml
expect_fail 'db: size huge: not a size' up bad.yaml
sed 's/needs: \[db\]/needs: [web]/' shop.yaml >bad.yaml
expect_fail 'bad.yaml: instances: needs form a circle among: web, cache' up bad.yaml
sed 's/needs: \[db\]/needs: [dbb]/' shop.yaml >bad.yaml
expect_fail 'instances.cache: needs "dbb", which is no instance' up bad.yaml
sed 's/memory: 64/memory: many/' shop.yaml >bad.yaml
expect_fail 'instances.web.hardware.memory: is a string' up bad.yaml
echo '{"application":"shop","instances":{"db":{"template":"debian","coun":1}}}' >bad.json
expect_fail 'bad.json: instances.db.coun: unknown; known: template, count' up bad.json
expect_fail 'No such file' up nothing.yaml
expect_fail '--wait needs --start' up shop.yaml --wait 1
expect_fail 'wait -1: not a number of seconds' up shop.yaml --start --wait -1
nothing_left

step "what fails half-way leaves nothing"
sed 's/set: .*/set: {user: anna, sudo: maybe}/' shop.yaml >bad.yaml
expect_fail "sudo='maybe' is neither" up bad.yaml
nothing_left
sed 's/network: lan/network: nowhere/' shop.yaml >bad.yaml
expect_fail "cannot start the domain 'shop-db'.*nowhere" up bad.yaml --start
nothing_left
sed '0,/interfaces: \[\]/s//interfaces: [{bridge: nobridge}]/' shop.yaml >bad.yaml
expect_fail "cannot start the domain 'shop-web-.'.*nobridge" up bad.yaml --start
nothing_left
[ ! -e /var/lib/libvirt/images/fast/shop-db.qcow2 ] || fail "the clone of shop-db is there"

assert_libvirtd_alive
