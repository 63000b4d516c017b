/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls.h"

#define CA_BYTES_MAX (1U << 20) /* Debian's, of all authorities, has a fifth */

struct tls_trust {
	SSL_CTX *context;
};

struct tls {
	SSL *ssl;
	BIO *in, *out; /* memory; they are the SSL's */
	char error[TLS_ERROR_BYTES];
};

/* ---- trust ---- */

/* Return: how many certificates were taken */
static int add_certificates(X509_STORE *store, const char *bytes, size_t n)
{
	BIO *bio = BIO_new_mem_buf(bytes, (int)n);
	X509 *certificate;
	int n_taken = 0;

	/* each is trusted as it is: also one in the middle, or the proxy's own, without the root */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	while (bio && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		n_taken += X509_STORE_add_cert(store, certificate);
		X509_free(certificate);
	}
	BIO_free(bio);
	ERR_clear_error();
	return n_taken;
}

static int trust_file(SSL_CTX *context, int ca, char error[TLS_ERROR_BYTES])
{
	char *bytes = malloc(CA_BYTES_MAX);
	ssize_t n = bytes ? pread(ca, bytes, CA_BYTES_MAX, 0) : 0;
	int r = 0;

	if (!bytes)
		r = -ENOMEM;
	else if (n < 0)
		r = -errno;
	if (r < 0)
		(void)snprintf(error, TLS_ERROR_BYTES, "cannot be read: %s", strerror(-r));
	else if (n == CA_BYTES_MAX ||
		 add_certificates(SSL_CTX_get_cert_store(context), bytes, (size_t)n) == 0) {
		(void)snprintf(error, TLS_ERROR_BYTES, "%s",
			       n == CA_BYTES_MAX ? "is larger than 1 MB"
						 : "has no certificate: give one in PEM, as of "
						   "an authority");
		r = -EINVAL;
	}
	free(bytes);
	return r;
}

int tls_trust_new(int ca, struct tls_trust **ret_trust, char error[TLS_ERROR_BYTES])
{
	struct tls_trust *trust = calloc(1, sizeof(*trust));
	int r = -ENOMEM;

	if (trust)
		trust->context = SSL_CTX_new(TLS_client_method());
	if (trust && trust->context) {
		SSL_CTX_set_min_proto_version(trust->context, TLS1_2_VERSION);
		SSL_CTX_set_options(trust->context, SSL_OP_NO_RENEGOTIATION);
		SSL_CTX_set_verify(trust->context, SSL_VERIFY_PEER, NULL);
		if (ca >= 0)
			r = trust_file(trust->context, ca, error);
		else
			r = SSL_CTX_set_default_verify_paths(trust->context) ? 0 : -ENOMEM;
	}
	if (r == -ENOMEM)
		(void)snprintf(error, TLS_ERROR_BYTES, "no memory");
	if (r == 0)
		*ret_trust = trust;
	else
		tls_trust_free(trust);
	return r;
}

void tls_trust_free(struct tls_trust *trust)
{
	if (trust)
		SSL_CTX_free(trust->context);
	free(trust);
}

/* ---- a connection ---- */

/* whose certificate it must be; a name is also told to the peer, which may have several */
static int expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	uint8_t address[16];

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) ? 0 : -ENOMEM;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host) ? 0 : -ENOMEM;
}

struct tls *tls_new(struct tls_trust *trust, const char *host)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return NULL;
	tls->ssl = SSL_new(trust->context);
	tls->in = BIO_new(BIO_s_mem());
	tls->out = BIO_new(BIO_s_mem());
	if (!tls->ssl || !tls->in || !tls->out || expect_host(tls->ssl, host) < 0) {
		BIO_free(tls->in);
		BIO_free(tls->out);
		SSL_free(tls->ssl);
		free(tls);
		ERR_clear_error();
		return NULL;
	}
	SSL_set_bio(tls->ssl, tls->in, tls->out);
	SSL_set_connect_state(tls->ssl);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (tls)
		SSL_free(tls->ssl);
	free(tls);
}

int tls_input(struct tls *tls, const void *bytes, size_t n)
{
	return BIO_write(tls->in, bytes, (int)n) == (int)n ? 0 : -ENOMEM;
}

const uint8_t *tls_output(struct tls *tls, size_t *ret_n)
{
	char *bytes = NULL;
	long n = BIO_get_mem_data(tls->out, &bytes);

	*ret_n = n > 0 ? (size_t)n : 0;
	return (const uint8_t *)bytes;
}

void tls_sent(struct tls *tls, size_t n)
{
	uint8_t dropped[4096];

	while (n > 0) {
		int r = BIO_read(tls->out, dropped,
				 n < sizeof(dropped) ? (int)n : (int)sizeof(dropped));

		if (r <= 0)
			return;
		n -= (size_t)r;
	}
}

static void write_error(struct tls *tls)
{
	long verified = SSL_get_verify_result(tls->ssl);
	const char *why = ERR_reason_error_string(ERR_peek_error());

	if (verified != X509_V_OK)
		(void)snprintf(tls->error, sizeof(tls->error),
			       "has no certificate that is good here: %s",
			       X509_verify_cert_error_string(verified));
	else
		(void)snprintf(tls->error, sizeof(tls->error), "does not speak TLS with us: %s",
			       why ? why : "it broke off");
	ERR_clear_error();
}

/* @r: of a function of SSL, not above 0. Return: 0 at the peer's end, -EAGAIN, -EPROTO */
static int explain(struct tls *tls, int r)
{
	switch (SSL_get_error(tls->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		write_error(tls);
		return -EPROTO;
	}
}

int tls_handshake(struct tls *tls)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(tls->ssl);
	if (r > 0)
		return 0;
	r = explain(tls, r);
	if (r == 0)
		(void)snprintf(tls->error, sizeof(tls->error), "ended TLS before it had begun");
	return r == 0 ? -EPROTO : r;
}

ssize_t tls_peek(struct tls *tls, void *bytes, size_t n)
{
	int r;

	ERR_clear_error();
	r = SSL_peek(tls->ssl, bytes, (int)n);
	return r > 0 ? r : explain(tls, r);
}

ssize_t tls_read(struct tls *tls, void *bytes, size_t n)
{
	int r;

	ERR_clear_error();
	r = SSL_read(tls->ssl, bytes, (int)n);
	return r > 0 ? r : explain(tls, r);
}

int tls_write(struct tls *tls, const void *bytes, size_t n)
{
	int r;

	ERR_clear_error();
	r = SSL_write(tls->ssl, bytes, (int)n);
	if (r == (int)n)
		return 0;
	write_error(tls);
	return -EPROTO;
}

void tls_end(struct tls *tls)
{
	ERR_clear_error();
	(void)SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

const char *tls_error(const struct tls *tls)
{
	return tls->error;
}
