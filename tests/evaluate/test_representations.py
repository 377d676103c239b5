"""Distances on several networks beside one another, each under its name."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from random_clip import by_openai, by_pillow, save_small, small_state, take_small
from torch.nn.functional import interpolate, normalize
from two_folders import COUNT

from msdd.cli import main
from msdd.data.pixels import from_uint8, to_uint8
from msdd.errors import MsddError
from msdd.evaluate import distances
from msdd.evaluate.distances import fdr
from msdd.evaluate.function import evaluate
from msdd.evaluate.protocols import load
from msdd.metrics import kid
from msdd.metrics.frechet import Moments, frechet_distance
from msdd.metrics.mind import mind
from msdd.weights import pretrained
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.packages import efficientnet_file
from msdd.weights.pretrained_networks import feature_network
from msdd.weights.representations import CLIP, FDR, REPRESENTATIONS

MINE = """
mine:
  crop: adm
  psnr: { quantisation: round, pool: 1 }
  fid: { quantisation: round, features: efficientnet-lite0 }
  kid: true
  frechet: { quantisation: round, networks: [efficientnet-lite0, efficientnet-lite2, MORE] }
  mind: true
  fdr: FDR
  cmmd: { quantisation: round }
"""


def run(folders, tmp_path, *more: str, networks: str = "", fdr: str = "false", cmmd=False) -> dict:
    """The report of two folders by MINE."""
    text = MINE.replace(", MORE", networks).replace("FDR", fdr)
    lines = text.splitlines()
    (tmp_path / "mine.yaml").write_text("\n".join(lines if cmmd else lines[:-1]))
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    more = ["--protocol", str(tmp_path / "mine.yaml"), "--json", str(tmp_path / "m.json"), *more]
    assert main(["evaluate", *sides, *more]) == 0
    return json.loads((tmp_path / "m.json").read_text())


def again(tmp_path) -> str:
    """The report that `run` has written, under another name."""
    return str((tmp_path / "m.json").rename(tmp_path / "before.json"))


def sides(folders) -> list[torch.Tensor]:
    """Both as floats in [-1, 1]."""
    paths = [sorted(p for p in (folders / k).rglob("*.*")) for k in "or"]
    arrays = ([np.array(Image.open(path)) for path in side] for side in paths)
    return [from_uint8(torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2)) for side in arrays]


def by_package(name: str, levels: torch.Tensor) -> torch.Tensor:
    """Features (N, 1280) by the class, the weights and the side of the packages, of levels that are
    normalised as published, (level - 127) / 128."""
    network = EfficientNet.from_pretrained(name, weights_path=str(efficientnet_file(name))).eval()
    size = (EfficientNet.get_image_size(name),) * 2
    resized = interpolate(levels.float(), size, mode="bilinear", antialias=True)
    with torch.no_grad():
        return network.extract_features((resized - 127) / 128).mean((2, 3))


def test_each_distance_is_named_for_its_network(folders, tmp_path, capsys):
    metrics = run(folders, tmp_path)["protocols"]["mine"]["metrics"]
    for name in ("efficientnet-lite0", "efficientnet-lite2"):
        rows = [by_package(name, to_uint8(side)) for side in sides(folders)]
        moments = [Moments(1280) for _ in rows]
        for one, features in zip(moments, rows, strict=True):
            one.update(features)
        key = name.replace("-", "_")
        assert metrics[f"fd_{key}"] == pytest.approx(frechet_distance(*moments), rel=1e-3)
        found = metrics[f"mind_{key}"]
        assert found["mean"] == pytest.approx(mind(*rows), rel=1e-3)
        assert found["directions"] == 1000 and found["images"] == COUNT
    table = capsys.readouterr().out.partition(" images; intervals")[0]
    assert "FD-EffNetLite0 ↓" in table and "MIND-EffNetLite2 ↓" in table and "FID" not in table


def test_kid_by_torch_fidelity_draws_in_the_order_of_the_files(folders, tmp_path, monkeypatch):
    """Equal to torch-fidelity 0.4.0 on the same features; its subsets of 1000 are 4 here."""
    import_torchvision()
    from torch_fidelity.metric_kid import kid_features_to_metric

    monkeypatch.setattr(kid, "SIZE", 4)
    monkeypatch.setitem(distances.FEWEST, "kid_torch_fidelity", 4)
    network = feature_network("efficientnet-lite0")
    rows = [torch.cat([network(x[None]) for x in side]) for side in sides(folders)]
    both = {"originals": folders / "o", "reconstructions": folders / "r"}
    for first in (len(rows[0]), len(rows[0]) - 1):
        fid = f"{{ quantisation: round, features: efficientnet-lite0, first: {first} }}"
        text = f"mine: {{ crop: adm, kid_torch_fidelity: true, fid: {fid} }}"
        (tmp_path / "kid.yaml").write_text(text)
        metrics = evaluate(**both, protocol=tmp_path / "kid.yaml")["protocols"]["mine"]["metrics"]
        found = metrics["kd_torch_fidelity_efficientnet_lite0"]
        some = [side[:first] for side in rows]
        theirs = kid_features_to_metric(*some, kid_subset_size=4, rng_seed=2020, verbose=False)
        assert found["mean"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
        assert found["std"] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)
        assert found["estimate"] == "unbiased" and found["low"] is None


def test_cmmd_by_loops_on_photographs(folders, tmp_path, monkeypatch):
    """The kernel and the scale of cmmd-pytorch's distance.py, pair by pair, on what OpenAI's class
    makes of squares that Pillow has resized. The network is small and of random weights."""
    save_small(tmp_path)
    take_small(tmp_path, monkeypatch)
    found = run(folders, tmp_path, cmmd=True)["protocols"]["mine"]["metrics"]["cmmd"]
    network = by_openai(small_state(), quick=False, embed=True)
    squares = (by_pillow(to_uint8(side), 224, CLIP) for side in sides(folders))
    with torch.no_grad():
        x, y = (normalize(network(square)).double().tolist() for square in squares)
    expected = 1000 * (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
    assert found["mean"] == pytest.approx(expected, rel=1e-4) and expected > 1e-3
    assert found["images"] == COUNT


def kernel(x: list[list[float]], y: list[list[float]]) -> float:
    """The mean of exp(-|a - b|^2 / (2 sigma^2)) of all pairs, sigma being 10."""
    pairs = [(a, b) for a in x for b in y]
    return sum(math.exp(-(math.dist(a, b) ** 2) / 200) for a, b in pairs) / len(pairs)


def test_a_network_takes_the_place_of_the_protocol_s(folders, tmp_path):
    """The distance on it is then not measured twice; `none` leaves all of them out."""
    metrics = run(folders, tmp_path, "--features", "efficientnet-lite2")["protocols"]["mine"]
    assert metrics["protocol"]["fid"]["features"] == "efficientnet-lite2"
    assert "fd_efficientnet_lite0" in metrics["metrics"]
    none = run(folders, tmp_path, "--features", "none")["protocols"]["mine"]["metrics"]
    assert none.keys() == {"psnr"}


def test_missing_networks_are_named_with_their_files(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pretrained, "cache_folder", lambda: tmp_path / "none")
    networks = ", dinov2-l14, fdr-dinov2"
    more = {"networks": networks, "fdr": "true", "cmmd": True}
    report = run(folders, tmp_path, "--missing", "skip", **more)
    missing = report["not_measured"]
    assert missing.keys() == {
        "fd_dinov2_l14", "mind_dinov2_l14", "fd_fdr_dinov2", "mind_fdr_dinov2", "cmmd", "fdr",
    }  # fmt: skip
    assert missing["fd_dinov2_l14"] == missing["mind_fdr_dinov2"]
    assert "get dinov2_vitl14_pretrain.pth, of SHA-256 d5383ea8" in missing["fd_dinov2_l14"]
    assert "needs one of the networks fdr-inception" in missing["fdr"]
    said = capsys.readouterr().out
    assert "fd_dinov2_l14, mind_dinov2_l14, fd_fdr_dinov2, mind_fdr_dinov2 are not measured" in said
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    assert main(["evaluate", *sides, "--protocol", str(tmp_path / "mine.yaml")]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "no weights for 'dinov2-l14'" in error and "--missing skip" in error


def test_fdr_is_named_for_the_networks_it_holds(inception, folders, tmp_path, capsys):
    """With Inception of random weights as FD-loss feeds it: one network of six."""
    report = run(folders, tmp_path, networks=", fdr-inception", fdr="true")
    metrics = report["protocols"]["mine"]["metrics"]
    assert metrics["fdr_1_inception"]["mean"] == pytest.approx(metrics["fd_fdr_inception"] / 1.68)
    said = capsys.readouterr().out
    run(folders, tmp_path, "--against", again(tmp_path), networks=", fdr-inception", fdr="true")
    assert "less " in capsys.readouterr().out
    assert "FDr-1 ↓" in said and "mine: FDr-1 is the mean of Fréchet distances" in said


def test_fdr_of_validation_sets_is_1():
    distances = {name: REPRESENTATIONS[name].validation for name in FDR} | {"dinov2-l14": 99.0}
    assert fdr(distances)["fdr_6"]["mean"] == pytest.approx(1)
    two = {"fdr-clip": 11.2, "fdr-inception": 0.0}
    assert fdr(two)["fdr_2_inception_clip"]["mean"] == pytest.approx(1)
    assert fdr({"inception": 3.0}) == {}


def test_a_reference_is_of_one_network(folders, tmp_path, capsys):
    """Statistics that one run has written are those of no other network's features."""
    base = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    base += ["--protocol", "ssdd", "--missing", "skip"]
    file = str(tmp_path / "lite0.npz")
    assert (
        main(["evaluate", *base, "--features", "efficientnet-lite0", "--export-reference", file])
        == 0
    )
    assert main(["evaluate", *base, "--features", "efficientnet-lite2", "--reference", file]) == 1
    said = capsys.readouterr().err
    assert "statistics of features 'efficientnet-lite0' where this evaluation has" in said
    np.savez(tmp_path / "theirs.npz", mu=np.zeros(1024), sigma=np.eye(1024))
    theirs = ["--reference", str(tmp_path / "theirs.npz")]
    assert main(["evaluate", *base, "--features", "efficientnet-lite2", *theirs]) == 1
    assert "is of 1024 features; efficientnet-lite2 makes 1280" in capsys.readouterr().err
    with pytest.raises(AssertionError):
        run(folders, tmp_path, *theirs)
    assert "one network's features, and these protocols take" in capsys.readouterr().err


def test_the_function_knows_the_same_names(folders):
    where = {"originals": folders / "o", "reconstructions": folders / "r", "protocol": "ssdd"}
    report = evaluate(**where, features="efficientnet-lite2", missing="skip")
    assert "fd_efficientnet_lite2" in report["protocols"]["ssdd"]["metrics"]
    with pytest.raises(MsddError, match="features 'dinov2' are unknown; did you mean"):
        evaluate(**where, features="dinov2")


def test_the_page_s_protocol(tmp_path):
    """The block of docs/representations.md."""
    page = (Path(__file__).parents[2] / "docs/representations.md").read_text()
    block = page.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "mine.yaml").write_text(block)
    mine = load([str(tmp_path / "mine.yaml")])["mine"]
    assert mine.fdr and mine.mind and mine.cmmd and len(mine.frechet.networks) == 4
