#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel.sh FOLDER: Debian's kernel, and what an initrd needs that mounts a file system of the host
#
#     FOLDER/vmlinuz
#     FOLDER/initrd.img    busybox, and the modules in the order in which they can be loaded
#
# The package comes through this machine's apt, and is not installed. The initrd runs the file
# /command of a second one, which the caller puts behind it.
set -euo pipefail
# shellcheck source=tests/mirrors.sh
. "$(dirname "$0")/mirrors.sh"

# In Debian's kernel these are modules
MODULES='virtio_pci virtio_blk crc32c_generic ext4 overlay 9pnet_virtio 9p'

[ $# = 1 ] || { echo "usage: kernel.sh FOLDER" >&2; exit 2; }
folder=$(realpath -m "$1")
work=$(vt_work_dir)
trap 'rm -rf --one-file-system "$work"' EXIT
cd "$work"

# the package without a version depends on the one with it
package=$(apt-cache depends --important linux-image-amd64 | awk '$1 == "Depends:" && !found++ {print $2}')
[ -n "$package" ] || { echo "apt knows no package linux-image-amd64" >&2; exit 1; }
apt-get -q download -o APT::Sandbox::User=root "$package" >&2
dpkg-deb -x ./*.deb tree
release=$(basename tree/lib/modules/*)
busybox depmod -b tree "$release"

# wanted FILE: paths of MODULES and of what they need, that first. The file has lines like
#     kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
wanted() {
    awk -v names="$MODULES" '
        function add(file, all, count, i) {
            if (file in seen) return
            seen[file]
            count = split(needs[file], all)
            for (i = 1; i <= count; i++) add(all[i])
            print file
        }
        {
            file = name = substr($1, 1, length($1) - 1)
            gsub(/.*\/|\.ko$/, "", name)
            path[name] = file
            $1 = ""
            needs[file] = $0
        }
        END {
            count = split(names, all)
            for (i = 1; i <= count; i++) {
                if (!(all[i] in path)) {print "the kernel has no module " all[i] >"/dev/stderr"; exit 1}
                add(path[all[i]])
            }
        }' "$1"
}

mkdir -p initrd/bin initrd/dev initrd/proc initrd/sys initrd/host initrd/disk initrd/root initrd/modules
cp "$(command -v busybox)" initrd/bin/
number=100
files=$(wanted "tree/lib/modules/$release/modules.dep")
for file in $files; do
    cp "tree/lib/modules/$release/$file" "initrd/modules/$((number++)).ko"
done

# The host's files, on which writes go to the disk, and the disk itself as /mnt
cat >initrd/init <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do insmod "$module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host
mount -t ext4 /dev/vda /disk
mkdir /disk/upper /disk/work /disk/files
mount -t overlay overlay /root -o lowerdir=/host,upperdir=/disk/upper,workdir=/disk/work
mount --bind /disk/files /root/mnt
mount -t tmpfs -o mode=755 tmpfs /root/run
cp /command /root/run/command
for folder in dev proc sys; do mount --move /$folder /root/$folder; done
exec switch_root /root /bin/bash /run/command
END
chmod +x initrd/init
mkdir -p "$folder"
(cd initrd && find . | busybox cpio -o -H newc 2>/dev/null) >"$folder/initrd.img"
cp "tree/boot/vmlinuz-$release" "$folder/vmlinuz.new"
mv "$folder/vmlinuz.new" "$folder/vmlinuz"
