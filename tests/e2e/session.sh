# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Users of the private machine, each with a home, a runtime directory and a libvirtd of his own.
# Sourced after functions.sh.

declare -A SESSION_LIBVIRTD

# Homes on the scratch file system, by a path that leaves room for the names of libvirt's sockets
mkdir -p "$VT_SCRATCH/home" /run/user
mount --bind "$VT_SCRATCH/home" /home

# make_user NAME UID
make_user() {
    useradd --uid "$2" --no-create-home --shell /bin/sh "$1"
    install -d -m 0700 -o "$1" -g "$1" "/home/$1" "/run/user/$2"
}

# as NAME COMMAND...: with nothing but what a login gives
as() {
    local name=$1 uid command
    shift
    uid=$(id -u "$name")
    command=(setpriv --reuid "$uid" --regid "$(id -g "$name")" --init-groups
        env -i HOME="/home/$name" USER="$name" LOGNAME="$name" LC_ALL=C
        PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin XDG_RUNTIME_DIR="/run/user/$uid" "$@")
    # So that $! of a background process is the command, and not a shell that waits for it
    [ "$BASHPID" = $$ ] || exec "${command[@]}"
    "${command[@]}"
}

# of_unit KIND SETTING: a setting of the user unit
of_unit() {
    sed -n "s/^$2=//p" "$VT_STAGE$(installed "virt-template-libvirtd.$1")"
}

# start_session NAME: his libvirtd, as his systemd starts it
start_session() {
    local uid socket
    uid=$(id -u "$1")
    socket=$(of_unit socket ListenStream)
    socket=/run/user/$uid/${socket#%t/}
    as "$1" mkdir -p -m 0700 "$(dirname "$socket")"
    : >"$LOGS/libvirtd-$1.log"
    chown "$1" "$LOGS/libvirtd-$1.log"
    # shellcheck disable=SC2046 # a command line
    as "$1" env "$(of_unit service Environment)" LIBVIRT_LOG_OUTPUTS="2:file:$LOGS/libvirtd-$1.log" \
        systemd-socket-activate -E LIBVIRT_STORAGE_BACKEND_DIR -E LIBVIRT_LOG_OUTPUTS -E HOME -E USER \
        -E LOGNAME -E PATH -E XDG_RUNTIME_DIR --fdname="$(of_unit socket FileDescriptorName)" \
        --listen="$socket" $(of_unit service ExecStart) 3>&- >>"$LOGS/libvirtd-$1.out" 2>&1 &
    SESSION_LIBVIRTD[$1]=$!
    # A client that is too early would start another one
    wait_daemon "libvirtd of $1" $! as "$1" env LIBVIRT_AUTOSTART=0 virsh list
}

stop_session() {
    stop_pid "${SESSION_LIBVIRTD[$1]}"
    unset "SESSION_LIBVIRTD[$1]"
}

# assert_session_alive NAME: the same process as at the start
assert_session_alive() {
    kill -0 "${SESSION_LIBVIRTD[$1]}" || fail "libvirtd of $1 is gone"
    as "$1" virsh list
}

# session_socket NAME
session_socket() {
    echo "/run/user/$(id -u "$1")/virt-template/virttemplated-sock"
}

# helper_of NAME: the process of his helper, if there is one. What cannot be dumped belongs to root for
# those who look at /proc, so its status is read.
helper_of() {
    local pid uid
    uid=$(id -u "$1")
    for pid in $(pgrep -x virttemplated); do
        ! grep -qs "^Uid:[[:space:]]${uid}[[:space:]]" "/proc/$pid/status" || echo "$pid"
    done
}

# session_pool NAME POOL STORE: a running template pool POOL, and a stock pool `default`
session_pool() {
    local home=/home/$1
    # shellcheck disable=SC2034 # read by pool_xml
    local POLICY=$home/.config/virt-template/policy.json
    pool_xml "$2" "$3" "$home/$2" >"$VT_SCRATCH/pool-$1-$2.xml"
    as "$1" virsh pool-define "$VT_SCRATCH/pool-$1-$2.xml"
    as "$1" virsh pool-build "$2"
    as "$1" virsh pool-start "$2"
}

# session_clone NAME VOLUME TEMPLATE_VOLUME [FORMAT [POOL]]
session_clone() {
    volume_xml "$2" "${4:-qcow2}" >"$VT_SCRATCH/volume-$2.xml"
    as "$1" virsh vol-create-from "${5:-default}" "$VT_SCRATCH/volume-$2.xml" "$3" \
        --inputpool templates
}
