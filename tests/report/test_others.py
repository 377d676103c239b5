"""Other systems in Table 1: all are there, and what was measured of them is what the files say."""

import pandas as pd
import pytest
from test_timed import document, row

from msdd import layout
from msdd.errors import MsddError
from msdd.files import write_json
from msdd.report import others, table1
from msdd.tokenizers.systems import SYSTEMS


def timed(*names: str, random: bool = True) -> dict:
    """A throughput run of systems of the catalogue, one image in a quarter of a second."""
    about = {"resolution": 256, "tokens": 8, "dim": 2, "evaluations": 1, "parameters": 5}
    about |= {"flops": {"decode": 1e9}}
    rows = [row(name, "plain", "decode", 1, 0.25) for name in names]
    systems = [{"system": name, **about} for name in names]
    return document() | {"rows": rows, "systems": systems, "random": random}


def evaluated(**figures: object) -> dict:
    """What `msdd evaluate --tokenizer NAME --json FILE` writes, in part."""
    return {
        "tokenizer": "x",
        "weights": {"x.pth": "0123456789abcdef" * 4},
        "images": 500,
        "resolution": 256,
        "description": {"evaluations": 25},
        "protocols": {"flowmo": {"figures": {"psnr": 1.0}}, "primary": {"figures": figures}},
    }


def table(finished) -> tuple[pd.DataFrame, str]:
    params, root = finished
    table1.run(params, root)
    frame = pd.read_csv(root / layout.table("table1", "csv"))
    text = (root / layout.table("table1", "md")).read_text(encoding="utf-8")
    return frame[frame["group"] == others.GROUP].set_index("row"), text


def test_without_measurements_every_published_row_says_so(finished):
    frame, text = table(finished)
    assert (frame["source"] == others.NOWHERE).all()
    named = {SYSTEMS[name].row for name in frame.index if name in SYSTEMS} | {"ssdd"}
    assert named == {system.row for system in SYSTEMS.values()} - {"msdd-stage-2"}
    assert frame.index[-1] == "24 variants" and frame.loc["flowmo-lo", "tokens"] == 256
    assert "| not measured here |" in text and "256 × 18 bits" in text


def test_what_was_timed_has_its_speed_and_the_rest_still_says_so(finished):
    write_json(
        finished[1] / layout.systems_timed(), timed("titok-s-128", "ssdd-f16c4-m", "student")
    )
    frame, text = table(finished)
    assert frame.loc["titok-s-128", "images_per_second"] == 4.0
    assert frame.loc["ssdd-f16c4-m", "file"] == layout.systems_timed().as_posix()
    assert frame.loc["student, 256 px", "images_per_second"] == 4.0
    assert frame.loc["flowmo-lo", "source"] == others.NOWHERE
    assert "24 variants" not in frame.index and "ssdd-f8c4-s" not in frame.index
    assert "timed at their published sizes; weights: random weights" in text


def test_what_was_evaluated_has_its_figures(finished):
    figures = {"psnr": {"mean": 22.5, "low": 22.0, "high": 23.0}, "fd_inception": 1.25}
    file = layout.systems() / "flowmo-lo.json"
    write_json(finished[1] / file, evaluated(**figures))
    frame, text = table(finished)
    found = frame.loc["flowmo-lo"]
    assert (found["psnr"], found["psnr_low"], found["fd_inception"]) == (22.5, 22.0, 1.25)
    assert (found["file"], found["protocol"]) == (file.as_posix(), "primary")
    assert found["forward_passes"] == 25 and pd.isna(found["rfid"])
    assert "flowmo-lo: 500 images at 256 px; weights x.pth (0123456789ab)" in text


def test_a_file_of_no_system_is_told(finished):
    params, root = finished
    write_json(root / layout.systems() / "flowmo.json", evaluated(ssim=0.5))
    with pytest.raises(MsddError, match="reports/systems/flowmo.json is named like no system"):
        table1.run(params, root)


def test_own_rows_and_published_ones_stay_as_they_are(finished):
    table(finished)
    params, root = finished
    before = pd.read_csv(root / layout.table("table1", "csv"))
    write_json(root / layout.systems() / "dito-b.json", evaluated(ssim=0.5))
    table1.run(params, root)
    after = pd.read_csv(root / layout.table("table1", "csv"))
    shared = [before["group"] != others.GROUP, after["group"] != others.GROUP]
    pd.testing.assert_frame_equal(before[shared[0]], after[shared[1]], check_like=True)
