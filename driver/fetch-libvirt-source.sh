#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# fetch-libvirt-source.sh BUILD_DIR [TREE]: makes libvirt's driver headers usable for a build
#
# Without TREE the source package of the installed libvirt is fetched with the machine's own package
# manager into BUILD_DIR, once; /etc/apt is read, never written. Then the few headers that libvirt
# generates are written next to it. Prints three lines: the version, the tree, the folder of the
# generated headers.
set -euo pipefail
# shellcheck source=driver/apt-source.sh
. "$(dirname "$0")/apt-source.sh"

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

fetch_with_apt() {
    local work=$1 version
    # shellcheck disable=SC2016 # for dpkg-query
    version=$(dpkg-query -W -f '${source:Version}' libvirt0) ||
        die "libvirt is not a package of this machine; pass -Dlibvirt_source=DIR"
    apt_source "$work" "libvirt=$version" ||
        die "the source package libvirt $version cannot be fetched; unpack it yourself and pass" \
            "-Dlibvirt_source=DIR"
}

fetch_with_dnf() {
    local work=$1 package
    (cd "$work" && dnf -q download --source libvirt-libs >&2) ||
        die "the source package of libvirt-libs cannot be fetched; unpack it yourself and pass" \
            "-Dlibvirt_source=DIR"
    package=$(find "$work" -maxdepth 1 -name 'libvirt-*.src.rpm' -print -quit)
    # The patches of the distribution count: they may touch a header
    rpmbuild --define "_topdir $work/rpm" --nodeps -rp "$package" >&2
    find "$work/rpm/BUILD" -type d -path '*libvirt-*/src' -prune -print -quit |
        while read -r src; do mv "$(dirname "$src")" "$work/"; done
}

# The unpacked tree below a folder, if there is one
find_tree() {
    local file
    for file in "$1"/libvirt-*/src/storage/storage_backend.h; do
        [ ! -f "$file" ] || dirname "$(dirname "$(dirname "$file")")"
    done
}

fetch_tree() {
    local base=$1 work=$1/.libvirt-fetch
    rm -rf "$work"
    mkdir -p "$work"
    if command -v apt-get >/dev/null; then
        fetch_with_apt "$work"
    elif command -v dnf >/dev/null; then
        fetch_with_dnf "$work"
    else
        die "neither apt-get nor dnf is here; unpack libvirt's source and pass -Dlibvirt_source=DIR"
    fi
    [ -n "$(find_tree "$work")" ] || die "the source package has no src/storage/storage_backend.h"
    # Only a whole tree gets the name that the next run looks for
    mv "$(find_tree "$work")" "$base/"
    rm -rf "$work"
}

# What `meson setup` of libvirt would generate, as far as the driver headers need it
write_headers() {
    local tree=$1 version=$2 headers=$3 numbers
    IFS=. read -r -a numbers <<<"$version"
    mkdir -p "$headers/libvirt"
    # All that the driver headers ask: whether these functions are here, or MinGW's lack of them
    printf '#define WITH_GET%s 1\n' UID EUID GID EGID >"$headers/config.h"
    sed "s/@LIBVIRT_VERSION_NUMBER@/$((numbers[0] * 1000000 + numbers[1] * 1000 + numbers[2]))/" \
        "$tree/include/libvirt/libvirt-common.h.in" >"$headers/libvirt/libvirt-common.h"
}

[ $# = 1 ] || [ $# = 2 ] || die "usage: $(basename "$0") BUILD_DIR [TREE]"
base=$(realpath "$1")
tree=${2:-}
if [ -z "$tree" ]; then
    # A tree of another version is there after an upgrade of libvirt: it is not the one
    installed=$(pkg-config --modversion libvirt) ||
        die "libvirt is not installed; install libvirt-dev, or pass -Dlibvirt_source=DIR"
    tree=$base/libvirt-$installed
    [ -d "$tree" ] || fetch_tree "$base"
fi
[ -f "$tree/src/storage/storage_backend.h" ] ||
    die "'$tree' is not libvirt's source: it has no src/storage/storage_backend.h"
version=$(sed -nE "s/^ *version: '([0-9]+\.[0-9]+\.[0-9]+)',?/\1/p" "$tree/meson.build" | head -n 1)
[ -n "$version" ] || die "'$tree/meson.build' does not say its version"
headers=$base/libvirt-headers-$version
[ -f "$headers/libvirt/libvirt-common.h" ] || write_headers "$tree" "$version" "$headers"
printf '%s\n' "$version" "$(realpath "$tree")" "$headers"
