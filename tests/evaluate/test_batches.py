"""Batches bounded by pixels, and what a run shows while it measures."""

import re

import pytest
import torch
from faded import SIDE, SUBJECT, evaluated, faded, small
from PIL import Image
from test_checkpoint import new_accumulator

from msdd.cli import main
from msdd.errors import MsddError
from msdd.evaluate import loop, networks, passes, report, sources
from msdd.evaluate.distributed import Team
from msdd.evaluate.sources import Cropped, Folders, deal

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


class Sides:
    """A source of so many images of a side."""

    def __init__(self, *sides: int) -> None:
        self.names = list(map(str, sides))
        self.pixels = lambda: [side**2 for side in sides]


@pytest.mark.parametrize("side, size", [(32, 64), (256, 64), (512, 16), (1024, 4), (4096, 1)])
def test_a_batch_has_the_pixels_of_64_images_of_256(side, size):
    lengths = list(map(len, deal(Sides(*[side] * 70), None)))
    assert lengths == [size] * (70 // size) + [70 % size] * (70 % size > 0)
    assert list(map(len, deal(Sides(*[side] * 70), 50))) == [50, 20]  # as asked


def test_batches_of_several_sizes_are_bounded_each():
    ranges = deal(Sides(3000, 256, 256, 2000, 512, 2048, 16), None)
    assert [list(places) for places in ranges] == [[0], [1, 2, 3], [4], [5], [6]]


def test_folders_tell_the_pixels_of_their_files(tmp_path):
    for folder in ("o", "r"):
        (tmp_path / folder).mkdir()
        for name, size in (("a", (20, 30)), ("b", (8, 9))):
            Image.new("RGB", size).save(tmp_path / folder / f"{name}.png")
    assert Folders(tmp_path / "o", tmp_path / "r").pixels() == [600, 72]


def test_the_bound_changes_no_number_of_an_image(photographs, monkeypatch):
    chosen = {"primary": small(["primary"])["primary"]}
    found = []
    for pixels in (SIDE**2, 2 * SIDE**2, 64 * SIDE**2):
        monkeypatch.setattr(sources, "BATCH_PIXELS", pixels)
        evaluation = passes.of_tokenizer(SUBJECT, photographs, chosen, CPU)
        document = report.opening(evaluation, settings := report.Settings(None, CPU))
        report.measure_passes(evaluation, document, settings, Team())
        found.append(document["protocols"]["primary"])
    for entry in found[1:]:
        for name, values in entry["per_image"].items():
            assert values == pytest.approx(found[0]["per_image"][name], rel=1e-6)
    assert [e["per_image"]["psnr"] for e in found[1:]] == [found[0]["per_image"]["psnr"]] * 2


@pytest.mark.parametrize("name, pool", [("primary", 1), ("ssdd", "all"), ("flowmo", 2)])
def test_the_live_psnr_ends_as_the_tables(photographs, name, pool):
    """Image by image, pooled over all, pooled over pairs; also of batches in another order."""
    chosen = small([name])[name]
    few = {"psnr": chosen.psnr.model_copy(update={"pool": pool}), "lpips": None, "fid": None}
    plain = {name: chosen.model_copy(update={**few, "dreamsim": None})}
    accumulator = new_accumulator(plain)
    source = Cropped(photographs, plain[name].crop, SIDE, faded, CPU)
    loop.measure_ranges(source, accumulator, deal(source, 2)[::-1], "", Team(), None)
    assert accumulator.ids == [4, 2, 3, 0, 1]
    table = evaluated(photographs, plain)["protocols"][name]["metrics"]["psnr"]["mean"]
    assert accumulator.live_figures() == {"psnr": pytest.approx(table, rel=1e-12)}


def test_a_pass_without_psnr_shows_none(photographs):
    accumulator = new_accumulator(small(["titok"]))
    loop.measure_source(Cropped(photographs, "bicubic", SIDE, faded, CPU), accumulator, 2)
    assert accumulator.live_figures() == {}


def test_passes_are_counted_and_shown_before_their_first_batch(photographs, two, capsys):
    evaluated(photographs, two)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "2 passes over the images, one for each crop: adm for first; lanczos for second"
    )
    assert "evaluate adm, pass 1 of 2   0/5 images" in lines
    assert any(re.match("evaluate lanczos, pass 2 of 2   5/5 images", line) for line in lines)


def test_missing_weights_are_not_answered_with_what_was_asked_for(folders, monkeypatch, capsys):
    def absent(name, *_):
        raise MsddError(f"no weights for '{name}'")

    monkeypatch.setattr(networks, "feature_network", absent)
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    for features, hint in (
        ("efficientnet-lite0", "or give --features none"),
        ("inception", "or give --features efficientnet-lite0, or --features none"),
    ):
        assert main(["evaluate", *sides, "--features", features]) == 1
        assert f"{hint}, or --missing skip to measure the rest" in capsys.readouterr().err
