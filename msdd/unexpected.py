"""What nobody has caught or written for users: tracebacks and the remarks of libraries."""

import logging
import sys
import threading
import traceback
from types import TracebackType

from msdd.urls import without_secrets


def hide_secrets() -> None:
    """Leave secrets of URLs and of the environment out of tracebacks and of what libraries log."""
    sys.excepthook = _tell
    threading.excepthook = _tell_of_thread
    logging.setLogRecordFactory(_Record)


class _Record(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802  the name is logging's
        return without_secrets(super().getMessage())


def _tell_of_thread(of: threading.ExceptHookArgs) -> None:
    if of.exc_type is not SystemExit:
        _tell(of.exc_type, of.exc_value, of.exc_traceback)


def _tell(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    lines = traceback.format_exception(kind, error, trace)
    print(without_secrets("".join(lines)), end="", file=sys.stderr)
