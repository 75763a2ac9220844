#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Secrets of a guest: in its seed while it runs, and in a file that root alone can read; nowhere else
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template isoinfo jq strace setpriv

STORE=oci:$PWD/golden
POOL=/var/lib/libvirt/images/templates
SEED=$POOL/web-seed.iso
WEB=6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f
THIEF=6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e60
SECRETS=$POOL/.seeds/web-seed.iso.$WEB.secrets
# Made here, so that no file of the test itself holds it; and what is shown to be refused
CANARY=canary$RANDOM$RANDOM$RANDOM
HASH="\$6\$salt$RANDOM\$hash$RANDOM$RANDOM"
GUARD=canary-in-xml

# define NAME UUID ELEMENTS
define() {
    cat >"$1.xml" <<END
<domain type='qemu'>
  <name>$1</name>
  <uuid>$2</uuid>
  <metadata>
    <vt:instance xmlns:vt='urn:virt-template:instance:1'>
      <vt:seed path='$SEED'/>
      $3
    </vt:instance>
  </metadata>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='/var/lib/libvirt/images/default/$1.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/>
      <source file='$SEED'/><target dev='vdb' bus='virtio'/><readonly/></disk>
  </devices>
</domain>
END
    virsh define "$1.xml"
}

# secrets YAML [UUID]
secrets() {
    virt-template instance secrets "$SEED" "${2:-$WEB}" <<<"$1"
}

# refused MESSAGE [NAME]: the start, in words and without secrets
refused() {
    expect_fail "$1" virsh start "${2:-web}"
    assert_no_match "$CANARY|$GUARD" "$output"
    [ ! -e "$SEED" ] || fail "the seed is there"
}

user_data() {
    isoinfo -R -x /user-data -i "$SEED" | sed 1d
}

# Where logs, states and XML are, and all that belongs to others than root
PLACES=(/var/lib/libvirt /var/log /run /etc/libvirt /etc/virt-template "$LOGS" "$PWD")

# has TEXT: the files that hold it, as root finds them
has() {
    local status=0
    grep -rlF --devices=skip -e "$1" "${PLACES[@]}" >found 2>grep.err || status=$?
    [ $status -lt 2 ] || fail "grep: $(cat grep.err)"
    # What the places above are bound to is seen twice
    sort -u found | grep -v "^$PWD/root/" || :
    rm found
}

# cmdlines OUTPUT: writes what every process is called with, over and over
cmdlines() {
    while :; do
        cat /proc/[0-9]*/cmdline || :  # some end meanwhile
    done >"$1" 2>/dev/null
}

cat >profile.yaml <<'END'
parameters:
  - {name: token, type: secret, required: true}
  - {name: root-hash, type: password-hash}
  - {name: port, type: integer, default: 80}
user-data:
  chpasswd: {users: [{name: root, password: "${root-hash}"}]}
  write_files:
    - {path: /etc/token, content: "token=${token}:${port}"}
END
make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0 --profile profile.yaml
G_MESSAGES_DEBUG=all start_helper
start_virtlogd
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
clone web.qcow2 debian@1.0.0.qcow2
clone thief.qcow2 debian@1.0.0.qcow2
TEMPLATE="<vt:template name='debian' version='1.0.0'/><vt:parameter name='port'>81</vt:parameter>"
elements="$TEMPLATE<vt:user name='anna' password-hash-secret='anna'/>"

step "a secret in the domain's XML is refused, and the error says where it belongs"
define web $WEB "$TEMPLATE<vt:parameter name='token'>$GUARD</vt:parameter>"
refused "parameter 'token' is a secret, .* give it with 'virt-template instance secrets'"
define web $WEB "<vt:user name='anna' password='$GUARD'/>"
refused "<user>: a password is for Windows .* give 'password-hash-secret'"

step "so is a start without those that are needed"
define web $WEB "$elements"
refused "the parameter 'token' has no value: give it with 'virt-template instance secrets'"
secrets "token: $CANARY"
refused "<user>: the domain has no secret 'anna': .*'virt-template instance secrets' $SEED $WEB"
define web $WEB "<vt:user name='anna' password-hash-secret='anna'/>"
refused "nothing asks for the secret 'token'"
define web $WEB "$elements"

step "secrets go from standard input into a file of root's, on no command line"
strace -f -v -s 10000 -e trace=execve -o trace virt-template instance secrets $SEED $WEB <<END
token: "$CANARY"
anna: '$HASH'
root-hash: '$HASH'
END
assert_match execve "$(cat trace)"
assert_no_match "$CANARY" "$(cat trace)"
assert_eq "$(stat -c '%a %U %G' $SECRETS)" '600 root root'
assert_eq "$(stat -c '%a %U %G' $POOL/.seeds)" '700 root root'
assert_eq "$(has "$CANARY")" $SECRETS 'files with the secret'

