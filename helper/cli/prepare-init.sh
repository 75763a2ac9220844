#!/bin/busybox sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=dash
# The first process of the guest of `virt-template prepare`: finds the root file systems of the
# disk, lets prepare-clean.sh work in each, and trims. What it did goes to a virtio port, as lines
# of words joined by tabs (see vtc-report.h); messages go to the console.
#
# /job holds: dry-run=yes|no, verbose=yes|no, trim=yes|no, operations=NAME...

export PATH=/bin
SYSROOT=/sysroot
DISK=/dev/vda
PORT_NAME=virt-template.report
TAB=$(printf '\t')

# report WORD TEXT...: texts come from the image, too
report() {
    local line=$1 text
    shift
    for text; do
        line="$line$TAB$(printf %s "$text" | head -c 1000 | tr '\000-\037\177' '?')"
    done
    printf '%s\n' "$line" >&3
}

finish() {
    umount_all
    sync
    exec 3>&-
    poweroff -f
    sleep 60
}

# fail TEXT: the image cannot be prepared
fail() {
    report fail "$1"
    finish
}

# ---- the machine -------------------------------------------------------------------------------

start_machine() {
    local module port name
    busybox mkdir -p /dev /proc /sys $SYSROOT /probe
    busybox mount -t devtmpfs devtmpfs /dev
    exec >/dev/console 2>&1
    /bin/busybox --install -s /bin
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    for module in /modules/*; do
        insmod "$module" || echo "$module cannot be loaded"
    done
    for port in /sys/class/virtio-ports/*; do
        read -r name <"$port/name"
        [ "$name" != $PORT_NAME ] || exec 3>"/dev/${port##*/}"
    done
    [ -e /proc/self/fd/3 ] || exec poweroff -f
    report hello
}

# ---- what is on the disk -----------------------------------------------------------------------

# bytes DEVICE OFFSET COUNT: in hexadecimal
bytes() {
    dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null | od -An -v -tx1 | tr -d ' \n'
}

# The offsets and bytes are those of the formats' superblocks
probe_type() {
    local device=$1 sector
    [ "$(bytes "$device" 1080 2)" != 53ef ] || { echo ext4; return; }
    [ "$(bytes "$device" 0 4)" != 58465342 ] || { echo xfs; return; }
    [ "$(bytes "$device" 65600 8)" != 5f42485266535f4d ] || { echo btrfs; return; }
    [ "$(bytes "$device" 4086 10)" != 53574150535041434532 ] || { echo swap; return; }
    [ "$(bytes "$device" 0 6)" != 4c554b53babe ] || { echo LUKS; return; }
    for sector in 0 512 1024 1536; do
        [ "$(bytes "$device" $sector 8)" != 4c4142454c4f4e45 ] || { echo LVM; return; }
    done
    [ "$(bytes "$device" 4096 4)" != fc4e2ba9 ] || { echo MD-RAID; return; }
    # "FAT" of FAT12 and FAT16, of FAT32
    [ "$(bytes "$device" 54 3)" != 464154 ] || { echo vfat; return; }
    [ "$(bytes "$device" 82 3)" != 464154 ] || { echo vfat; return; }
    echo unknown
}

# "partition 2" of /dev/vda2
spoken() {
    case $1 in
    "$DISK") echo 'the whole disk' ;;
    *) echo "partition ${1#"$DISK"}" ;;
    esac
}

# Sets systems ("DEVICE TYPE" lines) and opaque (what cannot be looked into)
scan_disk() {
    local device type devices=''
    systems='' opaque='' swaps=''
    for device in $(cd /sys/class/block && echo vda?*); do
        [ "$device" = 'vda?*' ] || devices="$devices /dev/$device"
    done
    for device in ${devices:-$DISK}; do
        type=$(probe_type "$device")
        echo "$device is $type"
        case $type in
        ext4 | xfs | btrfs | vfat) systems="$systems$device $type
" ;;
        swap) swaps="$swaps $device" ;;
        LUKS | LVM | MD-RAID) opaque="$opaque${opaque:+, }$(spoken "$device") is $type" ;;
        esac
    done
}

type_of() {
    printf %s "$systems" | sed -n "s|^$1 ||p"
}

