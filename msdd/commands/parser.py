"""The parser of every command: nearest names in errors, examples in help."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from msdd.errors import did_you_mean, known_names
from msdd.terminal import paint

EXAMPLES = "examples:"


class Formatter(argparse.HelpFormatter):
    """Wraps descriptions, and leaves examples a line each."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(EXAMPLES) else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """The parser of `msdd`, and of its commands, which argparse makes of the same class."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": Formatter, **options})

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Each parser tells what it does not know itself: only it knows its options."""
        found, others = super().parse_known_args(args, namespace)
        if others:
            self.error(self._unknown(others[0]))
        return found, others

    def _unknown(self, given: str) -> str:
        if not given.startswith("-"):
            return f"one argument too many: {given}"
        name = given.partition("=")[0]
        near = did_you_mean(name, self._option_string_actions).strip()
        return f"unknown option {name}; {near or f'`{self.prog} --help` lists all'}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            told = known_names(value, map(str, action.choices))
            raise argparse.ArgumentError(action, f"'{value}' is unknown; {told}")

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {paint('error:', 'red', sys.stderr)} {message}\n")


def examples(*commands: str) -> str:
    """The epilog of a command: true examples, which a test parses."""
    return "\n".join([EXAMPLES, *(f"  {command}" for command in commands)])


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands, of actions in place of those that have any."""
    tables = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not tables:
        yield parser
    for table in tables:
        for command in table.choices.values():
            yield from leaves(command)
