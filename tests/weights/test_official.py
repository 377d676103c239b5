"""Official files are read whatever wraps them; what is no file of weights is one clear line."""

import argparse
import io
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from msdd.errors import MsddError
from msdd.weights import official

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


class Code:
    """A pickle of it leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def saved(path: Path, value: object, **options: bool) -> Path:
    torch.save(value, path, **options)
    return path


def same(found: dict[str, Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[k], STATE[k]) for k in STATE)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "wrapped",
    [
        STATE,
        {"model": STATE},
        {"model": {"w": torch.zeros(1)}, "ema": STATE, "args": argparse.Namespace(lr=1e-4)},
        {"total_steps": 5, "model_state_dict": {}, "model_ema_state_dict": STATE},
        {"model": {"name": "dito", "args": {"z": 4}, "sd": STATE}, "optimizers": {"a": {}}},
        {"state_dict": STATE, "epoch": 3},
    ],
)
def test_the_weights_come_out_of_what_wraps_them(tmp_path, wrapped, zipped):
    path = saved(tmp_path / "x.pt", wrapped, _use_new_zipfile_serialization=zipped)
    assert same(official.read(path))


def test_safetensors_are_read(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors")
    assert same(official.read(tmp_path / "x.safetensors"))


def test_a_file_is_what_it_holds_not_what_it_is_called(tmp_path):
    save_file(STATE, tmp_path / "x.bin")
    assert same(official.read(tmp_path / "x.bin"))
    assert same(official.read(saved(tmp_path / "x.safetensors", STATE)))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, zipped):
    mark = tmp_path / "mark"
    value = {"model": STATE, "more": Code(mark)}
    path = saved(tmp_path / "x.pt", value, _use_new_zipfile_serialization=zipped)
    with pytest.raises(MsddError, match="refused: more than tensors is pickled in it") as told:
        official.read(path)
    assert "\n" not in str(told.value) and str(path) in str(told.value)
    assert not mark.exists()
    pickle.loads(pickle.dumps(value))
    assert mark.exists()  # that it would have been run


@pytest.mark.parametrize("protocol", [2, pickle.DEFAULT_PROTOCOL])
@pytest.mark.parametrize("name", ["x.bin", "x.safetensors"])
def test_a_plain_pickle_is_not_run_either(tmp_path, name, protocol):
    mark, path = tmp_path / "mark", tmp_path / name
    path.write_bytes(pickle.dumps({"a": Code(mark)}, protocol))
    with pytest.raises(MsddError, match=f"{name}: refused: "):
        official.read(path)
    assert not mark.exists()


def content(**options: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"model": {"w": torch.zeros(2000)}}, file, **options)
    return file.getvalue()


def header_of_safetensors(tmp_path: Path) -> bytes:
    save_file(STATE, tmp_path / "whole.safetensors")
    return (tmp_path / "whole.safetensors").read_bytes()[:-4]


@pytest.mark.parametrize(
    ("name", "made", "told"),
    [
        ("x.pt", lambda _: content()[:4000], "is cut off: its end is missing"),
        (
            "x.pt",
            lambda _: content(_use_new_zipfile_serialization=False)[:4000],
            "cannot be read as weights (unexpected EOF",
        ),
        ("x.safetensors", header_of_safetensors, "cannot be read as weights ("),
        ("x.safetensors", lambda _: b"5" * 100, "cannot be read as weights ("),
        ("x.pt", lambda _: b"\n<!DOCTYPE html><html>404</html>", "is a web page, not weights"),
        ("x.safetensors", lambda _: b"<html></html>", "is a web page, not weights"),
        ("x.pt", lambda _: b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        ("x.pt", lambda _: b"", "is empty"),
        ("x.pt", lambda _: b"neither weights nor markup", "cannot be read as weights"),
    ],
)
def test_what_is_no_file_of_weights_is_one_line(tmp_path, name, made, told):
    path = tmp_path / name
    path.write_bytes(made(tmp_path))
    with pytest.raises(MsddError) as error:
        official.read(path)
    assert told in str(error.value) and str(error.value).startswith(str(path))
    assert "\n" not in str(error.value) and "weights_only" not in str(error.value)


def test_a_folder_and_no_file_at_all(tmp_path):
    with pytest.raises(MsddError, match="is a folder; name the file in it"):
        official.read(tmp_path)
    with pytest.raises(MsddError, match="there is no file .*nothing.pt"):
        official.read(tmp_path / "nothing.pt")


def test_a_program_is_no_checkpoint(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "x.pt")
    with pytest.raises(MsddError, match="is TorchScript, a program"):
        official.read(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("value", "told"),
    [({"optimizer": {"lr": 0.1}, "steps": 7}, "but optimizer, steps"), ([1, 2], "but list")],
)
def test_a_file_without_weights_tells_what_it_has(tmp_path, value, told):
    with pytest.raises(MsddError, match=told):
        official.read(saved(tmp_path / "x.pt", value))
