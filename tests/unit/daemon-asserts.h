/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon-asserts.h: what tests of fetching and of jobs ask a running virttemplated for */
#pragma once

#include "daemon-fixture.h"

#include "vt-fs.h"
#include "vt-seal.h"

#include <fcntl.h>
#include <glib/gstdio.h>

/* flags of ListTemplates */
enum {
    CURRENT = 1,
    COMPLETE = 2,
    REFUSED = 4,
    NOT_LISTED = 16,
};

static inline char *
clone_path(const DaemonFixture *f, const char *name)
{
    return g_build_filename(f->pool, name, NULL);
}

static inline void
assert_fetched(DaemonFixture *f, const char *version)
{
    g_autoptr(GVariant) status = daemon_fetch(f, version);

    g_assert_cmpint(daemon_job_error(status, NULL), ==, -1);
}

static inline void
assert_fetch_fails(DaemonFixture *f, const char *version, VtError code, const char *contains)
{
    g_autoptr(GVariant) status = daemon_fetch(f, version);
    g_autofree char *name = g_strdup_printf("debian-12@%s.qcow2", version);
    g_autofree char *path = clone_path(f, name);

    g_assert_cmpint(daemon_job_error(status, contains), ==, (int)code);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static inline void
assert_no_clone(DaemonFixture *f, const char *version, VtError code)
{
    g_autofree char *path = clone_path(f, "refused.qcow2");
    g_autoptr(GError) error = NULL;

    g_assert_false(daemon_overlay(f, version, path, &error));
    g_assert_error(error, VT_ERROR, (int)code);
}

static inline void
assert_clone(DaemonFixture *f, const char *version, const char *name)
{
    g_autofree char *path = clone_path(f, name);
    g_autoptr(GError) error = NULL;

    daemon_overlay(f, version, path, &error);
    g_assert_no_error(error);
}

static inline bool
evict(DaemonFixture *f, const char *version, GError **error)
{
    g_autoptr(GVariant) answer =
        daemon_call(f->rw, "Evict", g_variant_new("(sss)", f->pool, "debian-12", version), error);

    return answer != NULL;
}

static inline void
unlink_clone(const DaemonFixture *f, const char *name)
{
    g_autofree char *path = clone_path(f, name);

    g_assert_cmpint(g_unlink(path), ==, 0);
}

static inline void
unseal(const char *path)
{
    g_autoptr(VtSealManager) manager = vt_seal_manager_new(VT_SEAL_MANAGER);
    vt_autofd fd = open(path, O_RDONLY | O_CLOEXEC);

    g_assert_true(vt_seal_open(fd, manager, NULL));
}

static inline char *
wait_state(DaemonFixture *f, guint64 job)
{
    g_autoptr(GVariant) status = daemon_wait(f, job);
    const char *state;

    g_assert_true(g_variant_lookup(status, "state", "&s", &state));
    return g_strdup(state);
}

static inline char *
verify(DaemonFixture *f, const char *version)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        daemon_call(f->rw, "Verify", g_variant_new("(sss)", f->pool, "debian-12", version), &error);
    guint64 job;

    g_assert_no_error(error);
    g_variant_get(answer, "(t)", &job);
    return wait_state(f, job);
}
