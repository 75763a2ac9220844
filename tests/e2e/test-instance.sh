#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Seeds: made by libvirt's hook when a domain starts, from what its XML says, and gone when it has ended
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template virt-install isoinfo jq xmllint strace

STORE=oci:$PWD/golden
POOL=/var/lib/libvirt/images/templates
KEY='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleWtleWtleWtleWtleWtleWtleWtleWtleWtl anna@host'

provision() {
    virt-template provision debian@1.0.0 "$@" --virt-type qemu --memory 64 --vcpus 1 --no-network
}

# of_seed NAME FILE
of_seed() {
    isoinfo -R -x "/$2" -i "$POOL/$1-seed.iso"
}

# user_data NAME: the JSON behind the mark
user_data() {
    of_seed "$1" user-data | sed 1d
}

# redefine NAME SED_SCRIPT: changes its XML
redefine() {
    virsh dumpxml --inactive "$1" | sed "$2" >"$1.xml"
    virsh define "$1.xml"
}

nothing_left() {
    ! virsh dominfo "$1" || fail "the domain $1 is there"
    ! virsh vol-info "$1.qcow2" default || fail "the clone of $1 is there"
    [ ! -e "$POOL/$1-seed.iso" ] || fail "the seed of $1 is there"
}

host_with_template "$STORE"

step "a dry run prints the XML and makes nothing"
provision web --dry-run --set hostname=web.example --set package=nginx >dry.xml
xmllint --noout dry.xml
assert_match '<vt:seed path=./var/lib/libvirt/images/templates/web-seed.iso' "$(cat dry.xml)"
assert_match '<vt:package>nginx</vt:package>' "$(cat dry.xml)"
nothing_left web

step "a guest is a clone and a domain; the seed comes with the start"
echo "$KEY" >anna.pub
echo 'hello: "world"' >motd
provision web --size 1G --set hostname=web.example --set user=anna --set sudo=yes \
    --set ssh-key=@anna.pub --set package=nginx --set file=/etc/motd:motd \
    --set $'command=echo "a: b" > /run/x\n- b: # {}[]!&*' --set timezone=Europe/Berlin
assert_eq "$(qemu-img info --output=json /var/lib/libvirt/images/default/web.qcow2 |
    jq '."virtual-size"')" 1073741824
[ ! -e "$POOL/web-seed.iso" ]
uuid=$(virsh domuuid web)
virsh start web
assert_eq "$(stat -c %a $POOL/web-seed.iso)" 600 mode
assert_eq "$(of_seed web meta-data)" "{\"instance-id\":\"$uuid\",\"local-hostname\":\"web.example\"}"
assert_eq "$(isoinfo -d -i $POOL/web-seed.iso | sed -n 's/^Volume id: //p')" CIDATA
assert_eq "$(user_data web | jq -r '.hostname, .fqdn, .timezone, .packages[0], .users[0].name,
    .users[0].ssh_authorized_keys[0], .write_files[0].content, .runcmd[0][2]')" "web
web.example
Europe/Berlin
nginx
anna
$KEY
hello: \"world\"

echo \"a: b\" > /run/x
- b: # {}[]!&*"
first=$(user_data web | jq -r .random_seed.data)

step "the seed is gone when the domain has ended, and the instance stays the same"
virsh destroy web
[ ! -e "$POOL/web-seed.iso" ]
virsh start web
assert_match "$uuid" "$(of_seed web meta-data)"
[ "$(user_data web | jq -r .random_seed.data)" != "$first" ]

step "a second domain does not get the seed of the first"
virsh dumpxml --inactive web | sed "s|<name>web<|<name>thief<|; /<uuid>/d; /mac address/d;
    s|default/web.qcow2|default/thief.qcow2|" >thief.xml
clone thief.qcow2 debian@1.0.0.qcow2
virsh define thief.xml
expect_fail "is the seed of the domain $uuid" virsh start thief
assert_match "$uuid" "$(of_seed web meta-data)"
virsh undefine thief
virsh destroy web

step "what the owner says wrong stops the start, in words"
redefine web 's|<vt:hostname>[^<]*|<vt:hostname>not_a_name|'
expect_fail "<hostname>: 'not_a_name' is not a host name" virsh start web
redefine web 's|<vt:hostname>[^<]*|<vt:hostname>web|; s|<vt:package>[^<]*</vt:package>|<vt:packets>x</vt:packets>|'
expect_fail '<packets>: unknown; known: seed, hostname' virsh start web
redefine web 's|<vt:packets>[^<]*</vt:packets>|<vt:user-data>#cloud-config\n- x</vt:user-data>|'
expect_fail '<user-data>: line 2: not a mapping' virsh start web
redefine web '/<vt:user-data>/,/<\/vt:user-data>/d'
virsh start web
virsh destroy web

step "a path outside of the pools, of another kind, or taken, is not written"
redefine web "s|$POOL/web-seed.iso|/etc/web-seed.iso|"
expect_fail "the seed's path '/etc/web-seed.iso'" virsh start web
[ ! -e /etc/web-seed.iso ]
redefine web "s|/etc/web-seed.iso|$POOL/debian@1.0.0.qcow2|"
expect_fail 'is not <directory of a template pool>/NAME-seed.iso' virsh start web
redefine web "s|$POOL/debian@1.0.0.qcow2|$POOL/web-seed.iso|"
echo precious >precious
ln -s "$PWD/precious" $POOL/web-seed.iso
expect_fail "'$POOL/web-seed.iso' is a symbolic link" virsh start web
rm $POOL/web-seed.iso
echo mine >$POOL/web-seed.iso
expect_fail 'was not made for a domain' virsh start web
assert_eq "$(cat precious $POOL/web-seed.iso)" "precious
mine"
rm $POOL/web-seed.iso
virsh start web
virsh destroy web

