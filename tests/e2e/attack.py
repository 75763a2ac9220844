#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""attack.py FOLDER FILE [PID]: tries to change FILE, also through what the process PID has open

To be run as the user of QEMU, whose FOLDER is on the same file system. Prints one line for each
attempt; fails if one succeeded.
"""
import array
import fcntl
import os
import sys

# _IOW('f', 2, long): FS_IOC_SETFLAGS
SETFLAGS = 0x40086602
IMMUTABLE = 0x10


def open_to_write(path):
    os.close(os.open(path, os.O_WRONLY))


def open_and_empty(path):
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))


def rename_over(path):
    with open("evil", "w") as file:
        file.write("evil")
    try:
        os.rename("evil", path)
    finally:
        os.unlink("evil")


def link_from(path):
    os.link(path, path + ".link")


def link_elsewhere(path):
    # a name of one's own would be a way to a place without the folder's protection
    os.link(path, "linked")
    os.unlink("linked")


def clear_flags(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SETFLAGS, array.array("l", [0]))
    finally:
        os.close(fd)


def chmod_and_write(path):
    os.chmod(path, 0o666)
    open_to_write(path)


def append(path):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def reopen(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.close(os.open("/proc/self/fd/%d" % fd, os.O_RDWR))
    finally:
        os.close(fd)


def make_beside(path):
    os.close(os.open(os.path.dirname(path) + "/evil", os.O_CREAT | os.O_WRONLY))


ATTACKS = [
    ("open for writing", open_to_write),
    ("open for appending", append),
    ("open and empty", open_and_empty),
    ("truncate", lambda path: os.truncate(path, 0)),
    ("chmod and write", chmod_and_write),
    ("chmod to nothing", lambda path: os.chmod(path, 0)),
    ("chown to oneself", lambda path: os.chown(path, os.getuid(), os.getgid())),
    ("set times", lambda path: os.utime(path, (1, 1))),
    ("unlink", os.unlink),
    ("rename away", lambda path: os.rename(path, path + ".away")),
    ("rename over it", rename_over),
    ("hard link beside it", link_from),
    ("hard link elsewhere", link_elsewhere),
    ("new file beside it", make_beside),
    ("rename its folder", lambda path: os.rename(os.path.dirname(path), "folder")),
    ("set a user attribute", lambda path: os.setxattr(path, "user.evil", b"1")),
    ("set a trusted attribute", lambda path: os.setxattr(path, "trusted.evil", b"1")),
    ("clear its flags", clear_flags),
    ("open again through /proc/self/fd", reopen),
]


def of_process(path, pid):
    """The descriptors that the process PID has of the file"""
    wanted = os.stat(path)
    folder = "/proc/%s/fd" % pid
    for name in os.listdir(folder):
        try:
            found = os.stat(folder + "/" + name)
        except FileNotFoundError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            yield folder + "/" + name


def succeeded(what, attack, path):
    try:
        attack(path)
    except OSError as error:
        print("refused: %s of %s: %s" % (what, path, error.strerror))
        return False
    print("DONE: %s of %s" % (what, path))
    return True


def main():
    if os.getuid() == 0:
        sys.exit("to be run as the user of QEMU")
    os.chdir(sys.argv[1])
    path = sys.argv[2]
    done = [what for what, attack in ATTACKS if succeeded(what, attack, path)]
    if len(sys.argv) > 3:
        links = list(of_process(path, sys.argv[3]))
        if not links:
            sys.exit("process %s has not opened %s" % (sys.argv[3], path))
        for link in links:
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_TRUNC):
                attack = lambda name, flags=flags: os.close(os.open(name, flags))
                if succeeded("open (%#x)" % flags, attack, link):
                    done.append("open through " + link)
    sys.exit(1 if done else 0)


main()
