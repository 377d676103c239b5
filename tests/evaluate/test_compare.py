"""Two reports side by side: what differs, how surely, and what cannot be compared."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from two_folders import SIDE, copied, run

from msdd.cli import main
from msdd.errors import MsddError
from msdd.evaluate import samples_compare, samples_text
from msdd.evaluate.compare import Other, cells, check_names
from msdd.metrics.pooling import pooled_psnr_difference


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
    said = capsys.readouterr().out
    for name in ("msdd", "flowmo", "ssdd"):
        assert re.search(rf"^{name} +PSNR ↑ +-\d", said, re.MULTILINE)
    assert run(folders, "--protocol", "dito", "--against", str(file)) == 1
    assert "has no protocol of dito with the same rules" in capsys.readouterr().err


def figure(report: dict, protocol: str) -> float:
    return report["protocols"][protocol]["metrics"]["psnr"]["mean"]


def test_a_difference_is_that_of_the_means(folders, tmp_path, capsys):
    """Also of pooled errors of images of two sizes, where large images weigh more."""
    root, files = copied(folders, tmp_path), [tmp_path / "a.json", tmp_path / "b.json"]
    for side, ending in (("o", "png"), ("r", "webp")):
        path = root / side / f"4.{ending}"
        Image.open(path).resize((8 * SIDE, 8 * SIDE)).save(path, lossless=True)
    chosen = ["--protocol", "ssdd", "--protocol", "flowmo", "--protocol", "msdd"]
    assert run(root, *chosen, "--json", str(files[0])) == 0
    path = root / "r/4.webp"
    Image.open(path).point(lambda level: level + 3).save(path, lossless=True)
    path = root / "r/2.webp"
    Image.open(root / "o/2.png").save(path, lossless=True, quality=0)
    Image.open(path).point(lambda level: level + 1).save(path, lossless=True)
    capsys.readouterr()
    assert run(root, *chosen, "--json", str(files[1]), "--against", str(files[0])) == 0
    said, reports = capsys.readouterr().out, [json.loads(file.read_text()) for file in files]
    signs = set()
    for name in ("ssdd", "flowmo", "msdd"):
        expected = figure(reports[1], name) - figure(reports[0], name)
        (found,) = re.findall(rf"^{name} +PSNR ↑ +(\S+)", said, re.MULTILINE)
        assert float(found) == pytest.approx(expected, abs=1e-4)
        signs.add(found[0])
    assert signs == {"+", "-"}


def test_differences_are_in_the_table_s_units():
    """Shares in points of per cent, kernel distances by a thousand."""
    assert list(cells(0.0123, 0.01, 0.0146, percent=True)) == [
        "+1.23 points", "[+1.00, +1.46]", "*"
    ]  # fmt: skip
    assert list(cells(0.0123, None, None)) == ["+0.0123", "", ""]
    levels = {"kd_torch_fidelity_inception": {"mean": 0.0123, "low": None, "high": None}}
    rules = {"preparation": None, "protocol": {}}
    here = {"protocols": {"a": rules | {"metrics": levels}}}
    there = {"kd_torch_fidelity_inception": {"mean": 0.0100, "low": None, "high": None}}
    other = Other(Path("b.json"), {"protocols": {"a": rules | {"metrics": there}}})
    assert samples_text.table(here).split()[-1] == "12.30"
    assert "KID by torch-fidelity ×1000 ↓  +2.3000" in samples_compare.comparison(here, other)


def test_a_name_in_another_unicode_form_is_the_same_image():
    other = Other(Path("b.json"), {"names": ["cafe\u0301", "x"]})
    check_names(["caf\u00e9", "x"], other)
    with pytest.raises(MsddError, match="the first that differs: x"):
        check_names(["caf\u00e9", "y"], other)


def test_intervals_of_groups_leave_out_no_difference_as_seldom_as_they_say():
    """Errors of both sides are alike; of 9 groups there is no interval, of 12 a usable one."""
    outside = []
    for seed in range(100):
        a, b = np.random.default_rng(seed).lognormal(-6, 1, (2, 60))
        _, low, high = pooled_psnr_difference(5, a, b, np.ones(60))
        outside.append(not low <= 0 <= high)
        assert pooled_psnr_difference(5, a[:45], b[:45], np.ones(45))[1:] == (None, None)
    assert np.mean(outside) < 0.2


def test_one_group_of_images_has_no_interval(folders, tmp_path, capsys):
    """FlowMo's groups of 5, of which 3 images make one."""
    root, file = copied(folders, tmp_path), tmp_path / "a.json"
    for folder in ("o/deep", "r/deep"):
        shutil.rmtree(root / folder)
    assert run(root, "--protocol", "flowmo", "--json", str(file)) == 0
    psnr = json.loads(file.read_text())["protocols"]["flowmo"]["metrics"]["psnr"]
    said = capsys.readouterr().out
    assert psnr["low"] is None and f"flowmo    {psnr['mean']:.2f}  " in said
    assert "flowmo: PSNR is of 1 group of 5 images, too few for an interval" in said
    path = root / "r/2.webp"
    Image.open(path).point(lambda level: level // 2).save(path, lossless=True)
    assert run(root, "--protocol", "flowmo", "--against", str(file)) == 0
    assert re.search(r"PSNR ↑ +-\d+\.\d+$", capsys.readouterr().out, re.MULTILINE)


def test_other_originals_are_refused_before_anything_is_measured(folders, tmp_path, capsys):
    """Of the same names, of other names, and through another resolution."""
    root, file = copied(folders, tmp_path), tmp_path / "a.json"
    assert run(root, "--protocol", "msdd", "--json", str(file)) == 0
    image = Image.open(root / "o/2.png").point(lambda level: level ^ 1)
    image.save(root / "o/2.png")
    capsys.readouterr()
    more = ["--protocol", "msdd", "--against", str(file)]
    assert run(root, *more) == 1
    said = capsys.readouterr().err
    assert "is of other originals, though of the same names" in said and "images/s" not in said
    for path in (root / "o/2.png", root / "r/2.webp"):
        path.unlink()
    assert run(root, *more) == 1
    told = "has 6 images, this run 5; the first that differs: 2"
    assert told in capsys.readouterr().err
    what = ["--tokenizer", "test_named:brighter", "--images", str(folders / "o")]
    what += ["--protocol", "msdd", "--features", "none", "--resolution"]
    assert main(["evaluate", *what, "32", "--json", str(file)]) == 0
    capsys.readouterr()
    assert main(["evaluate", *what, "16", "--against", str(file)]) == 1
    told = "msdd is of adm crop of 32 px there, and of adm crop of 16 px here"
    assert told in capsys.readouterr().err


def test_runs_with_and_without_distances_are_compared(folders, tmp_path, capsys):
    root, file = copied(folders, tmp_path), tmp_path / "a.json"
    assert run(root, "--protocol", "msdd", "--json", str(file)) == 0
    lite = ["--features", "efficientnet-lite0"]
    assert run(root, "--protocol", "msdd", *lite, "--against", str(file)) == 0
    assert "less " in capsys.readouterr().out
    report = json.loads(file.read_text())
    report["protocols"]["msdd"]["protocol"]["ssim"]["range"] = 1
    file.write_text(json.dumps(report))
    assert run(root, "--protocol", "msdd", "--against", str(file)) == 1
    assert "msdd has another rule there for ssim" in capsys.readouterr().err


def test_infinite_values_are_compared(folders, tmp_path, capsys):
    """All images exact, none, and one each of two runs, whose infinities have no difference."""
    files = {name: tmp_path / f"{name}.json" for name in ("none", "all", "first", "last")}
    exact = {"none": [], "all": ["0", "2", "4", "deep/1", "deep/3", "deep/5"]}
    exact |= {"first": ["0"], "last": ["deep/5"]}
    said = {}
    chosen = ["--protocol", "msdd", "--protocol", "ssdd"]
    for name, file in files.items():
        (tmp_path / name).mkdir()
        root = copied(folders, tmp_path / name)
        for image in exact[name]:
            Image.open(root / f"o/{image}.png").save(root / f"r/{image}.webp", lossless=True)
        against = {"all": "none", "first": "none", "last": "first"}.get(name, "none")
        more = ["--against", str(files[against])] if files[against].exists() else []
        assert run(root, *chosen, "--json", str(file), *more) == 0
        said[name] = capsys.readouterr().out.partition("less ")[2]
    assert re.search(r"^msdd  PSNR ↑ +\+∞ +\[\+∞, \+∞\] +\*$", said["all"], re.MULTILINE)
    assert re.search(r"^ssdd  PSNR ↑ +\+∞ +\[\+∞, \+∞\] +\*$", said["all"], re.MULTILINE)
    assert re.search(r"^msdd  PSNR ↑ +\+∞ +\[\+0.0000, \+∞\]$", said["first"], re.MULTILINE)
    assert re.search(r"^msdd  PSNR ↑ +undefined: ∞ - ∞$", said["last"], re.MULTILINE)
    assert "nan" not in "".join(said.values())
