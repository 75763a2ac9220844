#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests that are made with their secrets: in a file of root's and in the seed, nowhere else; and none is left
# behind by what fails, or by an application that is removed
# shellcheck source=tests/e2e/functions.sh
. "$(dirname "$0")/functions.sh"
requires virsh virt-ssh-helper qemu-img virt-template isoinfo jq strace setpriv

STORE=oci:$PWD/golden
POOL=/var/lib/libvirt/images/templates
DEFAULT=/var/lib/libvirt/images/default
# Made here, so that no file of the test itself holds it; and what is shown to be refused
CANARY=canary$RANDOM$RANDOM$RANDOM
HASH="\$6\$salt$RANDOM\$hash$RANDOM$RANDOM"
GUARD=canary-on-a-command-line
SMALL=(--virt-type qemu --memory 64 --no-network)

provision() {
    virt-template provision debian@1.0.0 "$@" "${SMALL[@]}"
}

# given: the secrets, as YAML
given() {
    printf 'token: "%s"\nanna: "%s"\n' "$CANARY" "$HASH"
}

# refused MESSAGE COMMAND...: in words, without secrets, and nothing is left
refused() {
    expect_fail "$@"
    assert_no_match "$CANARY|$GUARD" "$output"
    nothing_left
}

nothing_left() {
    assert_eq "$(virsh list --all --name | xargs)" '' domains
    assert_eq "$(cd $DEFAULT && echo ./*)" './*' clones
    assert_eq "$(ls -A $POOL/.seeds)" '' secrets
    assert_eq "$(find $POOL -name '*-seed.iso')" '' seeds
    assert_eq "$(has "$CANARY")" '' 'files with the secret'
}

# user_data NAME [FILTER]: what the guest is given
user_data() {
    isoinfo -R -x /user-data -i "$POOL/$1-seed.iso" | sed 1d | jq -r "${2:-.}"
}

# kept NAME: the file with its secrets
kept() {
    echo "$POOL/.seeds/$1-seed.iso.$(virsh domuuid "$1").secrets"
}

# Where logs, states and XML are, and all that belongs to others than root
PLACES=(/var/lib/libvirt /var/log /run /etc/libvirt /etc/virt-template "$LOGS" "$PWD")

# has TEXT: the files that hold it, as root finds them
has() {
    local status=0
    grep -rlF --devices=skip -e "$1" "${PLACES[@]}" >found 2>grep.err || status=$?
    [ $status -lt 2 ] || fail "grep: $(cat grep.err)"
    # What the places above are bound to is seen twice
    sort -u found | grep -v "^$PWD/root/" || :
    rm found
}

cat >profile.yaml <<'END'
parameters:
  - {name: token, type: secret, required: true}
  - {name: port, type: integer, default: 80}
user-data:
  write_files:
    - {path: /etc/token, content: "token=${token}:${port}"}
END
make_key golden
make_policy "$PWD/golden.pub"
make_image 64M one.img
make_store "$STORE" golden.key
publish "$STORE" golden.key one.img debian@1.0.0 --profile profile.yaml
publish "$STORE" golden.key one.img plain@1.0.0
publish "$STORE" golden.key one.img lazy@1.0.0 --profile profile.yaml
G_MESSAGES_DEBUG=all start_helper
start_virtlogd
start_libvirtd
define_pool templates "$STORE"
define_dir_pool default
virt-template pull -q debian@1.0.0
virt-template pull -q plain@1.0.0
anna=(--set user=anna --set password-hash-secret=anna)

step "a secret on the command line is refused, and the error says where it belongs"
refused "--set token=...: it is a secret, .* give it with --secrets" provision web --set token=$GUARD
refused "--set token=...: it is a secret" provision web --set token=$GUARD --dry-run

step "missing ones, and those that nothing asks for, are refused before anything is made"
refused "parameter 'token' has no value, and is a secret: give it with --secrets FILE; .*port" \
    provision web --start
refused "there is no secret 'anna': give it with --secrets" provision web "${anna[@]}" --start
refused "nothing asks for the secret 'anna'; asked for: none by --set; .*token \(secret" \
    provision web --secrets - < <(given)
refused "nothing asks for the secret 'tokken'; asked for: anna; .*token \(secret" \
    provision web "${anna[@]}" --secrets - < <(given; echo "tokken: $CANARY")
refused "nothing asks for the secret 'token'; asked for: anna; .*: none" \
    virt-template provision plain@1.0.0 web "${SMALL[@]}" "${anna[@]}" --secrets - < <(given)
refused "does not name a secret by its key" provision web --set user=anna \
    --set "password-hash-secret=Not A Key" --secrets - < <(echo "token: $CANARY")
refused "say whose with --set user" provision web --set password-hash-secret=anna

