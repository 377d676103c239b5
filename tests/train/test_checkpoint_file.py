"""Checkpoint files: what a damaged one falls back to, and what is never taken for one."""

import io

import pytest
import torch

from msdd.errors import MsddError
from msdd.train import checkpoint


def save(path, images, key="k"):
    buffer = io.BytesIO()
    torch.save({"key": key, "images": images, "weights": torch.arange(1000)}, buffer)
    checkpoint.write(path, buffer.getbuffer())


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):  # as after a power cut, of a file that was renamed before it was on the disk
    path.write_bytes(b"")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoint.pt"
    for images in (64, 128, 192):
        save(path, images)
    return path


def test_the_last_is_read_and_one_before_it_is_kept(path):
    assert checkpoint.read(path, "k")["images"] == 192
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"previous-{path.name}"}
    checkpoint.remove(path)
    assert checkpoint.read(path, "k") is None and not list(path.parent.iterdir())


@pytest.mark.parametrize("damage", [cut, flip, empty])
def test_a_damaged_one_falls_back_and_says_so(path, damage, capsys):
    damage(path)
    assert checkpoint.read(path, "k")["images"] == 128
    assert f"{path} is damaged; going on from the one before" in capsys.readouterr().err


def test_one_that_is_gone_falls_back(path):
    path.unlink()
    assert checkpoint.read(path, "k")["images"] == 128


def test_one_of_another_key_falls_back_to_one_of_this(path, capsys):
    """As after a look at other params."""
    save(path, 32, key="other")
    assert checkpoint.read(path, "other")["images"] == 32
    assert not capsys.readouterr().err
    assert checkpoint.read(path, "k")["images"] == 192
    assert f"{path} is of other params, code or data; going on" in capsys.readouterr().err
    assert checkpoint.read(path, "third")["key"] == "other"


def test_where_all_is_damaged_nothing_is_started_afresh(path):
    flip(path)
    cut(checkpoint.previous(path))
    with pytest.raises(MsddError, match="checkpoint.pt and .*previous-checkpoint.pt damaged; del"):
        checkpoint.read(path, "k")


def test_a_disk_that_damages_what_is_written_is_told_before_the_last_one_goes(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "intact", lambda file: False)
    with pytest.raises(MsddError, match="does not read back as it was written"):
        save(path, 256)
    monkeypatch.undo()
    assert checkpoint.read(path, "k")["images"] == 192