# Read-only must not even replay a journal: the disk is read-only, too
mount_options() {
    case $dry_run/$1 in
    yes/ext4) echo ro,noload ;;
    yes/xfs) echo ro,norecovery,nouuid ;;
    yes/btrfs) echo ro,rescue=nologreplay ;;
    yes/*) echo ro ;;
    no/ext4) echo noatime,noinit_itable ;;
    no/xfs) echo noatime,nouuid ;;
    *) echo noatime ;;
    esac
}

# mount_system DEVICE TYPE FOLDER [OPTION]
mount_system() {
    mount -t "$2" -o "$(mount_options "$2")${4:+,$4}" "$1" "$3"
}

umount_all() {
    local folder status=0
    sync
    # A name with a blank has it as \040
    awk -v root=$SYSROOT 'index($2, root) == 1 {print $2}' /proc/mounts | sort -r >/mounted
    while read -r folder; do
        umount "$(printf %b "$folder")" || status=1
    done </mounted
    return $status
}

# ---- root file systems -------------------------------------------------------------------------

is_root() {
    [ -d "$1/etc" ] || return 1
    [ -e "$1/etc/os-release" ] || [ -L "$1/etc/os-release" ] || [ -e "$1/usr/lib/os-release" ]
}

# A subvolume that is not the default one: @, root, @rootfs, @/.snapshots/1/snapshot
mount_subvolume() {
    local folder
    mount_system "$1" btrfs $SYSROOT subvolid=5 || return 1
    for folder in "$SYSROOT"/* "$SYSROOT"/*/.snapshots/*/snapshot; do
        if is_root "$folder"; then
            umount $SYSROOT
            mount_system "$1" btrfs $SYSROOT "subvol=${folder#"$SYSROOT"}"
            return
        fi
    done
    umount $SYSROOT
    return 1
}

# mount_root DEVICE TYPE: if there is one
mount_root() {
    [ "$2" != vfat ] || return 1
    if ! mount_system "$1" "$2" $SYSROOT; then
        report note "$(spoken "$1") ($2) cannot be mounted by this kernel: $(dmesg | tail -n 1 | cut -c 1-200)"
        return 1
    fi
    ! is_root $SYSROOT || return 0
    umount $SYSROOT
    [ "$2" = btrfs ] && mount_subvolume "$1"
}

# device_of SPEC: what the first word of a line of fstab(5) means; nothing if it is not here
device_of() {
    case $1 in
    UUID=* | LABEL=*) findfs "$(echo "$1" | tr -d \")" 2>/dev/null ;;
    /dev/disk/by-uuid/*) findfs "UUID=${1##*/}" 2>/dev/null ;;
    /dev/disk/by-label/*) findfs "LABEL=${1##*/}" 2>/dev/null ;;
    PARTUUID=*) by_partition_uuid "${1#*=}" ;;
    /dev/[shv]d[a-z][0-9]*) echo "$DISK${1#/dev/?d?}" ;;
    /dev/nvme*p[0-9]* | /dev/mmcblk*p[0-9]*) echo "$DISK${1##*p}" ;;
    esac
}

by_partition_uuid() {
    local uevent
    uevent=$(grep -il "^PARTUUID=$(echo "$1" | tr -d \")\$" /sys/class/block/vda*/uevent | head -n 1)
    [ -z "$uevent" ] || echo "/dev/$(basename "$(dirname "$uevent")")"
}

# subvolume_of OPTIONS: only this one decides what is seen
subvolume_of() {
    echo "$1" | tr , '\n' | grep -m 1 -E '^subvol(id)?='
}

# Where in the image's own tree: its links must not lead out of it
inside() {
    chroot $SYSROOT "$tools/busybox" realpath "$1" 2>/dev/null
}

# mount_line SPEC FOLDER OPTIONS: of fstab
mount_line() {
    local device type folder
    device=$(device_of "$1") type=
    [ -z "$device" ] || type=$(type_of "$device")
    folder=$(inside "$2")
    if [ -z "$type" ] || [ ! -d "$SYSROOT$folder" ]; then
        report note "$2 ($1) is not in this image"
        return
    fi
    mount_system "$device" "$type" "$SYSROOT$folder" "$(subvolume_of "$3")" ||
        report note "$2 ($1) cannot be mounted by this kernel"
}

