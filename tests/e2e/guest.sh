# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The guest of the tests: sourced outside of the private machine, where there is a network, and once
# more inside. It is made once for all runs of this build, because it does not depend on what is
# tested.

# make_guest_image: sets GUEST_IMAGE, a raw disk of guest-image.sh
make_guest_image() {
    GUEST_IMAGE=$VT_BUILD_DIR/e2e/guest.img
    [ ! -f "$GUEST_IMAGE" ] || return 0
    mkdir -p "$VT_BUILD_DIR/e2e"
    "$(dirname "${BASH_SOURCE[0]}")/../guest-image.sh" "$GUEST_IMAGE.part" >&2
    mv "$GUEST_IMAGE.part" "$GUEST_IMAGE"
}

# The file system in the image, as e2fsprogs name it
guest_system() {
    echo "$1?offset=1048576"
}
