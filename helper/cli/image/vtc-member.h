/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-member.h: which application a domain belongs to, in its metadata */
#pragma once

#include "vt-error.h"
#include "vtc-xml.h"

#include <libvirt/libvirt.h>

#define VTC_MEMBER_NAMESPACE "urn:virt-template:application:1"

/**
 * VtcMember: e.g. `<application xmlns='urn:virt-template:application:1' name='shop' instance='web'
 * domain='UUID' pool='default' volume='shop-web-1.qcow2'/>`
 * @application: its name
 * @instance: of the application
 * @pool: libvirt's name of the pool with the clone
 * @volume: the clone
 */
typedef struct {
    char *application;
    char *instance;
    char *pool;
    char *volume;
} VtcMember;
void vtc_member_clear(VtcMember *member);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcMember, vtc_member_clear)

/** vtc_member_add: @uuid: of the domain. Adds the element to the <metadata> of a domain */
void vtc_member_add(const VtcMember *member, const char *uuid, xmlNode *metadata);

/**
 * vtc_member_read:
 * @ret_member: (out caller-allocates): zeroed
 *
 * Returns: whether @domain is a member of an application. A copy of one (virt-clone) is none
 */
bool vtc_member_read(virDomainPtr domain, VtcMember *ret_member);