mount_fstab() {
    local spec folder type options _
    [ -f $SYSROOT/etc/fstab ] || return 0
    awk '$1 !~ /^#/ && $2 ~ /^\/./ && $3 ~ /^(ext[234]|xfs|btrfs|vfat|auto)$/' $SYSROOT/etc/fstab |
        sort -k 2,2 >/fstab
    while read -r spec folder type options _; do
        case $folder in
        /proc* | /sys* | /dev* | /run*) ;;
        *) mount_line "$spec" "$folder" "$options" ;;
        esac
    done </fstab
}

# The EFI system partition of an image without a line in fstab: an empty folder waits for it
mount_esp() {
    local device type folder
    printf %s "$systems" | while read -r device type; do
        [ "$type" = vfat ] || continue
        ! grep -q "^$device " /proc/mounts || continue
        for folder in /efi /boot/efi /boot; do
            if is_empty "$SYSROOT$folder"; then
                mount_system "$device" vfat "$SYSROOT$folder"
                break
            fi
        done
    done
}

is_empty() {
    [ -d "$1" ] && [ ! -L "$1" ] && [ -z "$(ls -A "$1")" ]
}

# A folder that every system has, hidden while we work: our program in it runs as in the system
mount_tools() {
    local folder
    for folder in run proc dev tmp; do
        if [ -d "$SYSROOT/$folder" ] && [ ! -L "$SYSROOT/$folder" ]; then
            tools=/$folder
            mount -t tmpfs -o size=64m tmpfs "$SYSROOT/$folder"
            cp /bin/busybox /clean "$SYSROOT/$folder/" && return
        fi
    done
    fail 'the root file system has no folder /run, /proc, /dev or /tmp'
}

prepare_root() {
    mount_tools
    mount_fstab
    mount_esp
    # shellcheck disable=SC2086 # a list of words
    chroot $SYSROOT "$tools/busybox" sh "$tools/clean" "$tools" "$dry_run" "$verbose" \
        "$2, $(spoken "$1")" $operations >&3 || fail "the work in $(spoken "$1") was not finished"
    umount_all || fail "$(spoken "$1") cannot be unmounted"
}

# ---- free space --------------------------------------------------------------------------------

# A loop device turns a discard, which the disk may ignore for parts of its clusters, into zeros
looped() {
    if losetup /dev/loop0 "$1" 2>/dev/null; then
        echo /dev/loop0
    else
        echo "$1"
    fi
}

unloop() {
    [ "$1" != /dev/loop0 ] || losetup -d /dev/loop0
}

# trim_system DEVICE TYPE: adds to trimmed
trim_system() {
    local device said=
    device=$(looped "$1")
    if mount_system "$device" "$2" $SYSROOT; then
        said=$(fstrim -v $SYSROOT | sed -n 's/.*: \([0-9]*\) bytes.*/\1/p')
        umount $SYSROOT || fail "$(spoken "$1") cannot be unmounted"
    fi
    unloop "$device"
    if [ -n "$said" ]; then
        count=$((count + 1)) trimmed=$((trimmed + said))
    else
        report note "the free space of $(spoken "$1") ($2) stays as it is"
    fi
}

# What lies behind the header with its label and UUID
trim_swap() {
    local device
    device=$(looped "$1")
    blkdiscard -o 4096 "$device" && count=$((count + 1))
    unloop "$device"
}

free_space() {
    local device type
    count=0 trimmed=0
    while read -r device type; do
        trim_system "$device" "$type"
    done </systems
    for device in $swaps; do
        trim_swap "$device"
    done
    report did free-space $count $trimmed
}

# ---- all of it ---------------------------------------------------------------------------------

start_machine
dry_run=$(sed -n 's/^dry-run=//p' /job)
verbose=$(sed -n 's/^verbose=//p' /job)
operations=$(sed -n 's/^operations=//p' /job)
trim=$(sed -n 's/^trim=//p' /job)
scan_disk
roots=0
printf %s "$systems" >/systems
while read -r device type; do
    ! mount_root "$device" "$type" || { prepare_root "$device" "$type"; roots=$((roots + 1)); }
done </systems
if [ $roots = 0 ] && [ -n "$opaque" ]; then
    fail "no system is found: $opaque, which only --with guestfs can open"
fi
[ $roots != 0 ] || fail 'no file system has /etc/os-release: there is no Linux system in this image'
[ -z "$opaque" ] || report note "$opaque, which is left as it is"
[ "$trim" = no ] || [ "$dry_run" = yes ] || free_space
report finished
finish
