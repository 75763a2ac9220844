# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Gets source packages with the machine's own apt; /etc/apt is read, never written.

# The entries of /etc/apt for binary packages, as entries for source packages
derive_apt_sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -nE 's/^[[:space:]]*deb([[:space:]])/deb-src\1/p' "$file"
    done >"$1/sources.list"
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        # A stanza of source packages is there already when the file has one for binary packages
        grep -qE '^Types:.*\bdeb([[:space:]]|$)' "$file" || continue
        sed -E 's/^Types:.*/Types: deb-src/' "$file" >"$1/parts/$(basename "$file")"
    done
}

# apt_source WORK PACKAGE=VERSION: unpacks it, patched, into a folder of WORK
apt_source() {
    local work=$1 package=$2 apt
    mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial"
    derive_apt_sources "$work"
    apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/sources.list" -o "Dir::State::lists=$work/lists"
        -o "Dir::Etc::sourceparts=$work/parts" -o "Dir::Cache=$work/cache"
        -o "APT::Sandbox::User=$(id -un)")
    # A repository without sources, or one that is away, does not matter if another one has them
    "${apt[@]}" update >&2 || echo "apt-get update failed; going on with what there is" >&2
    (cd "$work" && "${apt[@]}" source "$package" >&2)
}
