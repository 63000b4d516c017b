/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The parts of `sluice doctor`
 *
 *	doctor.c         the order, the daemon's own checks, the report
 *	doctor-probes.c  the table of probes, and those that need no network
 *	doctor-net.c     probes in a network namespace of their own
 *	doctor-others.c  probes that look at rules of others
 *
 * A probe tries the thing: it loads a trivial program, adds a trivial rule.
 * Each runs in a child process; those marked is_netns run in a fresh network
 * namespace, so the machine's own is never touched.
 */

#include <stdbool.h>
#include <stddef.h>

enum probe_state { PROBE_OK, PROBE_MISSING, PROBE_WARNING, _PROBE_STATE_N };

#define DOCTOR_MARK_MASK 0xff000000U /* SL_MARK_MASK of the kernel side; a test compares */
#define DOCTOR_NAT_PRIORITY (-110) /* of our nat chain at output: src/kernel/nft.c */
#define PROBE_DETAIL_BYTES 200U

struct probe_result {
	enum probe_state state;
	char detail[PROBE_DETAIL_BYTES];
};

struct probe {
	const char *name;
	void (*run)(struct probe_result *result);
	bool is_required;
	bool is_netns;	  /* needs root and a fresh network namespace */
	const char *lost; /* without it */
};

extern const struct probe probes[];
extern const size_t n_probes;

/** probe_says() - set the result */
void probe_says(struct probe_result *result, enum probe_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** probe_tried() - ok if @r is 0, else missing with the error */
void probe_tried(struct probe_result *result, int r, const char *what);

/** probe_load() - load a program that returns 1. Return: a descriptor or a negative errno */
int probe_load(unsigned int type, unsigned int attach_type);

void probe_queue(struct probe_result *result);
void probe_queue_open(struct probe_result *result);
void probe_match_bpf(struct probe_result *result);
void probe_reject(struct probe_result *result);
void probe_conntrack(struct probe_result *result);
void probe_redirect(struct probe_result *result);
void probe_egress(struct probe_result *result);
void probe_sock_destroy(struct probe_result *result);
void probe_tun(struct probe_result *result);
void probe_mark_owners(struct probe_result *result);
void probe_foreign_nat(struct probe_result *result);
void probe_foreign_filter(struct probe_result *result);
