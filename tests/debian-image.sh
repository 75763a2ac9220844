#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# debian-image.sh FILE SIZE [PACKAGE...]: a real Debian as a raw disk with one ext4 file system
#
# The packages come from the mirrors that this machine's apt uses. Needs root, but no loop device
# and no mount of the image: mmdebstrap makes a tree, mke2fs copies it into the file system.
set -euo pipefail
# shellcheck source=tests/mirrors.sh
. "$(dirname "$0")/mirrors.sh"

[ $# -ge 2 ] || { echo "usage: debian-image.sh FILE SIZE [PACKAGE...]" >&2; exit 2; }
image=$(realpath -m "$1")
size=$2
shift 2
packages=$(IFS=,; echo "$*")

work=$(vt_work_dir)
trap 'rm -rf --one-file-system "$work"' EXIT

read_mirrors "$work/apt.conf"

mmdebstrap --quiet --mode=root --variant=minbase --aptopt="$work/apt.conf" \
    ${packages:+--include="$packages"} --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$suite" "$work/tree" "${mirrors[@]}"
# What changes with every build or belongs to one machine
rm -rf "$work"/tree/var/log/* "$work"/tree/etc/machine-id "$work"/tree/var/cache/*
echo debian >"$work/tree/etc/hostname"
rm -f "$image"
truncate -s "$size" "$image"
mke2fs -q -t ext4 -L root -d "$work/tree" "$image"
