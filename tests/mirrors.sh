# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the scripts that build a Debian share: where the packages come from, and where to work.

# Images do not fit into a /tmp in memory, which is what mktemp takes when nobody says otherwise
vt_work_dir() {
    mktemp -d "${TMPDIR:-/var/tmp}/$(basename "$0" .sh).XXXXXX"
}

# read_mirrors APT_CONF: sets suite and mirrors to those of this machine's apt, and writes what else
# it needs to reach them into APT_CONF. Elsewhere mmdebstrap has its own idea.
# shellcheck disable=SC2034 # used by who sources this
read_mirrors() {
    local targets origin uri release component
    suite=bookworm
    mirrors=()
    : >"$1"
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016 # apt expands these, not the shell
    targets=$(apt-get indextargets 'Created-By: Packages' \
        --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)')
    while IFS='|' read -r origin uri release component; do
        [ "$origin" = Debian ] || continue
        mirrors+=("deb $uri $release $component")
        case $release in *-*) ;; *) suite=$release ;; esac
    done <<<"$targets"
    # Proxies and the like
    apt-config dump Acquire | grep -vE '^Acquire(::(Languages|GzipIndexes|IndexTargets).*)? ' \
        >"$1" || [ $? = 1 ]
}
