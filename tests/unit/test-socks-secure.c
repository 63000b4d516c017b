/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Flows by a proxy that is spoken to by TLS
 *
 * The proxy is OpenSSL's server with a certificate made here. Program and provider have a TCP
 * connection between them, as sluiced would give them.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/macros.h"
#include "socks-flows-lab.h"

#define MUCH 1000000U
#define REQUEST "CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\r\n"
#define REACHED "HTTP/1.1 200 OK\r\n\r\n"

static SSL_CTX *server;
static uint8_t much[MUCH];

/* ---- the proxy ---- */

static X509 *make_certificate(EVP_PKEY *key, const char *names)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	assert_non_null(extension);
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"proxy", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	return certificate;
}

/* Return: an open file with it */
static int write_certificate(X509 *certificate)
{
	int fd = memfd_create("ca", MFD_CLOEXEC);
	BIO *bio = BIO_new_fd(fd, BIO_NOCLOSE);

	assert_true(fd >= 0);
	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	BIO_free(bio);
	return fd;
}

/* the proxy that @form names, with a certificate for @names, which is trusted */
static void make_proxy(const char *form, const char *names)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key, names);
	char error[TLS_ERROR_BYTES];
	int fd = write_certificate(certificate);

	server = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(server, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server, key), 1);
	assert_int_equal(tls_trust_new(fd, &lab.flows.trust, error), 0);
	close(fd);
	X509_free(certificate);
	EVP_PKEY_free(key);
	lab_proxy(form);
}

static int begin(void **state)
{
	int r = lab_begin(state);

	make_proxy("https://127.0.0.1:%u", "IP:127.0.0.1");
	for (unsigned int i = 0; i < MUCH; i++)
		much[i] = (uint8_t)(i * 2654435761U >> 13);
	return r;
}

static int finish(void **state)
{
	SSL_CTX_free(server);
	return lab_finish(state);
}

/* the provider's connection, before the first word */
static SSL *accept_one(void)
{
	int fd = lab_accept(0);
	SSL *ssl = SSL_new(server);

	assert_return_code(fcntl(fd, F_SETFL, O_NONBLOCK), errno);
	SSL_set_fd(ssl, fd);
	return ssl;
}

static void free_one(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_free(ssl);
	close(fd);
}

/* does the proxy have to wait for the provider? Then the provider has its turn */
static bool goes_on(SSL *ssl, int r)
{
	int error = SSL_get_error(ssl, r);

	if (r > 0 || (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE))
		return false;
	lab_turn();
	return true;
}

static int shake_hands(SSL *ssl)
{
	int r;

	do
		r = SSL_accept(ssl);
	while (goes_on(ssl, r));
	return r;
}

static int hear_some(SSL *ssl, void *bytes, size_t n)
{
	int r;

	ERR_clear_error();
	do
		r = SSL_read(ssl, bytes, (int)n);
	while (goes_on(ssl, r));
	return r;
}

static void hear(SSL *ssl, const void *bytes, size_t n)
{
	uint8_t *heard = malloc(n);
	size_t at = 0;

	assert_non_null(heard);
	while (at < n) {
		int r = hear_some(ssl, heard + at, n - at);

		assert_true(r > 0);
		at += (size_t)r;
	}
	assert_memory_equal(heard, bytes, n);
	free(heard);
}

static void say(SSL *ssl, const void *bytes, size_t n)
{
	int r;

	do
		r = SSL_write(ssl, bytes, (int)n);
	while (goes_on(ssl, r));
	assert_int_equal(r, n);
}

/* ---- the program ---- */

static void make_pair(int *ret_program, int *ret_provider)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(listen(listener, 1), errno);
	assert_return_code(getsockname(listener, (struct sockaddr *)&address, &n), errno);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*ret_program = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(connect(*ret_program, (struct sockaddr *)&address, n), errno);
	*ret_provider = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(*ret_provider >= 0);
	close(listener);
}

/* a flow is opened, @behind stands behind the answer. Return: the proxy's end; *@ret_program: the
 * other one */
static SSL *reach(int *ret_program, const char *behind)
{
	uint64_t id = lab_flow(NULL);
	SSL *ssl = accept_one();
	char answer[256];
	int provider;

	assert_int_equal(shake_hands(ssl), 1);
	hear(ssl, REQUEST, strlen(REQUEST));
	snprintf(answer, sizeof(answer), "%s%s", REACHED, behind);
	say(ssl, answer, strlen(answer));
	assert_int_equal(lab_answered(), -1);
	make_pair(ret_program, &provider);
	flows_opened(&lab.flows, id, provider, lab.now_ms);
	return ssl;
}

