#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-completion.sh PROGRAM: the bash completion offers what there is
# shellcheck source=tests/cli/functions.sh
. "$(dirname "$0")/functions.sh"

completion=$SOURCE_DIR/helper/cli/completion/virt-template
bash -n "$completion" || not_ok 'syntax'
# shellcheck source=helper/cli/completion/virt-template
. "$completion"

# The builtin works only while readline completes
compopt() {
    nospace="$*"
}

# completes WORD...: the last word is the one that is completed; offers are in $offers
completes() {
    COMP_WORDS=(virt-template "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _virt_template "$PROGRAM" "${!#}" ''
    offers=" ${COMPREPLY[*]} "
}

# offers REGEX, offers_no REGEX: of the last completes
offers() {
    [[ $offers =~ $1 ]] || not_ok "'${COMP_WORDS[*]}' offers '$offers', not '$1'"
    ok "${COMP_WORDS[*]}: $1"
}

offers_no() {
    [[ ! $offers =~ $1 ]] || not_ok "'${COMP_WORDS[*]}' offers '$1'"
    ok "${COMP_WORDS[*]}: not $1"
}

completes ''
offers ' list info diff pull verify evict jobs metrics doctor prepare publish provision domain-xml application store key '
completes pu
offers ' pull publish '
offers_no ' list '
completes store ''
offers '^ init $'
completes application ''
offers '^ up down list $'
completes application up --st
offers '^ --start $'
completes instance s
offers '^ secrets $'
completes instance secrets --r
offers '^ --remove $'
completes key g
offers '^ generate $'
completes publish --
offers ' --store= '
offers ' --no-current '
offers_no ' --detach '
completes pull --de
offers '^ --detach $'
completes jobs --f
offers "^ --follow $"
completes diff --j
offers '^ --json $'
completes pull --dr
offers '^ --dry-run $'
completes verify --rep
offers '^ --repair $'
completes store init --k
offers '^ --key= $'
[ "$nospace" = '-o nospace' ] || not_ok 'a blank would follow --key='
completes publish --format = r
offers '^ raw $'
completes publish --check
offers '^ --checkpoint= $'
completes list --connect = qemu
offers '^ qemu:///system qemu:///session $'
completes publish --parent = ''
offers '^ auto none $'
completes key generate --type = ''
offers ' p256 p384 rsa3072 ed25519 '
completes prepare --operations = mach
offers '^ machine-id $'
completes pull --lim
offers '^ --limit-rate= $'
completes prepare --w
offers '^ --with= $'
completes provision --secr
offers '^ --secrets= $'
completes provision --datasource = un
offers '^ unattend $'
completes list --frob
offers '^  $'
touch golden.key golden.pub
completes publish --key = gol
offers '^ golden.key $'

# Names come from 'list'; this one stands in for a program with a helper
cat >fake <<'END'
#!/bin/sh
[ "$*" = 'list --pool templates' ] || exit 9
printf 'NAME    VERSION\ndebian  1.0.0\ndebian  1.1.0\nfedora  40.0.0\n'
END
chmod +x fake
PROGRAM=$PWD/fake
completes pull --pool = templates deb
offers '^ debian debian@1.0.0 debian@1.1.0 $'
completes diff --pool = templates debian@1.0.0 fed
offers '^ fedora fedora@40.0.0 $'
PROGRAM=/nonexistent
completes pull deb
offers '^  $'
plan
