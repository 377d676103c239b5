"""Jobs that a scheduler asks to stop: saved at once, ended by a code, and continued bit for bit."""

import ctypes
import shutil
import signal
from types import SimpleNamespace

import pytest
import yaml
from command import Command, msdd
from torch._inductor.exc import CppCompileError

from msdd.errors import MsddError
from msdd.pipeline import layout, stop
from msdd.train.run_job import compilation

FOLDER = layout.stage1("msdd")
LONGER = {"images": 2048, "checkpoint_every": 2048}  # none but the last is due
WEIGHTS = f"{FOLDER}/model.safetensors"


@pytest.fixture(scope="module")
def undisturbed(tiny_params, prepared, tmp_path_factory):
    """A folder with a training that nobody stopped; to be read only."""
    root = tmp_path_factory.mktemp("undisturbed") / "work"
    shutil.copytree(prepared, root)
    params = tiny_params.raw()
    params["stage1"] |= LONGER
    params["evaluate"] |= {"batch": 1, "lpips": []}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    finish(root, "train", "msdd")
    return root


@pytest.fixture
def longer(undisturbed, tmp_path):
    """The same folder before the training."""
    ignored = shutil.ignore_patterns("runs", "checkpoints", "provenance")
    return shutil.copytree(undisturbed, tmp_path / "work", ignore=ignored)


def finish(root, *command):
    status, said = msdd(root, *command)
    assert status == 0, said
    return said


def heard_after(job, sign):
    """Give a job the signal in the middle of its work; what it returns and says."""
    job.line("images")  # of its progress, which begins where it hears
    job.send_signal(sign)
    return job.end()


@pytest.mark.long
@pytest.mark.parametrize("sign", stop.SIGNALS)
def test_a_training_saves_ends_with_75_and_goes_on_to_the_same_bits(undisturbed, longer, sign):
    status, said = heard_after(Command(longer, "train", "msdd"), sign)
    assert status == stop.EXIT, said
    assert f"msdd: stopped by stage1 msdd: {sign.name}; saved after" in said
    assert "run the same command again" in said
    assert "resuming after" in finish(longer, "train", "msdd")
    assert (longer / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()


def test_time_that_is_over_stops_a_training(longer):
    time_over = {stop.LIMIT: "0s"}
    status, said = msdd(longer, "train", "msdd", **time_over)
    assert status == stop.EXIT and "MSDD_MAX_RUNTIME 0s is over; saved after 32" in said
    assert "saved after 64 images" in msdd(longer, "train", "msdd", **time_over)[1]


def test_an_evaluation_loses_nothing(longer):
    status, said = heard_after(Command(longer, "baseline", "bicubic"), signal.SIGTERM)
    if status == 0:
        pytest.skip("it was faster than the signal")
    assert status == stop.EXIT and "SIGTERM; saved after" in said, said
    count = said.rpartition("saved after ")[2].partition(" ")[0]
    assert f"resuming after {count} of" in finish(longer, "baseline", "bicubic")


def test_what_a_stop_leaves_of_a_compilation_is_removed_and_told(tmp_path, monkeypatch):
    """By what the loader says of a library that a linker has not written; elsewhere it stays."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    job, left = SimpleNamespace(name="stage1 msdd"), tmp_path / "cache/c.main.so"
    left.touch()
    told = f"^stage1 msdd: .* {left} unfinished; it is removed"
    with pytest.raises(MsddError, match=told), compilation(job):
        ctypes.CDLL(str(left))
    assert not left.exists()
    other = tmp_path / "other.so"
    other.touch()
    with pytest.raises(OSError, match="file too short"), compilation(job):
        ctypes.CDLL(str(other))
    assert other.exists()


def test_a_stop_that_reaches_the_compiler_is_no_error_of_the_code(monkeypatch):
    job = SimpleNamespace(name="stage1 msdd")
    with pytest.raises(CppCompileError), compilation(job):
        raise CppCompileError(["g++"], "killed")
    monkeypatch.setattr(stop, "_came", [signal.SIGTERM])
    with pytest.raises(stop.Stopped, match="SIGTERM while torch compiled"), compilation(job):
        raise CppCompileError(["g++"], "killed")
