"""`msdd` in a process of its own, forked from one that has imported what takes long.

As a user starts it but for the start: signals, exit status, files and output are real.
"""

import os
import re
import tempfile
import time
from pathlib import Path

from forked import context

from msdd import cli


class Command:
    """A command that is running in the folder `root`, with more of an environment."""

    def __init__(self, root: Path, *words: str, **environment: str) -> None:
        descriptor, self.output = tempfile.mkstemp(prefix="command-")
        os.close(descriptor)
        given = (root, words, os.environ | environment, self.output)
        self.process = context().Process(target=act, args=given)
        self.process.start()

    def send_signal(self, sign: int) -> None:
        os.kill(self.process.pid, sign)

    def running(self) -> bool:
        return self.process.is_alive()

    def told(self) -> str:
        """All output so far, of both streams."""
        return Path(self.output).read_text()

    def line(self, word: str, timeout: float = 120) -> None:
        """Wait until it has told a line with this word, or has ended."""
        deadline = time.monotonic() + timeout
        while not re.search(rf"{word}.*\n", told := self.told()) and self.running():
            assert time.monotonic() < deadline, told
            time.sleep(0.002)

    def end(self, timeout: float = 300) -> tuple[int, str]:
        """Exit status and output, once it has ended; -9 where it took longer than that."""
        self.process.join(timeout)
        self.process.kill()  # nothing, where it has ended; pytest would wait for it
        self.process.join()
        told = self.told()
        os.unlink(self.output)
        return self.process.exitcode, told


def act(root: Path, words: tuple[str, ...], environment: dict[str, str], output: str) -> None:
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    raise SystemExit(cli.main(list(words)))


def msdd(root: Path, *words: str, **environment: str) -> tuple[int, str]:
    """Exit status and output of a whole command."""
    return Command(root, *words, **environment).end()
