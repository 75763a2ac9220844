/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unattend.h: an <instance> whose guest is a sysprepped Windows */
#pragma once

#include "vt-instance.h"

#include <libxml/tree.h>

/* A complete answer file; those of Windows System Image Manager have 20 KiB, a floppy 1.4 MiB */
#define VT_UNATTEND_MAX (1u << 20)

/**
 * vt_unattend_take:
 * @node: <instance> of a domain, with <seed datasource='unattend'/>
 * @instance: its domain is set; gets `unattend` or `answer`, and all that an instance must have
 *
 * The answer file has the passes specialize and oobeSystem, for the architecture of the domain;
 * see virt-template-instance(5). It is written by vt_instance_complete().
 *
 * @error: %VT_ERROR_INVALID: an element that Windows has no use for, a value that Windows Setup
 *   would refuse, an architecture that has no Windows; %VT_ERROR_TOO_LARGE. Passwords and product
 *   keys are not shown.
 */
bool vt_unattend_take(xmlNode *node, VtInstance *instance, GError **error);
