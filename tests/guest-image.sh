#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# guest-image.sh FILE [SIZE]: a real Debian as a raw disk that boots by BIOS and runs cloud-init
#
# The packages come from the mirrors that this machine's apt uses. Needs root, but no loop device
# and no mount of the image: mmdebstrap makes a tree, mke2fs copies it behind the partition table,
# and GRUB goes into the gap before the first partition.
set -euo pipefail
# shellcheck source=tests/mirrors.sh
. "$(dirname "$0")/mirrors.sh"

[ $# -ge 1 ] || { echo "usage: guest-image.sh FILE [SIZE]" >&2; exit 2; }
image=$(realpath -m "$1")
size=${2:-2G}
grub=/usr/lib/grub/i386-pc

# Debian has no image without these; netplan gets a version 2 network-config as it is written
packages=linux-image-cloud-amd64,systemd-sysv,udev,kmod,lz4,e2fsprogs,iproute2
packages+=,sudo,cloud-init,cloud-guest-utils,netplan.io,openssh-server,qemu-guest-agent

work=$(vt_work_dir)
trap 'rm -rf --one-file-system "$work"' EXIT
tree=$work/tree

read_mirrors "$work/apt.conf"

# Before the kernel is unpacked, so that the initrd is made once: only what finds the root disk
cat >"$work/initrd-hook" <<'END'
#!/bin/sh
set -e
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nCOMPRESS=lz4\nRESUME=none\nFSTYPE=ext4\n' \
    >"$1/etc/initramfs-tools/conf.d/guest"
printf '%s\n' virtio_pci virtio_blk ext4 >"$1/usr/share/initramfs-tools/modules.d/guest"
END
chmod +x "$work/initrd-hook"

mmdebstrap --quiet --mode=root --variant=minbase --aptopt="$work/apt.conf" \
    --include="$packages" --essential-hook="$work/initrd-hook" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$suite" "$tree" "${mirrors[@]}"

# What changes with every build or belongs to one machine. An empty machine-id gets its value at
# the first boot; cloud-init makes the host keys.
rm -rf "$tree"/var/log/* "$tree"/var/cache/* "$tree"/var/lib/apt/lists/*
rm -f "$tree"/etc/ssh/ssh_host_* "$tree"/etc/resolv.conf "$tree"/var/lib/systemd/random-seed
: >"$tree/etc/machine-id"
echo guest >"$tree/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"
echo '/dev/vda1 / ext4 rw,noatime 0 0' >"$tree/etc/fstab"
cat >"$tree/etc/cloud/cloud.cfg.d/90_guest.cfg" <<'END'
datasource_list: [NoCloud, ConfigDrive, None]
apt: {preserve_sources_list: true}
# en_US does not exist here, and the others are slow; user-data can override all of them
locale: C.UTF-8
grub_dpkg: {enabled: false}
ssh_genkeytypes: [ed25519]
END
# These only cost time. Nothing waits for the network: a guest without one boots as fast.
chroot "$tree" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-networkd-wait-online.service systemd-journal-flush.service \
    systemd-binfmt.service proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount \
    dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    getty@tty1.service getty-static.service

# ---- the disk ----------------------------------------------------------------------------------

rm -f "$image"
truncate -s "$size" "$image"
sfdisk --quiet --no-reread --no-tell-kernel "$image" <<'END'
label: dos
start=1MiB, type=83, bootable
END
blocks=$((($(stat -c %s "$image") - 1048576) / 4096))
mke2fs -q -t ext4 -b 4096 -L root -E offset=1048576 -d "$tree" "$image" "$blocks"

# No menu and no grub.cfg: the core image itself has the commands
cat >"$work/grub.cfg" <<'END'
linux (hd0,msdos1)/vmlinuz root=/dev/vda1 ro console=ttyS0,115200 quiet net.ifnames=0 mitigations=off fsck.mode=skip audit=0 tsc=nowatchdog
initrd (hd0,msdos1)/initrd.img
boot
END
grub-mkimage -O i386-pc -d $grub -p '(hd0,msdos1)/boot/grub' -c "$work/grub.cfg" \
    -o "$work/core.img" biosdisk part_msdos ext2 linux
[ "$(stat -c %s "$work/core.img")" -le $((2047 * 512)) ] || { echo "core.img is too big" >&2; exit 1; }
# boot.img loads sector 1, and that one the sectors behind it; 440 bytes spare the partition table
dd if=$grub/boot.img of="$image" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$image" bs=512 seek=1 conv=notrunc status=none
