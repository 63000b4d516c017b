/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Netlink requests
 *
 * A socket is of the network namespace it was made in, for ever, whoever uses
 * it. So all that is asked of a namespace is asked on sockets made there
 * (netns.h), which live on from one request to the next.
 */

#include <stdint.h>

#include <libmnl/libmnl.h>

/** netlink_open() - a socket of the namespace we are in. Return: descriptor, or a negative errno */
int netlink_open(int protocol);

/** netlink_portid() - its address: announcements of its own transactions carry it; 0: none yet */
uint32_t netlink_portid(int fd);

/** netlink_drain() - read away what is left of an earlier request that was given up */
void netlink_drain(int fd);

/** netlink_tell() - send @request, which is carried out at once; if it fails, who asks next reads that away */
int netlink_tell(int fd, const struct nlmsghdr *request);

/**
 * netlink_ask() - send @request and hand every message of the answer to @fn
 * @request: its sequence number is written here
 *
 * Return: 0, or a negative errno: the kernel's, -EINTR for a dump that was torn,
 *         -EAGAIN when there was no answer within a second.
 */
int netlink_ask(int fd, struct nlmsghdr *request, mnl_cb_t fn, void *data);
