#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-key.sh PROGRAM: keys are made once, for their owner only
# shellcheck source=tests/cli/functions.sh
. "$(dirname "$0")/functions.sh"

umask 000
for type in p256 p384 rsa3072 ed25519; do
    succeeds key generate "$type" --type "$type"
    [ "$(stat -c %a "$type.key" "$type.pub" | xargs)" = '600 644' ] || not_ok "modes of $type"
    openssl pkey -in "$type.key" -pubout -out check.pub
    cmp -s check.pub "$type.pub" || not_ok "$type.pub does not belong to $type.key"
    ok "$type is a pair that OpenSSL reads"
done
succeeds key generate default
openssl pkey -in default.key -noout -text | grep -q prime256v1 || not_ok 'the default is not P-256'

before=$(sha256sum p256.key p256.pub)
refused 10 "'p256.key' exists.*never replaced" key generate p256
rm p256.key
refused 10 "'p256.pub' exists.*never replaced" key generate p256
[ ! -e p256.key ] || not_ok 'half a pair was made'
[ "$(sha256sum p256.pub)" = "$(tail -n 1 <<<"$before")" ] || not_ok 'a key was replaced'
ln -s /nonexistent dangling.key
refused 10 "'dangling.key' exists" key generate dangling
refused 3 "cannot open the directory 'no/such'" key generate no/such/key
refused 2 "rsa1024.*p256" key generate weak --type rsa1024
refused 2 'no file name prefix' key generate ./
refused 2 'needs PREFIX' key generate
plan
