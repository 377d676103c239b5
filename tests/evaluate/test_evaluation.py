"""A whole evaluation: closed forms, reference statistics, and what cannot be measured."""

import json
import os
from pathlib import Path
from shutil import copy, copytree

import numpy as np
import pytest
import torch
from faded import SIDE, SUBJECT, evaluated, faded, measured, small
from PIL import Image

from msdd.errors import MsddError
from msdd.evaluate import passes, protocols
from msdd.evaluate.protocol import GaussianSsim, Protocol
from msdd.evaluate.sources import Subject
from msdd.evaluate.summary import partial_means
from msdd.evaluate.text import notes
from msdd.metrics.intervals import bootstrap
from msdd.metrics.pooling import group_psnr

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


def test_pooling_more_lowers_psnr(photographs, tmp_path):
    """By Jensen's inequality, and the more so the more images differ."""
    file = tmp_path / "pools.yaml"
    file.write_text(
        "\n".join(
            f"{name}: {{ crop: adm, psnr: {{ quantisation: round, pool: {pool} }} }}"
            for name, pool in {"image": 1, "five": 5, "three": 3, "all": "all"}.items()
        )
    )
    found = evaluated(photographs, protocols.load([str(file)]))["protocols"]
    means = {name: entry["metrics"]["psnr"]["mean"] for name, entry in found.items()}
    assert means["all"] == pytest.approx(means["five"], abs=1e-9)  # there are 5 images
    assert means["all"] < means["three"] < means["image"]


def test_groups_have_the_mean_of_their_images():
    errors = np.array([0.1, 0.2, 0.3, 0.4, 0.6])
    found = group_psnr(errors, 2)
    assert len(found) == 3
    expected = -10 * np.log10([0.15, 0.15, 0.35, 0.35, 0.6])
    assert found.mean() == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.parametrize("level", [1, 5, 25])
def test_known_noise_has_known_psnr(tmp_path, level):
    """Half of the pixels up by `level`, half down: the squared error is level^2.

    Images of two sizes in one batch.
    """
    random = np.random.default_rng(level)
    for folder in ("o", "r"):
        (tmp_path / folder).mkdir()
    for name, height in (("a", 32), ("b", 20), ("c", 32)):
        image = random.integers(25, 231, (height, 48, 3))
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / f"o/{name}.png")
        noise = level * random.choice([-1, 1], image.shape)
        Image.fromarray((image + noise).astype(np.uint8)).save(
            tmp_path / f"r/{name}.webp", lossless=True
        )
    entry = of_folders(tmp_path)
    assert len(entry["per_image"]["ssim"]) == 3
    assert entry["metrics"]["psnr"]["mean"] == pytest.approx(20 * np.log10(255 / level), rel=1e-12)


def of_folders(root: Path, features: str = "none") -> dict:
    """`primary` without LPIPS."""
    primary = protocols.load(["primary"])["primary"].with_features(features)
    chosen = {"primary": primary.model_copy(update={"lpips": None})}
    found = measured(passes.of_folders(root / "o", root / "r", chosen))
    return found["protocols"]["primary"]


def test_identical_folders_are_at_0_and_infinity(photographs, tmp_path):
    for folder in ("o", "r"):
        (tmp_path / folder).symlink_to(photographs)
    entry = of_folders(tmp_path, "efficientnet-lite0")
    assert entry["metrics"]["psnr"] == {"mean": None, "low": None, "high": None, "infinite": True}
    assert entry["per_image"]["psnr"] == [None] * 5
    assert entry["metrics"]["ssim"]["mean"] == 1
    assert 0 <= entry["metrics"]["fd_efficientnet_lite0"] < 1e-8
    assert entry["metrics"]["kd_efficientnet_lite0"]["mean"] == 0
    json.dumps(entry, allow_nan=False)


def test_statistics_of_the_originals_are_kept_exported_and_read(photographs, tmp_path, ssdd):
    """The second run finds them, the third is given them; the figures are the same bits."""
    file = tmp_path / "reference.npz"
    first = evaluated(photographs, ssdd, export=file)
    found = evaluated(photographs, ssdd)
    given = evaluated(photographs, ssdd, reference=file)
    assert first == found
    assert given["protocols"] == first["protocols"] and given["reference"] == str(file)
    with pytest.raises(
        MsddError, match="statistics of preparation 'bilinear crop of 64 px, quantisation"
    ):
        evaluated(photographs, small(["msdd"]), reference=file)
    np.savez(file, mu=np.zeros(2048), sigma=np.eye(2048))
    with pytest.raises(MsddError, match="is of 2048 features; efficientnet-lite0 makes 1280"):
        evaluated(photographs, ssdd, reference=file)
    with pytest.raises(MsddError, match="these protocols need 2: choose one protocol"):
        evaluated(photographs, small(["ssdd", "dito"]), export=file)


def test_a_missing_kid_is_told(photographs, tmp_path):
    """The statistics of another program have no features, and 3 images are too few."""
    protocol = small(["titok"])["titok"].model_copy(update={"kid": True})
    np.savez(tmp_path / "theirs.npz", mu=np.zeros(1280), sigma=np.eye(1280))
    given = evaluated(photographs, {"a": protocol}, reference=tmp_path / "theirs.npz")
    assert "no features of single images" in given["not_measured"]["kd_efficientnet_lite0"]
    (tmp_path / "three").mkdir()
    for path in sorted(photographs.iterdir())[:3]:
        (tmp_path / "three" / path.name).symlink_to(path)
    three = evaluated(tmp_path / "three", {"a": protocol})
    assert three["not_measured"] == {"kd_efficientnet_lite0": "it needs 4 images"}
    assert "kd_efficientnet_lite0 is not measured: it needs 4 images" in notes(three)
    few = protocol.fid.model_copy(update={"first": 3})
    both = {"a": protocol.model_copy(update={"fid": few}), "b": protocol}
    other = {"kd_efficientnet_lite0 of a": "it needs 4 images"}
    assert evaluated(photographs, both)["not_measured"] == other
    whole = evaluated(photographs, {"a": protocol})
    assert not whole["not_measured"] and "KID's from the jackknife" in notes(whole)[0]


