"""Servers for tests, on this machine."""

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from urllib.request import urlopen


@contextmanager
def running(command, root, health, **environment):
    """A server in a process group of its own, from the time when it answers."""
    # In a session of its own: its children are ended with it.
    server = subprocess.Popen(
        command, cwd=root, env=os.environ | environment, start_new_session=True
    )
    try:
        patience = time.monotonic() + 300
        while server.poll() is None and time.monotonic() < patience and not answers(health):
            time.sleep(0.2)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def answers(url) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
