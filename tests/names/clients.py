# SPDX-License-Identifier: LGPL-2.1-or-later
"""The clients of the corpus, and what each is told."""
import base64
import dataclasses
import itertools
import os
import ssl
import subprocess

LONG = ".".join(["long-label-" + "x" * 36] * 5) + ".example"
NAMES = ["www.example.org", "example.com", "a.b.c.d.e.example", "xn--bcher-kva.example",
         "single", "api-7.cdn.example.net", "under_score.example", "1.2.3.example", LONG]
W, C, D, X = NAMES[0], NAMES[1], NAMES[2], NAMES[3]


@dataclasses.dataclass
class Case:
    kind: str
    client: str
    name: str | None
    command: list = dataclasses.field(default_factory=list)
    reason: str = "named"
    is_outer: bool = False
    payload: bytes | None = None
    server: list | None = None  # options of the QUIC server; None: nobody answers
    n_kept: int = 4  # payloads


def prepare(folder):
    """what clients and servers need in their folder"""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem", "-out",
                    "cert.pem", "-subj", "/CN=example", "-days", "2"],
                   cwd=folder, check=True, capture_output=True)
    with open(os.path.join(folder, "index.html"), "w", encoding="ascii") as file:
        file.write("x" * 100)


def ech_config(public_name):
    """a list with one ECHConfig: X25519, HKDF-SHA256, AES-128-GCM; the key is anybody's"""
    name = public_name.encode()
    key = bytes(range(1, 33))
    content = (b"\x07" + b"\x00\x20" + len(key).to_bytes(2, "big") + key + b"\x00\x04" +
               b"\x00\x01\x00\x01" + b"\x40" + bytes([len(name)]) + name + b"\x00\x00")
    config = b"\xfe\x0d" + len(content).to_bytes(2, "big") + content
    return base64.b64encode(len(config).to_bytes(2, "big") + config).decode()


def numbered(kind, program, entries):
    """entries: (name, command, further fields…)"""
    for number, (name, command, *rest) in enumerate(entries):
        yield Case(kind, f"{program}-{number:02}", name, command, **(rest[0] if rest else {}))


NO_NAME = {"reason": "no-name"}
ADDRESS = {"reason": "address"}
OUTER = {"is_outer": True}


def tls_curl():
    options = [[], ["--http1.1"], ["--http2"], ["--no-alpn"], ["--tlsv1.3"], ["--tls-max", "1.2"],
               ["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"],
               ["--curves", "X25519"], ["--curves", "P-521:P-384"], ["--cert-status"],
               ["--ciphers", "ECDHE-RSA-AES128-GCM-SHA256", "--tls-max", "1.2"],
               ["--tls13-ciphers", "TLS_CHACHA20_POLY1305_SHA256"], ["--http0.9"]]
    for option, name in zip(options, itertools.cycle(NAMES)):
        yield name, ["curl", "-sk", *option, f"https://{name}:{{port}}/"]
    yield LONG, ["curl", "-sk", f"https://{LONG}:{{port}}/"]
    yield W, ["curl", "-sk", "https://WWW.Example.ORG:{port}/"]
    yield W, ["curl", "-sk", "--connect-to", "::127.0.0.1:{port}", f"https://{W}./"]
    yield C, ["curl", "-sk", "-H", f"Host: {W}", f"https://{C}:{{port}}/"]
    yield None, ["curl", "-sk", "https://127.0.0.1:{port}/"], NO_NAME


def tls_wget():
    for option in ["auto", "TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3", "PFS"]:
        yield D, ["wget", "-q", "-t1", "--no-check-certificate", f"--secure-protocol={option}",
                  f"https://{D}:{{port}}/"]
    yield X, ["wget", "-q", "-t1", f"https://{X}:{{port}}/"]
    yield None, ["wget", "-q", "-t1", "https://127.0.0.1:{port}/"], NO_NAME


