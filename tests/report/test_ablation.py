import finished_pipeline as pipeline
import numpy as np
import pandas as pd
import pytest

from msdd.files import read_json, write_json
from msdd.pipeline import layout
from msdd.report import ablation
from msdd.report.results import read_evaluation


def parts(root):
    frame = pd.read_csv(root / layout.table("ablation", "csv"))
    return [frame[frame["part"] == part] for part in ("comparison", "jump")]


@pytest.mark.parametrize(
    ("expect", "low", "high", "said"),
    [
        ("better", 0.1, 0.5, "as expected"),
        ("better", -0.5, -0.1, "not as expected"),
        ("better", -0.1, 0.5, "cannot tell"),
        ("better", 0.0, 0.5, "cannot tell"),
        ("worse", -0.5, -0.1, "as expected"),
        ("worse", 0.1, 0.5, "not as expected"),
        ("equal", -0.2, 0.2, "as expected"),
        ("equal", 0.05, 0.15, "as expected"),
        ("equal", 0.1, 0.3, "cannot tell"),
        ("equal", 0.21, 0.3, "not as expected"),
        ("equal", -0.4, -0.21, "not as expected"),
        (None, 0.1, 0.5, "better"),
        (None, -0.5, -0.1, "worse"),
        (None, -0.5, 0.1, "cannot tell"),
    ],
)
def test_verdict(expect, low, high, said):
    assert ablation.verdict(expect, low, high) == said


def test_rows_compare_the_same_crops_and_judge(finished):
    params, root = finished
    said = ablation.run(params, root)
    comparisons = parts(root)[0].set_index("row")
    assert list(comparisons["verdict"]) == ["as expected", "as expected", "not as expected"]
    assert list(comparisons.index) == ["finetuning", "joint", "floor"]
    row = comparisons.loc["finetuning"]
    of, against = (read_evaluation(root / file) for file in row["file"].split("; "))
    assert (of["decode"], against["decode"]) == ("student-finetuned", "student")
    assert row["psnr_of"] == pytest.approx(of["metrics"]["psnr"]["mean"], rel=1e-15)
    assert row["nfe_against"] == against["nfe"]
    for metric in ("psnr", "lpips_alex"):
        gain = np.subtract(of["per_image"][metric], against["per_image"][metric])
        low, mean, high = (row[f"{metric}_difference{end}"] for end in ("_low", "", "_high"))
        assert mean == pytest.approx(gain.mean()) and low < mean < high
        assert high - low == pytest.approx(2 * 1.96 * gain.std() / len(gain) ** 0.5, rel=0.15)
    assert said["psnr/finetuning"] == pytest.approx(row["psnr_difference"])


def test_jumps_stand_beside_theory(finished):
    params, root = finished
    ablation.run(params, root)
    jumps = parts(root)[1].set_index(["decode", "scale"])
    assert len(jumps) == 10  # two jumps of each of five decodes; one scale has none
    row = jumps.loc[("teacher-paper-code", 2)]
    assert (row["side"], row["variance"], row["correlation"]) == (32, 1.03, 0.54)
    assert row["correlation_theory"] == pytest.approx(0.5)
    assert jumps.loc[("teacher", 1), "correlation_theory"] == pytest.approx(0)


def test_correlation_in_theory_is_that_of_a_real_jump():
    """White noise of level e, enlarged and renoised by both kinds of block noise."""
    import torch

    from msdd.flow.correlation import CORRELATIONS
    from msdd.flow.jump import block_noise, jump
    from msdd.report import jumps

    torch.manual_seed(0)
    end = 2 / 3
    old, fresh = torch.randn(1, 1, 256, 256), torch.randn(1, 1, 512, 512)
    for kind, correlation in CORRELATIONS.items():
        x = jump(end * old, block_noise(fresh, correlation), end)[0, 0]
        found = (x[::2, ::2] * x[1::2, 1::2]).mean() / x.square().mean()
        one = {"scale": 0, "variance": 1.0, "correlation": 0.0}
        result = {"decode": "d", "jump": kind, "scales": [8], "file": "f", "jump_noise": [one]}
        row = jumps.tables([result])[0].frame.iloc[0]
        assert found.item() == pytest.approx(row["correlation_theory"], abs=0.015)


def test_no_rows_and_no_jumps_still_make_a_table(tmp_path):
    params = pipeline.make(tmp_path, ablations={})
    for decode in params.decodes:
        path = tmp_path / layout.evaluation(*params.source(decode), decode)
        result = read_json(path)
        del result["jump_noise"]
        write_json(path, result)
    assert ablation.run(params, tmp_path) == {}
    text = (tmp_path / layout.table("ablation", "md")).read_text(encoding="utf-8")
    assert text.count("| ablation |") == 1 and "Noise of real states" not in text