step "refused values leave nothing behind"
expect_fail 'known keys:' provision bad --set hostnam=x
expect_fail 'not an SSH public key' provision bad --set user=anna --set 'ssh-key=no key'
expect_fail 'the domain has 0 interfaces' provision bad --set address=192.0.2.5/24
expect_fail '192.0.2.6/24 and 192.0.2.5/24 are in one subnet' virt-template provision debian@1.0.0 bad \
    --virt-type qemu --memory 64 --network any --set address=192.0.2.5/24 --set address=192.0.2.6/24
nothing_left bad
expect_fail "no running pool has the template 'nope'" virt-template provision nope bad

step "user-data that is too much, or no text, is refused before anything is made"
{ echo '#cloud-config'; head -c 10M /dev/zero | tr '\0' '#'; } >large
expect_fail 'user-data large: has 10485774 bytes, at most 1048576' provision bad --user-data large
printf '#!/bin/sh\ntrue\0false\n' >nul
expect_fail 'user-data nul: .*NUL' provision bad --user-data nul
# Ten times ten times ... of a word
{
    printf '#cloud-config\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n'
    for i in 1 2 3 4 5 6 7 8 9; do
        echo "a$i: &a$i [$(printf "*a$((i - 1)), %.0s" 1 2 3 4 5 6 7 8 9)*a$((i - 1))]"
    done
} >laughs
expect_fail '<user-data>: more than 100000 values with its aliases' provision bad --user-data laughs
nothing_left bad

step "many at once, or none"
provision many --count 3 --start --set 'command=true'
assert_eq "$(virsh list --name | grep -c '^many-')" 3
assert_eq "$(for n in 1 2 3; do of_seed many-$n meta-data; done | sort -u | wc -l)" 3
for n in 1 2 3; do
    virsh destroy many-$n
    virsh undefine many-$n
    virsh vol-delete many-$n.qcow2 default
done
provision many-2
expect_fail "there is a domain 'many-2'" provision many --count 3
virsh dominfo many-2
nothing_left many-1
nothing_left many-3

step "without the helper, a domain that needs a seed does not start, all others do"
stop_helper
expect_fail 'virttemplated' virsh start web
virsh dumpxml --inactive web |
    sed '/<metadata>/,/<\/metadata>/d; /<uuid>/d; s|<name>web<|<name>plain<|' |
    xmllint --xpath '/domain' - | python3 -c 'import re, sys
print(re.sub(r"<disk(?:(?!</disk>).)*seed.iso.*?</disk>", "", sys.stdin.read(), flags=re.S))' >plain.xml
virsh define plain.xml
virsh start plain
virsh destroy plain
start_helper
virsh pool-refresh templates
virsh start web
virsh destroy web

step "virt-install's own cloud-init goes on working, with our clones"
mkdir -p /var/lib/libvirt/boot # Debian's package makes it; /var/lib/libvirt is empty here
clone own.qcow2 debian@1.0.0.qcow2
printf '#cloud-config\nhostname: own\n' >user-data
virt-install --import --name own --memory 64 --virt-type qemu --disk vol=default/own.qcow2 \
    --cloud-init user-data=user-data --network none --osinfo detect=off,require=off \
    --graphics none --noautoconsole
assert_match '^running$' "$(virsh domstate own)"
assert_match 'cloudinit.iso' "$(virsh domblklist own)"
assert_match "$POOL/debian@1.0.0.qcow2" "$(virsh dumpxml own)"
virsh destroy own

step "for a foreign domain the hook opens nothing, starts nothing, changes nothing, and costs less than 5 ms"
hook=/etc/libvirt/hooks/qemu.d/virt-template
# state: all files that it could touch
state() {
    find /var/lib/libvirt/images /etc/libvirt /run/libvirt -type f -printf '%p %s %T@\n' | sort
}
state >before
# Of a processor's time: what else this machine does is not its business
RUNS=100 TIMEFORMAT='%U %S'
{ time for ((i = 0; i < RUNS; i++)); do
    "$hook" plain prepare begin - <plain.xml
    "$hook" plain release end - <plain.xml
done; } 2>hook-time
awk -v runs=$((2 * RUNS)) '{ms = ($1 + $2) * 1e3 / runs; print ms " ms"; exit ms > 5}' hook-time ||
    fail "the hook needs longer than 5 ms"
cmp before <(state)
strace -f -o trace -e trace=connect,execve,openat "$hook" plain prepare begin - <plain.xml
assert_eq "$(grep -c execve trace)" 1
assert_no_match connect "$(cat trace)"
echo '<domain' | "$hook" x prepare begin -
expect_fail 'malformed' bash -c "echo '<x xmlns=\"urn:virt-template:instance:1\"' | $hook x prepare begin -"
"$hook" x started begin - </dev/null

assert_libvirtd_alive
