#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# link-stock-backends.sh MODULE_DIR STOCK_DIR NAME...: links to libvirt's own backends, at install
#
# meson's install_symlink() refuses a link to a file that is not there, and these may come later.
set -eu
module_dir=${DESTDIR:-}$1
stock_dir=$2
shift 2
mkdir -p "$module_dir"
for name in "$@"; do
    file=libvirt_storage_backend_$name.so
    ln -sfn "$stock_dir/$file" "$module_dir/$file"
done
