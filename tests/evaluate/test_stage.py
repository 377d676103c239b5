"""Evaluation as a stage: metrics that can be computed by hand, files, interruptions, processes."""

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from faded import measured
from forked import of_first
from PIL import Image

from msdd.commands.stages import run_stage
from msdd.data.held_out import OWNERS
from msdd.data.pixels import to_uint8
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.evaluate import checkpoint, passes, stage
from msdd.evaluate.passes import Evaluation, Pass
from msdd.evaluate.prepared import Prepared
from msdd.files import read_json
from msdd.metrics.intervals import bootstrap
from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.pipeline.environment import context
from msdd.pipeline.task import resolve
from msdd.tokenizers.baselines import MeanColour
from msdd.tokenizers.msdd import MSDD

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
    metrics = run_stage(params, "baseline", workdir, baseline="mean-colour")
    images = held_out(workdir)
    flat = images.mean((1, 2), keepdims=True).round()
    found = read_json(workdir / layout.baseline("mean-colour"))["protocols"]["primary"]
    assert found["per_image"]["psnr"] == pytest.approx(decibels(images, flat), abs=1e-6)
    assert metrics["psnr"]["mean"] == pytest.approx(np.mean(found["per_image"]["psnr"]))
    assert metrics["psnr"]["low"] < metrics["psnr"]["mean"] < metrics["psnr"]["high"]
    samples = np.load(workdir / layout.samples(layout.baseline("mean-colour")))
    assert samples.dtype == np.uint8 and np.abs(samples - flat).max() <= 1


def test_intervals_are_over_photographs_where_they_are_many(params, workdir):
    """The figure is that of the crops; the interval redraws photographs, each with its crops."""
    evaluate = params.evaluate.model_copy(update={"images": None})
    own = params.model_copy(update={"evaluate": evaluate})
    file = workdir / layout.prepared() / OWNERS
    crops = len(np.load(file))
    ends = {}
    for photographs in (4, 5):
        np.save(file, np.arange(crops, dtype=np.int32) % photographs)
        ends[photographs] = run_stage(own, "baseline", workdir, baseline="mean-colour")["psnr"]
    found = read_json(workdir / layout.baseline("mean-colour"))
    assert found["photographs"] == [k % 5 for k in range(crops)]
    values = found["protocols"]["primary"]["per_image"]["psnr"]
    mean, low, high = bootstrap(values, found["photographs"])
    assert ends[5] == {"mean": mean, "low": low, "high": high}
    mean, low, high = bootstrap(values)
    assert ends[4] == {"mean": mean, "low": low, "high": high}


def test_weights_that_are_missing_stop_a_stage_or_not_as_the_params_say(
    params, workdir, tmp_path, monkeypatch
):
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for missing in ("stop", "skip"):
        asked = {"features": "inception", "missing": missing}
        evaluate = params.evaluate.model_copy(update=asked)
        own = params.model_copy(update={"evaluate": evaluate})
        if missing == "stop":
            with pytest.raises(MsddError, match=r"params: evaluate\.missing"):
                run_stage(own, "baseline", workdir, baseline="mean-colour")
    metrics = run_stage(own, "baseline", workdir, baseline="mean-colour")
    found = read_json(workdir / layout.baseline("mean-colour"))
    assert "fd_inception" in found["not_measured"] and metrics.keys() == {"psnr", "ssim"}


def test_an_evaluation_says_what_was_measured_and_repeats_its_bytes(params, trained, tmp_path):
    """Time and circumstances stand apart."""
    root = shutil.copytree(trained, tmp_path / "work")
    metrics = run_stage(params, "evaluate", root, decode="teacher")
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
    pictures = np.load(layout.extremes(path)).astype(np.float64)
    told = [found["extremes"]["held_out"][word]["psnr"] for word in ("worst", "median", "best")]
    assert decibels(pictures[:3], pictures[3:]) == pytest.approx(told, abs=0.1)
    assert {"seconds", "device", "batch", "provenance"} <= read_json(layout.timing(path)).keys()
    run_stage(params, "evaluate", root, decode="teacher")
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("batches", "batch", "speed"),
    [
        ([(64, 9.0), (36, 0.36)], 36, 100),  # only the short one is left without the warm-up
        ([(64, 9.0), (64, 0.64), (64, 0.64), (4, 0.08)], 64, 100),
        ([(4, 0.5)], 4, 8),
    ],
)
def test_speed_is_that_of_an_image_whatever_the_size_of_its_batch(
    params, prepared, batches, batch, speed
):
    job = resolve(params, "baseline", prepared, [], baseline="mean-colour")
    crops = Crops(prepared / layout.prepared(), "held_out")
    source = Prepared(crops, IMAGES, MeanColour(16), "key", 0, "fp32", torch.device("cpu"))
    source.timed = batches
    found = stage.timing(source, job, {"device": "cpu"})
    assert (found["batch"], found["images_per_second"]) == (batch, pytest.approx(speed))
    assert found["seconds"] == pytest.approx(batch / speed)


