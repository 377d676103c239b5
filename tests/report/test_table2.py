import re

import finished_pipeline as pipeline
import numpy as np
import pandas as pd
import pytest

from msdd.errors import MsddError
from msdd.files import read_json, write_json
from msdd.pipeline import layout
from msdd.report import figures, table2
from msdd.report.results import paths, read, read_evaluation

TEACHER = layout.evaluation("msdd", None, "teacher")
STUDENT = layout.evaluation("msdd", "msdd-1step", "student")


def table(root, kind):
    return (root / layout.table("table2", kind)).read_text(encoding="utf-8")


def rows(root):
    return pd.read_csv(root / layout.table("table2", "csv")).set_index("decode")


def test_rows_are_grouped_over_scale_counts_and_say_what_they_cost(finished):
    params, root = finished
    psnr = table2.run(params, root)
    frame = rows(root)
    teachers = ["one-scale-teacher", "teacher", "teacher-paper-code"]
    students = ["student", "student-finetuned", "student-joint"]
    assert list(frame.index) == ["mean-colour", "bicubic", *teachers, *students]
    assert frame["group"].nunique() == 3
    assert frame.loc["teacher", "steps"] == "4/4/4" and frame.loc["teacher", "guidance"] == 1.5
    assert frame.loc["student", "nfe"] == 3
    assert psnr["psnr/student"] == pytest.approx(frame.loc["student", "psnr"])


def test_training_says_how_a_student_came_about(finished):
    params, root = finished
    table2.run(params, root)
    training = rows(root)["training"]
    assert training["teacher"] == "stage 1" and training["student"] == "per scale"
    assert training["student-finetuned"] == "finetune from msdd-1step"
    assert training["student-joint"] == "joint"


def test_difference_is_paired_with_the_mean_colour(finished):
    params, root = finished
    table2.run(params, root)
    row = rows(root).loc["teacher"]
    teacher = read_evaluation(root / TEACHER)
    floor = read_evaluation(root / layout.baseline("mean-colour"))
    gain = np.subtract(teacher["per_image"]["psnr"], floor["per_image"]["psnr"])
    assert row["psnr_gain"] == pytest.approx(gain.mean())
    error = gain.std() / len(gain) ** 0.5
    half = (row["psnr_gain_high"] - row["psnr_gain_low"]) / 2
    assert half == pytest.approx(1.96 * error, rel=0.15)


def test_speed_up_names_its_teacher_and_needs_the_same_region(finished):
    params, root = finished
    table2.run(params, root)
    assert "|     4.2× | 8×        | teacher  " in table(root, "md")
    pipeline.timing(root, STUDENT, 83.0, device="another GPU")
    table2.run(params, root)
    row = rows(root).loc["student"]
    assert np.isnan(row["speed_ratio"]) and row["images_per_second"] == 83.0
    assert "Some CPU @ 2.0" in table(root, "md") and "another GPU" in table(root, "md")


def test_the_speed_of_a_function_of_images_is_in_no_column_of_decodes(finished):
    params, root = finished
    pipeline.timing(root, STUDENT, 83.21, region="both")
    table2.run(params, root)
    row = rows(root).loc["student"]
    assert np.isnan(row["images_per_second"]) and np.isnan(row["speed_ratio"])
    told = "student is a function of whole images, .* 83.21 images/s, encoding included"
    assert re.search(told, table(root, "md"))
    assert figures.quality_speed.draw(read(params, root), root) == len(params.decodes) - 1


def test_a_teacher_is_compared_with_as_many_steps_at_full_resolution(finished):
    params, root = finished
    table2.run(params, root)
    row = rows(root).loc["teacher"]
    assert row["speed_against"] == "one-scale-teacher"
    assert row["speed_ratio"] == pytest.approx(20 / 9)
    path = layout.evaluation("one-scale", None, "one-scale-teacher")
    write_json(root / path, read_json(root / path) | {"steps": [11]})
    table2.run(params, root)
    assert pd.isna(rows(root).loc["teacher", "speed_against"])


def test_gain_by_arithmetic_is_a_range_where_scales_save_unequally(finished):
    params, root = finished
    uneven = {"steps": [5, 4, 4], "guidance": [1.5, 1.0, 1.5], "nfe": 22}
    write_json(root / TEACHER, read_json(root / TEACHER) | uneven)
    table2.run(params, root)
    assert rows(root).loc["student", "nfe_ratio"] == "4–10×"


def quality(csv):
    """The columns up to the metrics file; those of the timing stand behind it."""
    return [line.partition(".json,")[0] for line in csv.splitlines()]


def test_only_the_columns_of_timing_change_when_timing_does(finished):
    params, root = finished
    table2.run(params, root)
    first = table(root, "csv")
    table2.run(params, root)
    assert table(root, "csv") == first
    pipeline.timing(root, TEACHER, 21.7)
    table2.run(params, root)
    assert quality(table(root, "csv")) == quality(first) and table(root, "csv") != first


def test_markdown_says_protocol_photographs_device_commit_and_files(finished):
    params, root = finished
    table2.run(params, root)
    text = table(root, "md")
    for needed in (
        "Protocol: primary",
        "40 crops of 2 held-out photographs",
        "So few photographs",
        "Some CPU @ 2.0, 2 threads, fp32, batch 64",
        "Commit: 0123456789ab",
        "| runs/msdd/msdd-1step/eval/student.json ",
        "FD-EffNetLite0",
    ):
        assert needed in text
    assert "FID" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1


def test_other_images_or_a_missing_file_are_clear_errors(finished):
    params, root = finished
    write_json(root / TEACHER, read_json(root / TEACHER) | {"names": list(map(str, range(1, 41)))})
    with pytest.raises(MsddError, match="teacher.json and .*different images"):
        table2.run(params, root)
    (root / TEACHER).unlink()
    for stage in (table2, figures):
        with pytest.raises(MsddError, match="teacher.json is missing"):
            stage.run(params, root)


def test_a_kernel_distance_is_told_from_that_of_other_programs(finished):
    params, root = finished
    for path in paths(params):
        report = read_json(root / path)
        kid = {"mean": 0.01, "low": 0.005, "high": 0.015}
        report["protocols"]["primary"]["metrics"]["kd_efficientnet_lite0"] = kid
        write_json(root / path, report)
    table2.run(params, root)
    shown = (root / layout.table("table2", "md")).read_text(encoding="utf-8")
    assert "KD: the kernel distance without" in shown and "torchmetrics" in shown
