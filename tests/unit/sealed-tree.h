/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sealed-tree.h: removes what a test left, sealed layers, too */
#pragma once

/** remove_sealed_tree: The directory @path and all in it */
void remove_sealed_tree(const char *path);
