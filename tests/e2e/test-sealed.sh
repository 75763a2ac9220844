#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No guest, no chown by libvirt and no process of QEMU's user changes a base that guests share
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/e2e/bases.sh
. "$VT_E2E_DIR/bases.sh"
requires virsh qemu-img qemu-system-x86_64 virt-template python3 setpriv lsattr findmnt

STORE=oci:$PWD/golden
DEFAULT=/var/lib/libvirt/images/default
QEMU_USER=libvirt-qemu
ATTACK=$VT_E2E_DIR/attack.py
# A folder of the user of QEMU, on the file system of the bases
MINE=/var/lib/libvirt/images/mine

# state: owner, mode, size, content and flags of all of them
state() {
    local file
    for file in $(bases); do
        stat -c '%n %U:%G %a %s' "$file"
        sha256sum <"$file"
    done
}

# unchanged WHEN
unchanged() {
    assert_eq "$(state)" "$before" "the bases $1"
    assert_no_match evil "$(find $TEMPLATES)"
}

# attacked [PID]: as the user of QEMU, all that comes to mind
attacked() {
    local file pid=${1:-}
    for file in $(bases); do
        as_qemu python3 "$ATTACK" $MINE "$file" ||
            fail "the user of QEMU changed $file"
    done
    [ -n "$pid" ] || return 0
    # the version, and the layer below it
    for file in $TEMPLATES/debian@1.1.0.qcow2 "$below"; do
        as_qemu python3 "$ATTACK" $MINE "$file" "$pid" ||
            fail "the QEMU process $pid changed $file"
    done
}

# mounts: the names over which there is a read-only mount
mounts() {
    findmnt --list --noheadings --output TARGET,OPTIONS | awk -v pool=$TEMPLATES/ \
        'index($1, pool) == 1 && $2 ~ /^ro,/ {print $1}'
}

# sealed_again immutable|mounts [NAMES]
sealed_again() {
    if [ "$1" = mounts ]; then
        [ "$(mounts | wc -l)" = "${2:-4}" ]
    else
        [ "$(bases | xargs lsattr | grep -c '^....i')" = 4 ]
    fi
}

# pid_of DOMAIN
pid_of() {
    cat "/run/libvirt/qemu/$1.pid"
}

# as_qemu COMMAND...: as its user
as_qemu() {
    setpriv --reuid=$QEMU_USER --regid=kvm --init-groups "$@"
}

# a version and its layer are one file, with two names
templates_here() {
    virt-template pull debian@1.1.0 --pool templates
    virt-template pull debian@1.0.0 --pool templates
    below=$(qemu-img info --output json $TEMPLATES/debian@1.1.0.qcow2 | jq -r '."full-backing-filename"')
    before=$(state)
    assert_eq "$(wc -l <<<"$before")" 8 "two versions, two layers, two lines each"
    assert_eq "$(grep -c ' root:root 444 ' <<<"$before")" 4 "files of root that nobody may write"
}

# the_life_of_guests: starts, attacks, commits, pulls, a start that fails, and the end
the_life_of_guests() {
    step "$1: guests start over the base, and nothing of it has changed"
    clone web1.qcow2 debian@1.1.0.qcow2
    clone web2.qcow2 debian@1.1.0.qcow2
    start_domain web1 $DEFAULT/web1.qcow2
    start_domain web2 $DEFAULT/web2.qcow2
    assert_eq "$(stat -c %U $DEFAULT/web1.qcow2)" $QEMU_USER "owner of the clone: libvirt changes owners"
    assert_eq "$(ps -o user:20= -p "$(pid_of web1)" | tr -d ' ')" $QEMU_USER "who QEMU runs as"
    unchanged "after two starts"

    step "$1: the user of QEMU cannot change the base"
    attacked "$(pid_of web1)"
    unchanged "after the attacks"

    step "$1: a base cannot be committed into"
    commits_refused
    unchanged "after the commits"

    step "$1: pulling the base into a clone only reads it"
    virsh blockpull web2 vda --wait
    unchanged "after the pull"
    virsh destroy web2

    step "$1: a start that fails changes nothing"
    domain missing $DEFAULT/web2.qcow2 $DEFAULT/nothing.qcow2 >missing.xml
    virsh define missing.xml
    expect_fail 'nothing.qcow2' virsh start missing
    unchanged "after a start without the second disk"
    # found by QEMU, after libvirt has changed all owners
    head -c 64K /dev/zero >$DEFAULT/broken.qcow2
    domain broken $DEFAULT/web2.qcow2 $DEFAULT/broken.qcow2 >broken.xml
    virsh define broken.xml
    expect_fail 'not in qcow2 format' virsh start broken
    unchanged "after a start that QEMU refused"

    step "$1: a guest cannot have the base itself as a disk to write"
    direct_refused
    unchanged "after that"

    step "$1: the end of a guest changes nothing"
    virsh destroy web1
    unchanged "after destroy"
    attacked
    for name in web1 web2 missing broken; do virsh undefine $name; done
}

