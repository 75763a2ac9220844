/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tracee.h: a thread of another process, as its tracer sees it; what fails ends the program */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>

/* Of a path, with its NUL; what is longer is cut */
#define TRACEE_PATH 300

/** tracee_die: Says that @what failed, and why */
_Noreturn void tracee_die(const char *what);

/** tracee_start: Returns: a child that will run @command when it gets SIGCONT */
pid_t tracee_start(char **command);
/** tracee_seize: Stops it, and whatever it starts from now on, at each system call. Returns: false
 *  if it has ended meanwhile */
bool tracee_seize(pid_t tid);

/** tracee_program: @name: gets the base name of its program, or stays as it is if there is none */
void tracee_program(pid_t tid, char *name, size_t size);
/** tracee_look_at_fd: @path: gets what @fd is open for; @ret_regular: whether it is a regular file,
 *  and not one where the program says what went wrong */
void tracee_look_at_fd(pid_t tid, int fd, char path[TRACEE_PATH], bool *ret_regular);

/** tracee_read: Memory of it. Returns: bytes read, -1: there is none at @address */
ssize_t tracee_read(pid_t tid, uint64_t address, void *buffer, size_t size);
/** tracee_read_path: As much of it as there is before a page that is not */
void tracee_read_path(pid_t tid, uint64_t address, char path[TRACEE_PATH]);
/** tracee_write: One part of a vector into its memory */
void tracee_write(pid_t tid, uint64_t address, struct iovec part);

void tracee_get_registers(pid_t tid, struct user_regs_struct *ret);
void tracee_set_registers(pid_t tid, struct user_regs_struct registers);
