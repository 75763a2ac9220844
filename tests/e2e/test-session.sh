#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Users that are not root: a libvirtd, a pool and a helper of their own
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/e2e/session.sh
. "$VT_E2E_DIR/session.sh"
requires virsh qemu-img qemu-io jq setpriv useradd pgrep systemd-socket-activate virt-template

STORE=oci:$PWD/golden
HOME_ANNA=/home/anna
TEMPLATES=$HOME_ANNA/templates
IMAGES=$HOME_ANNA/images
BASE=$TEMPLATES/debian@1.0.0.qcow2

# allocation VOLUME
allocation() {
    as anna virsh vol-info --bytes "$1" templates | awk '/^Allocation/ {print $2}'
}

# prepare_user NAME: whom he trusts, and a stock pool
prepare_user() {
    as "$1" mkdir -p "/home/$1/.config/virt-template"
    POLICY=/home/$1/.config/virt-template/policy.json make_policy "$PWD/golden.pub"
    chmod 644 "/home/$1/.config/virt-template/policy.json"
    start_session "$1"
    as "$1" virsh pool-define-as default dir --target "/home/$1/images"
    as "$1" virsh pool-build default
    as "$1" virsh pool-start default
}

# assert_one_helper NAME: sets $helper
assert_one_helper() {
    helper=$(helper_of "$1")
    [[ $helper =~ ^[0-9]+$ ]] || fail "helpers of $1: '$helper'"
}

# end_helper NAME: at once
end_helper() {
    kill -KILL "$(helper_of "$1")"
    wait_until 20 no_helper "$1" || fail "the helper of $1 does not end"
}

no_helper() {
    [ -z "$(helper_of "$1")" ]
}

# ---- the main path -----------------------------------------------------------------------------

step "the helper starts with the pool of a user, and belongs to him"
make_user anna 5001
make_user bert 5002
make_key golden
make_image 64M one.img 1
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
one=$(sha256sum <one.img | cut -d' ' -f1)
prepare_user anna
session_pool anna templates "$STORE"
list=$(as anna virsh vol-list templates)
for volume in debian@1.0.0.qcow2 debian.qcow2; do
    assert_match "$volume +$TEMPLATES/$volume" "$list"
    assert_eq "$(allocation $volume)" 0 "allocation of $volume"
done
assert_one_helper anna
assert_eq "$(stat -c '%a %U' "$(session_socket anna)")" '600 anna'
assert_eq "$(stat -c '%a %U' "$(dirname "$(session_socket anna)")")" '700 anna'
[ -s "$HOME_ANNA/.local/state/virt-template/state.db" ] || fail "no database"
assert_match 'serves uid 5001' "$(cat "$HOME_ANNA/.local/state/virt-template/virttemplated.log")"

step "it has nothing of libvirtd's: no file, no terminal, not its session"
assert_no_match 'libvirt' "$(ls -l "/proc/$helper/fd")"
[ "$(ps -o sid= -p "$helper")" != "$(ps -o sid= -p "${SESSION_LIBVIRTD[anna]}")" ]
[ "$(ps -o ppid= -p "$helper")" -ne "${SESSION_LIBVIRTD[anna]}" ]
assert_eq "$(pgrep -c -P "${SESSION_LIBVIRTD[anna]}" virttemplated || :)" 0 'children of libvirtd'

step "a linked clone in another pool fetches the template"
session_clone anna web1.qcow2 debian@1.0.0.qcow2
assert_match "backing file: $BASE" "$(qemu-img info "$IMAGES/web1.qcow2")"
assert_eq "$(guest_sha256 "$IMAGES/web1.qcow2")" "$one" 'what the guest reads'
assert_eq "$(stat -c '%a %U' "$BASE")" '444 anna'
assert_eq "$(stat -c '%U' "$IMAGES/web1.qcow2")" anna
[ "$(stat -c %s "$IMAGES/web1.qcow2")" -lt $((1 << 20)) ] || fail "the clone is not small"

