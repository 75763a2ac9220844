#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-help.sh PROGRAM: the help of every verb fits, and the manual knows every option
# shellcheck source=tests/cli/functions.sh
. "$(dirname "$0")/functions.sh"

manual=$SOURCE_DIR/docs/man/virt-template.1.rst
completion=$SOURCE_DIR/helper/cli/completion/virt-template

# A verb's name ends where two blanks begin
verbs() {
    virt-template --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z -]*[a-z]\)  .*/\1/p'
}

# section_of VERB: the options of the manual that belong to the verb; those that verbs share stand
# before the first of their sections
section_of() {
    awk -v title="virt-template $1" '
        /^ON A HOST$/ || /^PUBLISHING$/ {shared = 1}
        /^virt-template / {shared = 0; mine = $0 == title}
        /^[A-Z]+ STATUS$/ {shared = mine = 0}
        shared || mine' "$manual"
}

narrow() {
    ! awk 'length($0) > 80 {print; wide = 1} END {exit !wide}' "$1" ||
        not_ok "'$2 --help' is wider than 80 columns"
}

count=0
while read -r verb; do
    count=$((count + 1))
    # shellcheck disable=SC2086 # a verb may be two words
    virt-template $verb --help >help
    narrow help "$verb"
    section_of "$verb" >section
    grep -oE '^  (-[a-z], )?--[a-z-]+' help | grep -oE -- '--[a-z-]+' | grep -vx -- --help >options
    [ -s options ] || not_ok "'$verb' has no options"
    while read -r option; do
        grep -qF -- "\`\`$option\`\`" section ||
            not_ok "the manual's section of '$verb' lacks $option"
    done <options
    grep -qE "(^|[ |/'])${verb%% *}([ |)']|\$)" "$completion" || not_ok "the completion lacks '$verb'"
    ok "help of '$verb'"
done < <(verbs)
[ $count = 21 ] || not_ok "$count verbs were found, not 21"

virt-template --help >help
narrow help ''
ok 'help'

# Both tables of exit statuses are the same
sed -n '/^Exit status:/,$s/^  \([0-9]*\) */\1 /p' help >table-help
sed -n '/^EXIT STATUS/,/^ENVIRONMENT/s/^\([0-9][0-9]*\)  */\1 /p' "$manual" >table-manual
[ -s table-help ] || not_ok 'the help has no exit statuses'
diff table-help table-manual >stderr || not_ok 'help and manual differ about exit statuses'
ok 'exit statuses'

virt-template --version | grep -qxE 'virt-template [0-9]+\.[0-9]+\.[0-9]+' || not_ok 'version'
ok 'version'

virt-template help store init >help-text
virt-template store init --help | diff help-text - >stderr || not_ok "'help store init' is another text"
ok 'help store init'

refused 2 'no verb'
refused 2 "no verb 'frobnicate'" frobnicate
refused 2 "no verb 'store', but 'store init'" store
refused 2 "no verb 'frobnicate'" help frobnicate
refused 2 'unknown option.*list --help|Unknown option.*list --help' list --frobnicate
refused 2 'needs NAME' info
refused 2 'one argument too many' info a b
refused 2 "'x'" jobs x
refused 2 "'x' is not the number of a job" jobs --follow x
refused 2 "'y' is one argument too many" jobs --follow 1 y
refused 2 'not the number of a job' jobs --cancel -3
plan
