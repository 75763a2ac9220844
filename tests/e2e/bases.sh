# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Bases and the guests over them, for the tests of seals. Sourced after functions.sh.

TEMPLATES=/var/lib/libvirt/images/templates

# publish_two STORE SIZE: debian@1.0.0 is one.img, and debian@1.1.0, a layer over it, two.img
publish_two() {
    make_key golden
    make_policy "$PWD/golden.pub"
    make_store "$1" golden.key
    make_image "$2" one.img
    cp one.img two.img
    dd if=/dev/urandom of=two.img bs=4096 seek=700 count=50 conv=notrunc status=none
    publish "$1" golden.key one.img debian@1.0.0
    publish "$1" golden.key two.img debian@1.1.0 --parent auto
}

# bases [FOLDER]: every name of every file that guests share
bases() {
    find "${1:-$TEMPLATES}" -name '*@*.qcow2' -o -path '*/.layers/*.qcow2' | sort
}

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