# commits_refused: of a running guest's disk, and by qemu-img as its user
commits_refused() {
    local base=$TEMPLATES/debian@1.1.0.qcow2
    virsh snapshot-create-as web1 snap --disk-only --no-metadata --diskspec vda,file=$DEFAULT/web1-snap.qcow2
    unchanged "after a snapshot"
    expect_fail "$DENIED" virsh blockcommit web1 vda --base "$base" --top $DEFAULT/web1.qcow2 --wait
    expect_fail "$DENIED" virsh blockcommit web1 vda --base "$below" --top "$base" --wait
    unchanged "after blockcommit"
    # without a base it means the lowest layer
    expect_fail "$DENIED" virsh blockcommit web1 vda --active --pivot --wait
    virsh blockcommit web1 vda --active --pivot --wait --shallow
    rm $DEFAULT/web1-snap.qcow2
    # Debian's user of QEMU may use its own copy of the clone
    cp $DEFAULT/web2.qcow2 $DEFAULT/own.qcow2
    chown $QEMU_USER $DEFAULT/own.qcow2
    expect_fail "$DENIED" as_qemu qemu-img commit -f qcow2 $DEFAULT/own.qcow2
    expect_fail "$DENIED" as_qemu qemu-img commit -f qcow2 -b "$below" $DEFAULT/own.qcow2
    expect_fail "$DENIED" as_qemu qemu-img rebase -f qcow2 -F qcow2 -b $DEFAULT/own.qcow2 "$base"
    expect_fail "$DENIED" as_qemu qemu-img resize "$base" +1G
    expect_fail "$DENIED" qemu-img commit -f qcow2 $DEFAULT/own.qcow2
    rm $DEFAULT/own.qcow2
}

direct_refused() {
    domain direct $TEMPLATES/debian@1.0.0.qcow2 >direct.xml
    virsh define direct.xml
    expect_fail "$DENIED" virsh start direct
    virsh undefine direct
}

step "two versions, one over the other, and no security driver"
publish_two "$STORE" 64M
printf '%s\n' 'security_driver = "none"' 'dynamic_ownership = 1' "user = \"$QEMU_USER\"" \
    'group = "kvm"' >>/etc/libvirt/qemu.conf
start_virtlogd
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
install -d -o $QEMU_USER $MINE

step "without a seal libvirt gives a base to the user of QEMU: what this is about"
qemu-img create -q -f qcow2 $DEFAULT/plain.qcow2 16M
chmod 444 $DEFAULT/plain.qcow2
qemu-img create -q -f qcow2 -b $DEFAULT/plain.qcow2 -F qcow2 $DEFAULT/over.qcow2
start_domain plain $DEFAULT/over.qcow2
assert_eq "$(stat -c %U $DEFAULT/plain.qcow2)" $QEMU_USER "owner of a plain base"
expect_fail 'DONE: chmod and write' as_qemu python3 "$ATTACK" $MINE $DEFAULT/plain.qcow2
virsh destroy plain
virsh undefine plain

DENIED='Operation not permitted|Permission denied'
templates_here
assert_eq "$(bases | xargs lsattr | grep -c '^....i')" 4 "immutable files"
the_life_of_guests immutable