def test_a_reference_for_one_crop_is_refused_before_the_other_is_measured(
    photographs, tmp_path, ssdd
):
    def never(images, names):
        raise AssertionError

    evaluated(photographs, ssdd, export=tmp_path / "bilinear.npz")
    lanczos = ssdd["ssdd"].model_copy(update={"crop": "lanczos"})  # measured after bilinear
    how = {"subject": Subject({}, SIDE, never), "reference": tmp_path / "bilinear.npz"}
    with pytest.raises(MsddError, match="statistics of preparation 'bilinear crop"):
        evaluated(photographs, ssdd | {"lanczos": lanczos}, **how)


def test_only_metrics_with_a_window_need_its_side(tmp_path):
    for folder in ("o", "r"):
        (tmp_path / folder).mkdir()
        for k in range(2):
            Image.new("RGB", (6, 9), (k, 0, 0)).save(tmp_path / f"{folder}/{k}.png")
    with pytest.raises(MsddError, match="0 has 6 x 9 pixels: SSIM needs 7 a side"):
        of_folders(tmp_path)
    extended = protocols.load(["extended"])["extended"]
    hvs = Protocol(crop="adm", ssim=extended.ssim, psnr_hvs=extended.psnr_hvs)
    both = passes.of_folders(tmp_path / "o", tmp_path / "r", {"hvs": hvs})
    with pytest.raises(MsddError, match="0 has 6 x 9 pixels: PSNR-HVS needs 8 a side"):
        measured(both)
    gaussian = GaussianSsim(quantisation="round")
    alone = Protocol(crop="adm", gaussian_ssim=gaussian)  # which reaches 5 px aside
    found = measured(passes.of_folders(tmp_path / "o", tmp_path / "r", {"alone": alone}))
    assert found["protocols"]["alone"]["per_image"]["gaussian_ssim"] == [1, 1]
    dito = protocols.load(["dito"])["dito"].with_features("none")
    found = measured(passes.of_folders(tmp_path / "o", tmp_path / "r", {"dito": dito}))
    assert found["protocols"]["dito"]["per_image"] == {"psnr": [None] * 2}


def test_an_image_that_comes_back_unchanged_has_no_error(photographs):
    """Floats are compared as the floats that the tokenizer was given."""
    subject = Subject({}, SIDE, lambda images, names: images)
    chosen = {"dito": small(["dito"])["dito"].with_features("none")}
    found = evaluated(photographs, chosen, subject=subject)["protocols"]
    assert found["dito"]["per_image"]["psnr"] == [None] * 5


def test_what_some_images_have_not_is_redrawn_by_photographs_as_the_rest_is():
    """Crops of one photograph leave no interval."""
    photographs = [k // 4 for k in range(240)]
    text = np.full(240, np.nan)
    text[[0, 1, 2]] = 1.0, 0.5, 1.0
    alone = partial_means({"text_ned": text}, photographs)["text_ned"]
    assert alone == {"mean": pytest.approx(5 / 6), "low": None, "high": None}
    for crops in (8, 160):
        text[:crops] = np.random.default_rng(0).uniform(size=crops)
        mean, low, high = bootstrap(text[:crops], photographs[:crops])
        found = partial_means({"text_ned": text}, photographs)["text_ned"]
        assert found == {"mean": mean, "low": low, "high": high}


def test_an_image_that_is_replaced_meanwhile_is_named(photographs, tmp_path):
    """Else statistics kept for one set would be those of another, for every later run."""
    folder = Path(copytree(photographs, tmp_path / "images"))
    first, *_, last = sorted(folder.iterdir())
    for k in range(10):  # more than is read ahead
        copy(first, folder / f"{first.stem}-{k}{first.suffix}")

    def replacing(images, names):
        copy(first, tmp_path / "new")
        os.replace(tmp_path / "new", last)
        return faded(images)

    with pytest.raises(MsddError, match=f"{last.name} has changed meanwhile: begin again"):
        evaluated(folder, small(["titok"]), subject=Subject(SUBJECT.about, SIDE, replacing))


def test_fewer_than_2_images_are_refused(tmp_path):
    Image.new("RGB", (80, 80)).save(tmp_path / "one.png")
    with pytest.raises(MsddError, match="at least 2 images, not 1"):
        evaluated(tmp_path, small(["titok"]))


def test_a_tokenizer_that_diverges_or_makes_other_shapes_is_named(photographs):
    def diverging(images, names):
        coffee = torch.tensor([name == "coffee" for name in names])
        return images.masked_fill(coffee.view(-1, 1, 1, 1), torch.nan)

    for reconstruct, message in (
        (diverging, "image .*coffee.png contains nan"),
        (
            lambda images, names: images[:, :, ::2],
            r"made \(2, 3, 32, 64\) of images \(2, 3, 64, 64\)",
        ),
        (lambda images, names: images.numpy(), "made ndarray of images"),
        (
            lambda images, names: images.long(),
            r"made torch.int64; it must make floats in \[-1, 1\]",
        ),
    ):
        with pytest.raises(MsddError, match=message):
            evaluated(photographs, small(["titok"]), subject=Subject({}, SIDE, reconstruct))
