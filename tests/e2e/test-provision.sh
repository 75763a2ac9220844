#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests with the hardware that was asked for, as clones or copies; and what fails leaves nothing
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-xml-validate xmllint qemu-img jq swtpm virt-template

STORE=oci:$PWD/golden
TEMPLATES=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default

provision() {
    virt-template provision debian@1.0.0 "$@" --virt-type qemu
}

domain_xml() {
    virt-template domain-xml debian@1.0.0 "$@" --virt-type qemu
}

# of FILE XPATH: a string of a domain's XML
of() {
    xmllint --xpath "string($2)" "$1"
}

nothing_left() {
    ! virsh dominfo "$1" || fail "the domain $1 is there"
    [ ! -e "$DEFAULT/$1.qcow2" ] || fail "the clone of $1 is there"
    [ ! -e "$TEMPLATES/$1-seed.iso" ] || fail "the seed of $1 is there"
}

# backing NAME [DIRECTORY]: the backing file of a clone, or "none"
backing() {
    qemu-img info -U --output json "${2:-$DEFAULT}/$1.qcow2" | jq -r '."backing-filename" // "none"'
}

# gone NAME: with its clone
gone() {
    virsh undefine --nvram --tpm "$1"
    virsh vol-delete "$1.qcow2" default
}

make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
original=$(sha256sum <one.img | cut -d' ' -f1)
start_helper
start_virtlogd
# swtpm_setup, which libvirtd runs as another user, works there
mkdir -m 1777 tmp
TMPDIR=$PWD/tmp
start_libvirtd
TMPDIR=$PWD
define_pool templates "$STORE"
define_dir_pool default

cat >windows.json <<'END'
{"memory": 256, "vcpus": 2, "firmware": "efi", "secure_boot": true, "tpm": "2.0",
 "disk": {"bus": "sata", "cache": "writeback"}, "video": "vga", "clock": "localtime",
 "hyperv": true, "interfaces": [{"model": "e1000e", "mac": "52:54:00:AA:00:01"},
                                {"bridge": "br0"}, {"direct": "eth0", "model": "rtl8139"}]}
END
cat >small.yaml <<'END'
memory: 64
vcpus: 1
disk: {bus: scsi}
interfaces: []
END

step "the XML follows libvirt's schema, whatever is asked for, and nothing is made"
for wanted in memory=64 cpu=host-model cpu=maximum cpu=Haswell-noTSX machine=pc firmware=efi tpm=2.0 \
    firmware=efi,secure_boot=yes disk.bus=virtio disk.bus=scsi disk.bus=sata disk.bus=ide \
    disk.cache=none disk.cache=unsafe video=virtio,clock=localtime,hyperv=yes windows.json small.yaml; do
    domain_xml web --hardware "$wanted" --set user=anna --set 'command=echo "<&>"' >web.xml
    virt-xml-validate web.xml domain
    provision web --hardware "$wanted" --set user=anna --set 'command=echo "<&>"' --dry-run >dry.xml
    cmp web.xml dry.xml
done
provision web --count 2 --dry-run >two.xml
assert_eq "$(grep -c '<domain ' two.xml)" 2
nothing_left web
[ -z "$(virsh list --all --name)" ] || fail "a domain was made"

step "members of all layers, each over the one before"
domain_xml web --hardware windows.json >web.xml
assert_eq "$(of web.xml //memory) $(of web.xml //memory/@unit) $(of web.xml //vcpu)" '256 MiB 2'
assert_eq "$(of web.xml //os/@firmware)" efi
assert_eq "$(of web.xml "//os/firmware/feature[@name='secure-boot']/@enabled")" yes
assert_eq "$(of web.xml //tpm/@model) $(of web.xml //tpm/backend/@version)" 'tpm-crb 2.0'
assert_eq "$(of web.xml //disk[1]/target/@bus) $(of web.xml //disk[1]/driver/@cache)" 'sata writeback'
assert_eq "$(of web.xml //disk[2]/@device) $(of web.xml //disk[2]/target/@bus)" 'cdrom sata'
assert_eq "$(of web.xml //clock/@offset) $(of web.xml '//timer[@name="hypervclock"]/@present')" \
    'localtime yes'
assert_eq "$(of web.xml '//hyperv/spinlocks/@retries')" 8191
for machine in q35 pc pc-i440fx-7.2; do
    domain_xml web --hardware machine=$machine >plain.xml
    assert_eq "$(of plain.xml '//timer[@name="hpet"]/@present') $(of plain.xml 'count(//timer)')" 'no 3'
