#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Workers as units of their own, and a daemon with no more power than its unit leaves it
#
# systemd is not running here: systemd-socket-activate takes connections as its socket units do, and
# setpriv gives users and capabilities as its service units do. Namespaces and filters of systemd's
# own are not part of this.
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-template systemd-socket-activate setpriv jq isoinfo

POOL=/var/lib/libvirt/images/templates
SOCKETS=/run/virt-template
KINDS='copy fetch seed unpack upload'

# setting UNIT NAME: of the installed unit
setting() {
    sed -n "s/^$2=//p" "$(installed "$1")"
}

# start_worker_unit KIND
start_worker_unit() {
    local unit=virttemplated-$1@.service user path
    user=$(setting "$unit" User)
    path=$(setting "virttemplated-$1.socket" ListenSequentialPacket)
    mkdir -p "${path%/*}"
    systemd-socket-activate --accept --seqpacket --listen="$path" \
        setpriv --reuid="$user" --regid="$user" --clear-groups --inh-caps=-all \
        --bounding-set=-all --no-new-privs "$(setting "$unit" ExecStart)" \
        3>&- >>"$LOGS/worker-$1.log" 2>&1 &
    worker_units+=($!)
    wait_daemon "worker unit $1" $! test -S "$path"
}

worker_units=()
start_worker_units() {
    local kind
    for kind in $KINDS; do start_worker_unit "$kind"; done
}

stop_worker_units() {
    local pid
    for pid in "${worker_units[@]}"; do stop_pid "$pid"; done
    worker_units=()
    rm -f $SOCKETS/*
}

# With no more than the capabilities of the unit
as_unit() {
    local set
    set=$(setting virttemplated.service CapabilityBoundingSet | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
    exec setpriv --no-new-privs --inh-caps=-all "--bounding-set=-all,$set" "$@"
}

# workers: pids of those of a pull, a copy or an upload; the next seed worker waits
workers() {
    ps -e -o pid=,comm= | awk '$2 ~ /^(copy|fetch|unpack|upload)-worker$/ {print $1}'
}

no_workers_left() {
    [ -z "$(workers)" ]
}

# shellcheck disable=SC2119 # neither TLS nor a password
start_registry
STORE=docker://$REGISTRY/golden
make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
start_worker_units
# shellcheck disable=SC2207 # a list of words
HELPER_OPTIONS=($(setting virttemplated.service ExecStart | cut -d' ' -f2-))
start_helper "${HELPER_OPTIONS[@]}"
start_virtlogd
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default

step "the daemon has no power to start a worker by itself"
assert_eq "$(sed -n 's/^CapBnd:\t//p' "/proc/$HELPER_PID/status")" 000000001000022b
assert_eq "$(sed -n 's/^CapEff:\t//p' "/proc/$HELPER_PID/status")" 000000001000022b

step "a pull, a use of it and a full copy, by workers that are no children of the daemon"
virt-template pull debian@1.0.0
virt-template verify debian@1.0.0
clone web.qcow2 debian@1.0.0.qcow2
assert_eq "$(guest_sha256 /var/lib/libvirt/images/default/web.qcow2)" \
    "$(sha256sum <one.img | cut -d' ' -f1)"
volume_xml copy.raw raw >copy.xml
virsh vol-create-from default copy.xml debian@1.0.0.qcow2 --inputpool templates
cmp one.img /var/lib/libvirt/images/default/copy.raw
no_workers_left || fail "workers are left: $(workers)"

step "seeds of an upload and of a domain"
printf '#cloud-config\nhostname: web\n' >web.yaml
virsh vol-create-as templates web-seed.iso 1M
virsh vol-upload web-seed.iso web.yaml --pool templates
wait_until 10 isoinfo -R -x /user-data -i $POOL/web-seed.iso
virt-template provision debian@1.0.0 app --set hostname=app --virt-type qemu --memory 64 \
    --vcpus 1 --no-network
virsh start app
assert_match '"local-hostname":"app"' "$(isoinfo -R -x /meta-data -i $POOL/app-seed.iso)"
virsh destroy app

step "a layout, whose worker has no network"
make_store "oci:$PWD/layout" golden.key
publish "oci:$PWD/layout" golden.key one.img other@1.0.0
define_pool layout "oci:$PWD/layout"
virt-template pull other@1.0.0 --pool layout

step "cancelled: even workers that do not listen are gone"
make_image 64M two.img 2
publish "$STORE" golden.key two.img slow@1.0.0
virsh pool-refresh templates
stop_helper
start_helper "${HELPER_OPTIONS[@]}" --limit-rate 100K
virt-template pull --detach slow@1.0.0 --pool templates
wait_until 60 pgrep -x unpack-worker || fail "no unpack worker was started"
# shellcheck disable=SC2046 # one or more
kill -STOP $(workers)
virt-template jobs --cancel "$(virt-template jobs --json |
    jq '[.. | objects | select(.state? == "running")][0].id')"
wait_until 60 no_workers_left || fail "workers are left: $(workers)"

step "a worker of another version says so, and gives no hand to a daemon"
cat >stranger.py <<'END'
import array, socket, sys
daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
daemon.connect(sys.argv[1])
pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
rights = array.array("i", [pair[1].fileno()])
daemon.sendmsg([b"0.0.0".ljust(32, b"\0")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
pair[1].close()
sys.exit(0 if daemon.recv(16) == b"" and pair[0].recv(16) == b"" else 1)
END
python3 stranger.py $SOCKETS/unpack-worker
assert_match 'virttemplated has version 0.0.0; restart' "$(cat "$LOGS/worker-unpack.log")"

step "without the units a fetch fails, and says what is missing"
stop_worker_units
expect_fail 'fetch-worker' virt-template pull slow@1.0.0 --pool templates
start_worker_units
restart_helper "${HELPER_OPTIONS[@]}"
virt-template pull slow@1.0.0 --pool templates
virt-template verify slow@1.0.0 --pool templates
assert_libvirtd_alive
