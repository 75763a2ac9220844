#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# debian-image.sh FILE SIZE [PACKAGE...]: a real Debian as a raw disk with one ext4 file system
#
# The packages come from the mirrors that this machine's apt uses. Needs root, but no loop device
# and no mount of the image: mmdebstrap makes a tree, mke2fs copies it into the file system.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: debian-image.sh FILE SIZE [PACKAGE...]" >&2; exit 2; }
image=$(realpath -m "$1")
size=$2
shift 2
packages=$(IFS=,; echo "$*")

work=$(mktemp -d /var/tmp/debian-image.XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT

suite=bookworm
mirrors=()
: >"$work/apt.conf"
if command -v apt-get >/dev/null; then
    # shellcheck disable=SC2016 # apt expands these, not the shell
    targets=$(apt-get indextargets 'Created-By: Packages' \
        --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)')
    while IFS='|' read -r origin uri release component; do
        [ "$origin" = Debian ] || continue
        mirrors+=("deb $uri $release $component")
        case $release in *-*) ;; *) suite=$release ;; esac
    done <<<"$targets"
    # Proxies and the like
    apt-config dump Acquire | grep -vE '^Acquire(::(Languages|GzipIndexes|IndexTargets).*)? ' \
        >"$work/apt.conf" || [ $? = 1 ]
fi

mmdebstrap --quiet --mode=root --variant=minbase --aptopt="$work/apt.conf" \
    ${packages:+--include="$packages"} --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$suite" "$work/tree" "${mirrors[@]}"
# What changes with every build or belongs to one machine
rm -rf "$work"/tree/var/log/* "$work"/tree/etc/machine-id "$work"/tree/var/cache/*
echo debian >"$work/tree/etc/hostname"
rm -f "$image"
truncate -s "$size" "$image"
mke2fs -q -t ext4 -L root -d "$work/tree" "$image"
