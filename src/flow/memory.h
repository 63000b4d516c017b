/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Verdict memory
 *
 * A filter says how far its verdict reaches: this flow, this application to
 * this address and port, or this application to this name. What reaches beyond
 * the flow is an *answer* and is kept here. A later flow that an answer covers
 * need not be asked of that filter.
 *
 * A filter is asked with a name, but the kernel sees an address. So an answer
 * for a name counts for an address only while *every* name that the application
 * knows it by has the same answer; when they differ, or no name is known, the
 * filter is asked. What follows from the answers of all filters for one address
 * and port is a *conclusion*; the caller puts it where packets are (sl_memory)
 * and takes it out again when told to:
 *
 *	filters answer       memory_learn() ──▶ memory_conclude() ──▶ put
 *	names change         memory_names_changed() ─┬─▶ withdraw() ──▶ take out
 *	places run out       memory_conclude()      ─┘
 *	filter changes mind  memory_forget(), or
 *	                     memory_learn()         ───▶ renew() ──▶ all are out of date
 *
 * The rule that holds at any moment: what is remembered is what asking again
 * would give. tests/unit/test-memory.c compares with just that.
 *
 * Places are limited, and shared fairly among users: flow/shares.h.
 * Pure: no descriptor, no clock. Times are microseconds, as in flow/names.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sluice-abi.h"
#include "flow/names.h"

#define MEMORY_ANSWERS_MAX 16384U
#define MEMORY_CONCLUSIONS_MAX (SL_MEMORY_MAX / 2) /* the rest may be out of date */
#define MEMORY_FILTERS_MAX 16U
#define MEMORY_REASON_BYTES 128U
#define MEMORY_NEVER UINT64_MAX /* an expiry */

/** enum memory_scope - how far a verdict reaches; values of FLOW_VERDICT's scope */
enum memory_scope {
	MEMORY_FLOW,	/* no further */
	MEMORY_ADDRESS, /* the application to the address, port and protocol: under any name if it
			   had one, without a name if it had none */
	MEMORY_NAME,	/* the application to the name, at any address, port and protocol */
};

enum memory_error {
	_MEMORY_E_SUCCESS,
	MEMORY_E_ASK, /* nothing remembered, or not certain: ask */
	MEMORY_E_VARIES, /* memory_ops.rule: it depends on more than the question says */
};

/** struct memory_question - what a filter would be asked about */
struct memory_question {
	struct sl_memory_key to;
	const char *exe; /* path that @to.app.exe_path stands for; NULL: not known as a whole */
	const struct names_name *names; /* all by which the application knows the address */
	size_t n_names;
};

struct memory_answer {
	enum sl_verdict verdict;
	unsigned int filter;
	uint64_t expiry_us; /* it may be relied on until then */
	const char *reason; /* the filter's; valid until the next call */
};

/** struct memory_ops - what the caller does to the conclusions it has put in force */
struct memory_ops {
	/* one does not hold any more */
	void (*withdraw)(const struct sl_memory_key *key, void *data);
	/* only those that are put from now on hold: all carry the generation of their time */
	void (*renew)(uint32_t generation, void *data);
	/* what a filter says by a static rule, which comes before what it was asked: verdict and
	 * reason. The same for each part of the names, or MEMORY_E_VARIES. MEMORY_E_ASK: nothing. A
	 * change of its rules is a memory_forget(). NULL: no filter has any */
	int (*rule)(unsigned int filter, const struct memory_question *question,
		    struct memory_answer *ret_answer, void *data);
};

/** struct memory_limits - places, powers of two; how random numbers begin, see shares_new() */
struct memory_limits {
	uint32_t n_answers, n_conclusions;
	uint64_t seed;
};

struct memory;

/**
 * memory_new() - an empty memory
 * @generation: of the first conclusions; another one than a predecessor's
 *
 * Return: 0 or -ENOMEM.
 */
int memory_new(const struct memory_limits *limits, uint32_t generation,
	       const struct memory_ops *ops, void *data, struct memory **ret_memory);

/** memory_free() - NULL is fine; withdraws nothing. Return: NULL */
struct memory *memory_free(struct memory *memory);

/** memory_generation() - of the conclusions that are put now */
uint32_t memory_generation(const struct memory *memory);

/**
 * memory_learn() - filter @filter answered @question, asked under @name ("": none)
 *
 * A verdict for a name that was not there reaches no further than the flow.
 * A filter that answered otherwise before has changed its mind without saying
 * so: everything it said is forgotten.
 */
void memory_learn(struct memory *memory, unsigned int filter,
		  const struct memory_question *question, const char *name, enum memory_scope scope,
		  enum sl_verdict verdict, const char *reason);

/** memory_find() - what @filter would answer. Return: 0 or MEMORY_E_ASK. */
int memory_find(struct memory *memory, unsigned int filter, const struct memory_question *question,
		struct memory_answer *ret_answer);

/**
 * memory_conclude() - what filters 0 … @n_filters - 1 together would answer, from now on in force
 *
 * The first that drops decides; every one must allow. The caller puts it in
 * force; it is withdrawn when it does not hold any more, but not when it
 * expires.
 *
 * Return: 0 or MEMORY_E_ASK.
 */
int memory_conclude(struct memory *memory, unsigned int n_filters,
		    const struct memory_question *question, struct memory_answer *ret_answer);

/** memory_names_changed() - @app has one more name for @address, or one less */
void memory_names_changed(struct memory *memory, const struct sl_app *app,
			  const uint8_t address[16]);

/** memory_forget() - @filter is another one, or says that its rules have changed */
void memory_forget(struct memory *memory, unsigned int filter);

/** memory_renew() - no conclusion of before holds; the answers they follow from do */
void memory_renew(struct memory *memory);

/** memory_count_answers() - kept, out of date ones included; conclusions alike */
size_t memory_count_answers(const struct memory *memory);
size_t memory_count_conclusions(const struct memory *memory);
