# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Puts a script into a machine of its own: private mounts, network and processes.
#
# The script is run again below `unshare`. It sees the installed build over /usr, writable copies
# of /etc, /var/lib and /var/log that are gone afterwards, an empty /run, and a loopback network.
# Whatever it starts dies with it, because the process namespace does. VT_SCRATCH is a folder on a
# real file system (O_TMPFILE, hard links and the immutable flag work there).

vt_die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# The build folder, and the tree that is laid over /usr: what `meson install` makes of it
vt_stage_build() {
    [ -n "${VT_BUILD_DIR:-}" ] || vt_die "set VT_BUILD_DIR to the meson build folder"
    VT_BUILD_DIR=$(realpath "$VT_BUILD_DIR")
    [ -f "$VT_BUILD_DIR/build.ninja" ] || vt_die "$VT_BUILD_DIR is not a meson build folder"
    export VT_BUILD_DIR VT_STAGE=$VT_BUILD_DIR/e2e/stage
    mkdir -p "$VT_STAGE/usr" "$VT_BUILD_DIR/e2e/libvirt-cache"
    flock "$VT_BUILD_DIR/e2e" meson install -C "$VT_BUILD_DIR" --no-rebuild --only-changed --quiet \
        --destdir "$VT_STAGE" >&2
}

# Outside: makes the scratch folder, runs the script inside, removes the scratch folder
vt_isolate_outer() {
    [ "$(id -u)" = 0 ] || vt_die "run this as root: it needs mount and network namespaces"
    [ -n "${VT_STAGE:-}" ] || vt_stage_build
    VT_SCRATCH=$(mktemp -d "${VT_SCRATCH_BASE:-/var/tmp}/virt-template-e2e.XXXXXX")
    chmod 755 "$VT_SCRATCH"
    # Nothing that the caller's shell exports (proxies, certificates) reaches the test
    env -i HOME=/root TERM="${TERM:-dumb}" VT_INSIDE=1 VT_SCRATCH="$VT_SCRATCH" \
        VT_BUILD_DIR="$VT_BUILD_DIR" VT_STAGE="$VT_STAGE" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        unshare --mount --net --pid --fork --mount-proc --kill-child bash "$0" "$@" &
    local child=$! status=0
    trap 'kill -TERM $child 2>/dev/null' TERM INT HUP
    wait $child || status=$?
    # Woken by a signal: the namespace still has to end before its files can go
    wait $child 2>/dev/null || status=$?
    chattr -R -f -i "$VT_SCRATCH" 2>/dev/null || :  # fails on sockets and links, which need no flag
    rm -rf --one-file-system "$VT_SCRATCH"
    exit $status
}

# A writable, private view of a folder
vt_overlay() {
    local name
    name=$(echo "$1" | tr / -)
    mkdir "$VT_SCRATCH/overlay/up$name" "$VT_SCRATCH/overlay/work$name"
    mount -t overlay overlay "$1" \
        -o "lowerdir=$1,upperdir=$VT_SCRATCH/overlay/up$name,workdir=$VT_SCRATCH/overlay/work$name"
}

# A real, empty folder of the scratch file system. Only below /var/lib can it be a new one: that is
# private, the rest of / is not.
vt_scratch_over() {
    local source=$VT_SCRATCH/root$1
    case $1 in
    /var/lib/*) mkdir -p "$1" ;;
    *) [ -d "$1" ] || vt_die "$1 is missing: is libvirt installed?" ;;
    esac
    mkdir -p "$source"
    mount --bind "$source" "$1"
}

# KVM that is there and does not work makes libvirt ask QEMU again at each definition of a domain, which
# takes 15 s; all tests use TCG. A file on a read-only mount is what root cannot write, either.
vt_isolate_kvm() {
    [ -e /dev/kvm ] || return 0
    : >"$VT_SCRATCH/overlay/kvm"
    mount --bind "$VT_SCRATCH/overlay/kvm" /dev/kvm
    mount -o remount,bind,ro /dev/kvm
    # libvirt cannot move this mount into a domain's own /dev
    echo 'namespaces = []' >>/etc/libvirt/qemu.conf
}

vt_isolate_users() {
    local conf
    for conf in "$VT_STAGE"/usr/lib/sysusers.d/*.conf "$VT_STAGE"/usr/local/lib/sysusers.d/*.conf; do
        [ -f "$conf" ] || continue
        systemd-sysusers "$conf" >>"$VT_SCRATCH/logs/sysusers.log" 2>&1
    done
}

# Inside, once: lays out the private machine
vt_isolate_inner() {
    mount --make-rprivate /
    ip link set lo up
    mkdir "$VT_SCRATCH/overlay" "$VT_SCRATCH/logs"
    mount -t tmpfs -o mode=755 tmpfs "$VT_SCRATCH/overlay"
    vt_overlay /etc
    vt_overlay /var/lib
    vt_overlay /var/log
    mount -t overlay overlay /usr -o "lowerdir=$VT_STAGE/usr:/usr"
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/lock /run/libvirt
    vt_scratch_over /var/lib/libvirt
    vt_scratch_over /var/lib/virt-template
    vt_scratch_over /var/log/libvirt
    mkdir -p /var/lib/libvirt/images
    mount --bind "$VT_BUILD_DIR/e2e/libvirt-cache" /var/cache/libvirt
    vt_isolate_kvm
    rm -rf /etc/virt-template /etc/libvirt/qemu /etc/libvirt/storage
    mkdir -p /etc/libvirt/qemu /etc/libvirt/storage /etc/virt-template
    [ ! -d "$VT_STAGE/etc" ] || cp -a "$VT_STAGE/etc/." /etc/
    vt_isolate_users
}
