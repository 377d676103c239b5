"""Text in originals and in reconstructions, read by the real OCR from rendered images."""

import json
import re

import numpy as np
import pytest
import torch
from blurred import SIDE, SUBJECT, alone, blurred, chosen, joined, report_in, run
from faded import evaluated
from forked import of_first
from PIL import Image, ImageDraw, ImageFont

from msdd.evaluate.ocr import EDGES, Line, Reader, text_numbers
from msdd.evaluate.parts import by_size
from msdd.evaluate.sources import Subject

WRITTEN = {"a": ["harbour", "seven boats"], "b": ["market 42"], "c": []}
pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


def text(keys: str = "") -> str:
    return f"text: {{ quantisation: round, ocr: rapidocr{keys} }}"


def picture(lines: list[str], blur: int = 1) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        font = ImageFont.load_default(48 - 40 * row)
        draw.text((16, 30 + 90 * row), line, font=font, fill="black")
    small = image.resize((SIDE // blur,) * 2, Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """`o` with written pictures, `r` where small writing is blurred away."""
    root = tmp_path_factory.mktemp("written")
    for folder, blur in {"o": 1, "r": 4}.items():
        (root / folder).mkdir()
        for name, lines in WRITTEN.items():
            picture(lines, blur).save(root / folder / f"{name}.png")
    return root


def test_the_same_image_is_read_alike(sides, tmp_path, capsys):
    assert run(sides, tmp_path, text(), "o") == 0
    entry = report_in(tmp_path)["protocols"]["mine"]
    metrics = {name: value["mean"] for name, value in entry["metrics"].items() if name != "psnr"}
    assert metrics["text_accuracy"] == metrics["text_ned"] == 1 and metrics["text_cer"] == 0
    assert entry["images_with"]["text_accuracy"] == 2
    assert entry["per_image"]["text_cer"] == [0, 0, None]
    assert "2 images have text, the others none" in capsys.readouterr().out


def test_small_writing_is_lost_first(sides, tmp_path):
    assert run(sides, tmp_path, text()) == 0
    metrics = report_in(tmp_path)["protocols"]["mine"]["metrics"]
    assert metrics["text_ned_large"]["mean"] > 0.8 > metrics["text_ned_medium"]["mean"]
    assert metrics["text_accuracy_medium"]["mean"] == 0 < metrics["text_cer"]["mean"]


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_transcripts_tell_what_the_original_itself_loses(sides, tmp_path, ending):
    file = tmp_path / f"t.{ending}"
    written = {"a.png": "harbour\nseven boats", "b": "market 43"}
    if ending == "json":
        file.write_text(json.dumps(written))
    else:
        file.write_text("".join(f'{name},"{text}"\n' for name, text in written.items()))
    assert run(sides, tmp_path, text(f", transcripts: {file}")) == 0
    values = report_in(tmp_path)["protocols"]["mine"]["per_image"]
    assert values["text_cer_truth_original"] == [0, pytest.approx(1 / 8), None]
    assert values["text_cer_truth"][0] > 0


def test_images_without_text_are_said_to_have_none(sides, tmp_path):
    bare = tmp_path / "bare"
    (bare / "o").mkdir(parents=True)
    for name in "de":
        picture([]).save(bare / "o" / f"{name}.png")
    assert run(bare, tmp_path, text(), "o") == 0
    report = report_in(tmp_path)
    assert report["not_measured"] == {"text_accuracy": "no text was found in any original"}
    assert report["protocols"]["mine"]["metrics"].keys() == {"psnr"}


def test_two_runs_are_compared_where_both_have_text(sides, tmp_path, capsys):
    assert run(sides, tmp_path, text(), "o") == 0
    (tmp_path / "m.json").rename(tmp_path / "before.json")
    capsys.readouterr()
    assert run(sides, tmp_path, text(), "r", "--against", str(tmp_path / "before.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("mine") and "text 1-NED" in line)
    assert re.match(r"-\d+\.\d\d points +\[-", row.split("↑")[1].strip())


def test_processes_and_a_stopped_run_read_the_same(sides, tmp_path):
    """Three images in batches of 2: some processes have none; the stop is in the second batch."""
    rules, seen = chosen(tmp_path, text()), []
    whole = alone(sides / "o", rules)
    for size in (2, 4):
        found = of_first(size, joined, sides / "o", rules)
        assert json.dumps(found) == json.dumps(whole)

    def stopping(images, names):
        seen.append(names)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return blurred(images, names)

    how = {"work": tmp_path / "work", "subject": Subject(SUBJECT.about, SIDE, stopping)}
    with pytest.raises(KeyboardInterrupt):
        evaluated(sides / "o", rules, **how)
    assert json.dumps(evaluated(sides / "o", rules, **how)) == json.dumps(whole)
    assert len(seen) == 3 and "text_ned" in whole["protocols"]["mine"]["metrics"]


def test_a_line_counts_in_the_range_of_its_size():
    """TokBench's at 256 px: from 0.02, 0.03 and 0.04."""
    lines = [Line("a", "a", size) for size in (0.019, 0.02, 0.031, 0.5)]
    found = {
        name: [line.size for line in some] for name, some in by_size(lines, EDGES, 256).items()
    }
    assert found.pop("") == [0.019, 0.02, 0.031, 0.5]
    assert found == {"_small": [0.02], "_medium": [0.031], "_large": [0.5]}
    assert [line.size for line in by_size(lines, EDGES, 512)["_medium"]] == [0.02]


def test_a_longer_line_weighs_more_in_the_error_rate_alone():
    found = text_numbers([Line("abcd", "abcd", 0.1), Line("ab", "xy", 0.02)], 256)
    assert (found["accuracy"], found["ned"]) == (0.5, 0.5)
    assert found["cer"] == pytest.approx(2 / 6)
    assert (found["ned_small"], found["ned_large"]) == (0, 1)


def test_reading_is_on_one_thread_and_repeats_itself():
    reader = Reader()
    options = reader.engine.text_det.infer.session.get_session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    image = torch.from_numpy(np.array(picture(WRITTEN["a"]))).permute(2, 0, 1)
    first = reader.lines(image, image)
    assert [line.original for line in first] == ["harbour", "sevenboats"]
    assert reader.lines(image, image) == first
