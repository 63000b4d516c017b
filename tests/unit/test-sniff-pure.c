/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Reading first bytes takes nothing from the system
 *
 * A child that may do nothing but exit reads one flow of each protocol, the
 * libraries of HPACK and ciphers included. What asked the kernel for memory, a
 * file or randomness would be killed.
 */

#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "quic-lab.h"

static struct buffer stream;

/* the child; its status says whether the name was read */
static void __attribute__((noreturn)) read_strictly(void)
{
	static struct sniff sniff;

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0) {
		if (lab.datagram.n)
			sniff_quic_push(&lab.quic, lab.datagram.bytes, lab.datagram.n, &sniff);
		else
			sniff_tcp(stream.bytes, stream.n, &sniff);
	}
	for (;;)
		syscall(SYS_exit, sniff.answer == SNIFF_NAME && sniff.name[0] ? 0 : 1);
}

static void expect_pure(void)
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		read_strictly();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void begin(void)
{
	stream.n = lab.datagram.n = lab.hello.n = lab.frames.n = 0;
}

static void test_tls(void **state)
{
	begin();
	lab_hello("pure.example", 10000);
	put_records(&stream, &lab.hello, 100);
	expect_pure();
}

static void test_http1(void **state)
{
	begin();
	put_text(&stream, "GET / HTTP/1.1\r\nHost: pure.example\r\n\r\n");
	expect_pure();
}

/* a value of 8096 bytes with indexing, which evicts it at once, and the name: RFC 7541 */
static void test_h2c(void **state)
{
	size_t block;

	begin();
	put_text(&stream, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	put_hex(&stream, "000000040000000000");
	block = put_open(&stream, 3);
	put_hex(&stream, "0104 00000001 828684 400178 7fa13e");
	put_fill(&stream, 'c', 127 + 0x21 + (0x3e << 7));
	put_hex(&stream, "0004");
	put_text(&stream, "host");
	put_hex(&stream, "0c");
	put_text(&stream, "pure.example");
	put_close(&stream, 3, block);
	stream.bytes[block + 2] -=
		6; /* the length is that of the payload: type, flags, stream less */
	expect_pure();
}

static void test_quic(void **state)
{
	begin();
	lab_hello("pure.example", 0);
	put_crypto(&lab.frames, &lab.hello, 0, lab.hello.n);
	put_packet(&lab.datagram, &(struct lab_packet){ 0 }, &lab.frames);
	sniff_quic_start(&lab.quic);
	expect_pure();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_http1),
		cmocka_unit_test(test_h2c),
		cmocka_unit_test(test_quic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
