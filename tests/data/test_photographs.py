"""Which photographs a folder holds, and that no file is on both sides."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from msdd.data.photographs import divide, divided, read_photograph, sources
from msdd.data.sources import photographs, source
from msdd.errors import MsddError


def photographs_of(*where):
    return photographs(source(*where))


def test_folders_are_searched_deep_and_once(tmp_path):
    for name in ("b/2.JPG", "b/1.png", "a.Tiff", ".hidden/x.png", "b/._1.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.symlink(tmp_path / "b", tmp_path / "c")  # a second way to b
    os.symlink(tmp_path, tmp_path / "b" / "up")  # a loop
    found = photographs_of(tmp_path, ".", "data.photographs")
    assert [photograph.name for photograph in found] == ["a.Tiff", "b/1.png", "b/2.JPG"]


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(MsddError, match="data.photographs: there is no folder nowhere"):
        photographs_of(tmp_path, "nowhere", "data.photographs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MsddError, match="data.held_out: no image below the folder empty"):
        photographs_of(tmp_path, "empty", "data.held_out")


def touched(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    return photographs_of(tmp_path, ".", "data.photographs")


def test_adding_photographs_moves_none_across(tmp_path):
    _, few = divide(touched(tmp_path, [f"{k}.png" for k in range(200)]), 0.2)
    train, more = divide(touched(tmp_path, [f"{k}.jpg" for k in range(200)]), 0.2)
    assert {p.name for p in few} == {p.name for p in more if p.name.endswith("png")}
    assert len(train) + len(more) == 400 and not set(train) & set(more)
    assert 50 < len(more) < 110


@pytest.mark.parametrize("fraction", [0.0, 0.999])
def test_both_sides_have_a_photograph(tmp_path, fraction):
    found = touched(tmp_path, ["a.png", "b.png", "c.png"])
    train, held_out = divide(found, fraction)
    assert (
        train and held_out and sorted(p.name for p in train + held_out) == [p.name for p in found]
    )
    with pytest.raises(MsddError, match="holds one image"):
        divide(found[:1], fraction)


def test_embedded_photographs_are_in_the_packages():
    data = SimpleNamespace(photographs="embedded", held_out=None)
    found = divided(sources(data, Path()), data)
    names = {split: [p.name.split(".")[0] for p in found[split]] for split in found}
    assert names == {
        "train": ["astronaut", "chelsea", "china", "coffee", "motorcycle_left"],
        "held_out": ["flower", "rocket"],
    }
    shapes = [read_photograph(p.path).shape for split in found.values() for p in split]
    assert min(min(shape[:2]) for shape in shapes) == 300


@pytest.mark.parametrize("held_out", [".", "a", "a/b"])
def test_held_out_inside_train_is_refused(tmp_path, held_out):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.png").touch()
    with pytest.raises(MsddError, match="contain each other"):
        sources(SimpleNamespace(photographs="a", held_out=held_out), tmp_path)
