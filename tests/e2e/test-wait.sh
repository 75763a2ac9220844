#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What provision --wait goes by: a lease of libvirt's DHCP server, or ARP, and each of them alone. The guest
# agent needs a guest: test-boot.sh.
#
# The disk has no system. What stands in for it is a second device on the guest's bridge, in a network
# namespace of its own, with the MAC address of the guest's card: for libvirt, that is where the guest is.
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template dnsmasq busybox ip jq

STORE=oci:$PWD/golden
# A loaded machine takes some seconds to start QEMU
WAIT_S=120

# stand_in NETWORK MAC: a system at the bridge of the network, in the namespace "guest"
stand_in() {
    ip link add near type veth peer name eth0 address "$2" netns guest
    ip link set near master "$1" up
    in_guest ip link set eth0 up
}

in_guest() {
    ip netns exec guest "$@"
}

# provision NAME NETWORK MAC: in the background; its output goes to up.log
provision() {
    virt-template provision debian@1.0.0 "$1" --virt-type qemu --start --wait $WAIT_S --hardware /dev/stdin \
        >up.log 2>&1 <<END &
{"memory": 64, "interfaces": [{"network": "$2", "mac": "$3"}]}
END
    waiting=$!
    wait_until 60 running "$1" || fail "$1 does not start: $(cat up.log)"
    stand_in "$2" "$3"
}

running() {
    [ "$(virsh domstate "$1")" = running ]
}

# leases NAME: those that libvirt gave
leases() {
    virsh domifaddr "$1" --source lease | sed '1,2d; /^$/d'
}

# neighbours: the addresses that this host has learned
neighbours() {
    ip -4 neigh | awk '/lladdr/ {print $1}'
}

# still_waiting NAME: it runs, and nobody has seen it
still_waiting() {
    # Three times it looks
    sleep 1.5
    [ -d /proc/$waiting ] || fail "it did not wait: $(cat up.log)"
    assert_eq "$(leases "$1")$(neighbours)" ''
    expect_fail 'agent is not connected|agent is not configured' virsh domifaddr "$1" --source agent
}

# is_up NAME ADDRESS
is_up() {
    wait $waiting || fail "$(cat up.log)"
    assert_eq "$(cat up.log)" "$1 is started
$1 $2"
    virsh destroy "$1"
    virsh undefine "$1"
    virsh vol-delete "$1.qcow2" default
    ip link del near
}

host_with_template "$STORE"
ip netns add guest

step "a lease that libvirt's DHCP server gave"
# Forwarding without rules: this machine may have no firewall
cat >leased.xml <<'END'
<network><name>leased</name><forward mode='open'/><bridge name='leased'/>
  <ip address='192.0.2.1' netmask='255.255.255.0'>
    <dhcp><range start='192.0.2.77' end='192.0.2.77'/></dhcp></ip></network>
END
virsh net-define leased.xml
virsh net-start leased
provision by-lease leased 52:54:00:00:00:07
still_waiting by-lease
# It asks for broadcast answers, and takes no address: nobody has a reason to ask by ARP who it is
in_guest busybox udhcpc -i eth0 -B -n -q -f -s /bin/true
# dnsmasq's own helper writes it down, a moment later
wait_until 10 grep -q 192.0.2.77 /var/lib/libvirt/dnsmasq/leased.status
assert_match 192.0.2.77 "$(leases by-lease)"
assert_eq "$(neighbours)" ''
is_up by-lease 192.0.2.77

step "what this host has learned by ARP"
ip link add lan type bridge
ip address add 198.51.100.1/24 dev lan
ip link set lan up
echo "<network><name>lan</name><forward mode='bridge'/><bridge name='lan'/></network>" >lan.xml
virsh net-define lan.xml
virsh net-start lan
provision by-arp lan 52:54:00:00:00:08
in_guest ip address add 198.51.100.8/24 dev eth0
still_waiting by-arp
in_guest busybox ping -c 1 -W 10 198.51.100.1
assert_eq "$(neighbours)" 198.51.100.8
assert_eq "$(leases by-arp)" ''
is_up by-arp 198.51.100.8

step "who has an address of no use to others, is not up"
ip neigh flush dev lan
provision idle lan 52:54:00:00:00:09
in_guest ip address add 169.254.7.7/16 dev eth0
ip address add 169.254.7.1/16 dev lan
in_guest busybox ping -c 1 -W 10 169.254.7.1
assert_eq "$(neighbours)" 169.254.7.7
sleep 1.5
[ -d /proc/$waiting ] || fail "it did not wait: $(cat up.log)"

step "a guest that ends is not waited for"
virsh destroy idle
status=0
wait $waiting || status=$?
assert_eq $status 1 'exit status'
assert_match "the domain 'idle' has stopped" "$(cat up.log)"

assert_libvirtd_alive
