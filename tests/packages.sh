# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs what the build, the demo and the tests need, with the machine's own package manager
# and configuration. Nothing is fetched when everything is there.

declare -A vt_packages
vt_packages[debian_build]='gcc libc6-dev meson ninja-build pkgconf dpkg-dev ca-certificates
    libglib2.0-dev libxml2-dev libjansson-dev libssl-dev libcurl4-openssl-dev libzstd-dev
    libsqlite3-dev libyaml-dev libisofs-dev libburn-dev libarchive-dev libseccomp-dev libvirt-dev python3-docutils'
vt_packages[debian_run]='libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-utils
    qemu-system-x86 systemd util-linux iproute2 e2fsprogs openssl'
vt_packages[debian_demo]='mmdebstrap zstd grub-pc-bin fdisk openssh-client'
vt_packages[debian_test]='clang clang-format libclang-rt-dev shellcheck codespell pmccabe git
    docker-registry apache2-utils skopeo curl jq sqlite3 xxd xfsprogs btrfs-progs busybox-static dnsmasq-base strace libxml2-utils genisoimage mtools virtinst ovmf swtpm
    swtpm-tools procps python3 python3-prometheus-client nginx-light tinyproxy fuse3 libfuse3-dev
    glusterfs-server build-essential debhelper systemd-container secilc'
vt_packages[debian_bench]='casync xdelta3 zstd curl docker-registry genisoimage cloud-image-utils virtinst jq time'

vt_packages[fedora_build]='gcc meson ninja-build pkgconf-pkg-config dnf-plugins-core rpm-build cpio
    glib2-devel libxml2-devel jansson-devel openssl-devel libcurl-devel libzstd-devel
    sqlite-devel libyaml-devel libisofs-devel libburn-devel libarchive-devel libseccomp-devel libvirt-devel python3-docutils'
vt_packages[fedora_run]='libvirt-daemon-driver-qemu libvirt-daemon-driver-storage libvirt-daemon
    libvirt-client qemu-img qemu-kvm systemd util-linux iproute e2fsprogs openssl'
vt_packages[fedora_demo]='mmdebstrap zstd grub2-pc-modules util-linux openssh-clients'
vt_packages[fedora_test]='clang clang-tools-extra compiler-rt libasan libubsan ShellCheck codespell pmccabe
    git docker-distribution httpd-tools skopeo curl jq sqlite xxd xfsprogs btrfs-progs busybox dnsmasq strace genisoimage mtools virt-install edk2-ovmf
    swtpm swtpm-tools procps-ng python3 python3-prometheus_client nginx tinyproxy fuse3 fuse3-devel glusterfs-server
    glusterfs-cli glusterfs-fuse secilc'
vt_packages[fedora_bench]='casync xdelta zstd curl docker-distribution genisoimage cloud-utils virt-install jq time'

vt_install_debian() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} != 0 ] || return 0
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}"
}

# install_packages GROUP...: build, run, demo, test, bench
install_packages() {
    local family group packages=()
    if command -v apt-get >/dev/null; then
        family=debian
    elif command -v dnf >/dev/null; then
        family=fedora
    else
        echo "neither apt-get nor dnf is here: install the packages of tests/packages.sh" >&2
        return 1
    fi
    for group in "$@"; do
        # shellcheck disable=SC2206 # a list of words
        packages+=(${vt_packages[${family}_$group]})
    done
    case $family in
    debian) vt_install_debian "${packages[@]}" ;;
    fedora) dnf -q -y install "${packages[@]}" ;;
    esac
}

# become_root ARGUMENT...: runs the calling script again with sudo, unless this is root
become_root() {
    [ "$(id -u)" = 0 ] || exec sudo -- "$0" "$@"
}
