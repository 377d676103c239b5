"""What an earlier process computed of the same files is taken; of any other files it is not."""

import importlib.util
import sys
from pathlib import Path

import pytest

from msdd.pipeline.digest_cache import remember


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = tmp_path / "package"
    (folder / "room").mkdir(parents=True)
    (folder / "room/code.py").write_text("one = 1")
    (folder / "room/table.yaml").write_text("one: 1")
    return folder


def never():
    raise AssertionError("computed once more")


def kept_file(package):
    return Path(importlib.util.cache_from_source(str(package / "digests.py"))).with_suffix(".json")


def test_nothing_is_computed_twice(package):
    assert remember("a", package, lambda: "first") == "first"
    assert remember("b", package, lambda: "second") == "second"
    assert [remember(name, package, never) for name in "ab"] == ["first", "second"]


@pytest.mark.parametrize("name", ["room/code.py", "room/table.yaml", "room/new.py", "other.py"])
def test_any_change_of_a_file_makes_all_new(package, name):
    remember("a", package, lambda: "first")
    (package / name).write_text("one = 2")
    assert remember("a", package, lambda: "second") == "second"


def test_a_file_of_another_name_is_another(package):
    remember("a", package, lambda: "first")
    (package / "room/code.py").rename(package / "room/cod.py")
    assert remember("a", package, lambda: "second") == "second"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"contents": 1}', "null", "\xff"])
def test_a_damaged_file_is_as_none(package, text):
    remember("a", package, lambda: "first")
    kept_file(package).write_text(text, encoding="latin-1")
    assert remember("a", package, lambda: "second") == "second"
    assert remember("a", package, never) == "second"


def test_where_nothing_can_be_written_nothing_is_kept(package):
    (package / "__pycache__").write_text("a file in the way")
    assert remember("a", package, lambda: "first") == "first"
    assert remember("a", package, lambda: "second") == "second"


def test_python_that_writes_no_compiled_files_keeps_no_digests(package, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    remember("a", package, lambda: "first")
    assert not (package / "__pycache__").exists()
