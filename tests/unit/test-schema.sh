#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-schema.sh SCHEMA FOLDER: the schema accepts and refuses the documents that it should
set -euo pipefail
schema=$1 folder=$2
count=0
status=0

# result EXPECTED FILE
result() {
    local verdict=refuse
    ! xmllint --noout --relaxng "$schema" "$2" >/dev/null 2>&1 || verdict=accept
    count=$((count + 1))
    if [ "$verdict" = "$1" ]; then
        echo "ok $count - $(basename "$2")"
    else
        echo "not ok $count - $(basename "$2")"
        status=1
    fi
}

command -v xmllint >/dev/null || { echo "Bail out! xmllint is missing"; exit 1; }
for file in "$folder"/accept-*.xml; do result accept "$file"; done
for file in "$folder"/refuse-*.xml; do result refuse "$file"; done
echo "1..$count"
exit $status
