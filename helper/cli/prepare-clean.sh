#!/bin/busybox sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=dash
# clean TOOLS DRY_RUN VERBOSE WHERE OPERATION...: works in the root file system of an image, whose links
# lead where they do in the running system. The only program is the busybox in TOOLS. Prints what it
# did in lines as vtc-report.h has them.
#
# Files keep their inode where they stay, and with it owner, mode and label.

tools=$1 dry_run=$2 verbose=$3 where=$4
shift 4
"$tools/busybox" mkdir "$tools/bin"
"$tools/busybox" --install -s "$tools/bin"
export PATH="$tools/bin"
cd / || exit 1

# ---- what an operation is made of --------------------------------------------------------------

exists() {
    [ -e "$1" ] || [ -L "$1" ]
}

# sweep PATH CONDITION... -- COMMAND...: runs the command with what find(1) finds and is no folder,
# and lists it: device and inode, blocks, name
sweep() {
    local path=$1 conditions=''
    shift
    while [ "$1" != -- ]; do
        conditions="$conditions $1"
        shift
    done
    shift
    set -f
    # shellcheck disable=SC2086 # words of find
    find "$path" -xdev $conditions ! -type d -exec stat -c '%d:%i %b %n' {} + >>"$tools/list" 2>>"$tools/errors"
    # shellcheck disable=SC2086
    [ "$dry_run" = yes ] || find "$path" -xdev $conditions ! -type d -exec "$@" {} + 2>>"$tools/errors"
    set +f
}

# remove PATH...: those that exist, with all that is below them
remove() {
    local path
    for path; do
        exists "$path" || continue
        sweep "$path" -- rm -f
        [ "$dry_run" = yes ] || [ ! -d "$path" ] || [ -L "$path" ] ||
            find "$path" -xdev -depth -type d -exec rmdir {} \; 2>/dev/null
    done
}

# clear FOLDER...: what is in it
clear() {
    local folder
    for folder; do
        [ -d "$folder" ] || continue
        folder=$(realpath "$folder")
        sweep "$folder" -mindepth 1 -- rm -f
        [ "$dry_run" = yes ] ||
            find "$folder" -xdev -mindepth 1 -depth -type d -exec rmdir {} \; 2>/dev/null
    done
}

# empty FILE...: those with something in them
empty() {
    local file
    for file; do
        [ ! -f "$file" ] || sweep "$(realpath "$file")" -size +0c -- truncate -s 0
    done
}

# without EXPRESSION FILE...: takes out the lines that sed(1) selects
without() {
    local expression=$1 file
    shift
    for file; do
        [ -f "$file" ] || continue
        [ -n "$(sed -n "$expression p" "$file")" ] || continue
        stat -c '%d:%i 0 %n' "$file" >>"$tools/list"
        [ "$dry_run" = no ] || continue
        sed "$expression d" "$file" >"$tools/text" && cat "$tools/text" >"$file"
    done
}

note() {
    printf 'note\t%s\n' "$1"
}

# ---- the operations ----------------------------------------------------------------------------

# systemd fills an empty file, also on a root file system that is read-only when it starts
do_machine_id() {
    local id=''
    [ ! -f /etc/machine-id ] || id=$(head -c 64 /etc/machine-id)
    [ "$id" = uninitialized ] || empty /etc/machine-id
    # A link leads to the file above; a copy would be another identity
    [ -L /var/lib/dbus/machine-id ] || remove /var/lib/dbus/machine-id
}

