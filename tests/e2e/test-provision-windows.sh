#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests with Windows: the hardware that its template asks for, and the answers on a CD-ROM. The disk has no
# Windows in it; the medium is read as a reader of ISO 9660 does, and checked against the schema
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-xml-validate xmllint virt-template isoinfo mtype swtpm ip

STORE=oci:$PWD/golden
POOL=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default
SCHEMA=/usr/share/virt-template/schemas/unattend.rng
[ -e "$SCHEMA" ] || SCHEMA=$VT_E2E_DIR/../../xml/unattend.rng
# Must show up nowhere but on the medium, where Windows' way of hiding it is undone here
CANARY=$RANDOM$RANDOM$RANDOM
SECRET="P&ss<w\"rd$CANARY"
KEY=AAAAA-BBBBB-CCCCC-DDDDD-12345

provision() {
    virt-template provision "$@" --virt-type qemu --memory 64 --no-network
}

domain_xml() {
    virt-template domain-xml "$@" --virt-type qemu
}

given() {
    printf "admin: '%s'\nanna: '%s-2'\nkey: %s\n" "$SECRET" "$SECRET" $KEY
}

# of FILE XPATH: a string of a document
of() {
    xmllint --xpath "string($2)" "$1"
}

# value FILE ELEMENT: the text of the first such element
value() {
    of "$1" "//*[local-name()='$2']"
}

# decode: what Windows makes of a password in <Value>
decode() {
    base64 -d | iconv -f UTF-16LE -t UTF-8
}

# seed_of FILE: target, bus and device of the seed's disk
seed_of() {
    local disk="//disk[contains(source/@file, '-seed.')]"
    echo "$(of "$1" "$disk/target/@dev") $(of "$1" "$disk/target/@bus") $(of "$1" "$disk/@device")"
}

# answers NAME: by its name in Joliet, which is what Windows reads
answers() {
    isoinfo -J -x '/Unattend.xml;1' -i "$POOL/$1-seed.iso"
}

# gone NAME: with clone and secrets
gone() {
    local uuid
    uuid=$(virsh domuuid "$1")
    [ "$(virsh domstate "$1")" = 'shut off' ] || virsh destroy "$1"
    virt-template instance secrets "$POOL/$1-seed.${2:-iso}" "$uuid" --remove
    virsh undefine --nvram --tpm "$1"
    virsh vol-delete "$1.qcow2" default
    nothing_left
}

nothing_left() {
    assert_eq "$(virsh list --all --name | xargs)" '' domains
    assert_eq "$(cd $DEFAULT && echo ./*)" './*' clones
    assert_eq "$(ls -A $POOL/.seeds)" '' secrets
    assert_eq "$(find $POOL -name '*-seed.*')" '' seeds
}

# refused MESSAGE COMMAND...: and nothing is left
refused() {
    expect_fail "$@"
    assert_no_match "hunter2|$CANARY" "$output"
    nothing_left
}

cat >windows.yaml <<'END'
hardware:
  memory: 128
  firmware: efi
  secure_boot: true
  tpm: "2.0"
  disk: {bus: sata}
  video: vga
  clock: localtime
  hyperv: true
  interfaces: []
END
cat >cloudbase.yaml <<'END'
parameters: [{name: role, type: string}]
user-data: {set_hostname: "${role}"}
END
make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0
publish "$STORE" golden.key one.img windows@11.0.0 --os windows --profile windows.yaml
publish "$STORE" golden.key one.img cloudbase@1.0.0 --os windows --profile cloudbase.yaml
start_helper
start_virtlogd
# swtpm_setup, which libvirtd runs as another user, works there
mkdir -m 1777 tmp
TMPDIR=$PWD/tmp
start_libvirtd
TMPDIR=$PWD
define_pool templates "$STORE"
define_dir_pool default
ip link add lan type bridge
ip link set lan up
echo "<network><name>lan</name><forward mode='bridge'/><bridge name='lan'/></network>" >lan.xml
virsh net-define lan.xml
virsh net-start lan
for name in debian windows cloudbase; do
    virt-template pull -q $name