step "a raw destination is a full copy"
session_clone anna web2.img debian.qcow2 raw
assert_eq "$(sha256sum <"$IMAGES/web2.img" | cut -d' ' -f1)" "$one" 'the raw copy'
as anna virsh vol-download debian@1.0.0.qcow2 "$HOME_ANNA/downloaded" --pool templates
cmp "$HOME_ANNA/downloaded" "$BASE"

step "a template in use stays, and is evicted without its clones"
expect_fail "$IMAGES/web1.qcow2" as anna virsh vol-delete debian@1.0.0.qcow2 templates
expect_fail 'is a template' as anna virsh vol-resize debian@1.0.0.qcow2 1G templates
[ -f "$BASE" ]
as anna virsh vol-delete web1.qcow2 default
as anna virsh vol-delete debian@1.0.0.qcow2 templates
[ ! -e "$BASE" ]
assert_eq "$(allocation debian@1.0.0.qcow2)" 0 'allocation after eviction'
session_clone anna web1.qcow2 debian@1.0.0.qcow2

step "a damaged base is found, and repaired under its clone"
as anna chmod u+w "$TEMPLATES"/.layers/*.qcow2
as anna qemu-io -f raw -c 'write -P 0xee 1M 64k' "$BASE"
expect_fail 'damaged|corrupt|differ' as anna virt-template verify debian@1.0.0 --quiet
as anna virt-template verify debian@1.0.0 --repair --quiet
as anna virt-template verify debian@1.0.0 --quiet
assert_eq "$(guest_sha256 "$IMAGES/web1.qcow2")" "$one" 'what the guest reads'
assert_eq "$(stat -c '%a %U' "$BASE")" '444 anna'

step "the same from a registry"
start_registry
make_store "docker://$REGISTRY/golden" golden.key
publish "docker://$REGISTRY/golden" golden.key one.img fedora@2.0.0
session_pool anna remote "docker://$REGISTRY/golden"
assert_match 'fedora@2.0.0.qcow2' "$(as anna virsh vol-list remote)"
as anna virt-template pull fedora --pool remote --quiet
volume_xml web3.qcow2 >web3.xml
as anna virsh vol-create-from default "$PWD/web3.xml" fedora.qcow2 --inputpool remote
assert_eq "$(guest_sha256 "$IMAGES/web3.qcow2")" "$one" 'what the guest reads'
as anna virt-template list --pool remote --json | jq -e '.templates[0].complete'

step "a signature that nobody trusts is refused"
make_key other
POLICY=$HOME_ANNA/.config/virt-template/policy.json make_policy "$PWD/other.pub"
as anna virsh pool-refresh templates
assert_no_match 'debian' "$(as anna virsh vol-list templates)"
expect_fail 'not found' session_clone anna no.qcow2 debian@1.0.0.qcow2
[ ! -e "$IMAGES/no.qcow2" ]
POLICY=$HOME_ANNA/.config/virt-template/policy.json make_policy "$PWD/golden.pub"
as anna virsh pool-refresh templates
assert_match 'debian@1.0.0.qcow2' "$(as anna virsh vol-list templates)"

# ---- guests ------------------------------------------------------------------------------------

step "a guest over a clone starts, with a seed, and leaves none"
as anna virt-template provision debian@1.0.0 guest --connect qemu:///session --virt-type qemu \
    --memory 128 --no-network --set user=anna --start
assert_match running "$(as anna virsh domstate guest)"
[ -s "$TEMPLATES/guest-seed.iso" ] || fail "no seed"
assert_match "$(id -u anna)" "$(ps -o uid= -C qemu-system-x86 -C qemu-system-x86_64)"
as anna virsh destroy guest
wait_until 20 test ! -e "$TEMPLATES/guest-seed.iso" || fail "the seed is still there"
assert_eq "$(stat -c '%a %U' "$BASE")" '444 anna'
as anna virsh undefine guest
as anna virsh vol-delete guest.qcow2 default
assert_session_alive anna

# ---- the command -------------------------------------------------------------------------------

step "virt-template asks whom virsh would ask"
as anna virt-template list --pool templates | grep -q '^debian'
as anna virt-template list --pool templates --connect qemu:///session | grep -q '^debian'
as anna env -u XDG_RUNTIME_DIR virt-template list --pool templates | grep -q '^debian'
expect_fail '/run/libvirt/' as anna virt-template list --connect qemu:///system
expect_fail '/run/libvirt/' as anna env LIBVIRT_DEFAULT_URI=qemu:///system virt-template list
expect_fail 'libvirt of this host' as anna virt-template list --connect qemu+ssh://away/session
expect_fail 'root has no session' virt-template list --connect qemu:///session
expect_fail 'for users' virttemplated --session
expect_fail "for --session" virttemplated --background
expect_fail 'another virttemplated answers' as anna virttemplated --session
as anna virttemplated --session --background
assert_one_helper anna

step "doctor looks at the session"
as anna mkdir -p "$HOME_ANNA/.config/systemd/user/sockets.target.wants"
expect_fail 'no unit|damaged' as anna sh -c 'virt-template doctor; false'
as anna ln -s "$(installed virt-template-libvirtd.socket)" \
    "$HOME_ANNA/.config/systemd/user/sockets.target.wants/"
as anna virt-template doctor --json >report || { cat report; fail "doctor finds something"; }
jq -e '[.checks[] | select(.level == "OK") | .check] |
    contains(["module", "user unit", "loaded", "helper", "pool templates: policy"])' report
jq -e '.checks[] | select(.check == "pool templates: seal") | .level == "OK" or
    (.advice | test("needs no root"))' report

# ---- helpers that end --------------------------------------------------------------------------

step "a helper that was killed is started again by the next call"
end_helper anna
session_clone anna web4.qcow2 debian@1.0.0.qcow2
assert_one_helper anna
end_helper anna
as anna virt-template list --pool templates | grep -q '^debian'
assert_one_helper anna

step "however many want one at once, there is one"
end_helper anna
callers=()
for i in 1 2 3 4 5 6; do
    as anna virt-template list --pool templates >"list-$i" 2>&1 &
    callers+=($!)
    as anna virsh pool-refresh templates >"refresh-$i" 2>&1 &
    callers+=($!)
done
for caller in "${callers[@]}"; do
    wait "$caller" || fail "a caller failed: $(cat list-* refresh-*)"
done
assert_one_helper anna

step "without its program the error is clear, and the pool shows what is on disk"
: >nothing
mount --bind nothing "$(installed virttemplated)"
end_helper anna
as anna virsh pool-refresh templates
assert_match 'debian@1.0.0.qcow2' "$(as anna virsh vol-list templates)"
expect_fail "cannot start '$(installed virttemplated)': Permission denied" \
    session_clone anna no.qcow2 debian@1.0.0.qcow2
expect_fail "cannot start '$(installed virttemplated)': Permission denied" \
    as anna virt-template list
[ ! -e "$IMAGES/no.qcow2" ]
assert_session_alive anna
umount "$(installed virttemplated)"
session_clone anna web5.qcow2 debian@1.0.0.qcow2
assert_one_helper anna

step "one that cannot start says why"
end_helper anna
mv "$HOME_ANNA/.local/state/virt-template" away
: >"$HOME_ANNA/.local/state/virt-template"
expect_fail "did not start: cannot make '$HOME_ANNA/.local/state/virt-template': " \
    session_clone anna no.qcow2 debian@1.0.0.qcow2
rm "$HOME_ANNA/.local/state/virt-template"
mv away "$HOME_ANNA/.local/state/virt-template"
session_clone anna web6.qcow2 debian@1.0.0.qcow2
assert_session_alive anna

# ---- two users ---------------------------------------------------------------------------------

step "another user has another helper, and reaches nothing of the first one's"
prepare_user bert
session_pool bert templates "$STORE"
session_clone bert web.qcow2 debian@1.0.0.qcow2
assert_eq "$(guest_sha256 /home/bert/images/web.qcow2)" "$one" 'what the guest reads'
assert_one_helper anna
assert_one_helper bert
expect_fail 'may not use the socket' as bert virt-template list --socket "$(session_socket anna)"
assert_eq "$(as bert virt-template jobs --json | jq '[.jobs[].owner] | unique')" \
    "$(jq -n '[5002]')" 'owners of jobs'

step "nor through a socket that everybody can open"
chmod 755 /run/user/5001 "$(dirname "$(session_socket anna)")"
chmod 666 "$(session_socket anna)"
expect_fail 'cannot be reached' as bert virt-template list --socket "$(session_socket anna)"
as anna virt-template list --pool templates | grep -q '^debian'

step "nobody can put a socket in a user's place"
end_helper anna
rm -r "$(dirname "$(session_socket anna)")"
install -d -o bert -m 0755 "$(dirname "$(session_socket anna)")"
as bert virttemplated --run-dir "$(dirname "$(session_socket anna)")" --state-dir /home/bert/state \
    >>"$LOGS/virttemplated-bert.log" 2>&1 &
impostor=$!
wait_daemon 'the impostor' $impostor test -S "$(session_socket anna)"
chmod 666 "$(session_socket anna)"
as anna virsh pool-refresh templates
expect_fail 'belongs to uid 5002|program of uid 5002|Permission denied|cannot be reached' \
    session_clone anna no.qcow2 debian@1.0.0.qcow2
expect_fail 'belongs to uid 5002|program of uid 5002' as anna virt-template list
stop_pid $impostor
expect_fail 'belongs to uid 5002' as anna virt-template list
rm -r "$(dirname "$(session_socket anna)")"
session_clone anna web7.qcow2 debian@1.0.0.qcow2

step "nor do users see or stop what the system does"
cp /home/anna/.config/virt-template/policy.json /etc/virt-template/policy.json
start_helper
start_libvirtd
define_pool templates "$STORE"
virt-template pull debian@1.0.0 --quiet
job=$(virt-template jobs --json | jq '.jobs[0].id')
as anna virt-template list --connect qemu:///system | grep -q '^debian'
assert_eq "$(as anna virt-template jobs --connect qemu:///system --json | jq -c .jobs)" '[]' 'jobs'
expect_fail 'run this as root' as anna virt-template jobs --connect qemu:///system --cancel "$job"
expect_fail 'run this as root' as anna virt-template pull debian --connect qemu:///system
expect_fail 'run this as root' as anna virt-template evict debian@1.0.0 --connect qemu:///system
[ -f /var/lib/libvirt/images/templates/debian@1.0.0.qcow2 ]

step "a privileged libvirtd starts no helper"
stop_helper
virsh pool-refresh templates
expect_fail 'systemctl status virttemplated' clone no.qcow2 debian@1.0.0.qcow2 templates
assert_eq "$(helper_of root)" '' 'a helper of root'

# ---- the end -----------------------------------------------------------------------------------

step "an idle helper ends, and is started when it is needed"
stop_session bert
end_helper bert
as bert virttemplated --session --background --idle 1
assert_one_helper bert
wait_until 60 no_helper bert || fail "the helper does not end"
[ ! -e "$(session_socket bert)" ] || fail "its socket is still there"
as bert virt-template list | grep -q '^debian'
assert_one_helper bert

step "libvirtd ends and begins, and all is there"
stop_session anna
start_session anna
assert_match 'debian@1.0.0.qcow2' "$(as anna virsh vol-list templates)"
expect_fail "$IMAGES/web1.qcow2" as anna virsh vol-delete debian@1.0.0.qcow2 templates
assert_session_alive anna
