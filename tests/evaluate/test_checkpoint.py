"""A stopped evaluation goes on from its folder, and ends with the same report."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from faded import CPU, SIDE, SUBJECT, evaluated, faded
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from msdd.evaluate import loop, report
from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.checkpoint import Checkpoint
from msdd.evaluate.distributed import Team
from msdd.evaluate.networks import Networks
from msdd.evaluate.sources import Cropped, Subject, split
from msdd.weights.metadata import unpack

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


def batches_of_pictures(report: dict, crop: str) -> int:
    names = [image["name"] for image in report["extremes"][crop].values()]
    return len({report["names"].index(name) // 2 for name in names})


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt])
def test_a_stopped_run_goes_on_and_ends_with_the_same_report(
    photographs, two, report_of_two, tmp_path, capsys, stop
):
    """Stopped in the second batch of the second pass; a pass has 3, and some again for pictures."""
    seen, count = [], 3 + batches_of_pictures(report_of_two, "adm") + 2

    def stopping(images, names):
        seen.append(names)
        if len(seen) == count:
            raise stop
        return faded(images)

    how = {
        "work": tmp_path / "work",
        "pictures": True,
        "subject": Subject(SUBJECT.about, SIDE, stopping),
    }
    with pytest.raises(stop):
        evaluated(photographs, two, **how)
    assert evaluated(photographs, two, **how) == report_of_two
    assert len(seen) == count + 2 + batches_of_pictures(report_of_two, "lanczos")
    assert "evaluate lanczos, pass 2 of 2: resuming after 2 of 5 images" in capsys.readouterr().err
    for crop in ("adm", "lanczos"):
        pictures = {path.name: path for path in how["work"].glob(f"{crop}/*/*.png")}
        assert pictures.keys() == {"worst.png", "median.png", "best.png"}
        assert Image.open(pictures["best.png"]).size == (2 * SIDE, SIDE)


def test_two_tokenizers_share_a_folder(photographs, two, report_of_two, tmp_path):
    """The second leaves the state and the pictures of the first, which has nothing left to do."""
    seen, first = [], Subject({"tokenizer": "same"}, SIDE, lambda images, names: images)
    assert evaluated(photographs, two, work=tmp_path) == report_of_two
    evaluated(photographs, two, subject=first, work=tmp_path)
    again = Subject(SUBJECT.about, SIDE, lambda images, names: seen.append(names))
    assert evaluated(photographs, two, subject=again, work=tmp_path) == report_of_two and not seen


def test_other_weights_of_a_network_begin_anew(photographs, two, tmp_path, monkeypatch):
    """Only of what it has features of: the first of the two protocols."""
    evaluated(photographs, two, work=tmp_path)
    states = set(tmp_path.rglob("*.safetensors"))
    monkeypatch.setattr(report, "identity", lambda name: f"another file of {name}")
    evaluated(photographs, two, work=tmp_path)
    (anew,) = set(tmp_path.rglob("*.safetensors")) - states
    assert anew.is_relative_to(tmp_path / "adm")


def test_an_interruption_waits_for_the_tally_to_be_whole(sigint):
    done = []
    sigint(signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), loop.deferred_interrupt():
        signal.raise_signal(signal.SIGINT)
        done.append("all of the block")
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def new_accumulator(chosen: dict) -> Accumulator:
    return Accumulator(chosen, Networks(chosen.values(), CPU))


def test_fewer_processes_go_on_where_more_were_stopped(photographs, tmp_path, ssdd):
    """Each of two has saved its batches; one takes over, also when it stops in between."""
    source = Cropped(photographs, "bilinear", SIDE, faded, CPU)
    checkpoint, whole = Checkpoint(tmp_path, "key"), new_accumulator(ssdd)
    assert loop.measure_source(source, whole, 2)
    for rank in range(2):
        ranges = split(5, 2)[rank:2:2]
        loop.measure_ranges(source, new_accumulator(ssdd), ranges, "", Team(rank, 2), checkpoint)
    both = [path.read_bytes() for path in sorted(checkpoint.folder.iterdir())]
    resumed = new_accumulator(ssdd)
    checkpoint.resume(resumed)
    assert sorted(resumed.ids) == [0, 1, 2, 3] and len(list(checkpoint.folder.iterdir())) == 1
    (checkpoint.folder / "process1.safetensors").write_bytes(both[1])
    assert loop.measure_source(source, again := new_accumulator(ssdd), 2, checkpoint=checkpoint)
    for side in whole.features:
        ends = [accumulator.sums[str(side)].moments for accumulator in (again, whole)]
        assert torch.equal(ends[0].covariance, ends[1].covariance)
    for key, values in whole.sorted_values().items():
        assert torch.equal(again.sorted_values()[key], values)


def test_the_state_of_another_process_alone_becomes_the_first_one_s(photographs, tmp_path, ssdd):
    """Or the new second process would write over what only that file holds."""
    source = Cropped(photographs, "bilinear", SIDE, faded, CPU)
    checkpoint = Checkpoint(tmp_path, "key")
    ranges = split(5, 2)[1:2]
    loop.measure_ranges(source, new_accumulator(ssdd), ranges, "", Team(1, 2), checkpoint)
    assert checkpoint.paths() == [checkpoint.path(1)]
    checkpoint.resume(resumed := new_accumulator(ssdd))
    assert resumed.ids == list(ranges[0]) and checkpoint.paths() == [checkpoint.path(0)]


def test_states_that_cannot_be_written_as_one_stay(photographs, tmp_path, ssdd, capsys):
    """The disk is full when fewer processes go on; what several have saved is not lost."""
    source = Cropped(photographs, "bilinear", SIDE, faded, CPU)
    checkpoint = Checkpoint(tmp_path, "key")
    for rank in range(2):
        ranges = split(5, 2)[rank:2:2]
        loop.measure_ranges(source, new_accumulator(ssdd), ranges, "", Team(rank, 2), checkpoint)
    before = {path: path.read_bytes() for path in checkpoint.paths()}
    with largest_file(1000):
        checkpoint.resume(resumed := new_accumulator(ssdd))
    assert "nothing is kept to continue from" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in checkpoint.paths()} == before
    checkpoint.resume(again := new_accumulator(ssdd))
    assert sorted(again.ids) == sorted(resumed.ids) == [0, 1, 2, 3]
    assert checkpoint.paths() == [checkpoint.path(0)]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows above so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_damaged_state_is_made_anew(photographs, tmp_path, ssdd, capsys):
    source, checkpoint = (
        Cropped(photographs, "bilinear", SIDE, faded, CPU),
        Checkpoint(tmp_path, "key"),
    )
    loop.measure_source(source, new_accumulator(ssdd), 2, checkpoint=checkpoint)
    checkpoint.path(0).write_bytes(checkpoint.path(0).read_bytes()[:-9])
    checkpoint.resume(fresh := new_accumulator(ssdd))
    assert not fresh.ids and "process0.safetensors is damaged" in capsys.readouterr().err


def test_a_state_has_the_same_bytes_each_time_and_the_former_form_is_read(
    photographs, tmp_path, ssdd
):
    source = Cropped(photographs, "bilinear", SIDE, faded, CPU)
    checkpoint, whole = Checkpoint(tmp_path, "key"), new_accumulator(ssdd)
    assert loop.measure_source(source, whole, 2)
    made = set()
    for _ in range(8):
        checkpoint.save(0, whole)
        made.add(checkpoint.path(0).read_bytes())
    assert len(made) == 1
    former = unpack(safe_open(checkpoint.path(0), "pt").metadata())
    assert former.keys() == {"key", "features"}
    save_file(load_file(checkpoint.path(0)), checkpoint.path(0), former)
    again = new_accumulator(ssdd)
    checkpoint.resume(again)
    assert again.ids == whole.ids
