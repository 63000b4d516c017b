/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Names of addresses
 *
 * Which names an application resolved to an address, from the DNS answers it
 * received. Names never pass from one application to another: what a browser
 * resolved says nothing about where a mail client connects to.
 *
 * An entry is (application, address, process that asked, name) and lives as
 * long as the answer's TTL and a grace. Memory is fixed: when it is full the
 * entry used least recently goes; one user can hold half of it (flow/shares.h).
 *
 * This module is pure: no descriptor, no clock, no allocation after
 * names_cache_new(). Time comes in as @now_us, any clock that never goes back.
 */

#include <stddef.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

#define NAMES_ENTRIES_MAX 16384U  /* 6 MB; a busy browser holds some hundred */
#define NAMES_PER_ADDRESS_MAX 64U /* of one application; bounds every walk, the oldest goes */
#define NAMES_TEXT_BYTES 256U	  /* as in wire_name */

/* An application connects a moment after the answer expired: it got it with one second left,
 * it tries the addresses one after the other (Happy Eyeballs: 250 ms each), TTL 0 means "use
 * it once". Longer, and the name of an address that has moved on would be believed. */
#define NAMES_GRACE_S 2U

/* resolvers do not keep an answer longer either (systemd-resolved 2 h, unbound 1 d) */
#define NAMES_TTL_MAX_S 86400U

enum names_error {
	_NAMES_E_SUCCESS,
	NAMES_E_NONE, /* no live name: the flow has no host */
};

/** struct names_name - a name and the end of its life, which is its TTL's and a grace */
struct names_name {
	const char *name; /* valid until the next names_add() */
	uint64_t expiry_us;
};

struct names_cache;

/**
 * names_cache_new() - an empty cache
 * @seed:       random: keeps others from choosing addresses that fall into one bucket
 * @changed_fn: called when @app has one more name for @address, or lost one before its time;
 *              not when a name expires. NULL: nobody wants to know
 * @ret_cache:  out: owned by the caller, on 0 only
 *
 * Return: 0 or -ENOMEM.
 */
typedef void (*names_changed_fn)(const struct sl_app *app, const uint8_t address[16], void *data);
int names_cache_new(uint64_t seed, names_changed_fn changed_fn, void *data,
		    struct names_cache **ret_cache);

/** names_cache_free() - NULL is fine. Return: NULL */
struct names_cache *names_cache_free(struct names_cache *cache);

/**
 * names_add() - process @pid of @app was told that @name is at @address
 *
 * An entry that is there becomes the newest; it never expires earlier than it
 * would have. A name that is empty or too long is ignored.
 */
void names_add(struct names_cache *cache, const struct sl_app *app, uint32_t pid,
	       const uint8_t address[16], const char *name, uint32_t ttl_s, uint64_t now_us);

/**
 * names_forget() - @app was told something that nobody has read
 *
 * It may know any address by another name since, so that no name is sure. Looks at every entry.
 */
void names_forget(struct names_cache *cache, const struct sl_app *app);

/**
 * names_find() - the name by which @app most likely means @address
 * @ret_name: out: valid until the next names_add(), on 0 only
 *
 * The newest name that @pid itself asked for, else the newest any process of
 * the application asked for.
 *
 * Return: 0 or NAMES_E_NONE.
 */
int names_find(struct names_cache *cache, const struct sl_app *app, uint32_t pid,
	       const uint8_t address[16], uint64_t now_us, const char **ret_name);

/**
 * names_all() - every name by which @app may mean @address
 * @ret_names: out: the first @n_max different ones, in no order
 *
 * Return: how many there are; more than @n_max: not all were written, and some may be
 *         counted twice.
 */
size_t names_all(struct names_cache *cache, const struct sl_app *app, const uint8_t address[16],
		 uint64_t now_us, struct names_name *ret_names, size_t n_max);

/**
 * names_addresses() - the other way round: where @app believes @name to be, newest first
 *
 * Looks at every entry: for questions of people.
 *
 * Return: how many addresses were written.
 */
size_t names_addresses(const struct names_cache *cache, const struct sl_app *app, const char *name,
		       uint64_t now_us, uint8_t (*ret_addresses)[16], size_t n_max);

/** names_count() - entries in use, expired ones that nobody has met since included */
size_t names_count(const struct names_cache *cache);
