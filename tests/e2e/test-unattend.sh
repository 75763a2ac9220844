#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Answer files for Windows: a real domain with the ISO image as its CD-ROM, or with the floppy. No Windows
# boots here; the media are read as a reader of ISO 9660 and of FAT does, and checked against the schema
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh qemu-img virt-template isoinfo mtype mdir minfo xmllint

STORE=oci:$PWD/golden
POOL=/var/lib/libvirt/images/templates
SCHEMA=/usr/share/virt-template/schemas/unattend.rng
[ -e "$SCHEMA" ] || SCHEMA=$VT_E2E_DIR/../../xml/unattend.rng
# Must show up nowhere
SECRET='P&ss<w"rd'

# disk KIND: the seed's disk
disk() {
    case $1 in
    iso) echo "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>
        <source file='$POOL/win1-seed.iso'/><target dev='sda' bus='sata'/><readonly/></disk>" ;;
    img) echo "<disk type='file' device='floppy'><driver name='qemu' type='raw'/>
        <source file='$POOL/win1-seed.img'/><target dev='fda' bus='fdc'/><readonly/></disk>" ;;
    esac
}

# define_win KIND ELEMENTS: the domain win1
define_win() {
    cat >win1.xml <<END
<domain type='qemu'>
  <name>win1</name>
  <uuid>6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f</uuid>
  <metadata>
    <vt:instance xmlns:vt='urn:virt-template:instance:1'>
      <vt:seed path='$POOL/win1-seed.$1' datasource='unattend'/>
      $2
    </vt:instance>
  </metadata>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='/var/lib/libvirt/images/default/win1.qcow2'/><target dev='vda' bus='virtio'/></disk>
    $(disk "$1")
    <interface type='user'><mac address='52:54:00:00:00:0a'/></interface>
  </devices>
</domain>
END
    virsh define win1.xml
}

# of_iso: the answer file, by its name in Joliet, which is what Windows reads
of_iso() {
    isoinfo -J -x '/Unattend.xml;1' -i $POOL/win1-seed.iso
}

# value FILE ELEMENT: the text of the first such element
value() {
    xmllint --xpath "string(//*[local-name()='$2'])" "$1"
}

# decode: what Windows makes of a password in <Value>
decode() {
    base64 -d | iconv -f UTF-16LE -t UTF-8
}

nothing_left() {
    [ ! -e "$POOL/win1-seed.iso" ] || fail "the ISO image is there"
    [ ! -e "$POOL/win1-seed.img" ] || fail "the floppy is there"
}

host_with_template "$STORE"
clone win1.qcow2 debian@1.0.0.qcow2
UUID=6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f
for kind in iso img; do
    virt-template instance secrets $POOL/win1-seed.$kind $UUID <<END
secret: '$SECRET'
key: AAAAA-BBBBB-CCCCC-DDDDD-12345
END
done
elements="<vt:hostname>WIN1.corp.example</vt:hostname>
    <vt:user name='Administrator' password-secret='secret'/>
    <vt:user name='Anna Smith' sudo='yes' password-secret='secret'/>
    <vt:command>echo \"a &amp; b\" &gt; %TEMP%\\x.txt</vt:command>
    <vt:locale>de_DE.UTF-8</vt:locale>
    <vt:timezone>W. Europe Standard Time</vt:timezone>
    <vt:product-key secret='key'/>
    <vt:interface><vt:address>192.0.2.5/24</vt:address><vt:gateway>192.0.2.1</vt:gateway>
      <vt:dns>192.0.2.53</vt:dns></vt:interface>"

step "the answer file is in the root of the CD-ROM that the domain has"
define_win iso "$elements"
nothing_left
virsh start win1
assert_eq "$(stat -c %a $POOL/win1-seed.iso)" 600 mode
assert_match "file/win1-seed.iso|$POOL/win1-seed.iso" "$(virsh qemu-monitor-command --hmp win1 'info block')"
assert_eq "$(isoinfo -d -i $POOL/win1-seed.iso | sed -n 's/^Volume id: //p')" UNATTEND
assert_eq "$(isoinfo -J -f -i $POOL/win1-seed.iso)" '/Unattend.xml;1' # with a version, as Joliet has it
of_iso >iso.xml