# Who makes the keys again: cloud-init, or units that many distributions have
do_ssh_host_keys() {
    remove /etc/ssh/ssh_host_*
    if [ -e /usr/sbin/sshd ] && [ ! -e /usr/bin/cloud-init ] &&
        ! ls /usr/lib/systemd/system/*keygen* /lib/systemd/system/*keygen* >/dev/null 2>&1; then
        note 'nothing in this image makes new SSH host keys: neither cloud-init nor a keygen unit'
    fi
}

do_random_seed() {
    remove /var/lib/systemd/random-seed /var/lib/random-seed /var/lib/urandom/random-seed \
        /var/lib/misc/random-seed /var/lib/systemd/credential.secret \
        /var/lib/NetworkManager/secret_key /boot/loader/random-seed /boot/efi/loader/random-seed \
        /efi/loader/random-seed
}

# As `cloud-init clean` does: the seed, which may be part of the image, stays
do_cloud_init() {
    local path
    for path in /var/lib/cloud/* /var/lib/cloud/.[!.]*; do
        [ "$path" = /var/lib/cloud/seed ] || remove "$path"
    done
    remove /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init* \
        /etc/systemd/network/10-cloud-init-* /etc/NetworkManager/system-connections/cloud-init-*
    for path in /etc/sysconfig/network-scripts/ifcfg-*; do
        [ -f "$path" ] || continue
        ! grep -q '^# Created by cloud-init' "$path" || remove "$path"
    done
}

do_net_names() {
    remove /etc/udev/rules.d/*-persistent-net.rules
    without '/^[[:blank:]]*HWADDR=/' /etc/sysconfig/network-scripts/ifcfg-* \
        /etc/sysconfig/network/ifcfg-*
    without '/^[[:blank:]]*mac-address=/' /etc/NetworkManager/system-connections/*
    remove /var/lib/NetworkManager/seen-bssids
}

do_dhcp_leases() {
    remove /var/lib/dhcp/dhclient* /var/lib/dhclient/* /var/lib/dhcpcd/* /etc/dhcpcd.duid \
        /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/internal-* /var/lib/wicked/*.xml
}

# Services may need their log to exist, but not what was rotated away
do_logs() {
    clear /var/log/journal /var/crash /var/lib/systemd/coredump /var/spool/abrt
    [ ! -d /var/log ] || {
        for name in '*.[0-9]' '*.[0-9][0-9]' '*.gz' '*.xz' '*.bz2' '*.zst' '*.old' \
            '*-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]'; do
            sweep "$(realpath /var/log)" -type f -name "$name" -- rm -f
        done
        sweep "$(realpath /var/log)" -type f -size +0c -- truncate -s 0
    }
    remove /var/lib/logrotate/status /var/lib/logrotate/logrotate.status \
        /var/lib/logrotate.status /root/anaconda-ks.cfg /root/original-ks.cfg /root/install.log*
}

do_shell_history() {
    local home
    for home in /root /home/*; do
        remove "$home"/.*_history "$home/.lesshst" "$home/.viminfo" "$home/.wget-hsts" \
            "$home/.local/share/fish/fish_history"
    done
}

do_tmp_files() {
    clear /tmp /var/tmp
}

# debconf's database, in /var/cache too, is none
do_package_caches() {
    local folder
    for folder in /var/cache/apt /var/lib/apt/lists; do
        [ ! -d "$folder" ] || sweep "$(realpath "$folder")" -type f ! -name lock -- rm -f
    done
    clear /var/cache/dnf /var/cache/yum /var/cache/libdnf5 /var/cache/zypp /var/cache/pacman/pkg \
        /var/cache/apk /var/cache/PackageKit
}

do_caches() {
    local home
    clear /var/cache/man /var/cache/fontconfig /var/cache/ldconfig /var/cache/apparmor
    remove /var/cache/debconf/*-old
    for home in /root /home/*; do
        clear "$home/.cache"
    done
}

# plain: what a report may have of texts and names
plain() {
    tr '\001-\011\013-\037\177' '?'
}

# Nothing is read that is no file: a pipe would have no end
os_name() {
    local file
    for file in /etc/os-release /usr/lib/os-release; do
        [ -f "$file" ] || continue
        head -c 4096 "$file" | sed -n 's/^PRETTY_NAME=//p' | head -n 1 | tr -d "\"'" | plain
        return
    done
}

# ---- one after the other -----------------------------------------------------------------------

# Blocks of stat(1) have 512 bytes. A file may be found twice if nothing is done to it.
tell() {
    plain <"$tools/list" | awk -v name="$1" -v verbose="$verbose" '
        /^[0-9]+:[0-9]+ [0-9]+ / && !seen[$1]++ {
            files++
            blocks += $2
            if (verbose == "yes")
                printf "path\t%s\t%s\n", name, substr($0, length($1 $2) + 3)
        }
        END {printf "did\t%s\t%d\t%.0f\n", name, files, blocks * 512}'
    [ ! -s "$tools/errors" ] ||
        printf 'fail\t%s: %s\n' "$1" "$(head -n 1 "$tools/errors" | plain)"
}

printf 'root\t%s, %s\n' "$(os_name)" "$where"
for operation; do
    : >"$tools/list"
    : >"$tools/errors"
    "do_$(echo "$operation" | tr - _)"
    tell "$operation"
done
printf 'cleaned\n'
