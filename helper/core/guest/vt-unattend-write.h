/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unattend-write.h: an answer file of Windows Setup, written with libxml2 */
#pragma once

#include "vt-json.h"

/**
 * VtUnattendUser:
 * @name: of a local account
 * @password: as it is typed
 * @groups: "Administrators;Remote Desktop Users"
 */
typedef struct {
    char *name;
    char *password;
    char *groups;
} VtUnattendUser;
void vt_unattend_user_free(gpointer user);

/**
 * VtUnattend: what is to be answered
 * @architecture: as Windows calls it
 * @computer_name: of at most 15 characters
 * @dns_domain: (nullable): the suffix of the computer's name
 * @time_zone: (nullable): as Windows calls it
 * @product_key: (nullable)
 * @locale: (nullable): "de-DE"
 * @administrator: (nullable): the built-in account
 * @users: (element-type VtUnattendUser)
 * @commands: (element-type utf8): command lines
 * @ethernets: (nullable) (transfer none): of a network-config, version 2
 */
typedef struct {
    const char *architecture;
    char *computer_name;
    char *dns_domain;
    char *time_zone;
    char *product_key;
    char *locale;
    VtUnattendUser *administrator;
    GPtrArray *users;
    GPtrArray *commands;
    const json_t *ethernets;
} VtUnattend;
VtUnattend *vt_unattend_new(void);
void vt_unattend_free(VtUnattend *unattend);

/**
 * vt_unattend_write:
 *
 * Follows the Unattended Windows Setup Reference; `xml/unattend.rng` describes what comes out.
 *
 * Returns: (transfer full): XML in UTF-8, the same for the same values
 */
char *vt_unattend_write(const VtUnattend *unattend);