done
answered=(--set hostname=WIN1.corp.example --set user=Administrator --set password-secret=admin
    --set 'user=Anna Smith' --set sudo=yes --set password-secret=anna --set 'command=echo "a & b"'
    --set locale=de_DE.UTF-8 --set 'timezone=W. Europe Standard Time' --set product-key-secret=key
    --set address=192.0.2.5/24 --set gateway=192.0.2.1 --set dns=192.0.2.53)

step "the XML has the answers' datasource and a CD-ROM, whatever the bus of the disk is"
for wanted in disk.bus=virtio disk.bus=scsi disk.bus=sata disk.bus=ide,machine=pc,firmware=bios,secure_boot=no \
    disk.bus=virtio,machine=pc,firmware=bios,secure_boot=no; do
    domain_xml windows win1 --hardware "$wanted" "${answered[@]}" >win1.xml
    virt-xml-validate win1.xml domain
    assert_eq "$(of win1.xml "//*[local-name()='seed']/@datasource")" unattend
    case $wanted in
    *ide*) assert_eq "$(seed_of win1.xml)" 'hdb ide cdrom' ;;
    *) assert_eq "$(seed_of win1.xml)" 'sdb sata cdrom' ;;
    esac
done
domain_xml windows win1 --datasource nocloud >win1.xml
assert_eq "$(of win1.xml "//*[local-name()='seed']/@datasource") $(seed_of win1.xml)" 'nocloud sdb sata cdrom'
domain_xml cloudbase win1 --set role=web >win1.xml
assert_eq "$(of win1.xml "//*[local-name()='seed']/@datasource") $(seed_of win1.xml)" ' sdb sata cdrom'
domain_xml debian win1 --datasource unattend >win1.xml
assert_eq "$(of win1.xml "//*[local-name()='seed']/@datasource") $(seed_of win1.xml)" 'unattend sdb sata cdrom'
domain_xml debian web >web.xml
assert_eq "$(of web.xml "//*[local-name()='seed']/@datasource") $(seed_of web.xml)" ' vdb virtio disk'
nothing_left

step "a real guest starts with the hardware of its template, and the answers in its drive"
virt-template provision windows win1 "${answered[@]}" --virt-type qemu --network lan \
    --hardware memory=64 --secrets - --start < <(given)
virsh dumpxml win1 >win1.xml
assert_eq "$(of win1.xml //os/loader/@secure) $(of win1.xml //tpm/backend/@version) \
$(of win1.xml //disk[1]/target/@bus) $(of win1.xml //clock/@offset)" 'yes 2.0 sata localtime'
assert_match 'Removable device: not locked' "$(virsh qemu-monitor-command --hmp win1 'info block' |
    grep -A3 win1-seed.iso)"
answers win1 >answers.xml
xmllint --noout --relaxng "$SCHEMA" answers.xml
assert_eq "$(value answers.xml ComputerName) $(value answers.xml DNSDomain)" 'WIN1 corp.example'
assert_eq "$(value answers.xml TimeZone)" 'W. Europe Standard Time'
assert_eq "$(value answers.xml UILanguage)" de-DE
assert_eq "$(value answers.xml ProductKey)" $KEY
assert_eq "$(value answers.xml Path)" 'cmd.exe /s /c "echo "a & b""'
assert_eq "$(of answers.xml "//*[local-name()='AdministratorPassword']/*[1]" | decode)" \
    "${SECRET}AdministratorPassword"
assert_eq "$(of answers.xml "//*[local-name()='Password']/*[1]" | decode)" "${SECRET}-2Password"
assert_eq "$(value answers.xml Group)" Administrators
assert_eq "$(value answers.xml UnicastIpAddresses | xargs)" 192.0.2.5/24
assert_no_match "$CANARY|$KEY" "$(virsh dumpxml --security-info win1)"
gone win1

