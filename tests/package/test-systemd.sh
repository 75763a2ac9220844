#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The Debian packages, built and installed into a new Debian that systemd boots, with the units as they are
#
# The Debian runs in a container of systemd-nspawn, which needs no systemd here. inside.sh is its test.
set -Eeuo pipefail
export LC_ALL=C
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
# shellcheck source=tests/mirrors.sh
. "$root/tests/mirrors.sh"

BOOT_S=300
packages=systemd-sysv,dbus-user-session,libpam-systemd,libvirt-daemon-system,libvirt-clients,qemu-utils
packages+=,qemu-system-x86,jq,e2fsprogs,openssl,curl

if ! command -v dpkg-buildpackage >/dev/null; then
    echo '1..0 # SKIP Debian packages can be built on Debian only'
    exit 0
fi
for program in mmdebstrap systemd-nspawn dh unshare; do
    command -v $program >/dev/null || { echo "Bail out! this test needs $program"; exit 1; }
done

work=$(vt_work_dir)
finish() {
    chattr -R -f -i "$work/tree/var/lib/libvirt" 2>/dev/null || :  # links need no flag
    rm -rf --one-file-system "$work"
}
trap finish EXIT

# From what git knows of, and what it could
build_packages() {
    mkdir "$work/source"
    git -c safe.directory='*' -C "$root" ls-files -z --cached --others --exclude-standard |
        tar -C "$root" --null --verbatim-files-from -T - -c | tar -C "$work/source" -x
    (cd "$work/source" && DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc)" \
        dpkg-buildpackage -b -us -uc)
}

install_packages() {
    read_mirrors "$work/apt.conf"
    # shellcheck disable=SC2016 # $1 is of the hook
    mmdebstrap --quiet --mode=root --variant=apt --aptopt="$work/apt.conf" --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --customize-hook="cp '$work'/*.deb \"\$1/root\"" \
        --customize-hook='chroot "$1" sh -c "apt-get -q -y --no-install-recommends install /root/*.deb"' \
        "$suite" "$work/tree" "${mirrors[@]}"
    mkdir "$work/tree/root/test"
    cp "$root/tests/steps.sh" "$root/tests/e2e/machine.sh" "$here/inside.sh" "$work/tree/root/test/"
    cp "$here/inside.service" "$work/tree/etc/systemd/system/"
    mkdir -p "$work/tree/etc/systemd/system/multi-user.target.wants"
    ln -s ../inside.service "$work/tree/etc/systemd/system/multi-user.target.wants/"
}

# A hierarchy of control groups of its own, as this machine may have another kind
boot() {
    # shellcheck disable=SC2016 # the inner shell's
    timeout --kill-after=10 $BOOT_S unshare --mount --cgroup --pid --fork --mount-proc --kill-child \
        bash -euc 'mount --make-rprivate /
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
            mkdir -p /sys/fs/cgroup/virt-template-test
            echo $$ >/sys/fs/cgroup/virt-template-test/cgroup.procs
            exec systemd-nspawn --quiet --register=no --keep-unit --private-network --link-journal=no \
                --capability=all --console=pipe --machine=virt-template-test --boot --directory "$1"' \
        boot "$work/tree" </dev/null
}

{
    build_packages
    install_packages
    boot || echo "the boot ended with status $?"
    cat "$work/tree/root/test/log" || :  # not there: what is printed next says so
} >&2
cat "$work/tree/root/test/result.tap" || { echo 'not ok 1 - the test began'; echo 1..1; exit 1; }