class Slow(MeanColour):
    """The images that another process would have decoded take their time."""

    def decode(self, latents, ids=None, seed=0):
        time.sleep(0.3 if 0 in ids else 0)
        return super().decode(latents)


def test_what_is_decoded_for_pictures_alone_is_not_timed(params, workdir):
    """As by the first of two processes, which has decoded the last images."""
    job = resolve(params, "baseline", workdir, [], baseline="mean-colour")
    evaluation = replace(stage.baseline_job(job), tokenizer=Slow(16))
    source = stage.source_of(evaluation, torch.device("cpu"), workdir)
    list(source.batches([range(4, 6)]))
    extremes = {word: {"name": "0"} for word in ("worst", "median", "best")}
    document = {"extremes": {"held_out": extremes}}
    stage.write(evaluation, document, source, context(), workdir)
    path = workdir / evaluation.path
    assert read_json(layout.timing(path))["seconds"] < 0.3
    assert len(np.load(layout.samples(path))) == IMAGES


def test_an_evaluation_stopped_behind_its_last_batch_has_a_speed(
    params, workdir, monkeypatch, capsys
):
    """Nothing is left to decode but for the pictures."""
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0)
    path = workdir / layout.baseline("mean-colour")
    layout.timing(path).mkdir(parents=True)
    with pytest.raises((MsddError, OSError)):
        run_stage(params, "baseline", workdir, baseline="mean-colour")
    layout.timing(path).rmdir()
    run_stage(params, "baseline", workdir, baseline="mean-colour")
    assert "resuming after 6 of 6 images" in capsys.readouterr().err
    assert read_json(layout.timing(path))["images_per_second"] > 0


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
    with pytest.raises(MsddError, match="no baseline 'black'; known: mean-colour, bicubic"):
        run_stage(params, "baseline", prepared, baseline="black")


@pytest.fixture(scope="module")
def two(params) -> Params:
    """Two protocols with KID, one of which pools over images, in batches of 2."""
    more = {"protocols": ("ssdd", "primary"), "kid": True, "batch": 2, "lpips": ("alex",)}
    return params.model_copy(update={"evaluate": params.evaluate.model_copy(update=more)})


@pytest.fixture(scope="module")
def uninterrupted(two, trained, tmp_path_factory) -> tuple[dict[str, bytes], dict]:
    """What a run in one go leaves behind, and its metrics file."""
    root = shutil.copytree(trained, tmp_path_factory.mktemp("uninterrupted") / "work")
    run_stage(two, "evaluate", root, decode="teacher")
    return files(root), read_json(root / TEACHER)


TEACHER = layout.evaluation("msdd", None, "teacher")


def files(root: Path) -> dict[str, bytes]:
    """Without those that tell of time."""
    made = [TEACHER, layout.samples(TEACHER), layout.pyramid(TEACHER), layout.extremes(TEACHER)]
    return {path.name: (root / path).read_bytes() for path in made}


