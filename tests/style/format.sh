#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# format.sh: C is laid out by .clang-format; `clang-format -i FILE` puts it right
set -euo pipefail
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"
c_files | xargs clang-format --dry-run -Werror