step "so are files that are not secrets, in words and without them"
refused 'nothing.yaml: No such file' provision web --secrets nothing.yaml
refused 'stdin: there is no secret' provision web --secrets - </dev/null
refused 'stdin: .*not a mapping' provision web --secrets - <<<"- $CANARY"
refused "'token' is not a string" provision web --secrets - <<<"token: [$CANARY]"
refused "key of secret number 1 is not" provision web --secrets - <<<"$CANARY x: y"
refused "the secret 'anna' is not a hash" provision web "${anna[@]}" --secrets - < <(
    printf 'token: "%s"\nanna: "%s"\n' "$CANARY" "$CANARY")

step "nor are files that others can use, but pipes are"
# denied WHY COMMAND...: the file, after the command that names it last
denied() {
    local why=$1
    install -m 0600 <(given) given.yaml
    "${@:2}" given.yaml
    expect_fail "--secrets given.yaml: $why" provision web "${anna[@]}" --secrets given.yaml
    assert_no_match "$CANARY" "$output"
    rm given.yaml
    nothing_left
}
for mode in 0604 0640 0602 0620 0644 0666; do
    denied "its mode $mode lets others than its owner use it: 'chmod 600' it" chmod $mode
done
denied "it belongs to user $(id -u nobody), who can read and change it: 'chown' it" chown nobody
ln -s given.yaml link.yaml
install -m 0644 <(given) given.yaml
expect_fail '--secrets link.yaml: its mode 0644' provision web "${anna[@]}" --secrets link.yaml
chmod 600 given.yaml
provision web "${anna[@]}" --secrets link.yaml
rm given.yaml link.yaml
remove_web() {
    virt-template instance secrets $POOL/web-seed.iso "$(virsh domuuid web)" --remove
    virsh undefine web
    virsh vol-delete web.qcow2 default
    nothing_left
}
remove_web
provision web "${anna[@]}" --secrets <(given)
remove_web

step "the XML needs none of them, and shows none"
(umask 077 && given >given.yaml)
provision web "${anna[@]}" --dry-run >dry.xml
provision web "${anna[@]}" --secrets given.yaml --dry-run | cmp - dry.xml
virt-template domain-xml debian@1.0.0 web "${SMALL[@]}" "${anna[@]}" | cmp - dry.xml
assert_match "password-hash-secret=\"anna\"" "$(cat dry.xml)"
assert_no_match "$CANARY" "$(cat dry.xml)"
rm given.yaml
nothing_left

step "a guest is made and started with its secrets, which are on no command line"
strace -f -v -s 10000 -e trace=execve -o trace virt-template provision debian@1.0.0 web "${SMALL[@]}" \
    "${anna[@]}" --set port=81 --secrets - --start < <(given)
assert_match 'execve.*provision' "$(cat trace)"
assert_no_match "$CANARY|$HASH" "$(cat trace)"
assert_eq "$(user_data web '.write_files[0].content')" "token=$CANARY:81"
assert_eq "$(user_data web '.users[0].hashed_passwd')" "$HASH"
assert_eq "$(stat -c '%a %U' "$(kept web)")" '600 root'
assert_eq "$(has "$CANARY")" "$(printf '%s\n' "$(kept web)" $POOL/web-seed.iso)" 'files with the secret'
for xml in "$(virsh -r dumpxml web)" "$(virsh -r dumpxml --inactive web)" \
    "$(virsh dumpxml --security-info web)"; do
    assert_no_match "$CANARY|salt" "$xml"
done
virsh destroy web
assert_eq "$(has "$CANARY")" "$(kept web)" 'files with the secret'
virsh start web
assert_eq "$(user_data web '.write_files[0].content')" "token=$CANARY:81"
virsh destroy web

step "doctor finds those that a removed domain left, and says how they go"
# examine FIELD: of what is said of secrets
examine() {
    virt-template doctor --json >report || :  # other checks of this machine may fail
    assert_no_match "$CANARY" "$(cat report)"
    jq -r ".checks[] | select(.check == \"pool templates: secrets\").$1" report
}
assert_eq "$(examine level)" OK
stop_libvirtd
assert_eq "$(examine level)" WARN
assert_match 'libvirt does not say which domains there are' "$(examine found)"
start_libvirtd
left=$(kept web)
uuid=$(virsh domuuid web)
virsh undefine --remove-all-storage web
[ -e "$left" ] || fail "the file is gone by itself: this step shows nothing"
assert_eq "$(examine level) $(examine found)" 'WARN kept for 1 domains that libvirt does not have'
assert_match "'virt-template instance secrets $POOL/web-seed.iso $uuid --remove'" "$(examine advice)"
virt-template instance secrets $POOL/web-seed.iso "$uuid" --remove
nothing_left

