"""`msdd` and `python -m msdd`: one command, which has its process for itself."""

import atexit
import gc
import os
import sys

from msdd.cli import main


def run() -> int:
    """The command of `sys.argv`; its exit status. Sets what only the owner of a process may."""
    # Torch then takes memory by 2 MB, not by 4 KB: a tenth of an evaluation went into new pages.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Imports make a million objects, none of them garbage. Python would look through them again and
    # again, and once more at its end.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
    return main()


if __name__ == "__main__":
    sys.exit(run())
