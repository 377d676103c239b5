import xml.etree.ElementTree as ElementTree

import finished_pipeline as pipeline
import numpy as np
import pytest
from PIL import Image

from msdd.files import read_json, write_json
from msdd.pipeline import layout
from msdd.report import contact_sheet, curves, figures, notes, pyramid, quality_speed
from msdd.report.results import read


def picture(root, name):
    with Image.open(root / layout.figure(name, "png")) as image:
        return np.asarray(image.convert("RGB"))


def enlarged(image):
    factor = contact_sheet.CELL // len(image)
    return np.kron(image, np.ones((factor, factor, 1), np.uint8))


def cell(shown, left, top, row, column):
    x, y = (start + k * (128 + contact_sheet.GAP) for start, k in ((left, column), (top, row)))
    return shown[y : y + 128, x : x + 128]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The params of a small finished pipeline, its folder, and what its figures show."""
    root = tmp_path_factory.mktemp("drawn")
    params = pipeline.make(root)
    return params, root, figures.run(params, root)


def test_all_figures_are_drawn_with_the_same_bytes_each_time(drawn):
    params, root, shown = drawn
    assert shown == {"rows": 9, "pyramids": 2, "points": 6, "curves": 7}
    files = [root / layout.figure(name, kind) for name in layout.FIGURES for kind in ("png", "svg")]
    first = [file.read_bytes() for file in files]
    figures.run(params, root)
    assert [file.read_bytes() for file in files] == first


def test_grid_shows_whole_pixels(drawn):
    _, root, _ = drawn
    path = layout.evaluation("msdd", "msdd-joint", "student-joint")
    samples, shown = np.load(root / layout.samples(path)), picture(root, "reconstructions")
    left = shown.shape[1] - contact_sheet.MARGIN - 128
    grid = cell(shown, left, contact_sheet.MARGIN, 8, 0)
    np.testing.assert_array_equal(grid, enlarged(samples[15]))


def test_pyramid_goes_from_coarse_to_fine_to_the_original(drawn):
    _, root, _ = drawn
    shown, top = picture(root, "pyramid"), contact_sheet.MARGIN + contact_sheet.HEAD
    with np.load(root / layout.pyramid(layout.evaluation("msdd", None, "teacher"))) as file:
        scales = [file[f"scale{k}"] for k in range(3)]
    for k, images in enumerate(scales):
        found = cell(shown, contact_sheet.MARGIN, top, 5, k)
        np.testing.assert_array_equal(found, enlarged(images[15]))
    original = np.load(root / layout.prepared() / "held_out" / "00000.npy")[15]
    left = shown.shape[1] - contact_sheet.MARGIN - 128
    np.testing.assert_array_equal(cell(shown, left, top, 5, 0), enlarged(original))


def test_only_pixels_are_raster_in_an_svg(drawn):
    _, root, _ = drawn
    count = {}
    for name in layout.FIGURES:
        tree = ElementTree.parse(root / layout.figure(name, "svg"))
        count[name] = len(tree.findall(".//{http://www.w3.org/2000/svg}image"))
    assert count == {"reconstructions": 72, "pyramid": 42, "quality_speed": 0, "curves": 0}


def test_what_was_not_timed_trained_or_traced_is_left_out(finished):
    params, root = finished
    (root / layout.timing(layout.evaluation("msdd", None, "teacher"))).unlink()
    (root / layout.scale("msdd", "msdd-1step", 2) / "curves.csv").unlink()
    (root / layout.assembled("msdd", "msdd-joint") / "curves.csv").unlink()
    for file in root.glob("runs/**/*.pyramid.npz"):
        file.unlink()
    results = read(params, root)
    assert quality_speed.draw(results, root) == 5
    assert curves.draw(params, root) == 5
    assert pyramid.draw(results, root) == 0


def test_labels_of_long_names_stay_inside(finished, monkeypatch):
    params, root = finished
    shown = []
    monkeypatch.setattr(quality_speed, "save", lambda figure, *_: shown.append(figure))
    results = [
        one | {"decode": one["decode"] + "-of-a-long-name" * 2} for one in read(params, root)
    ]
    quality_speed.draw(results, root)
    width = shown[0].get_figwidth() * shown[0].dpi
    boxes = [text.get_window_extent() for text in shown[0].axes[0].texts]
    assert boxes and all(box.x0 >= 0 and box.x1 <= width for box in boxes)


def test_labels_of_close_points_do_not_overlap():
    taken = [(-4.0, -4.0, 4.0, 4.0)]
    for _ in range(6):
        regions = quality_speed.places(0.0, 0.0, 60.0)
        found = min(
            regions, key=lambda region: sum(quality_speed.overlap(region, o) for o in taken)
        )
        assert not any(quality_speed.overlap(found, other) for other in taken)
        taken.append(found)


@pytest.mark.parametrize(("count", "few"), [(2, True), (29, True), (30, False)])
def test_few_photographs_are_told(finished, count, few):
    _, root = finished
    manifest = root / layout.prepared() / "manifest.json"
    write_json(manifest, read_json(manifest) | {"photographs": {"held_out": count, "train": 5}})
    assert ("few" in notes.few(root)) is few and "few" in notes.few(root, "train")
    assert notes.crops([{"images": 40}], root) == f"40 crops of {count} held-out photographs"
