"""One listing of folders: links are followed, and what cannot be entered is named."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msdd.errors import MsddError
from msdd.files import check_place, read_json, shown, write_json, write_text
from msdd.listing import walk

NOBODY = 65534  # root may enter everything


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """`a/1.x`, `a/.hidden`, `.git/2.x`, `elsewhere/b/3.x`; the working directory is its parent."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a/1.x", "in/a/.hidden", "in/.git/2.x", "elsewhere/b/3.x"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return Path("in")


@pytest.fixture
def as_nobody() -> Iterator[Callable]:
    """Gives up the rights of root, if the tests run as root, until the end of the test."""
    before = os.geteuid()
    yield lambda: os.seteuid(NOBODY) if before == 0 else None
    os.seteuid(before)


def test_links_are_followed_and_each_folder_is_entered_once(folder):
    (folder / "linked").symlink_to(Path("../elsewhere"))
    (folder / "again").symlink_to(Path("../elsewhere/b"))
    (folder / "a/up").symlink_to(Path(".."))
    (folder / "0.x").symlink_to(Path("a/1.x"))
    (folder / "gone.x").symlink_to(Path("nowhere.x"))  # whoever reads it says so
    assert list(walk(folder)) == ["0.x", "a/1.x", "again/3.x", "gone.x"]
    assert list(walk(folder.resolve())) == list(walk(f"{folder}/")) == list(walk(folder))
    assert list(walk(Path("elsewhere"))) == ["b/3.x"]


def test_names_are_sorted_as_a_whole(folder):
    for name in ("a-b.x", "a.x"):
        (folder / name).touch()
    assert list(walk(folder)) == ["a-b.x", "a.x", "a/1.x"]


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_folder_that_cannot_be_entered_is_named(folder, as_nobody, mode):
    for opened in (folder.resolve().parent, folder):
        opened.chmod(0o755)
    (folder / "a").chmod(mode)
    as_nobody()
    with pytest.raises(MsddError, match="^in/a: cannot enter this folder: Permission denied"):
        list(walk(folder))


def test_a_folder_or_link_that_leads_nowhere_is_named(folder):
    with pytest.raises(MsddError, match="^none: cannot enter this folder: No such file"):
        list(walk("none"))
    (folder / "b").symlink_to(Path("../unmounted"))
    with pytest.raises(MsddError, match="^in/b is a link that leads nowhere"):
        list(walk(folder))


def test_a_name_as_long_as_the_file_system_takes_is_written(tmp_path):
    path = tmp_path / ("ü" * 125 + ".png.")  # 255 bytes
    write_text(path, "x")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OSError, match="too long") as error:
        write_text(tmp_path / f"{path.name}x", "x")
    assert error.value.filename == str(tmp_path / f"{path.name}x")


def test_names_that_are_not_utf8_are_text_in_json(tmp_path):
    """Halves of surrogate pairs, as Python has them for such bytes, are refused by most readers."""
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x98\x80")
    write_json(tmp_path / "a.json", {name: [name, "\U0001f600", 1.5, None]})
    whole = "caf\\xe9 \U0001f600"
    assert read_json(tmp_path / "a.json") == {whole: [whole, "\U0001f600", 1.5, None]}
    read_json(tmp_path / "a.json")[whole][0].encode()


@pytest.mark.parametrize("place", ["folder", "file/x", "/dev/stdout", "/proc/none/x", "x" * 256])
def test_a_place_that_takes_no_file_is_told_beforehand(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    with pytest.raises(MsddError, match=f"^--json {place} "):
        check_place(Path(place), "--json")
    check_place(Path("folder/of/no/json"), "--json")
    check_place(Path("file"), "--json")
    assert sorted(path.name for path in Path().rglob("*")) == ["file", "folder"]


def test_a_folder_that_may_not_be_written_is_told_beforehand(tmp_path, monkeypatch, as_nobody):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o555)
    as_nobody()
    with pytest.raises(MsddError, match="^--json x cannot be written: Permission denied"):
        check_place(Path("x"), "--json")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\nb", r"a\nb"),
        ("a\r\tb", r"a\r\tb"),
        ("a\x1b[2Jb", r"a\u001b[2Jb"),
        ("a\x7f\x85b", r"a\u007f\u0085b"),
        ("a\u2028b", r"a\u2028b"),
        ("a\udcffb", r"a\xffb"),
        ("a\ud800b", r"a\ud800b"),
        ('ä "b" \\ c', 'ä "b" \\ c'),
    ],
)
def test_a_name_is_shown_in_a_line(name, told):
    assert shown(name) == told and told.isprintable()