def test_several_protocols_and_kid(uninterrupted):
    """The first is the one that tables show; LPIPS has the trunks that both sides name."""
    _, found = uninterrupted
    assert found["protocol"] == "ssdd" and found["protocols"].keys() == {"ssdd", "primary"}
    ssdd, primary = (found["protocols"][name]["metrics"] for name in ("ssdd", "primary"))
    assert ssdd["psnr"]["mean"] < primary["psnr"]["mean"]
    for metrics in (ssdd, primary):
        assert {"lpips_alex", "fd_efficientnet_lite0", "kd_efficientnet_lite0"} < metrics.keys()
        assert "lpips_vgg" not in metrics
        spread = metrics["kd_efficientnet_lite0"]  # of crops of one photograph there is no interval
        many = len(set(found["photographs"])) < len(found["photographs"])
        assert (spread["low"] is None) == many
    assert found["not_measured"].keys() <= {"dreamsim"} and "/" not in str(found["not_measured"])
    psnr = found["protocols"]["primary"]["per_image"]["psnr"]
    worst, best = (found["extremes"]["held_out"][word] for word in ("worst", "best"))
    assert [worst["psnr"], best["psnr"]] == pytest.approx([min(psnr), max(psnr)])
    assert found["names"][np.argmin(psnr)] == worst["name"]


def killed_in_the_third_batch(params: Params, root: Path) -> None:
    """A process that is killed, with its state saved after every batch."""
    decode, batches = MSDD.decode, []

    def dying(self, *arguments):
        batches.append(0)
        if len(batches) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(self, *arguments)

    checkpoint.SAVE_SECONDS, MSDD.decode = 0, dying
    run_stage(params, "evaluate", root, decode="teacher")


def test_a_killed_evaluation_resumes_and_leaves_the_same_bytes(
    two, trained, uninterrupted, tmp_path, capsys
):
    root = shutil.copytree(trained, tmp_path / "work")
    context = multiprocessing.get_context("fork")
    process = context.Process(target=killed_in_the_third_batch, args=(two, root))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not (root / TEACHER).exists()
    run_stage(two, "evaluate", root, decode="teacher")
    assert "evaluate teacher: resuming after 4 of 6 images" in capsys.readouterr().err
    assert files(root) == uninterrupted[0]
    assert not (root / layout.checkpoint(TEACHER) / "state").exists()
    assert read_json(layout.timing(root / TEACHER))["seconds"] > 0


def evaluate_teacher(params, root):
    return run_stage(params, "evaluate", root, decode="teacher")


def test_two_processes_leave_the_same_bytes(two, trained, uninterrupted, tmp_path):
    root = shutil.copytree(trained, tmp_path / "work")
    metrics = of_first(2, evaluate_teacher, two, root)
    assert metrics == uninterrupted[1]["protocols"]["ssdd"]["metrics"]
    assert files(root) == uninterrupted[0]


def test_crops_and_their_files_have_the_same_metrics(two, prepared, tmp_path):
    """The pipeline's source, and two folders of what it saw."""
    chosen = stage.protocols_of(two.evaluate)
    crops = Crops(prepared / layout.prepared(), "held_out")
    source = Prepared(crops, IMAGES, MeanColour(16), "key", 0, "fp32", torch.device("cpu"))
    ours = measured(Evaluation({}, list(chosen), [Pass("a", source, chosen, "a")]), cache=False)
    for batch in source.batches([range(IMAGES)]):
        for folder, side in (("o", batch[0].originals), ("r", to_uint8(batch[0].reconstructions))):
            (tmp_path / folder).mkdir()
            for name, image in zip(source.names, side.permute(0, 2, 3, 1).numpy(), strict=True):
                Image.fromarray(image).save(tmp_path / folder / f"{name}.png")
    theirs = measured(passes.of_folders(tmp_path / "o", tmp_path / "r", chosen), cache=False)
    for name in chosen:
        for key in ("metrics", "per_image"):
            assert ours["protocols"][name][key] == theirs["protocols"][name][key]


def test_an_exact_crop_makes_a_mean_infinite_for_the_tracker_too(params, workdir):
    """A crop of one colour is its mean colour."""
    shard = workdir / layout.prepared() / "held_out/00000.npy"
    images = np.load(shard)
    images[1] = 255
    np.save(shard, images)
    found = run_stage(params, "baseline", workdir, baseline="mean-colour")
    assert found["psnr"] == {"mean": None, "low": None, "high": None, "infinite": True}
    document = read_json(workdir / layout.baseline("mean-colour"))
    psnr = document["protocols"]["primary"]["per_image"]["psnr"]
    assert [k for k, value in enumerate(psnr) if value is None] == [1]
    assert stage.flat(document)["psnr"] == np.inf
