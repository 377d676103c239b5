"""Stored photographs, and the crops that training cuts of them: a new one at every position."""

import io
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from archived import encoded, imagenet, parquet, tar
from PIL import Image

from msdd.commands.stages import run_stage
from msdd.data import photograph_shards, prepare_photographs, remarks
from msdd.data.crops import adm_random, crops
from msdd.data.image_file import decode
from msdd.data.loader import Loader, batch_indices, flips
from msdd.data.photograph_shards import PhotographShards
from msdd.data.random_crops import RandomCrops, training_images
from msdd.errors import MsddError
from msdd.files import read_json, temporary_sibling
from msdd.params.checks import cross_checks
from msdd.params.load import load
from msdd.params.sections import Data

SIDE, COUNT = 16, 9
TINY = load(Path(__file__).parents[2] / "presets/tiny.yaml")


def params(cpu_threads=1, seed=0, **changes):
    data = TINY.data.model_dump() | {
        "photographs": "train.tar",
        "held_out": "val.tar",
        "store": "photographs",
        "resolution": SIDE,
        "train_crops": None,
        "held_out_crops": None,
        "crop": "adm",
        "crop_side": (0.8, 1.0),
        "enlarge": True,
        "min_contrast": 0.0,
        "max_bad_fraction": 0.5,
    }
    changed = {"seed": seed, "cpu_threads": cpu_threads, "data": Data(**data | changes)}
    return TINY.model_copy(update=changed)


@pytest.fixture
def root(tmp_path):
    tar(tmp_path / "train.tar", imagenet(COUNT))
    tar(tmp_path / "val.tar", {f"val_{k}.JPEG": encoded(20 + k) for k in range(3)})
    return tmp_path


def prepare(root, **changes):
    run_stage(params(**changes), "prepare", root)
    return read_json(root / "data/prepared/manifest.json")


def opened(root, seed=0, threads=1):
    return RandomCrops(root / "data/prepared", seed, threads, SIDE)


def taken(images, seed, start, batches, batch=6):
    with Loader(images, seed, batch, start) as loader:
        return torch.cat([found for found, _, _ in itertools.islice(loader, batches)])


def test_photographs_keep_their_files(root):
    manifest = prepare(root)
    stored = PhotographShards(root / "data/prepared/train", COUNT)
    expected = [image for images in imagenet(COUNT).values() for image in images.values()]
    assert [stored.read(k)[1] for k in range(COUNT)] == expected
    assert manifest["crops"] == {"train": COUNT, "held_out": 3}
    assert np.load(root / "data/prepared/held_out/00000.npy").shape == (3, SIDE, SIDE, 3)


def test_the_stream_is_that_of_the_papers_code_on_the_photographs(root):
    """Its crop of the photograph itself, drawn by the position, mirrored by the coin."""
    prepare(root)
    found = taken(opened(root, seed=3), 3, 0, 3)
    indices, mirrored = batch_indices(3, COUNT, 0, 18), flips(3, np.arange(18))
    files = [image for images in imagenet(COUNT).values() for image in images.values()]
    for position, (image, index) in enumerate(zip(found, indices, strict=True)):
        data = params().data
        expected = crops(decode(files[index], ""), (3, "position"), position, position + 1, data)[0]
        expected = expected[:, ::-1] if mirrored[position] else expected
        assert np.array_equal(image.permute(1, 2, 0), expected)


def test_a_resumed_stream_has_the_same_bits_with_any_threads(root):
    prepare(root)
    whole = taken(opened(root), 0, 0, 6)
    assert torch.equal(taken(opened(root, threads=4), 0, 12, 4), whole[12:])
    assert torch.equal(taken(opened(root), 0, 12, 2, batch=12), whole[12:])


def test_no_epoch_repeats_the_crops_of_another(root):
    tar(root / "train.tar", {f"{k}.jpg": encoded(k, size=(96, 80)) for k in range(COUNT)})
    prepare(root, resolution=64)
    epochs = 5
    images = RandomCrops(root / "data/prepared", 0, 1, 64)
    found = taken(images, 0, 0, epochs, batch=COUNT)
    indices = batch_indices(0, COUNT, 0, epochs * COUNT)
    for index in range(COUNT):
        of_one = [image.numpy().tobytes() for image in found[indices == index]]
        assert len(set(of_one)) == epochs