done
assert_eq "$(of web.xml //interface[1]/source/@network) $(of web.xml //interface[1]/model/@type) \
$(of web.xml //interface[1]/mac/@address)" 'default e1000e 52:54:00:aa:00:01'
assert_eq "$(of web.xml //interface[2]/source/@bridge) $(of web.xml //interface[2]/model/@type)" \
    'br0 virtio'
assert_eq "$(of web.xml //interface[3]/source/@dev) $(of web.xml //interface[3]/@type)" 'eth0 direct'
domain_xml web --hardware small.yaml --memory 96 --machine pc-q35-7.2 --network lan >web.xml
assert_eq "$(of web.xml //memory) $(of web.xml //vcpu) $(of web.xml //os/type/@machine)" \
    '96 1 pc-q35-7.2'
assert_eq "$(of web.xml 'count(//interface)') $(of web.xml //interface/source/@network)" '1 lan'
domain_xml web --hardware windows.json --network lan >web.xml
assert_eq "$(of web.xml 'count(//interface)') $(of web.xml //interface/model/@type)" '1 e1000e'
domain_xml web --hardware windows.json --no-network >web.xml
assert_eq "$(of web.xml 'count(//interface)')" 0
domain_xml web >web.xml
assert_eq "$(of web.xml //memory) $(of web.xml //vcpu) $(of web.xml //disk[1]/target/@bus)" \
    '2048 2 virtio'

step "the template's own profile is below what is asked for"
cat >profile.yaml <<'END'
hardware:
  memory: 96
  vcpus: 1
  disk: {bus: scsi, cache: none}
  interfaces: [{network: lan, model: e1000e}, {network: dmz}]
END
publish "$STORE" golden.key one.img server@1.0.0 --profile profile.yaml
virsh pool-refresh templates
virt-template domain-xml server web --virt-type qemu >web.xml 2>note.log
assert_match "what 'server' takes and asks for is not known: .*server" "$(cat note.log)"
assert_eq "$(of web.xml //memory)" 2048
virt-template provision server@1.0.0 web --virt-type qemu --hardware disk.cache=unsafe --memory 80
virsh dumpxml web >web.xml
assert_eq "$(of web.xml //memory)/$(of web.xml //memory/@unit) $(of web.xml //vcpu)" '81920/KiB 1'
assert_eq "$(of web.xml //disk[1]/target/@bus) $(of web.xml //disk[1]/driver/@cache)" 'scsi unsafe'
assert_eq "$(of web.xml //interface[1]/model/@type) $(of web.xml //interface[2]/source/@network)" \
    'e1000e dmz'
gone web
for name in server server@1.0.0; do
    virt-template domain-xml $name web --virt-type qemu --network other >web.xml 2>note.log
    assert_eq "$(cat note.log)" ''
    assert_eq "$(of web.xml //memory) $(of web.xml 'count(//interface)') \
$(of web.xml //interface/source/@network) $(of web.xml //interface/model/@type)" '96 1 other e1000e'
done
stop_helper
virt-template domain-xml server web --virt-type qemu >web.xml 2>note.log
assert_match "what 'server' takes and asks for is not known: virttemplated cannot" "$(cat note.log)"
assert_eq "$(of web.xml //memory)" 2048
start_helper
virsh pool-refresh templates
nothing_left web

step "real guests start with it: each bus, EFI, secure boot and a TPM"
sed 's/"interfaces".*/"interfaces": []}/; /"bridge"/d' windows.json >start.json
for wanted in small.yaml memory=64,disk.bus=sata memory=64,machine=pc,disk.bus=ide \
    memory=64,hyperv=yes,video=bochs start.json; do
    provision real --hardware "$wanted" --no-network --set hostname=real --start
    virsh dumpxml real >real.xml
    assert_eq "$(virsh domstate real)" running
    [ -s $TEMPLATES/real-seed.iso ] || fail "there is no seed"
    virsh destroy real
    gone real
    nothing_left real
done
assert_match 'OVMF|edk2' "$(of real.xml //os/loader)"
assert_eq "$(of real.xml //os/loader/@secure)" yes