step "several guests have their own, in files of their own"
provision many --count 3 "${anna[@]}" --secrets - < <(given)
assert_eq "$(has "$CANARY")" "$(for i in 1 2 3; do kept many-$i; done | sort)" 'files with the secret'
virsh start many-3
assert_eq "$(user_data many-3 '.write_files[0].content')" "token=$CANARY:80"
virsh destroy many-3
for i in 1 2 3; do
    virt-template instance secrets $POOL/many-$i-seed.iso "$(virsh domuuid many-$i)" --remove
    virsh undefine many-$i
    virsh vol-delete many-$i.qcow2 default
done
nothing_left

step "the pool's values count"
(umask 077 && echo "token: 'of the pool'" >/etc/virt-template/defaults.yaml)
define_pool second "$STORE" '' "<template:instance defaults='/etc/virt-template/defaults.yaml'/>"
virt-template pull -q debian@1.0.0 --pool second
virt-template provision debian@1.0.0 web "${SMALL[@]}" --template-pool second --start
virsh destroy web
virsh undefine web
virsh vol-delete web.qcow2 default
virsh pool-destroy second
nothing_left

step "a template that is not here brings its declarations with the clone; what is wrong leaves nothing"
refused "nothing asks for the secret 'anna'" virt-template provision lazy@1.0.0 web "${SMALL[@]}" \
    --secrets - < <(given)
virt-template evict -q lazy@1.0.0 --pool templates
refused "--set token=...: it is a secret" virt-template provision lazy@1.0.0 web "${SMALL[@]}" \
    --set token=$GUARD
virt-template evict -q lazy@1.0.0 --pool templates
virt-template provision lazy@1.0.0 web "${SMALL[@]}" --secrets - --start <<<"token: '$CANARY'"
assert_eq "$(user_data web '.write_files[0].content')" "token=$CANARY:80"
virsh destroy web
virt-template instance secrets $POOL/web-seed.iso "$(virsh domuuid web)" --remove
virsh undefine web
virsh vol-delete web.qcow2 default
nothing_left

step "what fails takes them away again: a start, one of several, an interruption"
wrong=(--virt-type qemu --memory 64 --network nowhere)
refused nowhere virt-template provision debian@1.0.0 web "${wrong[@]}" "${anna[@]}" --start \
    --secrets - < <(given)
refused nowhere virt-template provision debian@1.0.0 web "${wrong[@]}" "${anna[@]}" --start \
    --count 4 --secrets - < <(given)
virsh define /dev/stdin <<'END'
<domain type='qemu'><name>web-3</name><memory>65536</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>
END
expect_fail "there is a domain 'web-3' already" provision web "${anna[@]}" --count 5 --start \
    --secrets - < <(given)
virsh undefine web-3
nothing_left
virt-template provision debian@1.0.0 many "${SMALL[@]}" --count 1000 --secrets - \
    <<<"token: '$CANARY'" >many.log 2>&1 &
pid=$!
wait_until 20 virsh dominfo many-3 || fail "nothing is made"
[ -n "$(ls -A $POOL/.seeds)" ] || fail "there are no secrets"
kill -TERM $pid
status=0
wait $pid || status=$?
cat many.log
assert_eq $status 130 'exit status'
nothing_left