def test_crops_are_distributed_as_in_the_papers_code(tmp_path):
    """Side 0.8 to 1.0 of the short one, uniform; anywhere; half of them mirrored.

    The photograph is a plane whose red and green say where a pixel lies.
    """
    across = np.linspace(0, 255, 100)
    plane = np.zeros((80, 100, 3), np.uint8)
    plane[..., 0], plane[..., 1] = across, across[:80, None]
    file = io.BytesIO()
    Image.fromarray(plane).save(file, "PNG")
    tar(tmp_path / "train.tar", {"plane.png": file.getvalue()})
    tar(tmp_path / "val.tar", {"val.jpg": encoded(1)})
    prepare(tmp_path, resolution=64)
    count = 3000
    images = RandomCrops(tmp_path / "data/prepared", 0, 1, 64)
    found = images.batch(np.zeros(count, int), np.arange(count)).numpy() / 255 * 99
    per_pixel = (found[:, 0, 32, 61] - found[:, 0, 32, 2]) / 59  # of the photograph's
    short = 80 / per_pixel  # side of the photograph before the cut: 64 to 80, uniform
    shares = np.linspace(0.05, 0.95, 19)
    assert np.abs(np.quantile(short, shares) - (63.5 + 17 * shares)).max() < 1
    for middle, length in ((found[:, 0, 32, 32], 100), (found[:, 1, 32, 32], 80)):
        room = length - 64 * per_pixel
        place = ((middle - 32 * per_pixel) / room)[room > 8]
        assert np.abs(np.quantile(place, (0.1, 0.5, 0.9)) - (0.1, 0.5, 0.9)).max() < 0.1
    assert abs(flips(0, np.arange(count)).mean() - 0.5) < 0.03


def test_large_photographs_are_reduced_to_the_side_and_give_the_same_kind_of_crops(root):
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8))
    large = io.BytesIO()
    smooth.resize((720, 600), Image.Resampling.BICUBIC).save(large, "PNG")
    tar(root / "train.tar", {"large.png": large.getvalue(), "small.jpg": encoded(1)})
    prepare(root, store_side=80, resolution=64)
    stored = PhotographShards(root / "data/prepared/train", 2)
    reduced, small = (Image.open(io.BytesIO(stored.read(k)[1])) for k in range(2))
    assert reduced.size == (96, 80) and reduced.format == "JPEG" and small.size == (30, 24)
    for draw in np.random.default_rng(0).random((20, 3)):
        ours, theirs = (
            np.asarray(adm_random(image.convert("RGB"), draw, 64, (0.8, 1.0))).astype(float)
            for image in (reduced, Image.open(large))
        )
        assert np.abs(ours - theirs).mean() < 4


def test_oddities_of_imagenet_are_stored_and_read(root):
    odd = {
        "cmyk.JPEG": encoded(1, mode="CMYK"),
        "png_in_disguise.JPEG": encoded(2, "PNG"),
        "gray.JPEG": encoded(3, mode="L"),
        "tiny.JPEG": encoded(4, size=(9, 7)),
        "torn.JPEG": encoded(5)[:400],
    }
    tar(root / "train.tar", odd)
    manifest = prepare(root)
    assert manifest["crops"]["train"] == 4
    assert [one["name"] for one in manifest["unreadable"]] == ["torn.JPEG"]
    images = opened(root).batch(np.arange(4), np.arange(4))
    assert images.shape == (4, 3, SIDE, SIDE)
    gray = images[list(sorted(odd)[:4]).index("gray.JPEG")]
    assert torch.equal(gray[0], gray[1])
    assert prepare(root, enlarge=False)["too_small"][0]["name"] == "tiny.JPEG"


