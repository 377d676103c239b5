import json

import finished_pipeline as pipeline
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from msdd import layout
from msdd.errors import MsddError
from msdd.files import read_json, write_json
from msdd.report import figures, table2


@pytest.fixture
def finished(tmp_path):
    return pipeline.make(tmp_path), tmp_path


def table(root, kind):
    return (root / layout.table2(kind)).read_text(encoding="utf-8")


def test_rows_are_grouped_and_say_what_they_cost(finished):
    params, root = finished
    psnr = table2.run(params, root)
    frame = pd.read_csv(root / layout.table2("csv")).set_index("row")
    assert list(frame.index) == ["mean-colour", "bicubic", "teacher", "student"]
    assert frame["group"].nunique() == 3
    assert frame.loc["teacher", "steps"] == "4/4/4" and frame.loc["teacher", "guidance"] == 1.5
    assert frame.loc["student", "forward_passes"] == 3
    assert psnr["psnr/student"] == pytest.approx(frame.loc["student", "psnr"])


def test_difference_is_paired_with_the_mean_colour(finished):
    params, root = finished
    table2.run(params, root)
    row = pd.read_csv(root / layout.table2("csv")).set_index("row").loc["teacher"]
    teacher = read_json(root / layout.evaluation("msdd", None, "teacher"))
    floor = read_json(root / layout.reference("mean-colour"))
    gain = np.subtract(teacher["per_image"]["psnr"], floor["per_image"]["psnr"])
    assert row["psnr_gain"] == pytest.approx(gain.mean())
    error = gain.std() / len(gain) ** 0.5
    half = (row["psnr_gain_high"] - row["psnr_gain_low"]) / 2
    assert half == pytest.approx(1.96 * error, rel=0.15)


def test_speed_up_names_its_teacher_and_needs_the_same_box(finished):
    params, root = finished
    table2.run(params, root)
    assert "|     4.2× | teacher |" in table(root, "md")
    path = layout.evaluation("msdd", "msdd-1step", "student")
    pipeline.timing(root, path, 83.0, device="another GPU")
    table2.run(params, root)
    row = pd.read_csv(root / layout.table2("csv")).set_index("row").loc["student"]
    assert np.isnan(row["speed_ratio"]) and row["images_per_second"] == 83.0
    assert "Some CPU @ 2.0" in table(root, "md") and "another GPU" in table(root, "md")


def quality(csv):
    """The columns up to the metrics file; those of the timing stand behind it."""
    return [line.partition(".json,")[0] for line in csv.splitlines()[1:]]


def test_only_the_columns_of_timing_change_when_timing_does(finished):
    params, root = finished
    table2.run(params, root)
    first = table(root, "csv")
    table2.run(params, root)
    assert table(root, "csv") == first
    pipeline.timing(root, layout.evaluation("msdd", None, "teacher"), 21.7)
    table2.run(params, root)
    quality = [
        [line.partition(".json,")[0] for line in text.splitlines()]
        for text in (first, table(root, "csv"))
    ]
    assert quality[0] == quality[1] and table(root, "csv") != first


def test_markdown_says_protocol_photographs_device_commit_and_files(finished):
    params, root = finished
    table2.run(params, root)
    text = table(root, "md")
    for needed in (
        "Protocol: primary",
        "40 crops of 2 held-out photographs",
        "Some CPU @ 2.0, 2 threads, fp32, batch 64",
        "Commit: 0123456789ab",
        "| runs/msdd/msdd-1step/eval/student.json |",
        "FD-EffNetLite0",
    ):
        assert needed in text
    assert "FID" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1


def test_latex_is_escaped_and_rectangular(finished):
    params, root = finished
    path = layout.evaluation("msdd", None, "teacher")
    pipeline.timing(root, path, 20.0, device="50% of a_GPU #1 & more")
    table2.run(params, root)
    text = table(root, "tex")
    assert r"50\% of a\_GPU \#1 \& more" in text
    rows = [
        line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line
    ]
    assert len(rows) == 5
    assert len({line.replace(r"\&", "").count("&") for line in rows}) == 1
    assert text.isascii()


def test_other_images_or_a_missing_file_are_clear_errors(finished):
    params, root = finished
    path = layout.evaluation("msdd", None, "teacher")
    write_json(root / path, read_json(root / path) | {"ids": list(range(1, 41))})
    with pytest.raises(MsddError, match="teacher.json and .*different images"):
        table2.run(params, root)
    (root / path).unlink()
    for stage in (table2, figures):
        with pytest.raises(MsddError, match="teacher.json is missing"):
            stage.run(params, root)


def test_grid_shows_whole_pixels_and_the_same_bytes(finished):
    params, root = finished
    assert figures.run(params, root) == {"rows": 5, "curves": 4}
    picture = root / layout.reconstructions()
    bytes_ = picture.read_bytes()
    with Image.open(picture) as image:
        shown = np.asarray(image.convert("RGB"))
    samples = np.load(root / layout.samples(layout.evaluation("msdd", "msdd-1step", "student")))
    last = np.kron(samples[15], np.ones((4, 4, 1), np.uint8))
    right, bottom = shown.shape[1] - figures.MARGIN, shown.shape[0] - figures.FOOT - figures.GAP
    np.testing.assert_array_equal(shown[bottom - 128 : bottom, right - 128 : right], last)
    figures.run(params, root)
    assert picture.read_bytes() == bytes_


def test_curves_show_what_there_is(finished):
    params, root = finished
    file = root / layout.scale("msdd", "msdd-1step", 2) / "curves.jsonl"
    assert json.loads(file.read_text().splitlines()[0])["images"] == 2_560
    file.unlink()
    assert figures.run(params, root)["curves"] == 3
    with Image.open(root / "reports" / "curves.png") as image:
        assert image.size == (1260, 450)
