"""`msdd evaluate` from end to end, and what it says of bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import straightforward
import torch
from PIL import Image
from skimage import data

from msdd.cli import main

COUNT, SIDE = 6, 48


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """`o/` with crops of a photograph, `r/` with blurred ones under other endings."""
    root = tmp_path_factory.mktemp("folders")
    (root / "o/deep").mkdir(parents=True)
    (root / "r/deep").mkdir(parents=True)
    for k in range(COUNT):
        image = Image.fromarray(data.astronaut()[50 * k :][:SIDE, 60 * k :][:, :SIDE])
        small = image.resize((16, 16), Image.Resampling.BOX)
        name = f"deep/{k}" if k % 2 else str(k)
        image.save(root / f"o/{name}.png")
        small.resize(image.size, Image.Resampling.BICUBIC).save(
            root / f"r/{name}.webp", lossless=True
        )
    return root


def copied(folders: Path, to: Path) -> Path:
    return shutil.copytree(folders, to / "copy")


def run(folders: Path, *more: str) -> int:
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    return main(["evaluate", *sides, "--features", "none", *more])


def arrays(folder: Path) -> np.ndarray:
    paths = sorted(
        folder.rglob("*.*"), key=lambda path: str(path.relative_to(folder).with_suffix(""))
    )
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def test_two_folders_give_a_table_and_a_file_of_figures(folders, tmp_path, capsys):
    file = tmp_path / "report.json"
    chosen = ["--protocol", "msdd", "--protocol", "ssdd", "--batch", "4"]
    assert run(folders, *chosen, "--json", str(file)) == 0
    report = json.loads(file.read_text())
    assert report["names"] == ["0", "2", "4", "deep/1", "deep/3", "deep/5"]
    sides = arrays(folders / "o"), arrays(folders / "r")
    msdd, ssdd = (report["protocols"][name] for name in ("msdd", "ssdd"))
    psnr = straightforward.psnr_of_each(*sides)
    assert msdd["per_image"]["psnr"] == pytest.approx(psnr, rel=1e-12)
    assert msdd["figures"]["psnr"]["mean"] == pytest.approx(np.mean(psnr))
    for entry, data_range in ((msdd, 2), (ssdd, 1)):
        expected = straightforward.ssim_of_each(*sides, data_range)
        assert entry["per_image"]["ssim"] == pytest.approx(expected, abs=1e-6)
    assert ssdd["figures"]["psnr"]["mean"] < msdd["figures"]["psnr"]["mean"]
    said = capsys.readouterr().out
    mean = msdd["figures"]["psnr"]["mean"]
    assert f"msdd      {mean:.2f} [" in said and "only the metric half" in said
    assert "dreamsim is not measured: " in said


def test_the_same_bytes_whatever_was_there_before(folders, tmp_path):
    files = [tmp_path / name for name in ("one.json", "two.json")]
    for file in files:
        chosen = ["--protocol", "msdd", "--work", str(tmp_path / "work"), "--json", str(file)]
        assert run(folders, *chosen) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert Image.open(tmp_path / "work/files-median.png").size == (2 * SIDE, SIDE)


def test_two_runs_are_told_apart_image_by_image(folders, tmp_path, capsys):
    """Reconstructions against darker ones of the same: worse in every image."""
    root, file = copied(folders, tmp_path), tmp_path / "first.json"
    chosen = ["--protocol", "msdd", "--protocol", "flowmo", "--protocol", "ssdd"]
    assert run(folders, *chosen, "--json", str(file)) == 0
    for path in (root / "r").rglob("*.webp"):
        darker = np.asarray(Image.open(path)) * 0.9
        Image.fromarray(darker.astype(np.uint8)).save(path, lossless=True)
    capsys.readouterr()
    assert run(root, *chosen, "--against", str(file)) == 0
    lines = capsys.readouterr().out.splitlines()
    worse = [line for line in lines if line.startswith(("msdd  psnr  -", "flowmo  psnr  -"))]
    assert len(worse) == 2 and any(line.startswith("ssdd  psnr  -") for line in lines)
    assert run(folders, "--protocol", "dito", "--against", str(file)) == 1
    assert "has no protocol of dito with the same rules" in capsys.readouterr().err


def brighter(images: torch.Tensor) -> torch.Tensor:
    """What the command is given as `test_command:brighter`."""
    return images + 2 / 255


def test_any_callable_is_a_tokenizer(tmp_path, capsys):
    """One level up everywhere: 48.13 dB, and no rule but truncation sees it otherwise."""
    for k in range(3):
        Image.fromarray(data.astronaut()[90 * k :][:80] // 2).save(tmp_path / f"{k}.jpg")
    what = ["--tokenizer", "test_command:brighter", "--images", str(tmp_path), "--resolution", "32"]
    how = ["--features", "none", "--protocol", "msdd", "--protocol", "dito"]
    assert main(["evaluate", *what, *how]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["msdd", "48.13"], ["dito", "48.13"]]


def refused(capsys, *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == 1
    return capsys.readouterr().err


def test_folders_that_disagree_or_cannot_be_read_are_named(folders, tmp_path, capsys):
    root = copied(folders, tmp_path)
    sides = ["--originals", str(root / "o"), "--reconstructions", str(root / "r")]
    more = [*sides, "--protocol", "msdd", "--features", "none"]
    (root / "r/4.webp").write_bytes(b"no image")
    assert "4.webp: not an image of a known format" in refused(capsys, *more)
    Image.new("RGB", (SIDE, 40)).save(root / "r/4.webp")
    assert f"4.webp has {SIDE} x 40 pixels and its original" in refused(capsys, *more)
    Image.new("RGB", (SIDE, SIDE)).save(root / "r/4.jpg")
    assert "have the same name" in refused(capsys, *more)
    for name in ("4.jpg", "4.webp"):
        (root / "r" / name).unlink()
    message = refused(capsys, *more)
    assert "has no image named like" in message and "1 of 6 are missing" in message
    for path in [*(root / "o").rglob("*.png"), *(root / "r").rglob("*.webp")]:
        if path.stem != "0":
            path.unlink()
    assert "at least 2 images, not 1" in refused(capsys, *more)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "evaluate takes DECODE, or --originals with --reconstructions, or --tokenizer"),
        (["teacher", "--images", "x"], "evaluate takes DECODE, or"),
        (["--originals", "x"], "evaluate takes DECODE, or"),
        (["--originals", "no", "--reconstructions", "no"], "--originals: there is no folder no"),
        (["--tokenizer", "os:nothing", "--images", "."], "--tokenizer os:nothing: module 'os' has"),
        (["--tokenizer", "os:sep", "--images", "."], "os:sep is no function of images, but str"),
        (["teacher", "--steps", "2"], "--steps means nothing to `evaluate teacher`"),
        (["teacher"], "--protocol means nothing to `evaluate teacher`"),
        (["--originals", "x", "--reconstructions", "y", "--seed", "3"], "--seed means nothing"),
        (["--tokenizer", "os:sep", "--images", ".", "--steps", "2"], "--steps means nothing to"),
    ],
)
def test_wrong_options_are_told(capsys, arguments, message):
    how = ["--features", "none", "--protocol", "msdd"] if arguments[:1] != [] else []
    assert message in refused(capsys, *arguments, *how)
