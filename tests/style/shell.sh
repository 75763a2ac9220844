#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shell.sh: shellcheck over every script
set -euo pipefail
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"
# SC2119, SC2120: functions here have optional arguments
shell_files | xargs shellcheck -x -P . -e SC2119,SC2120
