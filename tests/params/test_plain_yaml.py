"""A YAML file means the same to msdd and to ruamel.yaml, with which DVC reads."""

import itertools
import math
from datetime import datetime

import pytest
from dvc.dependency.param import read_param_file
from dvc.fs import localfs
from ruamel.yaml import YAML, YAMLError

from msdd.errors import MsddError
from msdd.params.plain_yaml import read_yaml
from msdd.pipeline import stages

SCALARS = r"""
    0 7 -1 +1 010 08 0o10 -0o10 0x1F 0X1F 0b11 1_000 _1 1__0 1,000 12:30:45 1:30 0777 0o9 +-1
    1.5 1. .5 -.5 1e3 1e-3 1E3 1.5E+3 .5e1 .5e+1 1_0.5 12e e3 1e 1.e3 -2E5 1e400 1.2.3 . .. - +
    .inf -.inf +.Inf .INF .iNF inf .nan .NaN .NAN nan true True TRUE tRUE false False yes no on
    off Yes NO On y n Y N ~ null Null NULL nULL none None = << a~ 2026-01-01 2026-1-1
    2026-01-01T10:00:00 2026-01-01T10:00:00Z 2026-01-01T10:00:00.5+02:00 2026-02-30 2026 x:y
    2026-1-1T1:00:00 2026-1-1T1:0:00 2026-01-01T 2026-01-01t10:00:00. 26-01-01 0000-01-01
    http://a:1 a#b é 😀 !!str
    '010' "off" '' "" "\u0041" "\/" !!str,1 &a a@b %a
"""
DOCUMENTS = [
    "",
    "# nothing",
    "---\n...\n",
    "\ufeffa: 1\n",
    "a: 1\r\nb: [off, 1e-3, '1']\r\n",
    "a: &x {b: 1, c: off}\nd: {<<: *x, c: 2}\ne: [*x, *x]",
    "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y], f: 1}",
    "a: &x {b: 1}\nc: {d: &y {<<: *x, b: 2}}\ne: {<<: *y}",
    "a: &x {b: 1, c: 1}\nd: &y {<<: *x, c: 2}\ne: &z {<<: [*y, *x], f: 3}\ng: {<<: *z, b: 4}",
    "a: |\n  text\n  1\nb: >\n  one\n  line\n",
    "a: !!str 1\nb: !!int '7'\nc: !!float 1\nd: !!bool yes\ne: !!null ''",
    "a:\nb: \n- 1\n-\n",
    '{a: {b: [1, {c: d}]}, \'e\': "f", "g":1}',
    "%YAML 1.2\n---\na: off",
]


def ruamel(text):
    return YAML(typ="safe", pure=True).load(text)


def read(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def outcome(reader, *args):
    """A value with its type, or that there is none."""
    try:
        value = reader(*args)
    except (MsddError, YAMLError, ValueError):
        return "an error"
    return typed(value)


def typed(value):
    if isinstance(value, dict):
        return {key: typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return type(value), "nan" if value != value else value


def made_of_signs(count):
    """All words of so many signs that numbers are made of."""
    return ["".join(s) for s in itertools.product("+-_.0179abeox", repeat=count)]


def test_scalars_are_those_of_ruamel(tmp_path):
    short = [*SCALARS.split(), *made_of_signs(1), *made_of_signs(2)]
    values = [f"a: {scalar}\nb: 1" for scalar in short]
    for text in values + [f"- {scalar}" for scalar in short + made_of_signs(3)]:
        assert outcome(read, tmp_path, text) == outcome(ruamel, text), text


@pytest.mark.parametrize("text", DOCUMENTS)
def test_documents_are_those_of_ruamel(tmp_path, text):
    assert typed(read(tmp_path, text)) == typed(ruamel(text))


def test_some_by_hand(tmp_path):
    text = "[off, 010, 0o10, 1e-3, 12:30:45, 1_000, Null, .inf]"
    assert read(tmp_path, text) == ["off", 10, 8, 0.001, "12:30:45", 1000, None, math.inf]


def test_keys_are_texts_as_written(tmp_path):
    keys = ["7", "010", "on", "null", "2026-01-01", "1e3", "true", "=", "0x1F"]
    text = "\n".join(f"{key}: {at}" for at, key in enumerate(keys))
    assert list(read(tmp_path, text)) == keys
    assert read(tmp_path, "&k 5: *k\n'7': 1") == {"5": 5, "7": 1}  # the value is still a number


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' appears twice"),
        ("1: a\n'1': b", "line 2: the key '1' appears twice"),
        ("010: a\n\n10: b", "line 3: the key '10' appears twice, in line 1 as '010'"),
        ("a: {b: 1,\n  b: 2}", "line 2: the key 'b' appears twice"),
        ("<<: {a: 1}\n<<: {b: 1}", "line 2: the key '<<' appears twice"),
        ("a: 1\n? [b, c]\n: 2", "line 2: a key must be a text, not a list or a table"),
        ("? {b: c}\n: 2", "line 1: a key must be a text, not a list or a table"),
        ("a: 1\n---\na: 2", "line 2: expected a single document in the stream, but found another"),
        ("a:\n\t- 1", "line 2: while scanning for the next token, found character '\\t'"),
        ("a: [1", "line 1: while parsing a flow sequence, expected ',' or ']'"),
        ("a: *b", "line 1: found undefined alias 'b'"),
        ("a: &b [1, *b]", "line 1: contains itself by an alias"),
        ("a: 1\nb: 2026-02-30", "line 2: '2026-02-30' cannot be read as timestamp"),
        ("a: !!int x", "line 1: 'x' cannot be read as int"),
        ("a: =", "line 1: could not determine a constructor for the tag"),
        ("a: !!python/name:os.system", "line 1: could not determine a constructor for the tag"),
        ("a: !!set {x}", "line 1: could not determine a constructor for the tag"),
        ("%YAML 1.1\n---\na: off", "line 3: is read as YAML 1.2; take the %YAML line out"),
        ("a: 1\nb: c\u2028d: 2", "line 2: take the character U+2028 out"),
        (b"a: 1\nb: \xff", "line 2: is not UTF-8; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "line 1: is not UTF-8"),
        ("a: \x07", "unacceptable character #x0007"),
        ("[" * 5000, "lists and tables lie too deep in each other"),
    ],
)
def test_what_is_refused_is_told_in_a_line(tmp_path, text, told):
    with pytest.raises(MsddError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'file.yaml'}: {told}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("inner", ["[*{0}, *{0}, *{0}, *{0}]", "{{<<: [*{0}, *{0}, *{0}, *{0}]}}"])
def test_aliases_that_stand_for_billions_are_refused_at_once(tmp_path, inner):
    levels = [f"a{n}: &a{n} {inner.format(f'a{n - 1}')}" for n in range(1, 40)]
    text = "\n".join(["a0: &a0 {x: 1}", *levels])
    with pytest.raises(MsddError, match="stands for more than 100,000 values"):
        read(tmp_path, text)


def test_dvc_finds_the_params_of_rows_named_like_numbers(tmp_path):
    rows = "".join(f"  {name}: {{ steps: {at} }}\n" for at, name in enumerate(["010", "12", "on"]))
    raw = read(tmp_path, f"decodes:\n{rows}")
    wanted = {f"decodes.{name}": stages.lookup(raw, f"decodes.{name}") for name in raw["decodes"]}
    path = str(tmp_path / "file.yaml")
    assert read_param_file(localfs, path, list(wanted), flatten=True) == wanted  # as `dvc status`
