# SPDX-License-Identifier: LGPL-2.1-or-later
"""A web site: the files of a folder, and below /git/ its repositories by git's own HTTP protocol."""

import functools
import http.server
import os
import subprocess
import urllib.parse

from .real import NO_SETTINGS
from .servers import serve

HEADERS = {"CONTENT_TYPE": "Content-Type", "CONTENT_LENGTH": "Content-Length", "GIT_PROTOCOL": "Git-Protocol",
           "HTTP_CONTENT_ENCODING": "Content-Encoding"}


class _Site(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/git/"):
            self.do_POST()
        else:
            super().do_GET()

    def do_POST(self):
        """git-http-backend is a CGI program"""
        path, _, query = self.path.partition("?")
        environment = {"GIT_PROJECT_ROOT": self.directory, "GIT_HTTP_EXPORT_ALL": "1", "QUERY_STRING": query,
                       "PATH_INFO": urllib.parse.unquote(path.removeprefix("/git")), "REQUEST_METHOD": self.command,
                       **{name: self.headers.get(header, "") for name, header in HEADERS.items()}}
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = subprocess.run(["git", "http-backend"], input=asked, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, env={**os.environ, **NO_SETTINGS, **environment}).stdout
        head, _, body = said.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def site(namespace, port, folder):
    return serve(namespace, port, functools.partial(_Site, directory=folder))