step "the guest gets them, in the places that ask for them"
cmdlines cmdlines &
poller=$!
virsh start web
kill $poller
wait $poller || :  # it was ended
assert_eq "$(user_data | jq -r '.write_files[0].content')" "token=$CANARY:81"
assert_eq "$(user_data | jq -r '.users[0].hashed_passwd, .users[0].lock_passwd, .chpasswd.users[0].password')" \
    "$HASH
false
$HASH"

step "while it runs they are in the seed and in that file, both 0600, and nowhere else"
grep -aq qemu-system cmdlines || fail "the command lines were not seen"
! grep -aqF -e "$CANARY" -e "$HASH" cmdlines || fail "a secret is on a command line"
rm cmdlines
assert_eq "$(stat -c %a $SEED)" 600 mode
for secret in "$CANARY" "$HASH"; do
    assert_eq "$(has "$secret")" "$(printf '%s\n' $SECRETS $SEED)" 'files with a secret'
done
assert_no_match "$CANARY" "$(virsh -r dumpxml web)"
assert_no_match "$CANARY" "$(virsh -r dumpxml --inactive web)"
assert_no_match "$CANARY" "$(virsh dumpxml --security-info web)"
assert_no_match "$CANARY" "$(virt-template jobs; virt-template info debian; virsh vol-list templates)"
# As somebody who may use libvirt's read-only socket, and read what everybody may
chmod 755 .
setpriv --reuid nobody --regid nogroup --clear-groups virsh -r dumpxml web >as-nobody.xml
assert_match 'name>web<' "$(cat as-nobody.xml)"
for file in $SECRETS $SEED; do
    ! setpriv --reuid nobody --regid nogroup --clear-groups cat "$file" || fail "nobody reads $file"
done

step "the seed goes with the end of the domain, the file stays for the next start"
virsh destroy web
[ ! -e $SEED ] || fail "the seed is there"
assert_eq "$(has "$CANARY")" $SECRETS 'files with the secret'
restart_helper
virsh pool-refresh templates
virsh start web
assert_eq "$(user_data | jq -r '.write_files[0].content')" "token=$CANARY:81"
virsh destroy web

step "another domain with the same seed does not get them"
define thief $THIEF "$elements"
refused "the parameter 'token' has no value" thief
secrets "token: 'its own'
anna: '\$6\$salt1234\$abcdefghij'" $THIEF
virsh start thief
assert_eq "$(user_data | jq -r '.write_files[0].content')" 'token=its own:81'
virsh destroy thief
virt-template instance secrets $SEED $THIEF --remove
virsh undefine thief

step "a file that root wrote by hand counts, unless others could read or replace it"
cat >by-hand <<END
# whatever YAML there is
token: 'by hand'
anna: $HASH
END
install -m 0644 by-hand $SECRETS
refused "$SECRETS' holds secrets|web-seed.iso.$WEB.secrets' holds secrets"
chmod 600 $SECRETS
virsh start web
assert_eq "$(user_data | jq -r '.write_files[0].content')" 'token=by hand:81'
virsh destroy web
chown nobody $SECRETS
refused 'others than its owner could use it'
rm $SECRETS
ln -s "$PWD/by-hand" $SECRETS
refused 'holds secrets'
rm $SECRETS

step "what is wrong in the file stops the start, in words and without secrets"
# bad MESSAGE YAML: a file by hand
bad() {
    install -m 0600 /dev/null $SECRETS
    echo "$2" >$SECRETS
    refused "$1"
}
bad 'secrets of the domain: line 1: not a mapping' "- $CANARY"
bad 'secrets of the domain: line [0-9]+: ' "token: '$CANARY"
bad "the key of secret number 1 is not" "$CANARY x: y"
bad "'token' is not a string" "token: [$CANARY]"
bad "the secret 'anna' is not a hash" "token: x
anna: $CANARY"
bad "nothing asks for the secret 'tokken'" "tokken: $CANARY
anna: $HASH"
bad "'root-hash': what was given is not a hash" "token: x
anna: $HASH
root-hash: $CANARY"

step "removed, they are nowhere"
secrets "token: $CANARY"
virt-template instance secrets $SEED $WEB --remove
virt-template instance secrets $SEED $WEB --remove
refused "the parameter 'token' has no value"
virsh undefine web
assert_eq "$(ls -A $POOL/.seeds)" ''
assert_eq "$(has "$CANARY")" '' 'files with the secret'
! grep -rF -e "$GUARD" "$LOGS" || fail "what was refused was logged"

assert_libvirtd_alive
