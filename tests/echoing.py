"""A server that refuses whatever it is asked, and sends back all that it was told."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    def answer(self) -> None:
        told = dict(self.headers)
        if "Basic " in (sent := self.headers.get("Authorization", "")):
            told["who"] = base64.b64decode(sent.removeprefix("Basic ")).decode()
        message = f"{self.path} {told}"
        body = {"error_code": "PERMISSION_DENIED", "message": message, "error": message}
        content = json.dumps(body).encode()
        self.send_response(403, f"not {self.path} {sent}")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Error-Message", message)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815  names of the library

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def echoing() -> Iterator[str]:
    """A running server; yields its host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
