#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Layers on a file system with fs-verity, which the kernel of the tests need not have
set -euo pipefail
# shellcheck source=tests/e2e/kernel.sh
. "$(dirname "$0")/kernel.sh"
make_kernel
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires qemu-system-x86_64 busybox mke2fs

step "Debian's kernel runs on the files of this machine"
run_in_kernel "$VT_E2E_DIR/in-verity.sh" verity '' "$LOGS/guest.log"
steps_of "$LOGS/guest.log"
