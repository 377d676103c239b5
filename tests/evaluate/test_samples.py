"""Samples against a reference: closed forms, files of both sides, processes, interruptions."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from forked import of_first
from generated import COUNT, SIDE, compared, folder, pixels, rules

import msdd
from msdd import files
from msdd.data.pixels import from_uint8
from msdd.errors import MsddError
from msdd.evaluate import distributed, loop, samples_figures
from msdd.evaluate.samples_rules import Rules
from msdd.metrics import kid
from msdd.metrics.mind import mind
from msdd.weights import pretrained
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.pretrained_networks import feature_network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two folders, and the first of them also as files of guided-diffusion's form."""
    root = tmp_path_factory.mktemp("sets")
    folder(root / "made", pixels(0))
    folder(root / "real", pixels(5))
    np.savez(root / "made.npz", pixels(0), np.arange(COUNT) % 3)
    np.savez_compressed(root / "packed.npz", arr_0=pixels(0))
    return root


def measured(found: dict) -> dict:
    return {name: entry["metrics"] for name, entry in found["protocols"].items()}


@pytest.fixture(scope="module")
def lite(sets, tmp_path_factory) -> dict:
    return compared(sets / "made", sets / "real", rules(sets, "lite", "dense"))


@pytest.mark.parametrize("file", ["made.npz", "packed.npz"])
def test_a_file_of_images_gives_what_a_folder_gives(sets, lite, file):
    found = compared(sets / file, sets / "real", rules(sets, "lite", "dense"))
    assert measured(found) == measured(lite) and found["size"] == [SIDE, SIDE]
    assert found.get("classes") == (lite["classes"] if file == "made.npz" else None)
    assert lite["classes"] == {"classes": 3, "fewest": 4, "most": 4}


def test_python_takes_tensors(sets, lite):
    rules(sets)
    made, real = (torch.from_numpy(pixels(first)).permute(0, 3, 1, 2) for first in (0, 5))
    found = msdd.evaluate(
        samples=made,
        reference=real,
        protocol=str(sets / "rules.yaml"),
        batch=3,
        features="efficientnet-lite0",
    )
    assert measured(found)["dense"] == measured(lite)["dense"]
    assert found["reference"] == "images in memory"


def test_kid_and_mind_of_samples_are_torch_fidelity_s(sets, tmp_path, monkeypatch):
    """Of 12 samples and 9 images of the reference; its subsets of 1000 are 4 here."""
    import_torchvision()
    from torch_fidelity.metric_kid import kid_features_to_metric

    monkeypatch.setattr(samples_figures, "SIZE", 4)
    monkeypatch.setattr(kid, "SIZE", 4)
    folder(tmp_path / "few", pixels(5, 9))
    rules = Rules(features="efficientnet-lite0", kid=True, mind=True)
    found = measured(compared(sets / "made", tmp_path / "few", {"both": rules}))["both"]
    network, sides = feature_network("efficientnet-lite0"), (pixels(0), pixels(5, 9))
    made, real = (
        torch.cat([network(from_uint8(torch.from_numpy(x).permute(2, 0, 1)[None])) for x in side])
        for side in sides
    )
    theirs = kid_features_to_metric(made, real, kid_subset_size=4, rng_seed=2020, verbose=False)
    kernel = found["kd_torch_fidelity_efficientnet_lite0"]
    for name in ("mean", "std"):
        expected = theirs[f"kernel_inception_distance_{name}"]
        assert kernel[name] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert found["mind_efficientnet_lite0"]["mean"] == pytest.approx(mind(made, real), rel=1e-3)
    assert found["mind_efficientnet_lite0"]["images"] == 9


def test_fewer_samples_than_a_subset_have_no_kid(sets):
    rules = Rules(features="efficientnet-lite0", kid=True, mind=True)
    found = compared(sets / "made", sets / "real", {"k": rules})
    reason = found["not_measured"]["kd_torch_fidelity_efficientnet_lite0 of k"]
    assert reason == "it needs 1,000 images on both sides"
    assert measured(found)["k"].keys() == {"mind_efficientnet_lite0"}
    with pytest.raises(MsddError, match="nothing could be measured .* it needs 1,000 images"):
        compared(sets / "made", sets / "real", {"k": rules.model_copy(update={"mind": False})})


