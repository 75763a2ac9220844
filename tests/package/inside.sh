#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What test-systemd.sh runs in the Debian that systemd has booted
set -Eeuo pipefail
export LC_ALL=C VT_SCRATCH=/root/scratch HOME=/root
mkdir "$VT_SCRATCH"
cd "$VT_SCRATCH"
exec 3>&1 1>&2
# shellcheck source=tests/e2e/machine.sh
. /root/test/machine.sh
# shellcheck source=tests/steps.sh
. /root/test/steps.sh

vt_print_logs() {
    journalctl --no-pager --quiet --boot -p info -n 200 | cut -c -300
}

STORE=oci:/srv/golden
IMAGES=/var/lib/libvirt/images

step "systemd is up, with our sockets, and without the daemon that nobody asked for yet"
systemctl is-system-running --wait || :  # the next lines say what is wrong
assert_eq "$(systemctl --failed --no-legend)" '' 'failed units'
for socket in virttemplated virttemplated-ro virttemplated-metrics; do
    assert_eq "$(systemctl is-active $socket.socket)" active
done
assert_eq "$(systemctl is-active virttemplated.service || :)" inactive
[ ! -e /etc/systemd/user/sockets.target.wants/virt-template-libvirtd.socket ] ||
    fail "the package takes the place of each user's libvirtd"

step "a template becomes a linked clone"
make_key golden
install -D -m 0644 golden.pub /etc/virt-template/golden.pub
make_policy /etc/virt-template/golden.pub
make_store $STORE golden.key
make_image 64M one.img 1
publish $STORE golden.key one.img debian@1.0.0
define_pool templates $STORE
define_dir_pool default
assert_match 'debian@1.0.0.qcow2' "$(virsh vol-list templates)"
clone web.qcow2 debian@1.0.0.qcow2
assert_match "backing file: $IMAGES/templates/debian@1.0.0.qcow2" "$(qemu-img info $IMAGES/default/web.qcow2)"
qemu-img compare $IMAGES/default/web.qcow2 one.img
assert_match '^....i' "$(lsattr $IMAGES/templates/debian@1.0.0.qcow2)"

step "the workers were units of their own, as other users"
journal=$(journalctl --no-pager -u 'virttemplated-fetch@*' -u 'virttemplated-unpack@*')
assert_match 'Started virttemplated-fetch@' "$journal"
assert_match 'Started virttemplated-unpack@' "$journal"
assert_no_match 'Failed|code=' "$journal"

step "the journal knows what was done, and explains it"
pulled=$(journalctl --no-pager -o json MESSAGE_ID=44cfea74fbfd412e8153240844e4e15c)
assert_match 'debian@1.0.0' "$(jq -r .MESSAGE <<<"$pulled")"
assert_eq "$(jq -r ._SYSTEMD_UNIT <<<"$pulled")" virttemplated.service
journalctl --update-catalog
assert_match '^-- ' "$(journalctl --no-pager -x MESSAGE_ID=44cfea74fbfd412e8153240844e4e15c)"

step "metrics on the socket"
assert_match 'virt_template_build_info' \
    "$(curl -sSf --unix-socket /run/virt-template/metrics-sock http://localhost/metrics)"
assert_eq "$(journalctl --no-pager --quiet -o cat _COMM=virt-template)" '' 'what it complained of'

step "doctor finds nothing"
virt-template doctor

step "a daemon that is killed comes back with the next call"
before=$(systemctl show -P MainPID virttemplated.service)
kill -KILL "$before"
wait_until 20 virsh vol-info debian@1.0.0.qcow2 templates
clone web2.qcow2 debian@1.0.0.qcow2
[ "$(systemctl show -P MainPID virttemplated.service)" != "$before" ]
virt-template verify debian@1.0.0

step "libvirtd is started again, and everything is there"
systemctl restart libvirtd.service
assert_match 'debian@1.0.0.qcow2' "$(virsh vol-list templates)"
expect_fail "$IMAGES/default/web.qcow2" virsh vol-delete debian@1.0.0.qcow2 templates