def test_archives_of_another_split_beside_those_to_train_on_are_told(root, capsys):
    """As in a folder of the Hub, with the pattern that names some of them."""
    (root / "data").mkdir()
    for k, split in enumerate(("train", "train", "validation")):
        images = [encoded(3 * k + i) for i in range(3)]
        parquet(root / f"data/{split}-{k:05}-of-00002.parquet", images)
    prepare(root, photographs="data")
    told = capsys.readouterr().err
    assert "warning: data holds archives of train, validation, and all are trained on" in told
    prepare(root, photographs="data/train-*.parquet")
    assert "warning" not in capsys.readouterr().err
    official = [("train", f"ILSVRC2012_img_{split}.tar", "") for split in ("train", "val")]
    remarks.tell_splits(official, "store")
    assert "warning: store holds archives of train, val, and" in capsys.readouterr().err
    remarks.tell_splits([("train", "constrain-1.tar", ""), ("train", "train-1.tar", "")], "store")
    assert not capsys.readouterr().err


def test_parquet_and_tar_give_the_same_shards(root):
    images = [encoded(k) for k in range(5)]
    parquet(root / "train.parquet", images)
    tar(root / "train.tar", {f"{k}.jpg": image for k, image in enumerate(images)})
    digests = [prepare(root, photographs=f"train.{kind}")["digest"] for kind in ("parquet", "tar")]
    assert digests[0] == digests[1]


def test_the_same_bytes_with_any_threads(root, monkeypatch):
    monkeypatch.setattr(prepare_photographs, "ROWS", 4)
    first = prepare(root)
    assert [name for name in first["shards"] if name.endswith("bin")] == [
        f"train/{k:05d}.bin" for k in range(3)
    ]
    again = prepare(root, cpu_threads=4)
    assert again["digest"] == first["digest"]
    assert len(taken(opened(root), 0, 0, 1)) == 6


def test_a_killed_preparation_goes_on(root, monkeypatch, capsys):
    """Shards that are there are not made again, unless photographs or params are others."""
    monkeypatch.setattr(prepare_photographs, "ROWS", 4)
    expected = prepare(root)["digest"]
    names, plain = [], photograph_shards.stored

    def stored(photograph, data):
        names.append(photograph.name)
        if len(names) == 6:
            raise KeyboardInterrupt
        return plain(photograph, data)

    monkeypatch.setattr(photograph_shards, "stored", stored)
    (root / "data/prepared/manifest.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        prepare(root)
    assert not (root / "data/prepared/manifest.json").exists()
    (first,) = prepare_photographs.shards(root).glob("*/00000.bin")
    temporary_sibling(first.with_name("00001.bin"), 1).touch()  # as SIGKILL leaves it
    names[:] = 6 * [""]
    assert prepare(root)["digest"] == expected and len(names) == 6 + COUNT - 4
    assert "goes on after 4 photographs" in capsys.readouterr().err
    assert not prepare_photographs.shards(root).exists()
    names[:] = [""]
    with pytest.raises(KeyboardInterrupt):
        prepare(root)
    tar(root / "val.tar", {"other.JPEG": encoded(30)})
    prepare(root)
    assert "changed; preparing afresh" in capsys.readouterr().err


def test_what_is_missing_is_named(root):
    prepare(root)
    with pytest.raises(MsddError, match="16 px and data.resolution is 32"):
        training_images(root / "data/prepared", 0, 1, 32)
    binary = root / "data/prepared/train/00000.bin"
    os.truncate(binary, binary.stat().st_size - 1)
    with pytest.raises(MsddError, match="does not hold the 9 photographs"):
        training_images(root / "data/prepared", 0, 1, SIDE)


def test_params_that_do_not_fit_the_store_are_named():
    small = params(store_side=SIDE, crop_side=(0.5, 1.0), held_out_crops=TINY.data.held_out_crops)
    (line,) = [line for line in cross_checks(small) if line.startswith("data.store")]
    assert "at data.resolution 16 need at least 32, or null" in line
    (line,) = [s for s in cross_checks(params(train_crops=5)) if s.startswith("data.train_crops")]
    assert "set null" in line
