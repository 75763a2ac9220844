# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Debian's kernel in QEMU, over the files of this machine: for what the kernel of the tests may not have. Sourced
# outside of the private machine, where there is a network, and once more inside.

# Ten times what it takes alone
KERNEL_S=500

# make_kernel: sets KERNEL, a folder of tests/kernel.sh
make_kernel() {
    local script
    script=$(dirname "${BASH_SOURCE[0]}")/../kernel.sh
    KERNEL=$VT_BUILD_DIR/e2e/kernel
    [ "$KERNEL/vmlinuz" -nt "$script" ] || "$script" "$KERNEL"
}

# kernel_command SCRIPT: what the machine does; it sees the scratch disk as /mnt
kernel_command() {
    cat <<END
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    VT_BUILD_DIR=$VT_BUILD_DIR VT_STAGE=$VT_STAGE VT_SCRATCH_BASE=/mnt bash $1 </dev/null
echo "# the script ended with status \$?"
sync
echo o >/proc/sysrq-trigger
read -r -t 60 _ <>/dev/ttyS0 # a program could not be loaded any more
END
}

# run_in_kernel SCRIPT FEATURES PARAMETERS LOG: on a new ext4 with these features, by a kernel with these
# parameters; what it prints goes to LOG
run_in_kernel() {
    kernel_command "$1" >./command
    echo command | busybox cpio -o -H newc 2>/dev/null | cat "$KERNEL/initrd.img" - >initrd.img
    truncate -s 4G disk.img
    mke2fs -q -F -t ext4 -O "$2" disk.img
    # However it ends, its log tells more
    timeout -k 10 $KERNEL_S qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel tcg,thread=multi -cpu max -smp 2 \
        -m 2048 -display none -no-reboot -serial "file:$4" -kernel "$KERNEL/vmlinuz" -initrd initrd.img \
        -append "console=ttyS0 loglevel=1 panic=-1 mitigations=off $3" \
        -drive file=disk.img,format=raw,if=virtio,cache=unsafe \
        -virtfs local,path=/,mount_tag=host,security_model=passthrough,readonly=on,multidevs=remap || echo "QEMU ended with status $?"
    rm disk.img initrd.img
}

# steps_of LOG: those of the script become steps of this test
steps_of() {
    local line
    while read -r line; do
        step "$line"
    done < <(tr -d '\r' <"$1" | sed -n 's/^ok [0-9]* - //p')
    if ! grep -q '^# the script ended with status 0' "$1"; then
        line=$(tr -d '\r' <"$1" | sed -n 's/^not ok [0-9]* - //p')
        step "${line:-the machine ends after its script}"
        cat "$1"
        fail "a step in the machine, see above"
    fi
}
