/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compat-libvirt.h: libvirt's driver headers, and all that differs between its versions */
#pragma once

#include <config.h>

#include "internal.h"

#include "storage_backend.h"
#include "storage_util.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virstorageobj.h"
#include "virthread.h"
#include "virutil.h"
#include "virstring.h"
#include "viruuid.h"
#include "virxml.h"

#define VIR_FROM_THIS VIR_FROM_STORAGE

/* Supported: 9.0.0 (Debian 12) to 11.3.0 (Debian 13). Between these two the backend table, the
 * namespace table and the volume lists have the same form in source; what changed is inside the
 * structs, which is why the module is compiled once for each version. */
#if LIBVIR_VERSION_NUMBER < 9000000
#error "libvirt before 9.0.0 is not supported"
#endif

/* From 9.1.0 on, translators get "%1$s"; messages of this module are not translated. The caller's
 * backend module decides which flags reach buildVol(): 11.3.0 takes this one away, 9.0.0 does not,
 * and neither takes it away for buildVolFrom(). */
#define VIR_TEMPLATE_FLAGS_ALREADY_USED VIR_STORAGE_VOL_CREATE_VALIDATE
