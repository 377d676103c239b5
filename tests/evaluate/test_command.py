"""`msdd evaluate` from end to end, and what it says of bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import straightforward
from PIL import Image
from two_folders import SIDE, copied, run

from msdd.cli import main


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
    assert msdd["metrics"]["psnr"]["mean"] == pytest.approx(np.mean(psnr))
    for entry, data_range in ((msdd, 2), (ssdd, 1)):
        expected = straightforward.ssim_of_each(*sides, data_range)
        assert entry["per_image"]["ssim"] == pytest.approx(expected, abs=1e-6)
    assert ssdd["metrics"]["psnr"]["mean"] < msdd["metrics"]["psnr"]["mean"]
    said = capsys.readouterr().out
    mean = msdd["metrics"]["psnr"]["mean"]
    assert f"msdd      {mean:.2f} [" in said and "only the metric half" in said
    assert "dreamsim is not measured: " in said


def test_the_same_bytes_whatever_was_there_before(folders, tmp_path):
    files = [tmp_path / name for name in ("one.json", "two.json")]
    for file in files:
        chosen = ["--protocol", "msdd", "--work", str(tmp_path / "work"), "--json", str(file)]
        assert run(folders, *chosen) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    (picture,) = (tmp_path / "work").glob("files/*/median.png")
    assert Image.open(picture).size == (2 * SIDE, SIDE)


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
    (root / "o/0.png").unlink()
    message = refused(capsys, *more)
    assert f"--originals: no image below the folder {root / 'o'} (looked for bmp, " in message
    of_a_name = ["--tokenizer", "titok-s-128", "--images", str(root / "o")]
    assert "--images: no image below" in refused(capsys, *of_a_name)  # before any weights


def test_paths_are_checked_before_anything_is_measured(folders, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text('{"names": [], "digest": "", "protocols": {"a": {"protocol": {}}}}')
    for option, path, message in (
        ("--json", tmp_path, "is a folder; name a file"),
        ("--work", file, "is a file; name a folder"),
        ("--against", file, "has no 'preparation'"),
        ("--against", tmp_path / "no", "is no JSON file"),
        ("--reference", file, "--reference means nothing without a Fréchet distance"),
    ):
        assert run(folders, "--protocol", "msdd", option, str(path)) == 1
        told = capsys.readouterr().err
        assert message in told and "images/s" not in told


def test_protocols_with_nothing_left_are_told(folders, tmp_path, capsys):
    assert run(folders, "--protocol", "titok") == 1
    assert "nothing is left to measure of titok; name another" in capsys.readouterr().err
    assert run(folders, "--protocol", "titok", "--protocol", "msdd") == 0
    said = capsys.readouterr()
    assert "nothing is left to measure of titok: left out" in said.err and "titok" not in said.out


def test_an_exact_image_is_named_and_rows_stand_as_asked(folders, tmp_path, capsys):
    root, file = copied(folders, tmp_path), tmp_path / "a.json"
    shutil.copy(root / "o/deep/3.png", root / "r/deep/3.png")
    (root / "r/deep/3.webp").unlink()
    assert run(root, "--protocol", "msdd", "--protocol", "dito", "--json", str(file)) == 0
    said, report = capsys.readouterr().out, json.loads(file.read_text())
    assert "msdd: PSNR is infinite, because deep/3 is reproduced exactly" in said
    assert [line.split()[0] for line in said.splitlines()[1:3]] == ["msdd", "dito"]
    psnr, extremes = report["protocols"]["msdd"]["per_image"]["psnr"], report["extremes"]["files"]
    assert extremes["best"] == {"name": "deep/3", "psnr": None}
    worst = min(value for value in psnr if value is not None)
    assert extremes["worst"]["psnr"] == pytest.approx(worst)
    assert report["names"][psnr.index(worst)] == extremes["worst"]["name"]
    assert f"worst {extremes['worst']['name']} ({worst:.2f} dB)" in said


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "evaluate takes DECODE, or --originals with --reconstructions, or --tokenizer"),
        (["teacher", "--images", "x"], "evaluate takes DECODE, or"),
        (["--originals", "x"], "evaluate takes DECODE, or"),
        (["--originals", "no", "--reconstructions", "no"], "--originals: there is no folder no"),
        (["--tokenizer", "os:nothing", "--images", "."], "os.py has no 'nothing'"),
        (["--tokenizer", "sys:exit", "--images", "."], "module 'sys' has no file"),
        (
            ["--tokenizer", "os:sep", "--images", "."],
            "os:sep is no function of images and has no encode",
        ),
        (["teacher", "--steps", "2"], "--steps means nothing to `evaluate teacher`"),
        (["teacher"], "--protocol means nothing to `evaluate teacher`"),
        (["--originals", "x", "--reconstructions", "y", "--seed", "3"], "--seed means nothing"),
        (["--tokenizer", "os:sep", "--images", ".", "--steps", "2"], "--steps means nothing to"),
    ],
)
def test_wrong_options_are_told(folders, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(folders / "o")
    how = ["--features", "none", "--protocol", "msdd"] if arguments[:1] != [] else []
    assert message in refused(capsys, *arguments, *how)
