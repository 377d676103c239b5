"""Other systems in Table 1: all are there, and what was measured of them is what the files say."""

import pandas as pd
import pytest
from timed_document import document, row

from msdd.errors import MsddError
from msdd.files import write_json
from msdd.pipeline import layout
from msdd.report import other_systems, table1
from msdd.tokenizers.systems import SYSTEMS


def timed(*names: str, random: bool = True) -> dict:
    """A throughput run of systems of the catalogue, one image in a quarter of a second."""
    about = {"resolution": 256, "tokens": 8, "dim": 2, "nfe": 1, "parameters": 5}
    about |= {"flops": {"decode": 1e9}}
    rows = [row(name, "plain", "decode", 1, 0.25) for name in names]
    systems = [{"system": name, **about} for name in names]
    return document() | {"rows": rows, "systems": systems, "random": random}


EMPTY = {"protocol": {}, "preparation": "", "per_image": {}}


def evaluated(name: str, **metrics: object) -> dict:
    """What `msdd evaluate --tokenizer NAME --json FILE` writes, in part."""
    return {
        "tokenizer": name,
        "provenance": {"commit": "0a1b2c3d4e5f", "dirty": False, "device": "Some GPU"},
        "weights": {"x.pth": "0123456789abcdef" * 4},
        "images": 500,
        "resolution": 256,
        "description": {"nfe": 25},
        "names": [],
        "digest": "",
        "protocol": "flowmo",
        "protocols": {
            "flowmo": EMPTY | {"metrics": {"psnr": 1.0}},
            "primary": EMPTY | {"metrics": metrics},
        },
    }


def table(finished) -> tuple[pd.DataFrame, str]:
    params, root = finished
    table1.run(params, root)
    frame = pd.read_csv(root / layout.table("table1", "csv"))
    text = (root / layout.table("table1", "md")).read_text(encoding="utf-8")
    return frame[frame["group"] == other_systems.GROUP].set_index("decode"), text


def test_without_measurements_every_published_row_says_so(finished):
    frame, text = table(finished)
    assert (frame["source"] == other_systems.NOWHERE).all()
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
    assert frame.loc["flowmo-lo", "source"] == other_systems.NOWHERE
    assert "24 variants" not in frame.index and "ssdd-f8c4-s" not in frame.index
    assert "timed at their published sizes on Some CPU" in text and "weights: random" in text


def test_what_was_evaluated_has_its_metrics(finished):
    figures = {"psnr": {"mean": 22.5, "low": 22.0, "high": 23.0}, "fd_inception": 1.25}
    file = layout.systems() / "flowmo-lo.json"
    write_json(finished[1] / file, evaluated("flowmo-lo", **figures))
    frame, text = table(finished)
    found = frame.loc["flowmo-lo"]
    assert (found["psnr"], found["psnr_low"], found["fd_inception"]) == (22.5, 22.0, 1.25)
    assert (found["file"], found["protocol"]) == (file.as_posix(), "primary")
    assert found["nfe"] == 25 and pd.isna(found["rfid"])
    assert "500 images at 256 px by protocol primary; weights x.pth (0123456789ab); on Some" in text
    assert "Some GPU. All metrics are in reports/systems/flowmo-lo.json. Commit: 0a1b2c" in text


def test_what_was_evaluated_and_timed_names_both_files(finished):
    files = [layout.systems() / "flowmo-lo.json", layout.systems_timed()]
    write_json(finished[1] / files[0], evaluated("flowmo-lo", ssim=0.5))
    write_json(finished[1] / files[1], timed("flowmo-lo"))
    frame, _ = table(finished)
    assert frame.loc["flowmo-lo", "file"] == ", ".join(map(str, files))


def test_ratios_to_a_decoder_of_ours_stand_beside_the_papers(finished):
    found = timed("student", "flowmo-lo", "dito-xl", "sd-vae-ft-mse")
    found["rows"][0]["images_per_second"] = 1000.0
    write_json(finished[1] / layout.systems_timed(), found)
    _, text = table(finished)
    ratios = "flowmo-lo 250× (60.5×), dito-xl 250× (459×), sd-vae-ft-mse 250×."
    assert f"Images/s of student over those of other systems: {ratios}" in text
    assert "Other systems' images/s: decoding alone, all in one run" in text
    found["systems"][0] = found["systems"][0] | {"resolution": 64}
    write_json(finished[1] / layout.systems_timed(), found)
    assert "over those of other systems" not in table(finished)[1]


def test_a_file_with_metrics_of_another_system_is_told(finished):
    params, root = finished
    write_json(root / layout.systems() / "llamagen-16.json", evaluated("titok-s-128", ssim=0.5))
    with pytest.raises(MsddError, match="metrics of titok-s-128; name it titok-s-128.json"):
        table1.run(params, root)


def test_a_file_of_no_system_is_told(finished):
    params, root = finished
    write_json(root / layout.systems() / "flowmo.json", evaluated("flowmo", ssim=0.5))
    with pytest.raises(MsddError, match="reports/systems/flowmo.json is named like no system"):
        table1.run(params, root)


def test_own_rows_and_published_ones_stay_as_they_are(finished):
    table(finished)
    params, root = finished
    before = pd.read_csv(root / layout.table("table1", "csv"))
    write_json(root / layout.systems() / "dito-b.json", evaluated("dito-b", ssim=0.5))
    table1.run(params, root)
    after = pd.read_csv(root / layout.table("table1", "csv"))
    shared = [before["group"] != other_systems.GROUP, after["group"] != other_systems.GROUP]
    pd.testing.assert_frame_equal(before[shared[0]], after[shared[1]], check_like=True)