def tls_openssl():
    base = ["openssl", "s_client", "-connect", "127.0.0.1:{port}"]
    alpn = ",".join(f"protocol-number-{i:04}" for i in range(80))
    options = [[], ["-tls1_3"], ["-tls1_2"], ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
               ["-tls1", "-cipher", "ALL:@SECLEVEL=0"], ["-alpn", "h2,http/1.1"],
               ["-alpn", alpn], ["-alpn", alpn, "-max_send_frag", "512"], ["-status"],
               ["-groups", "P-256"], ["-groups", "X448:ffdhe2048", "-tls1_3"],
               ["-maxfraglen", "1024"], ["-no_ticket"], ["-bugs"],
               ["-use_srtp", "SRTP_AES128_CM_SHA1_80"], ["-nextprotoneg", "x", "-tls1_2"],
               ["-psk", "00112233445566778899", "-psk_identity", "somebody"],
               ["-sigalgs", "RSA+SHA256:ECDSA+SHA256"], ["-serverinfo", "1,2,65000"],
               ["-fallback_scsv", "-tls1_2"], ["-noservername"]]
    for option, name in zip(options, itertools.cycle(NAMES)):
        if option == ["-noservername"]:
            yield None, base + option, NO_NAME
        else:
            yield name, base + option + ["-servername", name]
    yield None, base + ["-servername", "192.0.2.1"], ADDRESS
    yield None, base + ["-servername", "2001:db8::1"], ADDRESS
    yield None, base + ["-servername", "a b.example"], {"reason": "bad-name"}


def tls_gnutls():
    base = ["gnutls-cli", "--insecure", "-p", "{port}"]
    for priority, name in zip(["NORMAL", "SECURE256", "PERFORMANCE", "NORMAL:-VERS-TLS1.3",
                               "NORMAL:%COMPAT", "NORMAL:%DUMBFW", "NORMAL:-VERS-ALL:+VERS-TLS1.3",
                               "SECURE128:%NO_TICKETS", "NORMAL:%SAFE_RENEGOTIATION",
                               "NORMAL:-GROUP-ALL:+GROUP-FFDHE4096:+GROUP-SECP521R1",
                               "LEGACY:-VERS-ALL:+VERS-TLS1.0", "NORMAL:+SIGN-EDDSA-ED448",
                               "NORMAL:-KX-ALL:+DHE-RSA:-VERS-TLS1.3"], itertools.cycle(NAMES)):
        yield name, base + ["--priority", priority, name]
    yield C, base + ["--sni-hostname", C, "127.0.0.1"]
    yield C, base + ["--sni-hostname", C, W]
    yield D, base + ["--alpn", "h2", "--alpn", "http/1.1", D]
    yield D, base + ["--ocsp", D]
    yield None, base + ["--disable-sni", W], NO_NAME


def tls_nss():
    base = ["tstclnt", "-D", "-o", "-Q", "-h", "127.0.0.1", "-p", "{port}"]
    options = [[], ["-V", "tls1.3:tls1.3"], ["-V", "tls1.0:tls1.2"], ["-u", "-T", "-U"], ["-B"],
               ["-G"], ["-H"], ["-I", "x25519"], ["-I", "P256,P384,FF4096"], ["-K", "-g"],
               ["-J", "ecdsa_secp256r1_sha256,rsa_pss_rsae_sha256"]]
    for option, name in zip(options, itertools.cycle(NAMES)):
        yield name, base + ["-a", name] + option
    for size in ["1", "100", "255"]:
        yield W, base + ["-a", W, "-V", "tls1.3:tls1.3", "-i", size], OUTER
    for name, public in [(W, "public.example"), (LONG, "front.example.net")]:
        yield public, base + ["-a", name, "-V", "tls1.3:tls1.3", "-N", ech_config(public)], OUTER


