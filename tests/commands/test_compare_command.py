"""`msdd compare`: what stands in the picture, and what cannot be compared."""

import os

import numpy as np
import pytest
from PIL import Image
from skimage import data

from msdd import cli
from msdd.report import side_by_side


@pytest.fixture
def sides(tmp_path):
    """Two folders of landscapes of 90 x 60 px; the second ones are 2 levels brighter."""
    for name, more in {"a": 0, "b": 2}.items():
        (tmp_path / name).mkdir()
        for k in range(3):
            pixels = data.astronaut()[50 * k :][:60, :90] // 2 + more
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / f"{k}.png")
    return tmp_path


def test_differences_are_enlarged_and_cut_off():
    first = np.full((2, 2, 3), 100, np.uint8)
    (made,) = side_by_side.differences([first, first - 3], 8)
    assert (made == 24).all()
    (made,) = side_by_side.differences([first, first + 60], 8)
    assert (made == 255).all()


def test_psnr_stands_below_each():
    first = np.full((2, 2, 3), 100, np.uint8)
    told = side_by_side.decibels([first, first, first + 2])
    assert told == ["equal", "PSNR 42.11 dB"]  # 20 log10(255 / 2)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_folders_and_files_become_a_picture(sides, capsys, ending):
    made = sides / f"made.{ending}"
    assert cli.main(["compare", str(sides / "a"), str(sides / "b"), "-o", str(made)]) == 0
    assert (
        cli.main(["compare", str(sides / "a/0.png"), str(sides / "b/0.png"), "-o", str(made)]) == 0
    )
    assert capsys.readouterr().out == f"{made} written\n" * 2 and made.stat().st_size > 1000


def test_of_many_images_some_are_drawn_and_it_says_so(tmp_path, capsys):
    for i in range(11):
        for side in "ab":
            (tmp_path / side).mkdir(exist_ok=True)
            Image.new("RGB", (16, 16), (i, 0, 0)).save(tmp_path / side / f"{i:02}.png")
    made = tmp_path / "made.png"
    assert cli.main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(made)]) == 0
    assert capsys.readouterr().out == f"{made} written: 8 of 11 images, evenly spaced\n"
    figure = side_by_side.draw([tmp_path / "a", tmp_path / "b"], 8)
    assert any("8 of 11 images" in text.get_text() for text in figure.texts)


def test_the_picture_says_what_it_shows(sides):
    figure = side_by_side.draw([sides / "a", sides / "b"], 8)
    texts = {text.get_text() for text in figure.texts}
    assert {"a", "b", "|b - a|", "x 8", "0", "PSNR 42.11 dB"} <= texts
    assert len(figure.axes) == 9  # three rows of an original, an image and a difference


def test_names_are_text_whatever_they_hold(sides):
    """Neither a formula of matplotlib nor something that it cannot draw."""
    names = {"x$y^{$": "x$y^{$", os.fsdecode(b"caf\xe9"): "caf\\xe9", "new\nline": "new\\nline"}
    for side in "ab":
        for k, name in enumerate(names):
            (sides / side / f"{k}.png").rename(sides / side / f"{name}.png")
    other = (sides / "b").rename(sides / "b$_{$")
    assert cli.main(["compare", str(sides / "a"), str(other), "-o", str(sides / "made.png")]) == 0
    drawn = {text.get_text() for text in side_by_side.draw([sides / "a", other], 8).texts}
    assert {*names.values(), "b$_{$"} <= drawn


def test_names_are_paired_in_any_form_of_unicode(sides):
    """macOS writes the decomposed one."""
    for side, name in {"a": "M\u00fcller", "b": "Mu\u0308ller"}.items():
        (sides / side / "0.png").rename(sides / side / f"{name}.png")
    figure = side_by_side.draw([sides / "a", sides / "b"], 8)
    assert "M\u00fcller" in {text.get_text() for text in figure.texts}


def test_every_side_may_lie_in_the_home_folder(sides, monkeypatch):
    monkeypatch.setenv("HOME", str(sides))
    assert cli.main(["compare", "~/a", "~/b", "~/b", "-o", "~/made.png"]) == 0
    assert (sides / "made.png").is_file()


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (["a/0.png", "odd.png"], "0.png has 90 x 60 pixels and odd.png 60 x 90: they must have"),
        (["a", "b/0.png"], "b/0.png is no folder, and others are"),
        (["a", "few"], "few has no image named like"),
        (["a/0.png", "none.png"], "none.png: No such file or directory"),
        (["a", "b", "-o", "made.jpg"], "--output made.jpg: name a file that ends with .png"),
        (["a/0.png", "b/0.png", "-o", "a/0.png"], "--output a/0.png would replace the image"),
    ],
)
def test_what_cannot_be_compared_is_named(sides, monkeypatch, capsys, places, told):
    monkeypatch.chdir(sides)
    Image.new("RGB", (60, 90)).save("odd.png")
    (sides / "few").mkdir()
    Image.new("RGB", (90, 60)).save("few/0.png")
    before = (sides / "a/0.png").read_bytes()
    assert cli.main(["compare", *places]) == 1
    assert told in capsys.readouterr().err
    assert (sides / "a/0.png").read_bytes() == before and not (sides / "compare.png").exists()