step "a helper that was interrupted left a base without its seal, and libvirt took it: it is given back"
stop_helper
chattr -i $TEMPLATES/debian@1.1.0.qcow2
chown $QEMU_USER:kvm $TEMPLATES/debian@1.1.0.qcow2
chmod 600 $TEMPLATES/debian@1.1.0.qcow2
start_helper
wait_until 10 sealed_again immutable
unchanged "after the start of the helper"

step "the helper may not set the flag: what is sealed with it stays, what is new gets read-only mounts"
stop_helper
as_unit() { exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-linux_immutable "$@"; }
start_helper
expect_fail 'immutable flag' virt-template evict debian@1.0.0 --pool templates
unchanged "after an eviction that was not possible"
bases | xargs chattr -i
for version in 1.1.0 1.0.0; do
    for name in web1 web2; do [ ! -e $DEFAULT/$name.qcow2 ] || virsh vol-delete $name.qcow2 default; done
    virt-template evict debian@$version --pool templates
done
assert_eq "$(bases)$(mounts)" '' "what is left"
DENIED='Permission denied|Read-only file system'
templates_here
assert_eq "$(mounts | wc -l)" 4 "read-only mounts"
the_life_of_guests mounts

step "mounts: they stay when the helper and libvirtd start again, and are made again after a reboot"
restart_helper
restart_libvirtd
assert_eq "$(mounts | wc -l)" 4 "read-only mounts"
stop_helper
mounts | xargs umount
chown $QEMU_USER:kvm $TEMPLATES/debian@1.1.0.qcow2
start_helper
wait_until 10 sealed_again mounts
unchanged "after the reboot"

step "mounts: a layer whose version somebody has removed stays one, although no seal tells that any more"
stop_helper
mounts | xargs umount
rm $TEMPLATES/debian@1.1.0.qcow2
start_helper
wait_until 10 sealed_again mounts 3
assert_eq "$(find $TEMPLATES/.layers/.partial -type f)" '' "what is taken for a download"
virt-template pull debian@1.1.0 --pool templates
assert_eq "$(mounts | wc -l)" 4 "read-only mounts"
unchanged "when the version is there again"

step "mounts: a damaged base is repaired under all its names, also while guests have it open"
virsh define web1.xml
virsh start web1
umount $TEMPLATES/debian@1.0.0.qcow2
printf damaged | dd of=$TEMPLATES/debian@1.0.0.qcow2 bs=1 seek=4000000 conv=notrunc status=none
virt-template verify --repair debian@1.0.0 --pool templates
assert_eq "$(mounts | wc -l)" 4 "read-only mounts"
unchanged "after the repair"
attacked
virsh destroy web1
virsh undefine web1

step "mounts: one version is evicted, the other stays sealed; evicting that leaves nothing behind"
for name in web1 web2; do virsh vol-delete $name.qcow2 default; done
virt-template evict debian@1.1.0 --pool templates
assert_eq "$(mounts | wc -l)" 2 "read-only mounts"
as_qemu python3 "$ATTACK" $MINE $TEMPLATES/debian@1.0.0.qcow2
virt-template pull debian@1.1.0 --pool templates
assert_eq "$(mounts | wc -l)" 4 "read-only mounts"
virt-template evict debian@1.1.0 --pool templates
virt-template evict debian@1.0.0 --pool templates
assert_eq "$(bases)$(mounts)" '' "what is left"

step "doctor knows what is possible, and leaves nothing behind"
report=$(setpriv --bounding-set=-linux_immutable virt-template doctor || :)  # other checks fail here
assert_match 'seal.*read-only mount' "$report"
report=$(setpriv --bounding-set=-linux_immutable,-sys_admin virt-template doctor || :)
assert_match 'libvirt can change the owner of layers: none, no immutable flag' "$report"
assert_match 'seal.*immutable' "$(virt-template doctor || :)"
assert_eq "$(find $TEMPLATES -name '.virt-template-probe')$(mounts)" '' "what is left"
assert_libvirtd_alive
