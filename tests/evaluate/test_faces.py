"""Faces in originals and in reconstructions, found and embedded by dlib's real networks."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from blurred import SIDE, alone, chosen, joined, report_in, run
from forked import of_first
from matplotlib import cbook
from PIL import Image, ImageFilter
from skimage import data

from msdd.errors import MsddError
from msdd.evaluate.faces import SAME, Face, face_numbers, faces
from msdd.health import machine
from msdd.weights import face_networks
from msdd.weights.face_networks import FaceNetworks, doublings

FACES = "faces: { quantisation: round, network: dlib }"
HERE = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models"))
needs_dlib = pytest.mark.skipif(not HERE, reason="needs the extra faces, which the lock has not")
pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


def astronaut(side: int) -> Image.Image:
    """Eileen Collins, a photograph of NASA that scikit-image brings."""
    return Image.fromarray(data.astronaut()[:256, 96:352]).resize((side, side))


def admiral() -> Image.Image:
    """Grace Hopper, a photograph of the US Navy that matplotlib brings."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return Image.open(file).convert("RGB")


def two_faces() -> Image.Image:
    """A large one and one of a third of its side."""
    image = astronaut(SIDE)
    image.paste(astronaut(SIDE // 3), (0, SIDE - SIDE // 3))
    return image


def bare() -> Image.Image:
    return Image.fromarray(data.coffee()[:SIDE, :SIDE])


PICTURES = {"one": astronaut(SIDE), "two": two_faces(), "none": bare()}


def soft(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.fixture(scope="module")
def networks() -> FaceNetworks:
    return FaceNetworks()


@pytest.fixture(scope="module")
def sides(tmp_path_factory) -> Path:
    """`o` with pictures, `r` with blurred ones."""
    root = tmp_path_factory.mktemp("portraits")
    for folder, radius in {"o": 0, "r": 2.5}.items():
        (root / folder).mkdir()
        for name, picture in PICTURES.items():
            soft(picture, radius).save(root / folder / f"{name}.png")
    return root


@needs_dlib
def test_the_same_image_has_the_same_faces(sides, tmp_path, capsys):
    assert run(sides, tmp_path, FACES, "o") == 0
    entry = report_in(tmp_path)["protocols"]["mine"]
    means = {name: value["mean"] for name, value in entry["metrics"].items()}
    assert (means["face_same"], means["face_distance"], means["face_count"]) == (1, 0, 1.5)
    assert means["face_similarity"] == pytest.approx(1)
    values = entry["per_image"]
    assert values["face_count"] == [None, 1, 2]  # in the order of the names: none, one, two
    assert values["face_distance_large"] == [None, 0, 0]
    assert values["face_distance_small"] == [None, None, 0]
    assert entry["faces"]["weights"] == face_networks.FILES
    assert "mine: faces found: 3, in 2 of 3 images" in capsys.readouterr().out


@needs_dlib
def test_blur_takes_a_face_away_from_itself_step_by_step(networks):
    original = tensor(PICTURES["one"])
    made = [faces(networks, original, tensor(soft(PICTURES["one"], x))) for x in (1, 2, 4, 8)]
    distances = [face.distance for (face,) in made]
    assert distances == sorted(distances) and 0 < distances[0] < SAME < distances[-1]
    similarities = [face.similarity for (face,) in made]
    assert similarities == sorted(similarities, reverse=True)


@needs_dlib
def test_another_face_is_another_persons(networks):
    """Each cut out upright at its own landmarks, so that one lies where the other does."""
    import dlib

    chips = []
    for image in (np.array(PICTURES["one"]), np.array(admiral())):
        (face,) = networks.find(image)
        chips.append(torch.from_numpy(dlib.get_face_chip(image, face, SIDE, 0.6)).permute(2, 0, 1))
    ((_, _, size),) = faces(networks, chips[0], chips[0])
    ((distance, similarity, same_size),) = faces(networks, *chips)
    assert distance > SAME and similarity < 0.95 and size == same_size


@needs_dlib
def test_small_faces_are_lost_first(sides, tmp_path):
    assert run(sides, tmp_path, FACES) == 0
    metrics = report_in(tmp_path)["protocols"]["mine"]["metrics"]
    assert metrics["face_same_large"]["mean"] == 1 > metrics["face_same_small"]["mean"]
    assert metrics["face_distance_small"]["mean"] > metrics["face_distance_large"]["mean"] > 0


@needs_dlib
def test_images_without_a_face_are_said_to_have_none(tmp_path):
    (tmp_path / "o").mkdir()
    for name in "de":
        bare().save(tmp_path / "o" / f"{name}.png")
    assert run(tmp_path, tmp_path, FACES, "o") == 0
    report = report_in(tmp_path)
    assert report["not_measured"] == {"face_same": "no face was found in any original"}
    assert report["protocols"]["mine"]["metrics"].keys() == {"psnr"}


@needs_dlib
def test_two_runs_are_compared_where_both_have_faces(sides, tmp_path, capsys):
    assert run(sides, tmp_path, FACES, "o") == 0
    (tmp_path / "m.json").rename(tmp_path / "before.json")
    capsys.readouterr()
    assert run(sides, tmp_path, FACES, "r", "--against", str(tmp_path / "before.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(x for x in lines if x.startswith("mine") and "distance of faces ↓" in x)
    assert row.split("↓")[1].strip().startswith("+0.")


@needs_dlib
def test_two_processes_see_the_same(sides, tmp_path):
    rules = chosen(tmp_path, FACES)
    report = alone(sides / "o", rules)
    assert report["protocols"]["mine"]["metrics"]["face_distance"]["mean"] > 0
    assert of_first(2, joined, sides / "o", rules) == report


def test_numbers_are_means_over_the_faces_of_an_image():
    found = face_numbers([Face(0.2, 0.9, 0.12), Face(0.6, 0.5, 0.4)], SIDE)
    assert (found["count"], found["same"], found["distance"]) == (2, 0.5, pytest.approx(0.4))
    assert (found["same_small"], found["same_large"]) == (1, 0)  # 0.6 itself is another person
    assert found["similarity"] == pytest.approx(0.7) and np.isnan(found["same_medium"])
    assert all(map(np.isnan, face_numbers([], SIDE).values()))


def test_images_are_doubled_up_to_a_side():
    assert [doublings(side) for side in (64, 256, 257, 512, 513, 2000)] == [2, 2, 1, 1, 0, 0]


def test_a_face_counts_in_the_range_of_its_size():
    """TokBench's at 256 and at 512 px."""
    sizes = {256: (0.1, 0.2, 0.3), 512: (0.05, 0.1, 0.2)}
    for side, begins in sizes.items():
        for name, begin in zip(("small", "medium", "large"), begins, strict=True):
            found = face_numbers([Face(0, 1, begin)], side)
            assert found[f"same_{name}"] == 1 and sum(x == 1 for x in found.values()) == 4


def test_without_the_packages_a_line_says_how_to_get_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MsddError, match=r"faces need dlib-bin, `pip install 'msdd\[faces\]'`"):
        FaceNetworks()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MsddError, match="faces need face_recognition_models"):
        face_networks.checked(next(iter(face_networks.FILES)))
    (finding,) = [one for one in machine.optional(set()) if one.about == "faces"]
    assert finding.cure == "pip install dlib-bin face_recognition_models"


@needs_dlib
def test_weights_that_are_others_are_refused(monkeypatch):
    monkeypatch.setattr(face_networks, "FILES", dict.fromkeys(face_networks.FILES, "0" * 64))
    with pytest.raises(MsddError, match="is not that of face_recognition_models 0.3.0"):
        FaceNetworks()