step "killed at any point, it leaves none that belong to no domain"
# secrets_are COUNT
secrets_are() {
    set -- "$1" "$POOL"/.seeds/*.secrets
    [ -e "$2" ] && [ $(($# - 1)) -ge "$1" ]
}
killed=0 seen=
for count in 1 2 3 5 8 10 12 14 16 18; do
    virt-template provision debian@1.0.0 killed "${wrong[@]}" --count 20 --start --secrets - \
        <<<"token: '$CANARY'" >killed.log 2>&1 &
    pid=$!
    until secrets_are $count || ! kill -0 $pid 2>/dev/null; do :; done
    # A quick one may be done with it before so many are seen
    ! kill -KILL $pid 2>/dev/null || killed=$((killed + 1))
    wait $pid || :
    # What it asked of virttemplated before that may still be done
    virt-template list --pool templates >killed.log
    for file in "$POOL"/.seeds/*.secrets; do
        [ -e "$file" ] || continue
        seen=yes uuid=${file%.secrets}
        uuid=${uuid##*.}
        virsh domname "$uuid" || fail "$file belongs to no domain"
        seed=${file%."$uuid".secrets}
        virt-template instance secrets "${seed/.seeds\//}" "$uuid" --remove
    done
    virsh list --all --name | sed '/^$/d' | xargs -r -n 1 virsh undefine
    virsh pool-refresh default
    virsh vol-list default | sed -n 's/^ \(killed[^ ]*\).*/\1/p' | xargs -r -n 1 virsh vol-delete --pool default
done
nothing_left
[ -n "$seen" ] || fail "it was never killed while there were secrets"
[ $killed -ge 3 ] || fail "it was killed $killed times only: $(cat killed.log)"

step "only root can give secrets, and only with the virttemplated of the same host"
chmod 755 .
chmod 666 /run/libvirt/libvirt-sock
refused 'run this as root' setpriv --reuid nobody --regid nogroup --clear-groups \
    virt-template provision debian@1.0.0 web "${SMALL[@]}" --secrets - < <(given)
# A connection to another host, as far as the client knows
printf '#!/bin/sh\nexec virt-ssh-helper qemu:///system\n' >tunnel
chmod +x tunnel
elsewhere="qemu+ext://elsewhere/system?command=$PWD/tunnel"
refused 'libvirt is on another host' virt-template provision debian@1.0.0 web "${SMALL[@]}" \
    --connect "$elsewhere" --secrets - < <(given)
virt-template domain-xml debian@1.0.0 web "${SMALL[@]}" --connect "$elsewhere" >remote.xml 2>note.log
assert_match 'is not known: libvirt is on another host' "$(cat note.log)"
stop_helper
refused '--secrets: virttemplated cannot be reached' provision web --secrets - < <(given)
G_MESSAGES_DEBUG=all start_helper
virsh pool-refresh templates

step "an application gives them to its instances, and removes them with its guests"
cat >shop.yaml <<'END'
application: shop
instances:
  db:
    template: debian@1.0.0
    hardware: {memory: 64, interfaces: []}
    set: {user: anna, password-hash-secret: anna}
  web:
    template: plain@1.0.0
    count: 2
    needs: [db]
    hardware: {memory: 64, interfaces: []}
    set: {user: bob, password-hash-secret: bob}
END
# shop: the secrets of the application, as YAML
shop() {
    printf 'db: {token: "%s", anna: "%s"}\nweb: {bob: "%s"}\n' "$CANARY" "$HASH" "$HASH"
}
up() {
    virt-template application up shop.yaml --virt-type qemu "$@"
}
refused "db: --set: there is no secret 'anna': give it with --secrets" up
refused "no instance 'wep'; it has: db, web" up --secrets - < <(shop | sed s/^web/wep/)
refused "web: nothing asks for the secret 'bobb'; asked for: bob; " up --secrets - \
    < <(shop | sed "s/^web: {/web: {bobb: '$CANARY', /")
refused "not the name of an instance with its secrets" up --secrets - <<<"db: $CANARY"
refused "the secret 'anna' is not a string" up --secrets - <<<"db: {anna: 1}"
refused "web: there is no secret 'bob': |web: --set: there is no secret 'bob'" up --secrets - \
    < <(shop | sed '/^web/d')
shop | sed "s/bob: .*/bob: '$CANARY'}/" >wrong.yaml
chmod 644 wrong.yaml
expect_fail '--secrets wrong.yaml: its mode 0644' up --secrets wrong.yaml
chmod 600 wrong.yaml
expect_fail "the secret 'bob' is not a hash" up --secrets wrong.yaml
rm wrong.yaml
nothing_left
sed 's/template: plain.*/&\n    datasource: floppy/' shop.yaml >floppy.yaml
refused "web: datasource floppy: not 'nocloud', 'configdrive' or 'unattend'" \
    virt-template application up floppy.yaml --virt-type qemu --secrets - < <(shop)
refused "db: --set token=...: it is a secret, .* give it with --secrets" virt-template application up \
    <(sed "s/user: anna/token: $GUARD/; s/password-hash.*/port: 81}/" shop.yaml) --virt-type qemu
up --secrets - --start < <(shop)
assert_eq "$(user_data shop-db '.write_files[0].content')" "token=$CANARY:80"
assert_eq "$(user_data shop-web-2 '.users[0].hashed_passwd')" "$HASH"
assert_eq "$(find $POOL/.seeds -name '*.secrets' | wc -l)" 3
up --start
virt-template application down shop.yaml
nothing_left
up --secrets - < <(shop)
stop_helper
virt-template application down shop.yaml 2>note.log
assert_match "'virt-template instance secrets $POOL/shop-db-seed.iso [0-9a-f-]{36} --remove'" "$(cat note.log)"
G_MESSAGES_DEBUG=all start_helper
virsh pool-refresh templates
grep -o "instance secrets [^']*" note.log | while read -r line; do
    # shellcheck disable=SC2086 # they are words
    virt-template $line
done
nothing_left

step "what was refused is in no log"
! grep -rF -e "$GUARD" -e "$CANARY" -e "$HASH" "$LOGS" || fail "a secret was logged"

assert_libvirtd_alive