step "each bus of the disk"
for wanted in disk.bus=virtio disk.bus=scsi disk.bus=ide,machine=pc disk.bus=virtio,machine=pc; do
    provision debian win1 --datasource unattend --hardware "$wanted" --set user=Administrator \
        --set password-secret=admin --secrets - --start <<<"admin: '$SECRET'"
    answers win1 >answers.xml
    xmllint --noout --relaxng "$SCHEMA" answers.xml
    assert_eq "$(value answers.xml ComputerName)" win1
    gone win1
done

step "a complete answer file, and a key for everybody to read"
echo '<unattend xmlns="urn:schemas-microsoft-com:unattend"><!-- mine --></unattend>' >mine.xml
provision debian win1 --datasource unattend --user-data mine.xml --start
assert_eq "$(answers win1)" "$(cat mine.xml)"
gone win1
provision debian win1 --datasource unattend --set product-key=$KEY --start
assert_eq "$(answers win1 | xmllint --xpath "string(//*[local-name()='ProductKey'])" -)" $KEY
gone win1

step "cloudbase-init gets what it reads from a CD-ROM, too"
provision cloudbase win1 --datasource configdrive --set role=web --start
assert_eq "$(isoinfo -d -i $POOL/win1-seed.iso | sed -n 's/^Volume id: //p')" config-2
gone win1

step "a floppy, by hand"
domain_xml debian win1 --datasource unattend --hardware machine=pc --memory 64 --no-network \
    --set user=Administrator --set password-secret=admin |
    sed "s/win1-seed.iso/win1-seed.img/; s/device=\"cdrom\"/device=\"floppy\"/
        s/dev=\"sdb\" bus=\"sata\"/dev=\"fda\" bus=\"fdc\"/" >floppy.xml
clone win1.qcow2 debian@1.0.0.qcow2
virsh define floppy.xml
virt-template instance secrets $POOL/win1-seed.img "$(virsh domuuid win1)" <<<"admin: '$SECRET'"
virsh start win1
mtype -i $POOL/win1-seed.img ::Unattend.xml >answers.xml
xmllint --noout --relaxng "$SCHEMA" answers.xml
assert_eq "$(of answers.xml "//*[local-name()='AdministratorPassword']/*[1]" | decode)" \
    "${SECRET}AdministratorPassword"
gone win1 img

step "what is no answer is refused, in words and without secrets"
refused "datasource floppy: not 'nocloud', 'configdrive' or 'unattend'" provision windows win1 \
    --datasource floppy
refused '--set password: there is no such key' provision windows win1 --set user=anna --set password=hunter2
refused "there is no secret 'anna': give it with --secrets" provision windows win1 --set user=anna \
    --set password-secret=anna
refused "the attribute 'password-secret' is missing" provision windows win1 --set user=anna
refused "<package>.* is not for Windows" provision windows win1 --set package=nginx
refused "'password-hash-secret' is not for Windows" provision windows win1 --set user=anna \
    --set password-hash-secret=anna --secrets - <<<"anna: hunter2"
refused "a password is for Windows" provision debian web --set user=anna \
    --set password-secret=anna --secrets - <<<"anna: hunter2"
refused "<product-key>.* is for Windows" provision debian web --set product-key-secret=key \
    --secrets - <<<"key: $KEY"
refused "the secret 'key' is not of the form XXXXX-" provision windows win1 --set product-key-secret=key \
    --secrets - <<<"key: hunter2"
refused 'a time zone of Windows' provision windows win1 --set timezone=Europe/Berlin
refused 'no place for the parameters and the user-data of cloudbase@1.0.0' provision cloudbase win1 \
    --datasource unattend --set role=web
refused 'well-formed' provision windows win1 --user-data windows.yaml
refused 'IDE' provision debian win1 --datasource unattend --hardware disk.bus=ide,machine=q35

step "secrets are in no log"
! grep -rF -e "$CANARY" -e $KEY -e hunter2 "$LOGS" || fail "a secret was logged"

assert_libvirtd_alive
