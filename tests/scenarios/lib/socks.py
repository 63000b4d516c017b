# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs whose connections go by the provider socks, to proxies in the server namespace."""

from .lab import SERVER4 as PROXY


def url(kind, port, user=None):
    return f"{kind}://{user + '@' if user else ''}{PROXY}:{port}"


def provider(lab, *urls, **options):
    """--proxy's argument"""
    words = [f"upstream={one}" for one in urls] + [f"{key}={value}" for key, value in options.items()]
    if any(one.startswith("https") for one in urls):
        words.append("ca=" + lab.certificate + ".crt")
    if all(one.startswith("http") for one in urls):
        words.append("udp=direct")  # so that names are looked up; 170 is about UDP
    return "socks:" + ",".join(words)


def start(lab, spec, command, **settings):
    return lab.start([], command, options=["--proxy", spec], **settings)


def run(lab, spec, command, within=60):
    program = start(lab, spec, command)
    program.wait(within)
    return program
