"""What hypothesis draws for `fuzz.py`: files that differ from a valid one, inside their envelopes.

A flipped byte of a PNG, a tar or an archive is caught by a checksum before anything is parsed; so
there checksums, lengths and archives are made anew around what was changed.
"""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], Any]
Mutate = Callable[[Draw, Sequence[bytes]], bytes]

MANY = 300  # values, where one is repeated: or many of many would fill the memory
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
TEXTS = ("", "0", "-1", "a\0b", "../../a", "/a", "<b>a</b>", "\ud800", "é" * 200, "a\nb", "{0..9}")
TEXTS += (
    "{0..99999999999}",
    "=1+1",
    "$HOME",
    "hf://a/b",
    "mlflow:/a/b",
    "1" * 5000,
    "[",
    "\x1b[1m",
)
VALUES = (None, True, False, 0, 1, -1, 10**6, 2**31, 10**12, 10**400, 0.5, -0.5, 1e308, [], {})
VALUES += ([1], [[]], [None], {"": None}, float("nan"), float("inf"), *TEXTS)


def raw(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """One to four changes of bytes."""
    file = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        file = draw(st.sampled_from(CHANGES))(draw, file, seeds)
    return file


def place(draw: Draw, file: bytes) -> int:
    """Headers stand first: every other place is one of the first 256 bytes."""
    end = max(0, len(file) - 1)
    return draw(st.integers(0, min(end, 255)) | st.integers(0, end))


def flip(draw: Draw, file: bytes, _: Sequence[bytes]) -> bytes:
    at = place(draw, file)
    return file[:at] + bytes([file[at] ^ 1 << draw(st.integers(0, 7))]) + file[at + 1 :] or b"\0"


def cut(draw: Draw, file: bytes, _: Sequence[bytes]) -> bytes:
    return file[: place(draw, file)] or b"\0"


def leave_out(draw: Draw, file: bytes, _: Sequence[bytes]) -> bytes:
    at = place(draw, file)
    return file[:at] + file[at + draw(st.integers(1, 64)) :] or b"\0"


def repeat(draw: Draw, file: bytes, _: Sequence[bytes]) -> bytes:
    at, size = place(draw, file), draw(st.integers(1, 64))
    return file[:at] + file[at : at + size] * draw(st.integers(2, 20)) + file[at + size :]


def splice(draw: Draw, file: bytes, seeds: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(seeds))
    return file[: place(draw, file)] + other[place(draw, other) :] or b"\0"


def number(draw: Draw, file: bytes, _: Sequence[bytes]) -> bytes:
    """A field of 1 to 8 bytes with a size that files seldom have."""
    form = draw(st.sampled_from(("B", "<H", ">H", "<I", ">I", "<Q", ">Q")))
    size, at = struct.calcsize(form), place(draw, file)
    value = draw(st.sampled_from(NUMBERS)) % 2 ** (8 * size)
    return file[:at] + struct.pack(form, value) + file[at + size :]


def insert(draw: Draw, file: bytes, _: Sequence[bytes]) -> bytes:
    at = place(draw, file)
    return file[:at] + draw(st.binary(min_size=1, max_size=16)) + file[at:]


CHANGES = (flip, flip, number, number, cut, leave_out, repeat, splice, insert)


def tree(draw: Draw, value: Any) -> Any:
    """One to three changes of plain values: other values, keys, depths."""
    for _ in range(draw(st.integers(1, 3))):
        value = changed(draw, value)
    return value


def changed(draw: Draw, value: Any) -> Any:
    here = draw(st.integers(0, 5)) == 0
    if isinstance(value, dict) and value and not here:
        key = draw(st.sampled_from(list(value)))
        return in_table(draw, value, key)
    if isinstance(value, list) and value and not here:
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], changed(draw, value[at]), *value[at + 1 :]]
    return other(draw, value)


def in_table(draw: Draw, table: dict, key: str) -> dict:
    match draw(st.sampled_from(("value", "value", "value", "value", "gone", "name", "more"))):
        case "gone":
            return {name: value for name, value in table.items() if name != key}
        case "name":
            new = draw(st.sampled_from(TEXTS))
            return {new if name == key else name: value for name, value in table.items()}
        case "more":
            return table | {draw(st.sampled_from(TEXTS)): draw(st.sampled_from(VALUES))}
    return table | {key: changed(draw, table[key])}


