#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A real Debian, published and provisioned twice: both boot, and are the machines that were asked for
set -euo pipefail
# shellcheck source=tests/e2e/guest.sh
. "$(dirname "$0")/guest.sh"
make_guest_image
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template debugfs ssh ssh-keygen ssh-keyscan mmdebstrap ip

STORE=oci:$PWD/golden
# TCG on a machine of two cores that does much else; alone it takes half a minute
BOOT_S=400

# address NAME
address() {
    case $1 in
    web1) echo 192.0.2.11 ;;
    web2) echo 192.0.2.12 ;;
    esac
}

guest() {
    local name=$1
    shift
    ssh -q -i anna -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes \
        -o ConnectTimeout=5 "anna@$(address "$name")" "$@"
}

finished() {
    guest "$1" test -e /run/cloud-init/result.json
}

step "a Debian with cloud-init is published"
ssh-keygen -q -t ed25519 -N '' -f anna
make_key golden
make_policy "$PWD/golden.pub"
make_store "$STORE" golden.key
cp --sparse=always "$GUEST_IMAGE" used.img
# as an image that somebody has booted and not prepared
echo 0123456789abcdef0123456789abcdef >machine-id
debugfs -w -f - 'used.img?offset=1048576' <<END
rm /etc/machine-id
write machine-id /etc/machine-id
set_inode_field /etc/machine-id mtime 202001010000
END
publish "$STORE" golden.key used.img debian@1.0.0
rm used.img

step "two guests start, and the guest agent says that one is up: there is no other way yet"
# A bridge that only the guests are on: nobody gives them leases, and no ARP is heard here
ip link add lan type bridge
ip link set lan up
start_helper
start_virtlogd
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
echo "<network><name>lan</name><forward mode='bridge'/><bridge name='lan'/></network>" >lan.xml
virsh net-define lan.xml
virsh net-start lan
echo 'from: outside # {}[]!&*' >note
provision() {
    local name=$1
    shift
    virt-template provision debian@1.0.0 "$name" --virt-type qemu --memory 512 --network lan \
        --size 4G --set hostname="$name.example" --set address="$(address "$name")/24" \
        --set user=anna --set sudo=yes --set ssh-key=@anna.pub \
        --set file=/etc/note:note --set timezone=Europe/Berlin \
        --set "command=echo $name > /var/lib/marker" "$@"
}
provision web2
# it reads a config drive
virsh dumpxml --inactive web2 | sed "s|<vt:seed |<vt:seed datasource='configdrive' |" >web2.xml
virsh define web2.xml
virsh start web2
provision web1 --start --wait $BOOT_S >up.log
assert_eq "$(cat up.log)" "web1 is started
web1 192.0.2.11"
assert_eq "$(ip -4 neigh show)" '' 'addresses known by ARP'
assert_eq "$(virsh domifaddr web1 --source lease | sed '1,2d; /^$/d')" '' leases
assert_match '192.0.2.11' "$(virsh domifaddr web1 --source agent)"
ip address add 192.0.2.1/24 dev lan
virt-template pull --pool templates debian@1.0.0
before=$(sha256sum /var/lib/libvirt/images/templates/debian@1.0.0.qcow2)

step "both are up, at the addresses that they were given"
for name in web1 web2; do
    wait_until $BOOT_S finished $name || {
        tail -n 30 /var/log/libvirt/qemu/$name.log
        fail "$name does not come up"
    }
done

step "each is the machine that was asked for"
for name in web1 web2; do
    assert_eq "$(guest $name hostname)" $name
    assert_eq "$(guest $name hostname -f)" $name.example
    assert_eq "$(guest $name cat /etc/note)" 'from: outside # {}[]!&*'
    assert_eq "$(guest $name cat /var/lib/marker)" $name
    assert_eq "$(guest $name sudo id -u)" 0
    assert_match Europe/Berlin "$(guest $name readlink /etc/localtime)"
    assert_match "^eth0 .*$(address $name)/24" "$(guest $name ip -br address)"
    # 4 GiB of which the image had 2
    [ "$(guest $name df --output=size -B1M / | tail -n 1)" -gt 3500 ] || fail "/ did not grow"
    assert_match '"errors": \[\]' "$(guest $name sudo cat /run/cloud-init/result.json)"
done

step "no two of them share what identifies a machine"
for what in 'cat /etc/machine-id' 'cat /etc/ssh/ssh_host_ed25519_key.pub' \
    'sudo cat /var/lib/cloud/data/instance-id'; do
    one=$(guest web1 "$what") two=$(guest web2 "$what")
    [ -n "$one" ] || fail "'$what' says nothing"
    [ "$one" != "$two" ] || fail "'$what' is the same in both: $one"
done
for name in web1 web2; do
    assert_match '^[0-9a-f]{32}$' "$(guest $name cat /etc/machine-id)"
    [ "$(guest $name cat /etc/machine-id)" != "$(cat machine-id)" ] || fail "$name has the image's id"
done
assert_eq "$(guest web1 sudo cat /var/lib/cloud/data/instance-id)" "$(virsh domuuid web1)"

step "a restart keeps the instance; the base is as it was"
key=$(ssh-keyscan -t ed25519 "$(address web1)" 2>/dev/null)
virsh destroy web2
virsh destroy web1
[ ! -e /var/lib/libvirt/images/templates/web1-seed.iso ]
virsh start web1
wait_until $BOOT_S finished web1 || fail "web1 does not come up again"
assert_eq "$(ssh-keyscan -t ed25519 "$(address web1)" 2>/dev/null)" "$key" 'host key'
assert_eq "$(guest web1 cat /var/lib/marker)" web1
virsh destroy web1
assert_eq "$(sha256sum /var/lib/libvirt/images/templates/debian@1.0.0.qcow2)" "$before"
assert_libvirtd_alive
