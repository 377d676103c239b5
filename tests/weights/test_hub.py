"""A Hub that does not answer: what is waited for is said first, and each time it is asked again."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

FETCH = (
    "from msdd.weights import hub; hub.WAITS = (0.1, 0.2); hub.PATIENCE = 2; hub.fetch('a/b', '{}')"
)


@pytest.fixture
def failing():
    """The address of a server that says 503, and the paths that it was asked for."""
    asked = []

    class Failing(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            if "silent" in self.path:
                time.sleep(2)
            self.send_response(404 if "gone" in self.path else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def fetch(tmp_path, file="c.pt", **environment: str) -> list[str]:
    settings = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", FETCH.format(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=settings | environment)
    return [line for line in done.stderr.splitlines() if "hf://" in line]


def test_it_is_asked_a_few_times_and_each_is_said(failing, tmp_path):
    """huggingface_hub 2.4.0 asks five times, with 1, 2, 4 and 8 s between, and says nothing."""
    address, asked = failing
    said, again, last, failed = fetch(tmp_path, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
    assert said.startswith("msdd: hf://a/b/c.pt: waiting for 127.0.0.1, a few ")
    assert "hf://a/b/c.pt cannot be fetched (" in failed
    told = "get c.pt of a/b on another machine and give its path instead: --checkpoint FILE"
    assert failed.endswith(f"{told}, in Python checkpoint=FILE")
    assert "503" in again and again.endswith("; asking again in 0.1 s")
    assert last.endswith("; asking again in 0.2 s")
    assert len([path for path in asked if path.endswith("c.pt")]) == 3


@pytest.mark.parametrize(("file", "times"), [("silent.pt", 3), ("gone.pt", 1)])
def test_silence_is_asked_again_and_what_is_not_there_is_not(failing, tmp_path, file, times):
    address, asked = failing
    *_, failed = fetch(tmp_path, file, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
    assert "cannot be fetched (" in failed
    assert len([path for path in asked if path.endswith(file)]) == times


def test_without_a_network_it_is_asked_once(tmp_path):
    """Nobody listens at the address."""
    said = fetch(tmp_path, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert len(said) == 2 and "cannot be fetched (" in said[-1]


def test_offline_nothing_is_waited_for(failing, tmp_path):
    address, asked = failing
    (failed,) = fetch(tmp_path, HF_ENDPOINT=address, HF_HUB_OFFLINE="1")
    assert "cannot be fetched (HF_HUB_OFFLINE is set)" in failed and not asked