/* @n bytes to @fd while the provider goes on, but the proxy does not read */
static size_t push(int fd, const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	for (unsigned int idle = 0; at < n && idle < 20;) {
		ssize_t r = send(fd, bytes + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		idle = r > 0 ? 0 : idle + 1;
		at += r > 0 ? (size_t)r : 0;
		lab_turn();
	}
	return at;
}

static void expect_closed(int error)
{
	for (unsigned int i = 0; lab.answer.n_closed == 0 && i < 1000; i++) {
		lab_turn();
		poll(NULL, 0, 1);
	}
	assert_int_equal(lab.answer.n_closed, 1);
	assert_int_equal(lab.answer.closed_error, error);
}

/* ---- tests ---- */

static void test_both_ways(void **state)
{
	int program;
	SSL *ssl = reach(&program, "SSH-2.0-x");

	lab_hear(program, "SSH-2.0-x", 9);
	lab_say(program, "hello", 5);
	hear(ssl, "hello", 5);
	say(ssl, "world", 5);
	lab_hear(program, "world", 5);
	close(program);
	free_one(ssl);
}

/* the program ends first, and the proxy answers with much */
static void test_program_ends_first(void **state)
{
	int program;
	SSL *ssl = reach(&program, "");
	uint8_t byte;

	assert_int_equal(push(program, much, 100000), 100000);
	assert_return_code(shutdown(program, SHUT_WR), errno);
	hear(ssl, much, 100000);
	assert_int_equal(hear_some(ssl, &byte, 1), 0);
	assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
	lab_hear_end(SSL_get_fd(ssl), 0);
	for (size_t at = 0; at < MUCH; at += 4000) {
		say(ssl, much + at, 4000);
		lab_hear(program, much + at, 4000);
	}
	assert_int_equal(lab.answer.n_closed, 0);
	SSL_shutdown(ssl);
	lab_hear_end(program, 0);
	expect_closed(0);
	close(program);
	free_one(ssl);
}

/* the proxy ends first, and the program goes on */
static void test_proxy_ends_first(void **state)
{
	int program;
	SSL *ssl = reach(&program, "bye");

	SSL_shutdown(ssl);
	lab_hear(program, "bye", 3);
	lab_hear_end(program, 0);
	for (size_t at = 0; at < MUCH; at += 20000) {
		assert_int_equal(push(program, much + at, 20000), 20000);
		hear(ssl, much + at, 20000);
	}
	assert_int_equal(lab.answer.n_closed, 0);
	shutdown(program, SHUT_WR);
	expect_closed(0);
	close(program);
	free_one(ssl);
}

/* who does not read is not read for, and nothing is lost */
static void test_back_pressure(void **state)
{
	static uint8_t lots[20U * MUCH];
	int program;
	SSL *ssl = reach(&program, "");
	size_t n;

	for (size_t i = 0; i < sizeof(lots); i++)
		lots[i] = (uint8_t)(i * 2654435761U >> 11);
	n = push(program, lots, sizeof(lots));
	assert_true(n < sizeof(lots));
	for (size_t at = 0; at < n; at += 1000)
		hear(ssl, lots + at, n - at < 1000 ? n - at : 1000);
	close(program);
	free_one(ssl);
}

/* the end of a connection is no end of what it carried: it was cut */
static void test_cut(void **state)
{
	int program;
	SSL *ssl = reach(&program, "half of it");

	lab_hear(program, "half of it", 10);
	free_one(ssl);
	expect_closed(-ECONNRESET);
	close(program);
}

static void test_program_resets(void **state)
{
	const struct linger now = { .l_onoff = 1 };
	int program;
	SSL *ssl = reach(&program, "");
	uint8_t byte;

	assert_return_code(setsockopt(program, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), errno);
	close(program);
	assert_int_equal(hear_some(ssl, &byte, 1), -1);
	assert_int_equal(SSL_get_error(ssl, -1), SSL_ERROR_SYSCALL);
	assert_int_equal(errno, ECONNRESET);
	free_one(ssl);
}

/* it is gone: what it has sent arrives, and the connection does not wait for an answer */
static void test_program_closes(void **state)
{
	int program;
	SSL *ssl = reach(&program, "");
	uint8_t byte;

	lab_say(program, "last", 4);
	close(program);
	lab_turn();
	assert_int_equal(lab.answer.n_closed, 0);
	flows_ended(&lab.flows, LAB_FLOW, SLUICE_PROXY_HALF, lab.now_ms);
	assert_int_equal(lab.answer.n_closed, 0);
	flows_ended(&lab.flows, LAB_FLOW, SLUICE_PROXY_FULL, lab.now_ms);
	expect_closed(0);
	hear(ssl, "last", 4);
	assert_int_equal(hear_some(ssl, &byte, 1), 0);
	free_one(ssl);
}

static void test_late(void **state)
{
	uint64_t id = lab_flow(NULL);
	SSL *ssl = accept_one();
	int program, provider;
	uint8_t byte;

	assert_int_equal(shake_hands(ssl), 1);
	hear(ssl, REQUEST, strlen(REQUEST));
	say(ssl, REACHED, strlen(REACHED));
	assert_int_equal(lab_answered(), -1);
	/* nobody has given up the proxy in the meantime */
	lab_pass(3600000);
	flows_cancelled(&lab.flows, id, lab.now_ms);
	assert_true(hear_some(ssl, &byte, 1) <= 0);
	/* and who comes now is not wanted */
	make_pair(&program, &provider);
	flows_opened(&lab.flows, id, provider, lab.now_ms);
	expect_closed(-ECONNRESET);
	close(program);
	free_one(ssl);
}

/* another proxy in its place */
static void exchange_proxy(const char *form, const char *names)
{
	SSL_CTX_free(server);
	tls_trust_free(lab.flows.trust);
	lab_down(0);
	lab.n_ports = lab.flows.endpoints.n = 0;
	make_proxy(form, names);
}

static void test_certificate_of_another_host(void **state)
{
	static const char *const proxies[][3] = {
		{ "https://127.0.0.1:%u", "IP:127.0.0.2,DNS:127.0.0.1,DNS:localhost",
		  "has no certificate that is good here: IP address mismatch" },
		{ "https://proxy.example:%u", "IP:127.0.0.1,DNS:a.example,DNS:*.proxy.example",
		  "has no certificate that is good here: hostname mismatch" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++) {
		SSL *ssl;

		exchange_proxy(proxies[i][0], proxies[i][1]);
		lab_flow(NULL);
		ssl = accept_one();
		assert_true(shake_hands(ssl) <= 0);
		lab_refused(-ECONNREFUSED, proxies[i][2]);
		free_one(ssl);
	}
}

static void test_certificate_of_a_name(void **state)
{
	int program;
	SSL *ssl;

	exchange_proxy("https://proxy.example:%u", "DNS:a.example,DNS:PROXY.example");
	ssl = reach(&program, "hello");
	lab_hear(program, "hello", 5);
	close(program);
	free_one(ssl);
}

static void test_certificate_of_another_authority(void **state)
{
	char error[TLS_ERROR_BYTES];
	SSL *ssl;

	tls_trust_free(lab.flows.trust);
	assert_int_equal(tls_trust_new(-1, &lab.flows.trust, error), 0);
	lab_flow(NULL);
	ssl = accept_one();
	assert_true(shake_hands(ssl) <= 0);
	lab_refused(-ECONNREFUSED, "has no certificate that is good here: self-signed certificate");
	free_one(ssl);
}

/* an authority has signed it, which nobody here knows: what is trusted is the proxy's own */
static void test_certificate_without_its_authority(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *authority = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key, "IP:127.0.0.1");
	X509_NAME *name = X509_NAME_new();
	char error[TLS_ERROR_BYTES];
	int fd, program;
	SSL *ssl;

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"authority", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	assert_true(X509_sign(certificate, authority, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(server, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server, key), 1);
	fd = write_certificate(certificate);
	tls_trust_free(lab.flows.trust);
	assert_int_equal(tls_trust_new(fd, &lab.flows.trust, error), 0);
	close(fd);
	X509_NAME_free(name);
	X509_free(certificate);
	EVP_PKEY_free(authority);
	EVP_PKEY_free(key);
	ssl = reach(&program, "hello");
	lab_hear(program, "hello", 5);
	close(program);
	free_one(ssl);
}

static void test_name(void **state)
{
	struct tls *tls = tls_new(lab.flows.trust, "proxy.example");
	const uint8_t *hello;
	size_t n;

	assert_int_equal(tls_handshake(tls), -EAGAIN);
	hello = tls_output(tls, &n);
	assert_non_null(memmem(hello, n, "proxy.example", 13));
	tls_free(tls);
	/* of an address there is none */
	tls = tls_new(lab.flows.trust, "127.0.0.1");
	assert_int_equal(tls_handshake(tls), -EAGAIN);
	hello = tls_output(tls, &n);
	assert_null(memmem(hello, n, "127.0.0.1", 9));
	tls_free(tls);
}

static void test_no_tls(void **state)
{
	int proxy;

	lab_flow(NULL);
	proxy = lab_accept(0);
	lab_say(proxy, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	lab_refused(-ECONNREFUSED, "does not speak TLS with us: wrong version number");
	close(proxy);

	lab_flow(NULL);
	proxy = lab_accept(0);
	lab_turn();
	shutdown(proxy, SHUT_WR);
	lab_refused(-ECONNREFUSED, "broke the connection off");
	close(proxy);

	lab_flow(NULL);
	proxy = lab_accept(0);
	lab_say(proxy, "\x16\x03\x03", 3);
	lab_pass(10000);
	lab_refused(-ECONNREFUSED, "does not answer in time");
	close(proxy);
}

static void test_garbage_inside(void **state)
{
	SSL *ssl;

	lab_flow(NULL);
	ssl = accept_one();
	assert_int_equal(shake_hands(ssl), 1);
	say(ssl, "\x05\xff", 2);
	lab_refused(-ECONNREFUSED, "does not speak HTTP/1");
	free_one(ssl);

	lab_flow(NULL);
	ssl = accept_one();
	assert_int_equal(shake_hands(ssl), 1);
	hear(ssl, REQUEST, strlen(REQUEST));
	SSL_shutdown(ssl);
	lab_refused(-ECONNREFUSED, "ended the connection before it had answered");
	free_one(ssl);
}

static void test_authorities(void **state)
{
	struct tls_trust *trust;
	char error[TLS_ERROR_BYTES] = "";
	int fd = memfd_create("ca", MFD_CLOEXEC);

	assert_int_equal(tls_trust_new(fd, &trust, error), -EINVAL);
	assert_non_null(strstr(error, "has no certificate"));
	assert_int_equal(write(fd, "-----BEGIN CERTIFICATE-----\nAAAA\n", 33), 33);
	assert_int_equal(tls_trust_new(fd, &trust, error), -EINVAL);
	assert_return_code(ftruncate(fd, 2000000), errno);
	assert_int_equal(tls_trust_new(fd, &trust, error), -EINVAL);
	assert_non_null(strstr(error, "larger than 1 MB"));
	close(fd);
	assert_int_equal(tls_trust_new(fd, &trust, error), -EBADF);
	assert_non_null(strstr(error, "cannot be read: Bad file descriptor"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_ways, begin, finish),
		cmocka_unit_test_setup_teardown(test_program_ends_first, begin, finish),
		cmocka_unit_test_setup_teardown(test_proxy_ends_first, begin, finish),
		cmocka_unit_test_setup_teardown(test_back_pressure, begin, finish),
		cmocka_unit_test_setup_teardown(test_cut, begin, finish),
		cmocka_unit_test_setup_teardown(test_program_resets, begin, finish),
		cmocka_unit_test_setup_teardown(test_program_closes, begin, finish),
		cmocka_unit_test_setup_teardown(test_late, begin, finish),
		cmocka_unit_test_setup_teardown(test_certificate_of_another_host, begin, finish),
		cmocka_unit_test_setup_teardown(test_certificate_of_a_name, begin, finish),
		cmocka_unit_test_setup_teardown(test_certificate_of_another_authority, begin,
						finish),
		cmocka_unit_test_setup_teardown(test_certificate_without_its_authority, begin,
						finish),
		cmocka_unit_test_setup_teardown(test_name, begin, finish),
		cmocka_unit_test_setup_teardown(test_no_tls, begin, finish),
		cmocka_unit_test_setup_teardown(test_garbage_inside, begin, finish),
		cmocka_unit_test_setup_teardown(test_authorities, begin, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
