/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/macros.h"
#include "lab.h"
#include "sluice.skel.h"

#define ATTEMPTS 50
#define ETHERTYPE_LOCAL 0x88b5 /* IEEE 802: local experiments */
#define KEY_BYTES_MAX 64U

struct lab {
	struct sluice_bpf *skeleton;
};

static const char *const written[] = { "sl_socks", "sl_held", "sl_flows", "sl_binds",
				       "sl_resolving" };

static int be_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

/* cookies are consecutive on one processor only */
static int stay_on_this_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	if (cpu < 0)
		return -errno;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

int lab_new(struct lab **ret_lab)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	int r;

	if (!lab)
		return -ENOMEM;
	libbpf_set_print(be_quiet);
	lab->skeleton = sluice_bpf__open_and_load();
	r = lab->skeleton ? stay_on_this_cpu() : -errno;
	if (r < 0) {
		lab_free(lab);
		return r;
	}
	*ret_lab = lab;
	return 0;
}

struct lab *lab_free(struct lab *lab)
{
	if (!lab)
		return NULL;
	sluice_bpf__destroy(lab->skeleton);
	free(lab);
	return NULL;
}

struct bpf_object *lab_object(struct lab *lab)
{
	return lab->skeleton->obj;
}

static struct bpf_map *find_map(struct lab *lab, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(lab->skeleton->obj, name);

	if (!map) {
		printf("Bail out! no map %s\n", name);
		exit(EXIT_FAILURE);
	}
	return map;
}

int lab_map(struct lab *lab, const char *name)
{
	return bpf_map__fd(find_map(lab, name));
}

void lab_empty(struct lab *lab, const char *name)
{
	uint8_t key[KEY_BYTES_MAX];
	int fd = lab_map(lab, name);

	while (bpf_map_get_next_key(fd, NULL, key) == 0)
		bpf_map_delete_elem(fd, key);
}

void lab_clear(struct lab *lab)
{
	for (size_t i = 0; i < ARRAY_SIZE(written); i++)
		lab_empty(lab, written[i]);
}

size_t lab_n_entries(struct lab *lab, const char *name)
{
	uint8_t key[KEY_BYTES_MAX], next[KEY_BYTES_MAX];
	struct bpf_map *map = find_map(lab, name);
	int fd = bpf_map__fd(map);
	size_t n = 0;
	int r = bpf_map_get_next_key(fd, NULL, next);

	for (; r == 0; n++) {
		memcpy(key, next, bpf_map__key_size(map));
		r = bpf_map_get_next_key(fd, key, next);
	}
	return n;
}

int lab_run(struct lab *lab, const char *program, const struct lab_packet *packet)
{
	struct bpf_program *p = bpf_object__find_program_by_name(lab->skeleton->obj, program);
	uint8_t frame[ETH_HLEN + LAB_PACKET_BYTES] = { 0 };
	/* not IP: a test run refuses IP with a cut header, which the programs must bear */
	uint16_t type = htons(ETHERTYPE_LOCAL);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = (uint32_t)(ETH_HLEN + packet->n), .repeat = 1);

	if (!p)
		return -ENOENT;
	memcpy(frame + ETH_HLEN - sizeof(type), &type, sizeof(type));
	memcpy(frame + ETH_HLEN, packet->bytes, packet->n);
	if (bpf_prog_test_run_opts(bpf_program__fd(p), &opts) < 0)
		return -errno;
	return (int)opts.retval;
}

static uint64_t new_cookie(void)
{
	uint64_t cookie = 0;
	socklen_t n = sizeof(cookie);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) < 0)
		return 0;
	return cookie;
}

int lab_run_as(struct lab *lab, const char *program, const struct lab_packet *packet,
	       lab_prepare_fn prepare_fn, void *data, uint64_t *ret_cookie)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		uint64_t cookie = new_cookie() + 1;
		int r;

		lab_clear(lab);
		prepare_fn(lab, cookie, data);
		r = lab_run(lab, program, packet);
		if (r < 0)
			return r;
		if (new_cookie() == cookie + 1) { /* nobody else made one between */
			*ret_cookie = cookie;
			return r;
		}
	}
	return -EAGAIN;
}

int lab_each_program(struct lab *lab, lab_program_fn fn, void *data)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, lab->skeleton->obj)
	{
		struct bpf_prog_info info = { 0 };
		uint32_t n = sizeof(info);

		if (bpf_program__fd(p) < 0) /* one that not every kernel takes */
			continue;
		if (bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &n) < 0)
			return -errno;
		fn(bpf_program__name(p), info.verified_insns, data);
	}
	return 0;
}

void lab_address(const char *text, uint8_t to[16])
{
	memset(to, 0, 16);
	if (inet_pton(AF_INET6, text, to) == 1)
		return;
	to[10] = to[11] = 0xff;
	if (inet_pton(AF_INET, text, to + 12) != 1) {
		printf("Bail out! %s is no address\n", text);
		exit(EXIT_FAILURE);
	}
}

static void set16(uint8_t *to, size_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static void add_transport(struct lab_packet *packet, const struct lab_ends *ends)
{
	uint8_t *p = packet->bytes + packet->n;
	size_t header = 8;

	packet->n_headers = packet->n;
	switch (ends->proto) {
	case IPPROTO_TCP:
		header = 20;
		p[12] = 5 << 4;
		p[13] = 0x02; /* SYN */
		set16(p, ends->sport);
		set16(p + 2, ends->dport);
		break;
	case IPPROTO_UDP:
		set16(p, ends->sport);
		set16(p + 2, ends->dport);
		set16(p + 4, header + LAB_PAYLOAD);
		break;
	case IPPROTO_ICMPV6:
		p[0] = 129; /* echo reply; 0 is ICMP's */
		set16(p + 4, ends->sport);
		break;
	default:
		set16(p + 4, ends->sport);
		break;
	}
	packet->n += header + LAB_PAYLOAD;
}

void lab_ipv4(struct lab_packet *packet, const struct lab_ends *ends, size_t n_options)
{
	uint8_t *p = packet->bytes, addr[16];

	memset(packet, 0, sizeof(*packet));
	p[0] = (uint8_t)(0x45 + n_options / 4);
	p[8] = 64;
	p[9] = ends->proto;
	lab_address(ends->src, addr);
	memcpy(p + 12, addr + 12, 4);
	lab_address(ends->dst, addr);
	memcpy(p + 16, addr + 12, 4);
	memset(p + 20, 1, n_options); /* no-operation */
	packet->n = 20 + n_options;
	add_transport(packet, ends);
	set16(p + 2, packet->n);
}

void lab_ipv6(struct lab_packet *packet, const struct lab_ends *ends, const uint8_t *kinds,
	      size_t n_kinds)
{
	uint8_t *p = packet->bytes, *next = p + 6;

	memset(packet, 0, sizeof(*packet));
	p[0] = 0x60;
	p[7] = 64;
	lab_address(ends->src, p + 8);
	lab_address(ends->dst, p + 24);
	packet->n = 40;
	for (size_t i = 0; i < n_kinds; i++) {
		*next = kinds[i];
		next = p + packet->n;
		next[1] = (uint8_t)(i & 1); /* 8 bytes, 16 bytes, 8 … */
		packet->n += 8 * (1 + (i & 1));
	}
	*next = ends->proto;
	add_transport(packet, ends);
	set16(p + 4, packet->n - 40);
}
