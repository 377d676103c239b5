"""Evaluation as a stage: figures that can be computed by hand, files, and a bad reconstruction."""

import shutil

import numpy as np
import pytest
import torch

from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.evaluate.sources import Prepared
from msdd.evaluate.stage import run, run_baseline
from msdd.files import read_json
from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.tokenizers.baselines import MeanColour

IMAGES = 6


@pytest.fixture(scope="module")
def params(tiny_params) -> Params:
    """Without LPIPS, and two batches."""
    evaluate = tiny_params.evaluate.model_copy(update={"images": IMAGES, "batch": 4, "lpips": ()})
    return tiny_params.model_copy(update={"evaluate": evaluate})


def held_out(root) -> np.ndarray:
    shard = root / layout.prepared() / "held_out/00000.npy"
    return np.load(shard)[:IMAGES].astype(np.float64)


def decibels(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 10 * np.log10(255**2 / ((a - b) ** 2).mean((1, 2, 3)))


def test_mean_colour_is_what_numpy_says(params, workdir):
    metrics = run_baseline(params, "mean-colour", workdir)
    images = held_out(workdir)
    flat = images.mean((1, 2), keepdims=True).round()
    found = read_json(workdir / layout.baseline("mean-colour"))["protocols"]["primary"]
    assert found["per_image"]["psnr"] == pytest.approx(decibels(images, flat), abs=1e-6)
    assert metrics["psnr"]["mean"] == pytest.approx(np.mean(found["per_image"]["psnr"]))
    assert metrics["psnr"]["low"] < metrics["psnr"]["mean"] < metrics["psnr"]["high"]
    samples = np.load(workdir / layout.samples(layout.baseline("mean-colour")))
    assert samples.dtype == np.uint8 and np.abs(samples - flat).max() <= 1


def test_an_evaluation_says_what_was_measured_and_repeats_its_bytes(params, trained, tmp_path):
    """Time and circumstances stand apart."""
    root = shutil.copytree(trained, tmp_path / "work")
    metrics = run(params, "teacher", root)
    path = root / layout.evaluation("msdd", None, "teacher")
    first, found = path.read_bytes(), read_json(path)
    expected = {"decode": "teacher", "of": "msdd", "student": None, "protocol": "primary"}
    expected |= {"steps": [2, 2], "guidance": [1.5, 1.5], "nfe": 8, "scales": [8, 16]}
    assert expected.items() <= found.items()
    primary = found["protocols"]["primary"]
    assert primary["metrics"] == metrics and found["names"] == list(map(str, range(IMAGES)))
    decoded = np.load(layout.samples(path)).astype(np.float64)
    assert primary["per_image"]["psnr"] == pytest.approx(
        decibels(held_out(root), decoded), abs=1e-9
    )
    assert {"seconds", "device", "batch", "provenance"} <= read_json(layout.timing(path)).keys()
    run(params, "teacher", root)
    assert path.read_bytes() == first


class Broken(MeanColour):
    """Image 5 becomes NaN."""

    def decode(self, latents, ids=None, seed=0):
        return super().decode(latents).clone().index_fill_(0, torch.tensor(ids.index(5)), np.nan)


def test_a_reconstruction_that_is_no_number_names_its_image(params, prepared):
    crops = Crops(prepared / layout.prepared(), "held_out")
    source = Prepared(crops, IMAGES, Broken(16), "key", 0, "fp32", torch.device("cpu"))
    with pytest.raises(MsddError, match="image 5 contains nan"):
        list(source.batches([range(IMAGES)]))


def test_an_unknown_baseline_is_named(params, prepared):
    with pytest.raises(MsddError, match="no baseline 'black'; there are mean-colour, bicubic"):
        run_baseline(params, "black", prepared)