step "it follows the schema, and says what the domain says"
xmllint --noout --relaxng "$SCHEMA" iso.xml
assert_eq "$(value iso.xml ComputerName)" WIN1
assert_eq "$(value iso.xml DNSDomain)" corp.example
assert_eq "$(value iso.xml TimeZone)" 'W. Europe Standard Time'
assert_eq "$(value iso.xml ProductKey)" AAAAA-BBBBB-CCCCC-DDDDD-12345
assert_eq "$(value iso.xml UILanguage)" de-DE
assert_eq "$(value iso.xml Path)" 'cmd.exe /s /c "echo "a & b" > %TEMP%\x.txt"'
assert_eq "$(value iso.xml UnicastIpAddresses | xargs)" 192.0.2.5/24
assert_eq "$(value iso.xml NextHopAddress)" 192.0.2.1
assert_eq "$(value iso.xml DNSServerSearchOrder | xargs)" 192.0.2.53
assert_eq "$(xmllint --xpath "string(//*[local-name()='AdministratorPassword']/*[1])" iso.xml | decode)" \
    "${SECRET}AdministratorPassword"
assert_eq "$(xmllint --xpath "string(//*[local-name()='Password']/*[1])" iso.xml | decode)" "${SECRET}Password"
assert_eq "$(xmllint --xpath "count(//*[@processorArchitecture='amd64'])" iso.xml)" 6

step "while the domain runs, the pool does not show the medium as a volume"
virsh pool-refresh templates
assert_no_match seed "$(virsh vol-list templates)"
assert_match 'debian@1.0.0.qcow2' "$(virsh vol-list templates)"

step "the same input has the same bytes, and the medium ends with the domain"
cp $POOL/win1-seed.iso first.iso
virsh destroy win1
nothing_left
sleep 1.1 # dates have seconds
virsh start win1
cmp first.iso $POOL/win1-seed.iso
virsh destroy win1
nothing_left

step "the floppy has the same answer file"
define_win img "$elements"
virsh start win1
assert_eq "$(stat -c %a,%s $POOL/win1-seed.img)" 600,1474560 'mode and size'
assert_match "$POOL/win1-seed.img" "$(virsh qemu-monitor-command --hmp win1 'info block')"
assert_match 'UNATTEND XML +[0-9]+ 1980-01-01 +0:00 +Unattend.xml' "$(mdir -i $POOL/win1-seed.img ::)"
assert_match 'FAT12' "$(minfo -i $POOL/win1-seed.img ::)"
mtype -i $POOL/win1-seed.img ::Unattend.xml >floppy.xml
cmp iso.xml floppy.xml
virsh pool-refresh templates
assert_no_match seed "$(virsh vol-list templates)"
cp $POOL/win1-seed.img first.img
virsh destroy win1
nothing_left
sleep 2.1 # FAT's dates have two seconds
virsh start win1
cmp first.img $POOL/win1-seed.img
virsh destroy win1
nothing_left

step "a complete answer file is written as it is"
define_win iso "<vt:unattend>&lt;unattend xmlns='urn:schemas-microsoft-com:unattend'&gt;
  &lt;!-- mine --&gt;&lt;/unattend&gt;</vt:unattend>"
virsh start win1
assert_eq "$(of_iso)" \
    "<unattend xmlns='urn:schemas-microsoft-com:unattend'>
  <!-- mine --></unattend>"
virsh destroy win1

step "what the owner says wrong stops the start, in words and without secrets"
# refused MESSAGE ELEMENTS
refused() {
    define_win iso "$2"
    expect_fail "$1" virsh start win1
    assert_no_match hunter2 "$output"
    nothing_left
}
refused "more than 15 characters" '<vt:hostname>a-name-that-is-long</vt:hostname>'
refused "<package>: is not for Windows" '<vt:package>nginx</vt:package>'
refused "'password' could be read by every user of the host" "<vt:user name='a' password='hunter2'/>"
refused "the domain has no secret 'other'" "<vt:user name='a' password-secret='other'/>
    <vt:user name='b' password-secret='secret'/><vt:product-key secret='key'/>"
refused "the secret 'secret' is not of the form XXXXX-" "<vt:user name='a' password-secret='key'/>
    <vt:product-key secret='secret'/>"
refused 'is not of the form XXXXX-' '<vt:product-key>hunter2</vt:product-key>'
refused "not a time zone of Windows, as 'tzutil /l' lists them" '<vt:timezone>Europe/Berlin</vt:timezone>'
refused '<unattend>: is not well-formed XML' '<vt:unattend>&lt;unattend</vt:unattend>'
refused 'has a document type' "<vt:unattend>&lt;!DOCTYPE x&gt;&lt;x/&gt;</vt:unattend>"
define_win img "$elements"
sed "s/datasource='unattend'/datasource='nocloud'/" win1.xml >cloud.xml
virsh define cloud.xml
expect_fail "a floppy .NAME-seed.img. is for the datasource 'unattend'" virsh start win1
nothing_left

step "without mtools the start of a floppy's domain says what is missing; an ISO image needs none"
mount --bind /dev/null /usr/bin/mformat
define_win img "$elements"
expect_fail 'is mtools installed on the host' virsh start win1
nothing_left
define_win iso "$elements"
virsh start win1
virsh destroy win1
umount /usr/bin/mformat

step "the secret is in no log, and nothing is left"
! grep -rF -e "$SECRET" -e hunter2 "$LOGS" || fail "a secret was logged"
virsh undefine win1
virsh vol-delete win1.qcow2 default
nothing_left
for kind in iso img; do
    virt-template instance secrets $POOL/win1-seed.$kind $UUID --remove
done
assert_eq "$(ls -A $POOL/.seeds)" ''

assert_libvirtd_alive