step "a guest runs over it as the user of QEMU, and the base stays as it was"
before=$(stat -c '%u %g %a' $IMAGES/templates/debian@1.0.0.qcow2)
virt-template provision debian@1.0.0 guest --virt-type qemu --no-network --memory 64 --set hostname=guest --start
assert_eq "$(virsh domstate guest)" running
assert_eq "$(stat -c %U "/proc/$(</run/libvirt/qemu/guest.pid)")" libvirt-qemu
assert_eq "$(stat -c '%u %g %a' $IMAGES/templates/debian@1.0.0.qcow2)" "$before"
virsh destroy guest
virsh undefine guest
virsh vol-delete guest.qcow2 default

step "where files have no immutable flag, systemd seals them by mounts"
mkdir /srv/ram
mount -t ramfs ramfs /srv/ram
define_pool ram $STORE /srv/ram/templates
clone ram.qcow2 debian@1.0.0.qcow2 default ram
base=/srv/ram/templates/debian@1.0.0.qcow2
assert_match '(^|,)ro(,|$)' "$(findmnt -n -o OPTIONS "$base")"
assert_match 'loaded +active +mounted' "$(systemctl list-units --type=mount --no-legend 'srv-ram-*debian*')"
expect_fail 'Read-only file system' dd if=/dev/zero of="$base" bs=4k count=1 conv=notrunc
qemu-img compare $IMAGES/default/ram.qcow2 one.img
virsh vol-delete ram.qcow2 default
virsh vol-delete debian@1.0.0.qcow2 ram
no_mounts() { [ -z "$(systemctl list-units --type=mount --no-legend 'srv-ram-templates-*')" ]; }
wait_until 20 no_mounts || fail "mounts are left"
virsh pool-destroy ram
virsh pool-undefine ram

step "a user has template pools, too, once that is asked for"
useradd -m -s /bin/bash anna
loginctl enable-linger anna
wait_until 20 systemctl is-active "user@$(id -u anna).service"
as_anna() { runuser -u anna -- env HOME=/home/anna XDG_RUNTIME_DIR="/run/user/$(id -u anna)" \
    LIBVIRT_DEFAULT_URI=qemu:///session "$@"; }
as_anna systemctl --user enable --now virt-template-libvirtd.socket
as_anna install -D -m 0644 $POLICY /home/anna/.config/virt-template/policy.json
POLICY=/home/anna/.config/virt-template/policy.json pool_xml mine $STORE /home/anna/templates >mine.xml
install -m 0644 mine.xml volume-web.qcow2.xml /home/anna
as_anna virsh pool-define /home/anna/mine.xml
as_anna virsh pool-start mine --build
assert_match 'debian@1.0.0.qcow2' "$(as_anna virsh vol-list mine)"
as_anna virsh vol-create-from mine /home/anna/volume-web.qcow2.xml debian@1.0.0.qcow2 --inputpool mine
qemu-img compare /home/anna/templates/web.qcow2 one.img

step "nothing has failed on the way"
assert_eq "$(systemctl --failed --no-legend)" '' 'failed units'

step "without the packages libvirt is as it was, and the images are where they were"
virsh vol-delete web2.qcow2 default
DEBIAN_FRONTEND=noninteractive dpkg --purge virt-template-driver virt-template
systemctl restart libvirtd.service
assert_match 'web.qcow2' "$(virsh vol-list default)"
qemu-img compare $IMAGES/default/web.qcow2 one.img
assert_eq "$(systemctl list-units --all --no-legend 'virttemplated*')" '' 'units'
assert_eq "$(systemctl --failed --no-legend)" '' 'failed units'
assert_match 'templates ' "$(virsh pool-list --all)"
assert_eq "$(find /etc /usr /lib -name '*virt-template*' -not -path /etc/virt-template -o -name '*virttemplated*')" '' \
    'what is left'
