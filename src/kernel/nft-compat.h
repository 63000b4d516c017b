/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * nft_load_match() - have the kernel load the module of the xt match @name
 *
 * nft_compat looks for a match that is not there by the name of the rule's
 * family, and family inet has none: "(null)t_bpf" is no module's alias, and
 * the rule gets -ENOENT although the module lies on the disk. Asked about the
 * match as family ip, it loads the module, which serves every family.
 *
 * Says nothing: whether the match is there the rule that needs it will tell.
 */
void nft_load_match(const char *name, unsigned int revision);
