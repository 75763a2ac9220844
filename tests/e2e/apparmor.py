#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""apparmor.py PROFILE PATH...: whether a profile lets each file be read

Knows what the file rules of libvirt's profiles use: "audit", "deny", "owner", #include, variables
and globs. A rule that it does not understand is an error. Prints why a path cannot be read.
"""
import os
import re
import sys

RULE = re.compile(r"^(?:audit\s+)?(deny\s+)?(?:owner\s+)?(\"[^\"]+\"|[/@{][^\s]*)\s+([a-zA-Z]+),$")
OTHER = re.compile(r"^(capability|network|signal|ptrace|unix|mount|profile|\}|#|deny\s+(ptrace|signal)"
                   r"|dbus|change_profile|umount|pivot_root|include)")
INCLUDE = re.compile(r"^#?include\s+(?:if exists\s+)?<([^>]+)>")


def lines(file):
    """The lines of a profile and of what it includes"""
    folder = "/etc/apparmor.d/"
    with open(file, encoding="utf-8") as opened:
        for line in opened:
            include = INCLUDE.match(line.strip())
            if include and include[1].startswith("local/"):
                yield from lines(folder + include[1])
            elif not include:
                yield line.strip()


def alternatives(pattern, at):
    """The end of {a,b} that begins at AT"""
    depth = 0
    for end in range(at, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[end], 0)
        if depth == 0:
            return end
    sys.exit("no end of { in " + pattern)


def regex(pattern):
    """apparmor.d(5), globbing: ** crosses '/', * and ? do not"""
    out, i = "", 0
    while i < len(pattern):
        if pattern.startswith("**", i):
            out, i = out + ".*", i + 2
        elif pattern[i] == "*":
            out, i = out + "[^/]*", i + 1
        elif pattern[i] == "?":
            out, i = out + "[^/]", i + 1
        elif pattern[i] == "[":
            end = pattern.index("]", i)
            out, i = out + pattern[i:end + 1].replace("[^", "[^/"), end + 1
        elif pattern[i] == "{":
            end = alternatives(pattern, i)
            parts = pattern[i + 1:end].split(",")
            out, i = out + "(?:" + "|".join(regex(part) for part in parts) + ")", end + 1
        else:
            out, i = out + re.escape(pattern[i]), i + 1
    return out


def variables(pattern):
    for name, value in (("@{HOME}/", "{/home/*,/root}/"), ("@{PROC}/", "/proc/"),
                        ("@{pid}", "[0-9]*")):
        pattern = pattern.replace(name, value)
    return pattern


def rules(profile):
    for line in lines(profile):
        rule = RULE.match(line)
        if rule and "r" in rule[3]:
            yield bool(rule[1]), line, re.compile(regex(variables(rule[2].strip('"'))) + "$")
        elif line and not rule and not OTHER.match(line):
            sys.exit("a rule that this does not understand: " + line)


def main():
    known = list(rules(sys.argv[1]))
    if len(known) < 5:
        sys.exit("%s has hardly any rule" % sys.argv[1])
    failed = False
    for path in map(os.path.realpath, sys.argv[2:]):
        matching = [(deny, line) for deny, line, match in known if match.match(path)]
        denied = [line for deny, line in matching if deny]
        if denied or not matching:
            print("%s: %s" % (path, denied[0] if denied else "no rule allows it"))
            failed = True
        else:
            print("%s: readable by %s" % (path, matching[0][1]))
    sys.exit(1 if failed else 0)


main()