def test_memorised_samples_and_a_constant_image(sets, tmp_path):
    chosen = rules(tmp_path, "lite", "dense")
    found = compared(sets / "made", sets / "made.npz", chosen)
    assert measured(found)["lite"]["fd_efficientnet_lite0"] < 1e-6
    whole = {"mean": 1, "low": 1, "high": 1}
    assert measured(found)["lite"]["recall"] == measured(found)["dense"]["coverage"] == whole
    grey = folder(tmp_path / "grey", np.full((COUNT, SIDE, SIDE, 3), 128, np.uint8))
    found = compared(grey, sets / "real", chosen)
    assert measured(found)["lite"]["recall"]["mean"] == 0
    assert measured(found)["lite"]["fd_efficientnet_lite0"] > 100


def test_autocast_of_the_caller_changes_no_number(sets, lite):
    with torch.autocast("cpu", torch.bfloat16):
        assert compared(sets / "made", sets / "real", rules(sets, "lite", "dense")) == lite


def of_team(sets, chosen):
    """In one process of several, or alone."""
    kid.SIZE = samples_figures.SIZE = 4
    return compared(sets / "made", sets / "real", chosen, distributed.join())


def with_inception(sides, chosen, path):
    """In one process of several, which knows nothing of a fixture."""
    os.environ["MSDD_WEIGHTS"] = str(path.parent)
    source = replace(pretrained.SOURCES["inception"], digest=files.digest(path))
    pretrained.SOURCES["inception"] = source
    kid.SIZE = samples_figures.SIZE = 4
    return compared(*sides, chosen, distributed.join())


def test_any_number_of_processes_gives_the_same_report(sets):
    """Four batches a set; none for one of four processes, where a set has three. KID's subsets of
    1000 are 4 here."""
    chosen = rules(sets, "lite", "dense")
    chosen |= {"kid": Rules(features="efficientnet-lite0", kid=True)}
    alone = of_first(1, of_team, sets, chosen)
    assert measured(alone)["kid"]["kd_torch_fidelity_efficientnet_lite0"]["mean"]
    for size in (2, 4):
        assert json.dumps(of_first(size, of_team, sets, chosen)) == json.dumps(alone)


def test_a_stopped_run_and_two_processes_give_the_same_report(tmp_path, inception, monkeypatch):
    """Also with the sums of the Inception score and of sFID, MIND, features in float16, and KID,
    whose subsets of 1000 are 4 here."""
    monkeypatch.setattr(samples_figures, "SIZE", 4)
    monkeypatch.setattr(kid, "SIZE", 4)
    sides = [folder(tmp_path / name, pixels(first, 5)) for first, name in ((0, "a"), (5, "b"))]
    plain, seen = rules(tmp_path, "classes")["classes"], []
    chosen = {"classes": plain.model_copy(update={"spatial": True, "mind": True, "kid": True})}

    def counted(*given):
        seen.append(given)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return measure(*given)

    whole = compared(*sides, chosen)
    measure = loop.measure_batch
    monkeypatch.setattr(loop, "measure_batch", counted)
    with pytest.raises(KeyboardInterrupt):
        compared(*sides, chosen, work=tmp_path / "work")
    stopped = compared(*sides, chosen, work=tmp_path / "work")
    assert json.dumps(stopped) == json.dumps(whole)
    assert len(seen) == 5  # one kept, one stopped, three after it
    score = measured(whole)["classes"]["inception_score"]
    assert 1 < score["mean"] < 1008 and score["std"] > 0
    assert measured(whole)["classes"]["kd_torch_fidelity_inception"]["mean"]
    monkeypatch.setattr(loop, "measure_batch", measure)
    again = of_first(2, with_inception, sides, chosen, inception)
    assert json.dumps(again) == json.dumps(whole)