def tls_others():
    yield W, ["nghttp", "-n", f"https://{W}:{{port}}/"]
    yield C, ["nghttp", "-n", "--ktls", f"https://{C}:{{port}}/"]
    yield D, ["h2load", "-n1", f"https://{D}:{{port}}/"]
    yield D, ["h2load", "-n1", "--tls13-ciphers=TLS_AES_256_GCM_SHA384", f"https://{D}:{{port}}/"]
    yield X, ["git", "-c", "http.sslVerify=false", "ls-remote", f"https://{X}:{{port}}/x.git"]
    yield W, ["python3", "-c", f"import urllib.request as u; u.urlopen('https://{W}:{{port}}/')"]
    yield C, ["python3", "-c", "import http.client as h; "
              f"h.HTTPSConnection('{C}', {{port}}).request('GET', '/')"]
    yield D, ["python3", "-c", f"import smtplib as s; s.SMTP_SSL('{D}', {{port}})"]


def python_hello(name, configure):
    """what python's ssl sends first"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    configure(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def tls_python():
    version = ssl.TLSVersion
    settings = [
        lambda c: None,
        lambda c: c.set_alpn_protocols(["h2", "http/1.1"]),
        lambda c: c.set_alpn_protocols([f"{i:0240}" for i in range(60)]),
        lambda c: c.set_alpn_protocols([f"{i:0240}" for i in range(34)]),
        lambda c: setattr(c, "maximum_version", version.TLSv1_2),
        lambda c: setattr(c, "minimum_version", version.TLSv1_3),
        lambda c: c.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0"),
        lambda c: c.set_ciphers("ECDHE+CHACHA20"),
        lambda c: setattr(c, "options", c.options | ssl.OP_NO_TICKET),
        lambda c: c.set_ecdh_curve("secp384r1"),
        lambda c: setattr(c, "post_handshake_auth", True),
        lambda c: c.set_npn_protocols(["h2"]) if ssl.HAS_NPN else None,
    ]
    number = 0
    for configure, name in zip(settings * 2, itertools.cycle(NAMES)):
        yield Case("tls", f"python-{number:02}", name, payload=python_hello(name, configure))
        number += 1
    for name, given in [(X, "b\u00fccher.example"), (W, "WWW.EXAMPLE.ORG"), (C, C + ".")]:
        yield Case("tls", f"python-{number:02}", name, payload=python_hello(given, settings[0]))
        number += 1
    for given in [None, "192.0.2.1", "2001:db8::1"]:
        yield Case("tls", f"python-{number:02}", None, reason="no-name",
                   payload=python_hello(given, settings[0]))
        number += 1


def http1_curl():
    host = f"http://{W}:{{port}}"
    options = [[], ["-I"], ["-d", "a=b"], ["-T", "index.html"], ["-X", "DELETE"], ["-0"], ["-A", ""],
               ["-e", "http://other.example/"], ["-b", "c=" + "d" * 6000], ["-r", "0-99"],
               ["-u", "user:pass"], ["--compressed"], ["--http2"], ["-F", "f=@index.html"],
               ["-H", "Upgrade: websocket", "-H", "Connection: Upgrade"], ["--raw"],
               ["-X", "OPTIONS", "--request-target", "*"], ["-H", "X-Forwarded-Host: x.example"],
               ["-H", "Accept:", "-H", "User-Agent:"], ["-G", "--data-urlencode", "q=host: x y"]]
    for option in options:
        yield W, ["curl", "-s", *option, host + "/path?x=http://y.example/"]
    for name in NAMES[1:]:
        yield name, ["curl", "-s", f"http://{name}:{{port}}/"]
    yield C, ["curl", "-s", "-H", f"Host: {C}", host]
    yield C, ["curl", "-s", "-H", f"Host: {C.upper()}.:80", host]
    yield C, ["curl", "-s", "-x", "127.0.0.1:{port}", f"http://{C}/"]
    yield C, ["curl", "-s", "-x", "127.0.0.1:{port}", "-H", f"Host: {D}", f"http://{C}:8080/x"]
    yield C, ["curl", "-s", "-x", "127.0.0.1:{port}", "-p", f"http://{C}/"]
    yield C, ["curl", "-s", "-x", "127.0.0.1:{port}", f"https://{C}/"]
    yield C, ["curl", "-s", "-x", "127.0.0.1:{port}", f"ftp://{C}/file"]
    yield None, ["curl", "-s", "-x", "127.0.0.1:{port}", "https://[2001:db8::1]/"], ADDRESS
    yield None, ["curl", "-s", "http://127.0.0.1:{port}/"], ADDRESS
    yield None, ["curl", "-s", "-H", "Host;", host], NO_NAME
    yield None, ["curl", "-s", "-H", "Host:", host], NO_NAME
    yield None, ["curl", "-s", "-H", "Host: a b", host], {"reason": "bad-name"}
    yield None, ["curl", "-s", "-H", "Host: a@b.example", host], {"reason": "bad-name"}
    yield None, ["curl", "-s", "-H", "X: y\nHost: two.example", host], {"reason": "message"}
    yield None, ["curl", "-s", "-H", "X: y\r\nHost: two.example", host], {"reason": "two-names"}


def http1_others():
    wget = ["wget", "-q", "-t1", "-O", "-"]
    yield D, [*wget, f"http://{D}:{{port}}/"]
    yield D, [*wget, "--post-data=x=y", f"http://{D}:{{port}}/"]
    yield D, [*wget, "--spider", f"http://{D}:{{port}}/"]
    yield D, [*wget, "-e", "http_proxy=127.0.0.1:{port}", "-e", "use_proxy=on", f"http://{D}/x"]
    yield D, [*wget, "--no-http-keep-alive", "-U", "", f"http://{D}:{{port}}/"]
    yield X, [*wget, f"--header=Host: {X}", f"http://{D}:{{port}}/"]
    yield None, [*wget, "http://127.0.0.1:{port}/"], ADDRESS
    yield W, ["nghttp", "-nu", f"http://{W}:{{port}}/"]
    yield C, ["h2load", "-n1", "--h1", f"http://{C}:{{port}}/"]
    yield X, ["git", "ls-remote", f"http://{X}:{{port}}/x.git"]
    yield W, ["python3", "-c", f"import urllib.request as u; u.urlopen('http://{W}:{{port}}/')"]
    yield W, ["python3", "-c", "import http.client as h; "
              f"h.HTTPConnection('{W}', {{port}}).request('PUT', '/', b'x' * 20000)"]
    yield C, ["python3", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', {port});"
              f" c.set_tunnel('{C}', 443); c.request('GET', '/')"]
    yield None, ["python3", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', "
                 "{port}); c.putrequest('GET', '/', skip_host=True); c.endheaders()"], NO_NAME
    yield None, ["python3", "-c", "import http.client as h; c = h.HTTPConnection('::1', {port}); "
                 "c.sock = __import__('socket').create_connection(('127.0.0.1', {port})); "
                 "c.request('GET', '/')"], ADDRESS


def h2c_curl():
    for number, name in enumerate(NAMES):
        options = [[], ["-I"], ["-d", "x=y"], ["-A", ""], ["-b", "c=" + "d" * 3000],
                   ["-T", "index.html"], ["-H", "TE: trailers"], ["-u", "a:b"], ["-r", "1-2"]]
        yield name, ["curl", "-s", "--http2-prior-knowledge", *options[number % len(options)],
                     f"http://{name}:{{port}}/{number}"]
    yield C, ["curl", "-s", "--http2-prior-knowledge", "-H", f"Host: {C}", f"http://{W}:{{port}}/"]
    yield None, ["curl", "-s", "--http2-prior-knowledge", "http://127.0.0.1:{port}/"], ADDRESS


def h2c_nghttp():
    options = [[], ["--no-dep"], ["-p", "200"], ["-m", "3"], ["-b", "100"], ["-b", "255", "-m", "2"],
               ["-w", "20"], ["-W", "24"], ["-c", "0"], ["-c", "65536"], ["--no-content-length"],
               ["--encoder-header-table-size=0"], ["--encoder-header-table-size=1024"],
               ["-H", "cookie: " + "e" * 9000], ["-H", "x-many: " + "{}|~" * 6000],
               ["-d", "index.html"], ["-d", "index.html", "--trailer", "x: y"], ["-a"], ["--max-concurrent-streams=1"],
               ["--expect-continue", "-d", "index.html"], ["-H", ":method: OPTIONS"]]
    for option, name in zip(options, itertools.cycle(NAMES)):
        yield name, ["nghttp", "-n", *option, f"http://{name}:{{port}}/a/b?c=d"]
    yield C, ["nghttp", "-n", "-H", f":authority: {C.upper()}:80", f"http://{W}:{{port}}/"]
    yield None, ["nghttp", "-n", "-H", ":authority: [::1]", f"http://{W}:{{port}}/"], ADDRESS
    yield None, ["nghttp", "-n", "-H", f"host: {C}", f"http://{W}:{{port}}/"], {
        "reason": "two-names"}


def h2c_h2load():
    for option in [[], ["-m3", "-n3"], ["-H", "x: y"], ["--header-table-size=0"],
                   ["--encoder-header-table-size=0"], ["-w", "10"], ["-d", "index.html"]]:
        yield D, ["h2load", "-n1", *option, f"http://{D}:{{port}}/"]


def h2c_python():
    """python3-h2 builds frames that the others do not"""
    try:
        import h2.connection
        import h2.config
    except ImportError:
        return
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
    cases = [
        (W, [(":authority", W)], {}),
        (C, [(":authority", C + ":8080"), ("cookie", "x" * 20000)], {}),
        (D, [(":authority", D)], {"priority_weight": 7, "priority_exclusive": True}),
        (X, [("host", X)], {}),
        (X, [(":authority", X), ("host", X)], {}),
        (LONG, [("x-first", "1"), ("host", LONG)], {"priority_depends_on": 3}),
    ]
    for number, (name, more, options) in enumerate(cases):
        for huffman in [True, False]:
            config = h2.config.H2Configuration(validate_outbound_headers=False)
            connection = h2.connection.H2Connection(config)
            connection.encoder.huffman_coding = huffman
            connection.initiate_connection()
            if not huffman:
                plain_encode(connection)
            connection.send_headers(1, fields + more, end_stream=True, **options)
            yield Case("h2c", f"python-h2-{number}{'' if huffman else '-plain'}", name,
                       payload=connection.data_to_send())


def plain_encode(connection):
    encode = connection.encoder.encode
    connection.encoder.encode = lambda headers, huffman=True: encode(headers, False)


# a key share that makes the hello take two datagrams
LARGE = ["--groups=-GROUP-ALL:+GROUP-FFDHE8192"]


def quic_ngtcp2():
    base = ["gtlsclient", "--quiet", "--no-quic-dump", "--no-http-dump"]
    options = [[], ["--scid", ""], ["--scid", "00" * 17], ["--dcid", "ab" * 8],
               ["--dcid", "cd" * 18], ["--disable-early-data"], ["--ack-thresh=5"],
               ["--groups=-GROUP-ALL:+GROUP-SECP521R1:+GROUP-X25519"],
               ["--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305"],
               ["--max-udp-payload-size=1200"], ["--max-udp-payload-size=1472"], ["--no-pmtud"],
               LARGE, LARGE, ["--groups=-GROUP-ALL:+GROUP-FFDHE8192:+GROUP-FFDHE6144"],
               ["--groups=-GROUP-ALL:+GROUP-FFDHE8192:+GROUP-SECP521R1"]]
    names = [name for name in NAMES if "_" not in name]  # gtlsclient does not look them up
    for version in ["v1", "v2draft"]:
        for option, name in zip(options, itertools.cycle(names)):
            yield name, [*base, "-v", version, *option, name, "{port}", f"https://{name}/"], {
                "n_kept": 4}
    yield "localhost", [*base, "127.0.0.1", "{port}", f"https://{W}/"]
    yield None, [*base, "-v", "0x1a2a3a4a", W, "{port}", f"https://{W}/"], {"reason": "version"}


def quic_live():
    """a server answers: Retry, acknowledgements, tickets and tokens for the next connection"""
    base = ["gtlsclient", "--quiet", "--no-quic-dump", "--no-http-dump",
            "--exit-on-all-streams-close"]
    for version in ["v1", "v2draft"]:
        for server in [[], ["-V"]]:
            for option in [[], LARGE, ["--scid", ""]]:
                yield W, [*base, "-v", version, *option, W, "{port}", f"https://{W}/"], {
                    "server": server, "n_kept": 5}
        resume = [f"--session-file={{dir}}/session-{version}", f"--tp-file={{dir}}/tp-{version}",
                  f"--token-file={{dir}}/token-{version}"]
        for _ in range(3):  # the first time there is nothing to resume
            yield C, [*base, "-v", version, *resume, C, "{port}", f"https://{C}/"], {
                "server": [], "n_kept": 5}
    yield D, [*base, "--other-versions=v2draft,v1", D, "{port}", f"https://{D}/"], {
        "server": ["--preferred-versions=v2draft"], "n_kept": 5}


# (reader, client, its flows); those without a client's name have their own
CASES = (
    ("tls", "curl", tls_curl), ("tls", "wget", tls_wget), ("tls", "openssl", tls_openssl),
    ("tls", "gnutls", tls_gnutls), ("tls", "nss", tls_nss), ("tls", "other", tls_others),
    ("tls", None, tls_python),
    ("http1", "curl", http1_curl), ("http1", "other", http1_others),
    ("h2c", "curl", h2c_curl), ("h2c", "nghttp", h2c_nghttp), ("h2c", "h2load", h2c_h2load),
    ("h2c", None, h2c_python),
    ("quic", "ngtcp2", quic_ngtcp2), ("quic", "live", quic_live),
)


def cases():
    for kind, client, flows in CASES:
        yield from numbered(kind, client, flows()) if client else flows()


def seeds_of(kind, prefix, payloads):
    """a flow as input of its fuzzer: (suffix of the file's name, bytes)"""
    if kind == "quic":
        yield "", prefix + b"".join(len(p).to_bytes(2, "big") + p for p in payloads[:2])
        return
    data = payloads[0][:4000]
    yield "", prefix + (data[24:] if kind == "h2c" else data)
    if kind == "tls" and data[:1] == b"\x16":
        message = data[5:5 + int.from_bytes(data[3:5], "big")]
        yield "-body", b"\x01" + message[4:]
        yield "-records", b"\x40" + message[4:]


def quic_frames():
    """what Initial packets carry, behind their protection: (name, bytes)"""
    hello = python_hello(W, lambda context: None)[5:]
    crypto = lambda at, n: (b"\x06" + (0x4000 | at).to_bytes(2, "big") +  # noqa: E731
                            (0x4000 | n).to_bytes(2, "big") + hello[at:at + n])
    packets = [crypto(200, len(hello) - 200) + bytes(30), b"\x01" + crypto(0, 150) + b"\x02" +
               bytes(4), b"\x1c\0\0\x03bye" + crypto(100, 150)]
    yield "frames", b"\1" + b"".join(len(p).to_bytes(2, "big") + p for p in packets)
    yield "frames-one", b"\1" + len(crypto(0, len(hello))).to_bytes(2, "big") + crypto(
        0, len(hello))
    yield "backwards", b"\x50" + hello[4:]


def h2c_blocks():
    """blocks of fields: (name, bytes)"""
    yield "block-huffman", bytes.fromhex("0b828684418cf1e3c2e5f23a6ba0ab90f4ff")
    yield "block-plain", b"\x07\x82\x86\x84\x01\x0bexample.com\x0f\x0d\x011"
    yield "block-host", b"\x21\x82\x86\x84\x40\x04host\x09a.example\xbe"