def other(draw: Draw, value: Any) -> Any:
    match draw(st.sampled_from(("value", "value", "value", "list", "table", "deep", "many"))):
        case "list":
            return [value]
        case "table":
            return {"a": value}
        case "deep":
            return Deep(draw(st.sampled_from((100, 2000, 100_000))))
        case "many":
            return [value] * draw(st.sampled_from((2, max(2, MANY // size(value)))))
    return draw(st.sampled_from(VALUES))


def size(value: Any) -> int:
    """Values below a value; a `Deep` stands for as many as its depth."""
    if isinstance(value, Deep):
        return len(value.text)
    children = value.values() if isinstance(value, dict) else value
    return 1 + sum(map(size, children)) if isinstance(value, dict | list) else 1


class Deep(str):
    """Lists in lists, written as text where they are too many for a writer."""

    def __new__(cls, depth: int) -> "Deep":
        made = super().__new__(cls, f"deep-{depth}")
        made.text = "[" * depth + "]" * depth
        return made


def written(text: str, value: Any) -> bytes:
    for deep in found(value):
        text = text.replace(f'"{deep}"', deep.text).replace(str(deep), deep.text)
    return text.encode("utf-8", "surrogatepass")


def found(value: Any) -> list[Deep]:
    if isinstance(value, Deep):
        return [value]
    children = value.values() if isinstance(value, dict) else value
    return (
        [deep for one in children for deep in found(one)] if isinstance(value, dict | list) else []
    )


def in_json(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """A changed tree; one in six times changed bytes."""
    if draw(st.integers(0, 5)) == 0:
        return raw(draw, seeds)
    value = tree(draw, json.loads(draw(st.sampled_from(seeds))))
    return written(json.dumps(value), value)


def in_lines(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """One of several lines of JSON."""
    if draw(st.integers(0, 5)) == 0:
        return raw(draw, seeds)
    lines = draw(st.sampled_from(seeds)).splitlines(keepends=True)
    at = draw(st.integers(0, len(lines) - 1))
    return b"".join([*lines[:at], in_json(draw, [lines[at]]) + b"\n", *lines[at + 1 :]])


def in_yaml(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    if draw(st.integers(0, 3)) == 0:
        return raw(draw, seeds)
    value = tree(draw, yaml.safe_load(draw(st.sampled_from(seeds))))
    if draw(st.booleans()):
        return written(json.dumps(value), value)
    return written(yaml.dump(json.loads(json.dumps(value)), sort_keys=False), value)


def in_png(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """A chunk of other content, under a checksum that is right."""
    file, at, chunks = draw(st.sampled_from(seeds)), 8, []
    while at < len(file):
        (length,) = struct.unpack_from(">I", file, at)
        chunks.append([file[at + 4 : at + 8], file[at + 8 : at + 8 + length]])
        at += length + 12
    chunk = draw(st.sampled_from(chunks))
    chunk[1] = raw(draw, [chunk[1] or b"\0"])
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return file[:8] + b"".join(parts)


def in_tar(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """Fields of headers, under a checksum that is right."""
    file = bytearray(draw(st.sampled_from(seeds)))
    headers = [at for at in range(0, len(file), 512) if file[at + 257 : at + 262] == b"ustar"]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(headers))
        start, end, values = draw(st.sampled_from(FIELDS))
        value = draw(st.sampled_from(values) | st.binary(max_size=end - start))
        file[at + start : at + end] = value[: end - start].ljust(end - start, b"\0")
        file[at + 148 : at + 156] = b" " * 8
        file[at + 148 : at + 156] = b"%06o\0 " % sum(file[at : at + 512])
    return bytes(file) if draw(st.booleans()) else raw(draw, [bytes(file), *seeds])


NAMES = (b"../../a.png", b"/a.png", b"a/../../b.png", b"", b"\xff.png", b"a\n.png", b"a" * 100)
SIZES = (b"00000000000", b"77777777777", b"-0000000001", b"\x80" + b"\0" * 10 + b"\xff")
SIZES += (b"\xff" * 12, b"\xff" * 11 + b"\0", b"\x80" + b"\xff" * 11, b"99999999999", b" ")
FIELDS = ((0, 100, NAMES), (124, 136, SIZES), (124, 136, SIZES), (157, 257, NAMES))
FIELDS += ((156, 157, tuple(bytes([one]) for one in b"01234567gxLKSVDNM\0")), (345, 500, NAMES))


def zipped(inner: dict[str, Mutate]) -> Mutate:
    """A member of other content in an archive that is whole; `inner` says how, by endings."""

    def mutate(draw: Draw, seeds: Sequence[bytes]) -> bytes:
        if draw(st.integers(0, 7)) == 0:
            return raw(draw, seeds)
        with zipfile.ZipFile(io.BytesIO(draw(st.sampled_from(seeds)))) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = draw(st.sampled_from([name for name in members if name.endswith(tuple(inner))]))
        change = next(change for ending, change in inner.items() if name.endswith(ending))
        members[name] = change(draw, [members[name]])
        file = io.BytesIO()
        packing = draw(st.sampled_from((zipfile.ZIP_STORED,) * 3 + (zipfile.ZIP_DEFLATED,)))
        with zipfile.ZipFile(file, "w", packing) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return file.getvalue()

    return mutate


def in_npy(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """Another shape or type of number in the header; or other bytes."""
    file = draw(st.sampled_from(seeds))
    if draw(st.integers(0, 3)) == 0:
        return raw(draw, [file])
    shape, kind = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(KINDS))
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    content = file[10 + struct.unpack_from("<H", file, 8)[0] :]
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content


SHAPES = ("()", "(0,)", "(8,)", "(8, 8)", "(4, 16)", "(10**6,)", "(100000000000,)", "(-1,)")
SHAPES += ("(1000000, 1000000)", "(2000000000, 2000000000, 2000000000)", "(8, 8, 1)", "('a',)")
KINDS = (
    "'<f8'",
    "'<f4'",
    "'|O'",
    "'<U9'",
    "'|u1'",
    "'<c16'",
    "'<M8[s]'",
    "[('a', '<f8')]",
    "'|V8'",
)


def in_safetensors(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """Another header, under a length that is right."""
    if draw(st.integers(0, 5)) == 0:
        return raw(draw, seeds)
    file = draw(st.sampled_from(seeds))
    end = 8 + int.from_bytes(file[:8], "little")
    header = in_json(draw, [file[8:end]])
    return len(header).to_bytes(8, "little") + header + file[end:]


def digested(inner: Mutate) -> Mutate:
    """A checkpoint of a training, whose digest is right: a person, not a disk, has changed it."""

    def mutate(draw: Draw, seeds: Sequence[bytes]) -> bytes:
        content = inner(draw, [seed[:-32] for seed in seeds])
        return content + hashlib.sha256(content).digest()

    return mutate
