#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No guest, no chown by libvirt and no process of QEMU's user changes a base that guests share
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img qemu-system-x86_64 virt-template python3 setpriv lsattr findmnt

STORE=oci:$PWD/golden
TEMPLATES=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default
QEMU_USER=libvirt-qemu
ATTACK=$VT_E2E_DIR/attack.py
# A folder of the user of QEMU, on the file system of the bases
MINE=/var/lib/libvirt/images/mine

# domain NAME DISK...: it has no firmware entry that would boot; QEMU runs, and that is enough
domain() {
    local name=$1 disk letter=a
    shift
    cat <<XML
<domain type='qemu'><name>$name</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
XML
    for disk in "$@"; do
        cat <<XML
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='$disk'/><target dev='vd$letter' bus='virtio'/></disk>
XML
        letter=b
    done
    echo "</devices></domain>"
}

# start_domain NAME DISK...
start_domain() {
    domain "$@" >"$1.xml"
    virsh define "$1.xml"
    virsh start "$1"
}

# bases: every name of every file that guests share
bases() {
    find $TEMPLATES -name '*@*.qcow2' -o -path '*/.layers/*.qcow2' | sort
}

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
    # the lock of another guest: found by QEMU, after libvirt has changed all owners
    domain locked $DEFAULT/web2.qcow2 $DEFAULT/web1.qcow2 >locked.xml
    virsh define locked.xml
    expect_fail 'lock' virsh start locked
    unchanged "after a start that QEMU refused"

    step "$1: a guest cannot have the base itself as a disk to write"
    direct_refused
    unchanged "after that"

    step "$1: the end of a guest changes nothing"
    virsh destroy web1
    unchanged "after destroy"
    attacked
    for name in web1 web2 missing locked; do virsh undefine $name; done
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
make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
make_image 64M one.img
cp one.img two.img
dd if=/dev/urandom of=two.img bs=4096 seek=700 count=50 conv=notrunc status=none
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key two.img debian@1.1.0 --parent auto
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
assert_libvirtd_alive
