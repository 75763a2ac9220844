/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-application.h: several guests that belong together: what an application consists of */
#pragma once

#include "vt-hardware.h"

/* Of the name of an application, and of each instance: both and a number are a host name of 63 */
#define VT_APPLICATION_NAME_MAX 28
/* Kinds of guests, and guests of all kinds */
#define VT_APPLICATION_INSTANCES_MAX 100
#define VT_APPLICATION_GUESTS_MAX    1000

/**
 * VtApplicationInstance: guests of one kind
 * @name: of the instance
 * @template: NAME[@VERSION]
 * @count: of guests
 * @needs: (element-type utf8): names of instances that are made and started before
 * @settings: (element-type utf8): `key=value`, ends with %NULL
 * @hardware: (transfer none) (nullable): for vt_hardware_parse(); checked
 * @user_data: (nullable) (transfer none), as the following
 * @datasource: (nullable): not checked
 * @size: (nullable): `20G`; not checked
 * @strategy: (nullable): not checked
 * @pool: (nullable): of the clone
 * @template_pool: (nullable)
 * @wave: 0 if it needs nothing, else one more than the highest of what it needs
 */
typedef struct {
    const char *name;
    const char *template;
    unsigned count;
    GPtrArray *needs;
    GPtrArray *settings;
    json_t *hardware;
    const char *user_data;
    const char *datasource;
    const char *size;
    const char *strategy;
    const char *pool;
    const char *template_pool;
    unsigned wave;
} VtApplicationInstance;

/**
 * VtApplication:
 * @root: what the strings are borrowed from
 * @instances: (element-type VtApplicationInstance): as in the document
 * @waves: one more than the highest wave
 */
typedef struct {
    json_t *root;
    const char *name;
    GPtrArray *instances;
    unsigned waves;
} VtApplication;
void vt_application_free(VtApplication *application);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtApplication, vt_application_free)

/**
 * vt_application_parse:
 * @root: (transfer full): see virt-template-application(5)
 * @document: what it is, for messages
 * @error: %VT_ERROR_INVALID naming the member and what is allowed: an unknown member, a need that
 * is no instance, needs that form a circle, two guests of one name
 */
bool vt_application_parse(json_t *root, const char *document, VtApplication **ret_application,
                          GError **error);

/** vt_application_guest: @number: from 0. Returns: (transfer full): APPLICATION-INSTANCE[-NUMBER],
 *  the name of a domain */
char *vt_application_guest(const VtApplication *application, const VtApplicationInstance *instance,
                           unsigned number);
