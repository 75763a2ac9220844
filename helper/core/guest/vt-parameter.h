/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-parameter.h: a parameter that a template declares, and the values it takes */
#pragma once

#include "vt-json.h"

/* A form of more fields than this is filled in by nobody */
#define VT_PARAMETERS_MAX      100
#define VT_PARAMETER_NAME_MAX  64
#define VT_PARAMETER_ITEMS_MAX 1000
/* Bytes of a value: a line, or a file */
#define VT_PARAMETER_LINE_MAX 4096
#define VT_PARAMETER_TEXT_MAX (256u << 10)

typedef enum {
    VT_PARAMETER_STRING,
    VT_PARAMETER_TEXT,
    VT_PARAMETER_INTEGER,
    VT_PARAMETER_BOOLEAN,
    VT_PARAMETER_ENUM,
    VT_PARAMETER_LIST,
    VT_PARAMETER_SECRET,
    VT_PARAMETER_SSH_KEY,
    VT_PARAMETER_PASSWORD_HASH,
    VT_PARAMETER_IP,
    VT_PARAMETER_CIDR,
    VT_PARAMETER_MAC,
} VtParameterType;

/**
 * VtParameter: see virt-template-parameters(5)
 * @initial: (nullable): the default, as vt_parameter_read() returns values
 * @pattern: (nullable): the whole value, or each item of a list, matches it
 * @choices: (nullable): of an enum
 * @minimum: of an integer; @maximum alike
 */
typedef struct {
    char *name;
    VtParameterType type;
    bool required;
    json_t *initial;
    char *pattern;
    char *description;
    char **choices;
    json_int_t minimum;
    json_int_t maximum;
} VtParameter;
void vt_parameter_free(VtParameter *parameter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtParameter, vt_parameter_free)

/** vt_parameter_describe: Returns: (transfer full): "port (integer, default 80)" */
char *vt_parameter_describe(const VtParameter *parameter);

/**
 * vt_parameter_parse:
 * @at: {"name":"port","type":"integer","default":80,"minimum":1,"maximum":65535,
 *   "description":"..."}
 * @error: %VT_ERROR_INVALID naming the field
 */
bool vt_parameter_parse(const VtJson *at, VtParameter **ret_parameter, GError **error);

/**
 * vt_parameter_read:
 * @texts: (array zero-terminated=1): the items of a list; else exactly one
 * @ret_value: (out) (transfer full): a string, an integer, a boolean, or an array of strings
 * @error: %VT_ERROR_INVALID: `parameter 'port': '99999' is not ...`; a secret is not shown
 */
bool vt_parameter_read(const VtParameter *parameter, const char *const *texts, json_t **ret_value,
                       GError **error);

/** vt_parameter_read_json: The same for a scalar, or an array of them, as a file has it */
bool vt_parameter_read_json(const VtParameter *parameter, const json_t *value, json_t **ret_value,
                            GError **error);
