"""A web server of a folder that sends parts of files, for tests."""

import re
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Web(SimpleHTTPRequestHandler):
    """A web server that sends parts of files, as most do, and notes what it has sent."""

    ranges, sent, denied, moved = True, 0, None, None

    def refuse(self):
        """Whether the request was answered by an error or another address."""
        if self.moved and self.moved not in self.path:
            self.send_response(302)
            self.send_header("Location", f"{self.path}?{self.moved}")
            self.end_headers()
        elif self.denied and self.denied not in self.path:
            self.send_error(403)
        else:
            return False
        return True

    def do_GET(self):  # noqa: N802 (the name that the server calls)
        path = self.path.partition("?")[0]
        if self.refuse():
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not wanted or not self.ranges:
            super().do_GET()
            return
        with open(self.translate_path(path), "rb") as file:
            whole = file.read()
        first, last = map(int, wanted.groups())
        part = whole[first : last + 1]
        Web.sent += len(part)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(whole)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def do_HEAD(self):  # noqa: N802
        if not self.refuse():
            super().do_HEAD()

    def log_message(self, *_):
        pass


@contextmanager
def web(folder, **how):
    handler = type("Handler", (Web,), how)
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: handler(*args, directory=str(folder))
    ) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
