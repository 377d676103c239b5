"""A Hub that does not answer: what is waited for is said first, and it is asked once."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

FETCH = "from msdd.weights import hub; hub.fetch('a/b', 'c.pt')"


@pytest.fixture
def failing():
    """The address of a server that says 503, and the paths that it was asked for."""
    asked = []

    class Failing(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def fetch(tmp_path, **environment: str) -> list[str]:
    settings = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", FETCH]
    done = subprocess.run(command, capture_output=True, text=True, env=settings | environment)
    return [line for line in done.stderr.splitlines() if "hf://" in line]


def test_it_is_asked_once_after_it_is_said(failing, tmp_path):
    """huggingface_hub 2.4.0 asks five times, with 1, 2, 4 and 8 s between, and says nothing."""
    address, asked = failing
    said, failed = fetch(tmp_path, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
    assert said.startswith("msdd: hf://a/b/c.pt: waiting for 127.0.0.1, a few ")
    assert "hf://a/b/c.pt cannot be fetched (" in failed
    assert failed.endswith(
        "get c.pt of a/b on another machine and give its path instead: --checkpoint FILE"
    )
    assert len([path for path in asked if path.endswith("c.pt")]) == 1


def test_offline_nothing_is_waited_for(failing, tmp_path):
    address, asked = failing
    (failed,) = fetch(tmp_path, HF_ENDPOINT=address, HF_HUB_OFFLINE="1")
    assert "cannot be fetched (HF_HUB_OFFLINE is set)" in failed and not asked
