"""Plain values of YAML files: PyYAML, reading by the core schema of YAML 1.2.

PyYAML resolves by YAML 1.1, where `off` is false, `010` is 8 and `1e-3` is a text. DVC reads with
ruamel.yaml, by 1.2. A params file must mean the same to both, so the scalars resolve here as there;
`tests/params/test_plain_yaml.py` compares the two. Keys are texts, as they are written.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from msdd.errors import MsddError

LONGEST = 2**19  # bytes of a file, of which PyYAML reads some 100,000 a second
LARGEST = 100_000  # values in a file, aliases written out
DIGITS = 100  # of a whole number, also in binary
BREAKS = re.compile("[\x85\u2028\u2029]")
NO_TEXT = re.compile("[\0\ud800-\udfff]")
TAG = "tag:yaml.org,2002:"
PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9_]+)", "-+0123456789"),
    "float": (
        r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
        r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "timestamp": (
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}"
        r":[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?",
        "0123456789",
    ),
    "merge": (r"<<", "<"),
    "value": (r"=", "="),  # reserved: as a value it is an error for every reader
}


class _Loader(yaml.SafeLoader):
    """Values that JSON has, and dates; mappings whose keys are different texts."""

    yaml_implicit_resolvers: dict = {}
    yaml_constructors: dict = {}

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[Hashable, yaml.Node] = {}
        for at, (key, value) in enumerate(node.value):
            if not isinstance(key, yaml.ScalarNode):
                raise _problem(key, "a key must be a text, not a list or a table")
            self._check_key(key, seen)
            if key.tag != f"{TAG}merge":
                text = yaml.ScalarNode(f"{TAG}str", key.value, key.start_mark, key.end_mark)
                node.value[at] = (text, value)
        return node

    def _check_key(self, key: yaml.ScalarNode, seen: dict[Hashable, yaml.Node]) -> None:
        """Neither as text nor as value (`10` and `010`, which are one key to DVC) twice."""
        forms = [key.value]
        if key.tag not in (f"{TAG}merge", f"{TAG}value"):
            forms.append(self.construct_object(key))
        for form in forms:
            if form in seen and seen[form] is not key:
                other = seen[form].value
                same = "" if other == key.value else f", in line {_line(seen[form])} as '{other}'"
                raise _problem(key, f"the key '{key.value}' appears twice{same}")
            seen[form] = key

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Write out `<<`: a mapping's own keys win, then those of its first source.

        PyYAML 6.0.4 loses what a source has changed of its own source, for keys of one letter.
        """
        own, merged = {}, {}
        for key, value in node.value:
            if key.tag != f"{TAG}merge":
                own[key.value] = (key, value)
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode):
                    raise _problem(source, "`<<` takes a table or a list of tables")
                self.flatten_mapping(source)
                merged = {one.value: (one, its) for one, its in source.value} | merged
        node.value = list((merged | own).values())

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError):  # `2026-02-30`, `!!int a`
            kind = node.tag.removeprefix(TAG)
            raise _problem(node, f"'{node.value[:60]}' cannot be read as {kind}") from None

    def text(self, node: yaml.ScalarNode) -> str:
        """Without what no file name has, and no file of text: it can only be there by escapes."""
        if bad := NO_TEXT.search(node.value):
            raise _problem(node, f"take the character U+{ord(bad[0]):04X} out")
        return self.construct_scalar(node)

    def whole_number(self, node: yaml.ScalarNode) -> int:
        text = node.value.replace("_", "")
        if len(text) > DIGITS:
            raise ValueError
        return int(text, {"0b": 2, "0o": 8, "0x": 16}.get(text.lstrip("+-")[:2], 10))

    def number(self, node: yaml.ScalarNode) -> float:
        text = node.value.replace("_", "").lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))


for _name, (_pattern, _first) in PLAIN.items():
    _Loader.add_implicit_resolver(f"{TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), _first)
for _name in ("null", "bool", "timestamp", "seq", "map"):
    _Loader.add_constructor(f"{TAG}{_name}", yaml.SafeLoader.yaml_constructors[f"{TAG}{_name}"])
_Loader.add_constructor(f"{TAG}str", _Loader.text)
_Loader.add_constructor(f"{TAG}int", _Loader.whole_number)
_Loader.add_constructor(f"{TAG}float", _Loader.number)
_Loader.add_constructor(None, yaml.SafeLoader.construct_undefined)


def read_yaml(path: str | Path) -> Any:
    """The plain values of a YAML file in UTF-8; None if there is nothing in it.

    Numbers, texts, dates, null, lists, and dicts whose keys are texts. MsddError, in a line with
    file and line, for what is not YAML 1.2, not plain, or more than LARGEST values.
    """
    try:
        return _plain(_content(path).decode("utf-8"))
    except FileNotFoundError:
        raise MsddError(f"{path} is not there; `msdd params use demo` writes one") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise MsddError(f"{path}: line {line}: is not UTF-8; save the file as UTF-8") from None
    except RecursionError:
        raise MsddError(f"{path}: lists and tables lie too deep in each other") from None
    except yaml.YAMLError as error:
        raise MsddError(f"{path}: {_problem_of(error)}") from None


def _content(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise MsddError(f"{path} has more than {LONGEST:,} bytes; is it the right file?")
    return content


def _plain(text: str) -> Any:
    if line_break := BREAKS.search(text):  # line breaks in YAML 1.1 but not in 1.2
        line = text.count("\n", 0, line_break.start()) + 1
        raise yaml.YAMLError(f"line {line}: take the character U+{ord(line_break[0]):04X} out")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if getattr(loader, "yaml_version", None) not in (None, (1, 2)):
            raise _problem(node, "is read as YAML 1.2; take the %YAML line out")
        _size(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[yaml.Node, int | None]) -> int:
    """Values below a node, aliases written out: a few lines of them can stand for billions."""
    if node not in known:
        known[node] = None
        children = () if isinstance(node, yaml.ScalarNode) else node.value
        pairs = isinstance(node, yaml.MappingNode)
        values = (value for _, value in children) if pairs else children
        known[node] = 1 + sum(_size(value, known) for value in values)
    size = known[node]
    if size is None:
        raise _problem(node, "contains itself by an alias")
    if size > LARGEST:
        raise _problem(node, f"stands for more than {LARGEST:,} values")
    return size


def _problem(node: yaml.Node, text: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=node.start_mark)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _problem_of(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    parts = [part for part in (error.context, error.problem) if part]
    return f"line {mark.line + 1}: {', '.join(parts)}"
