#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# image-pair.sh pair|large FOLDER: v1.img, v2.img and v3.img, raw disks as a publisher of templates has
# them, below FOLDER/pair or FOLDER/large
#
#   v1  a Debian as it was released, about 460 MiB of data; large: that of developers, about 3.8 GiB
#   v2  v1 upgraded in place by its own apt, with one more package, and trimmed
#   v3  the same Debian built anew, with the newer packages and three more; not large
#
# What is there is kept. The packages come from the mirrors that this machine's apt uses. Needs root
# and a loop device, in a mount namespace of its own: where new files lie is for the kernel's ext4 to say.
# (debugfs puts them into the room of those that they replace, which no running system does.)
set -euo pipefail
tests=$(dirname "$(dirname "$(realpath "$0")")")
# shellcheck source=tests/mirrors.sh
. "$tests/mirrors.sh"

packages=linux-image-cloud-amd64,systemd-sysv,openssh-server,python3,git,vim-tiny,perl,curl
packages+=,nginx-light,postgresql-client
large=build-essential,clang,default-jdk-headless,golang,rustc,cargo,docker.io,mariadb-server
large+=,libreoffice-core-nogui,python3-scipy,ansible,php-fpm,redis-server,postgresql
more_upgraded=ruby
more_rebuilt=ruby,redis-server,nmap

# cleaned TREE: without what changes with every build or belongs to one machine
cleaned() {
    rm -rf "$1"/var/log/* "$1"/etc/machine-id "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/tmp/*
    rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/resolv.conf "$1"/etc/apt/sources.list \
        "$1"/etc/apt/apt.conf.d/99pair "$1"/usr/sbin/policy-rc.d
    echo debian >"$1/etc/hostname"
}

# upgrade IMAGE WORK: in a mount namespace that ends with us, and takes the loop device along
upgrade() {
    local tree=$2/mounted
    mkdir "$tree"
    mount -o loop "$1" "$tree"
    mount -t proc proc "$tree/proc"
    mount --bind /dev "$tree/dev"
    mkdir -p "$tree/var/cache/apt/archives/partial" "$tree/var/lib/apt/lists/partial"
    cp "$2/sources.list" "$tree/etc/apt/sources.list"
    cp "$2/apt.conf" "$tree/etc/apt/apt.conf.d/99pair"
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    # No service of the image starts on this machine
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod +x "$tree/usr/sbin/policy-rc.d"
    in_tree() {
        DEBIAN_FRONTEND=noninteractive chroot "$tree" \
            apt-get --quiet --yes --no-install-recommends "$@"
    }
    in_tree update
    in_tree upgrade --with-new-pkgs
    in_tree install "$more_upgraded"
    umount "$tree/dev" "$tree/proc"
    cleaned "$tree"
    # What was freed in this transaction can be trimmed when it is on disk
    sync --file-system "$tree"
    fstrim "$tree"
    umount "$tree"
}

# debian TREE PACKAGES MIRROR...
debian() {
    mmdebstrap --quiet --mode=root --variant=minbase --aptopt="$work/apt.conf" \
        --include="$2" --dpkgopt='path-exclude=/usr/share/doc/*' "$suite" "$1" "${@:3}"
    cleaned "$1"
}

# file_system IMAGE TREE: with the same identity in all images, as a publisher's tool does it
file_system() {
    truncate -s "$size" "$1"
    mke2fs -q -t ext4 -L root -U 5d2c4a0e-65e1-4b6b-9d4e-2c1b7a3f9e10 -d "$2" "$1"
}

build() {
    local mirror released=()
    read_mirrors "$work/apt.conf"
    for mirror in "${mirrors[@]}"; do
        case $mirror in *" $suite "*) released+=("$mirror") ;; esac
    done
    [ ${#released[@]} -lt ${#mirrors[@]} ] ||
        { echo "apt has no updates of $suite: there is nothing to upgrade to" >&2; exit 1; }
    printf '%s\n' "${mirrors[@]}" >"$work/sources.list"

    debian "$work/tree1" "$packages" "${released[@]}"
    file_system "$work/v1.img" "$work/tree1"
    cp --sparse=always "$work/v1.img" "$work/v2.img"
    unshare --mount --propagation private "$0" --upgrade "$work/v2.img" "$work"
    [ "$kind" != large ] || return 0
    debian "$work/tree3" "$packages,$more_rebuilt" "${mirrors[@]}"
    file_system "$work/v3.img" "$work/tree3"
}

if [ "${1:-}" = --upgrade ]; then
    upgrade "$2" "$3"
    exit
fi
case $#$1 in
2pair)
    size=4G
    images=(v1 v2 v3)
    ;;
2large)
    size=8G
    images=(v1 v2)
    packages+=,$large
    ;;
*) echo "usage: image-pair.sh pair|large FOLDER" >&2; exit 2 ;;
esac
kind=$1
folder=$(realpath -m "$2")/$1
mkdir -p "$folder"
[ ! -f "$folder/${images[-1]}.img" ] || exit 0
work=$(vt_work_dir)
trap 'rm -rf --one-file-system "$work"' EXIT
build >"$folder/build.log" 2>&1 || { tail -n 30 "$folder/build.log" >&2; exit 1; }
for image in "${images[@]}"; do
    mv "$work/$image.img" "$folder/$image.img"
done
