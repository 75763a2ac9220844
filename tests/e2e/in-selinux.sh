#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What test-selinux.sh runs, with a kernel that has SELinux and no policy yet
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/e2e/bases.sh
. "$VT_E2E_DIR/bases.sh"
requires virsh qemu-img qemu-system-x86_64 lsattr findmnt secilc virt-template

STORE=oci:$PWD/golden
DEFAULT=/var/lib/libvirt/images/default
# As in Fedora's policy, which libvirt asks for the other labels; a base is read by all guests
LABEL=system_u:object_r:virt_content_t:s0

# policy: the names that libvirt uses, categories for its guests, and nothing is denied
policy() {
    # files of a class that no policy knows cannot be labelled
    local type number classes='file dir lnk_file sock_file fifo_file chr_file blk_file'
    echo '(handleunknown allow) (mls true) (class process (transition dyntransition))'
    for type in $classes; do echo "(class $type (write))"; done
    echo "(classorder (unordered process $classes))"
    echo '(sid kernel) (sid security) (sid unlabeled) (sid fs) (sid file)'
    echo '(sidorder (kernel security unlabeled fs file))'
    echo '(sensitivity s0) (sensitivityorder (s0))'
    for number in {0..1023}; do echo "(category c$number)"; done
    echo "(categoryorder ($(printf 'c%d ' {0..1023})))"
    echo '(sensitivitycategory s0 (range c0 c1023))'
    echo '(role system_r) (role object_r) (user system_u) (userrole system_u system_r) (userrole system_u object_r)'
    echo '(userlevel system_u (s0)) (userrange system_u ((s0) (s0 (range c0 c1023))))'
    for type in kernel_t file_t svirt_t svirt_tcg_t svirt_image_t virt_content_t; do
        echo "(type $type) (typepermissive $type) (roletype system_r $type) (roletype object_r $type)"
    done
    echo '(allow kernel_t file_t (file (write))) (allow kernel_t kernel_t (process (transition)))'
    echo '(context own (system_u system_r kernel_t ((s0) (s0))))'
    echo '(context other (system_u object_r file_t ((s0) (s0))))'
    for type in kernel security fs; do echo "(sidcontext $type own)"; done
    for type in unlabeled file; do echo "(sidcontext $type other)"; done
    echo '(fsuse xattr ext4 other) (fsuse xattr overlay other)'
}

# start_selinux: from here on the kernel and libvirt have it
start_selinux() {
    local contexts=/etc/selinux/test/contexts
    mkdir -p $contexts/files
    printf 'SELINUX=enforcing\nSELINUXTYPE=test\n' >/etc/selinux/config
    printf 'system_u:system_r:svirt_t:s0\nsystem_u:system_r:svirt_tcg_t:s0\n' >$contexts/virtual_domain_context
    printf 'system_u:object_r:svirt_image_t:s0\n%s\n' $LABEL >$contexts/virtual_image_context
    echo '/.* system_u:object_r:file_t:s0' >$contexts/files/file_contexts
    policy >policy.cil
    secilc --policyvers=33 --output=policy.bin --filecontext=/dev/null policy.cil
    mount -t selinuxfs selinuxfs /sys/fs/selinux
    # the kernel wants it in one write
    dd if=policy.bin of=/sys/fs/selinux/load bs=16M status=none
    echo 1 >/sys/fs/selinux/enforce
    assert_eq "$(cat /sys/fs/selinux/enforce)" 1 "SELinux enforces"
}

# sealed_with immutable|mounts: all three of the names
sealed_with() {
    local flags mounts
    [ "$(bases | wc -l)" = 3 ] || return 1
    flags=$(bases | xargs lsattr | grep -c '^....i' || :)
    mounts=$(findmnt --list --noheadings --output TARGET,OPTIONS | grep -c "^$TEMPLATES/.*qcow2 *ro," || :)
    case $1 in
    immutable) [ "$flags/$mounts" = 3/0 ] ;;
    mounts) [ "$flags/$mounts" = 0/3 ] ;;
    esac
}

# state: owner, mode, label and content
state() {
    local file
    for file in $(bases); do
        stat -c '%n %U:%G %a %C' "$file"
        sha256sum <"$file"
    done
}

step "SELinux: layers that were sealed before it came"
publish_two "$STORE" 16M
start_helper
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
virt-template pull debian@1.1.0 --pool templates
sealed_with immutable || fail "not immutable"
stop_libvirtd
stop_helper
start_selinux

step "SELinux: libvirt cannot label a base with the immutable flag, and starts no guest: what this is about"
start_virtlogd
start_libvirtd
qemu-img create -q -f qcow2 $DEFAULT/plain.qcow2 16M
qemu-img create -q -f qcow2 -b $DEFAULT/plain.qcow2 -F qcow2 $DEFAULT/over.qcow2
chattr +i $DEFAULT/plain.qcow2
expect_fail 'unable to set security context' start_domain plain $DEFAULT/over.qcow2
chattr -i $DEFAULT/plain.qcow2
virsh undefine plain

step "SELinux: layers get the label and read-only mounts in place of the flag"
start_helper
wait_until 60 sealed_with mounts || fail "not sealed with mounts"
before=$(state)
assert_eq "$(grep -c " root:root 444 $LABEL\$" <<<"$before")" 3 "names of root's, with the label"
virt-template evict debian@1.1.0 --pool templates
assert_eq "$(bases)" '' "what is left"
virt-template pull debian@1.1.0 --pool templates
sealed_with mounts || fail "not sealed with mounts"
assert_eq "$(state)" "$before" "the bases after a pull"

step "SELinux: a guest runs over the base with labels of its own, and nothing of the base has changed"
clone web.qcow2 debian@1.1.0.qcow2
start_domain web $DEFAULT/web.qcow2
assert_match '^system_u:object_r:svirt_image_t:s0:c[0-9]+,c[0-9]+$' "$(stat -c %C $DEFAULT/web.qcow2)"
assert_match '^system_u:system_r:svirt_tcg_t:s0:c[0-9]+,c[0-9]+' "$(tr -d '\0' <"/proc/$(cat /run/libvirt/qemu/web.pid)/attr/current")"
assert_eq "$(state)" "$before" "the bases after the start"
for name in $(bases); do
    expect_fail 'Read-only file system' chown libvirt-qemu "$name"
    expect_fail 'Read-only file system' chmod 600 "$name"
    expect_fail 'Read-only file system' chcon -t svirt_image_t "$name"
    expect_fail 'Read-only file system' dd if=/dev/zero of="$name" bs=1 count=1 conv=notrunc
done
virsh destroy web
assert_eq "$(state)" "$before" "the bases after the end"
assert_libvirtd_alive