step "a linked clone and a full copy, whatever the strategy of the pool"
define_pool copying "$STORE" '' "<template:clone strategy='full'/>"
small=(--memory 64 --no-network)
provision linked --template-pool templates "${small[@]}" --strategy linked
provision asked --template-pool templates "${small[@]}" --strategy instantiate --size 1G
provision full --template-pool templates "${small[@]}" --strategy full --size 1G
provision copied --template-pool copying "${small[@]}"
provision linked2 --template-pool copying "${small[@]}" --strategy linked --size 1G
for name in linked asked full copied linked2; do
    case $name in
    linked | asked) base=$TEMPLATES/debian@1.0.0.qcow2 ;;
    linked2) base=/var/lib/libvirt/images/copying/debian@1.0.0.qcow2 ;;
    *) base=none ;;
    esac
    assert_eq "$(backing $name)" "$base" "backing file of $name"
    qemu-img check -q $DEFAULT/$name.qcow2
    qemu-img convert -O raw $DEFAULT/$name.qcow2 guest.raw
    assert_eq "$(head -c 64M guest.raw | sha256sum | cut -d' ' -f1)" "$original" "disk of $name"
done
assert_eq "$(for name in asked full linked2; do
    qemu-img info --output json $DEFAULT/$name.qcow2 | jq '."virtual-size"'
done | uniq -c | tr -s ' ')" ' 3 1073741824'
for name in linked asked full copied linked2; do
    gone $name
done
virsh pool-destroy copying
virt-template provision debian current --virt-type qemu "${small[@]}" --strategy linked
assert_eq "$(backing current)" $TEMPLATES/debian@1.0.0.qcow2
gone current

step "what is refused names the member and what is allowed"
expect_fail 'memory: 0 is not between 1 and 16777216' provision bad --memory 0
expect_fail '--memory 2G: not a number' provision bad --memory 2G
expect_fail 'vcpus: 4097 is not between 1 and 4096' provision bad --vcpus 4097
expect_fail 'firmware: "uefi" is none of: bios, efi' provision bad --firmware uefi
expect_fail "secure_boot needs the firmware 'efi'" provision bad --hardware secure_boot=yes
expect_fail 'disk.bus: "nvme" is none of: virtio, scsi' provision bad --hardware disk.bus=nvme
expect_fail "'mem=1' is not KEY=VALUE with one of" provision bad --hardware mem=1
expect_fail 'No such file' provision bad --hardware nothing.json
echo '{"cpu": [' >broken.json
expect_fail 'broken.json' provision bad --hardware broken.json
expect_fail "a MAC address is for one guest, not for 2" provision bad --count 2 --hardware windows.json
expect_fail "strategy thin: not 'linked', 'full' or" provision bad --strategy thin
expect_fail 'not the name of a libvirt network' provision bad --network a/b
expect_fail 'size 1X: not a size' provision bad --size 1X
expect_fail 'there is no verb|--count' virt-template domain-xml debian bad --count 2
nothing_left bad

step "what fails half-way leaves nothing, and libvirt's reason is said"
expect_fail 'cannot define the domain' provision bad --hardware machine=pc-nonsense-1
expect_fail 'IDE' provision bad --hardware machine=q35,disk.bus=ide
expect_fail 'nowhere' provision bad --memory 64 --network nowhere --start
expect_fail 'nowhere' provision bad --memory 64 --network nowhere --start --count 3
expect_fail 'CPU' provision bad --memory 64 --hardware cpu=NoSuchModel --no-network --start
mount --bind /dev/null "$(command -v swtpm)"
expect_fail 'TPM' provision bad --memory 64 --hardware tpm=2.0 --no-network --start
umount "$(command -v swtpm)"
for name in bad bad-1 bad-2 bad-3; do
    nothing_left $name
done
[ -z "$(virsh list --all --name)" ] || fail "a domain is left"
assert_no_match 'bad' "$(virsh vol-list default)"

step "without an address in time, the guest is left running, and the error says so"
expect_fail "'slow' runs, but has no address yet" provision slow --memory 64 --no-network --start --wait 1
assert_eq "$(virsh domstate slow)" running
virsh destroy slow
gone slow
expect_fail '--wait needs --start' provision slow --wait 1
expect_fail 'wait -1: not a number of seconds' provision slow --start --wait -1
nothing_left slow

step "what is interrupted leaves nothing"
virt-template provision debian@1.0.0 many --virt-type qemu --count 1000 "${small[@]}" >many.log 2>&1 &
pid=$!
wait_until 20 virsh dominfo many-3 || fail "nothing is made"
kill -TERM $pid
status=0
wait $pid || status=$?
cat many.log
assert_eq $status 130 'exit status'
assert_match 'interrupted' "$(cat many.log)"
[ -z "$(virsh list --all --name)" ] || fail "a domain is left"
assert_no_match 'many' "$(virsh vol-list default)"

assert_libvirtd_alive
