"""Bits per pixel of reconstructions, as a column."""

import json

import pytest
from coded import CELL, SIDE, entry, run
from PIL import Image
from two_folders import COUNT
from two_folders import SIDE as LENGTH

from msdd.cli import main

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")
RULES = "mine: { crop: adm, psnr: { quantisation: round, pool: 1 }, bpp: true }\n"


@pytest.fixture
def coded_as(folders, tmp_path):
    """Evaluates the originals against files of other endings, by image, with these options."""
    (tmp_path / "rules.yaml").write_text(RULES)

    def evaluated(to: str, endings: list[str], *more: str, quality: int = 40) -> dict:
        for k, path in enumerate(sorted((folders / "o").rglob("*.png"))):
            made = (
                tmp_path
                / to
                / path.relative_to(folders / "o").with_suffix(endings[k % len(endings)])
            )
            made.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).save(made, **({} if made.suffix == ".png" else {"quality": quality}))
        what = ["--originals", str(folders / "o"), "--reconstructions", str(tmp_path / to)]
        how = ["--protocol", str(tmp_path / "rules.yaml"), "--json", str(tmp_path / f"{to}.json")]
        assert main(["evaluate", *what, *how, *more]) == 0
        return json.loads((tmp_path / f"{to}.json").read_text())

    return evaluated


def test_files_of_a_codec_have_the_rate_of_their_bits(coded_as, tmp_path, capsys):
    found = coded_as("jpeg", [".jpg"])
    mine = found["protocols"]["mine"]
    bits = [8 * next((tmp_path / "jpeg").glob(f"{n}.jpg")).stat().st_size for n in found["names"]]
    assert mine["per_image"]["bpp"] == [b / LENGTH**2 for b in bits]
    assert mine["metrics"]["bpp"]["mean"] == pytest.approx(sum(bits) / COUNT / LENGTH**2)
    assert mine["metrics"]["bpp"]["low"] < mine["metrics"]["bpp"]["mean"]
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:2] == ["protocol", "bpp"]
    assert "mine: bpp is the rate of files, as they are\n" in out


def test_rates_are_compared_image_by_image(coded_as, tmp_path, capsys):
    first = coded_as("jpeg", [".jpg"])["protocols"]["mine"]["per_image"]["bpp"]
    capsys.readouterr()
    second = coded_as("webp", [".webp"], "--against", str(tmp_path / "jpeg.json"))
    rates = second["protocols"]["mine"]["per_image"]["bpp"]
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("mine  bpp"))
    assert float(line.split()[2]) == pytest.approx((sum(rates) - sum(first)) / COUNT, abs=1e-4)
    assert line.endswith("*")


def test_copies_without_loss_have_none(coded_as, capsys):
    """Of some images the mean is that of the others; of all, a dash and a line."""
    found = coded_as("some", [".png", ".jpg"])["protocols"]["mine"]
    known = [x for x in found["per_image"]["bpp"] if x is not None]
    assert len(known) == found["images_with"]["bpp"] == COUNT // 2
    assert found["metrics"]["bpp"]["mean"] == pytest.approx(sum(known) / len(known))
    assert f"of the {COUNT // 2} of {COUNT} images that have one" in capsys.readouterr().out
    none = coded_as("none", [".png"])
    assert "bpp" not in none["protocols"]["mine"]["metrics"]
    assert none["not_measured"]["bpp"].startswith("the reconstructions are no files of a lossy")
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["mine", "–"]


def test_codes_have_their_nominal_rate(photographs, tmp_path, capsys):
    """4 bits of each cell, as `codes` tells them, too."""
    assert run(photographs, "grey", "bpp: true, codes: true", tmp_path) == 0
    found, rate = entry(tmp_path), 4 / CELL**2
    assert found["metrics"]["bpp"] == {"mean": rate, "low": rate, "high": rate}
    assert found["codes"]["nominal_bits"] == rate * SIDE**2
    assert "bpp is the rate of codes, each as likely as any other" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["unsized", "means", "white"])
def test_what_has_no_codes_has_no_rate(photographs, tmp_path, name):
    assert run(photographs, name, "bpp: true", tmp_path) == 0
    assert "bpp" not in entry(tmp_path)["metrics"]
