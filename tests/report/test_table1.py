import finished_pipeline as pipeline
import pandas as pd
import pytest

from msdd import project_files
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.pipeline import layout
from msdd.report import published, results, table1
from msdd.report.results import read_evaluation


def table(root, kind):
    return (root / layout.table("table1", kind)).read_text(encoding="utf-8")


@pytest.fixture
def groups(finished):
    """Table 1 in its parts: published, other systems here, own models."""
    params, root = finished
    table1.run(params, root)
    frame = pd.read_csv(root / layout.table("table1", "csv"))
    return [part for _, part in frame.groupby("group", sort=False)]


def test_published_and_measured_rows_never_mix(groups):
    theirs, others, ours = groups
    assert len(theirs) == len(published.read(pipeline.ROOT).systems)
    assert theirs["file"].isna().all() and theirs["device"].isna().all()
    assert theirs["fd_efficientnet_lite0"].isna().all() and theirs["lpips_alex"].isna().all()
    assert ours["rfid"].isna().all() and ours["file"].notna().all()
    assert ours.filter(like="_source").isna().all(axis=None)
    assert others.filter(like="_source").isna().all(axis=None) and others["rfid"].isna().all()


def test_every_published_figure_has_its_source(groups):
    theirs, *_ = groups
    for column in ("tokens", "dim", "rfid", "psnr", "ssim", "nfe", "images_per_second"):
        assert (theirs[column].notna() == theirs[f"{column}_source"].notna()).all()
    assert theirs["source"].str.fullmatch(r"\[\d+(, \d+)*\]").all()


def test_every_measured_number_stands_in_the_file_it_names(finished, groups):
    _, root = finished
    for _, row in groups[-1].iterrows():
        result = read_evaluation(root / row["file"])
        timing = read_json(root / layout.timing(layout.Path(row["file"])))
        assert row["images_per_second"] == timing["images_per_second"]
        for name, value in result["metrics"].items():
            mean = value["mean"] if isinstance(value, dict) else value
            assert row[name] == pytest.approx(mean, rel=1e-15)
        for name in ("tokens", "dim", "parameters"):
            assert row[name] == result.get(name) or (pd.isna(row[name]) and name not in result)


def test_measured_rows_are_named_by_size_and_not_comparable(finished):
    params, root = finished
    table1.run(params, root)
    text = table(root, "md")
    assert "**Measured here: 40 crops of 2 held-out photographs at 32 px**" in text
    assert "do not compare with figures on ImageNet at 256 px" in text
    assert "0.800<sup>" in text and "data range of 2" in text
    assert "–: not published, or not measured here" in text
    assert text.index("| TiTok ") < text.index("| bicubic ") < text.index("| teacher ")


def test_a_protocol_without_lpips_has_no_column_of_it(finished):
    """As that of the paper; of the trunks that the params name, the first that it has."""
    params, root = finished
    measured = results.read(params, root)
    for gone, shown in (("lpips_alex", ["lpips_vgg"]), ("lpips_vgg", [])):
        for result in measured:
            del result["metrics"][gone]
        columns = table1.table(params, measured, root).columns
        assert [one.name for one in columns if one.name.startswith("lpips")] == shown


def test_an_evaluation_of_another_system_keeps_its_name(finished):
    params, root = finished
    path = root / layout.evaluation("msdd", None, "teacher")
    path.write_text(path.read_text().replace('"of":', '"system": "SD-VAE",\n  "of":'))
    table1.run(params, root)
    frame = pd.read_csv(root / layout.table("table1", "csv"))
    assert frame.set_index("decode").loc["teacher", "system"] == "SD-VAE"


def test_the_published_file_is_valid_and_explains_all_that_it_cites():
    known = published.read(pipeline.ROOT)
    figures = [one for system in known.systems.values() for one in system.figures().values()]
    assert {figure.source for figure in figures} == set(known.sources)
    assert {caveat for figure in figures for caveat in figure.caveats} == set(known.caveats)
    assert known.systems["msdd-stage-2"].psnr.value == 24.74
    assert known.systems["msdd-stage-1"].nfe is None  # paper and code disagree


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("psnr: { value: 23.27", "psrn: { value: 23.27", r"systems.msdd-stage-1.psrn .*unknown"),
        ("psnr: { value: 23.27", 'psnr: { value: "23"', r"psnr.value is .* be a valid number"),
        ("tokens: { value: 1024, source: dito-code", "tokens: { value: 1, source: x", "'x'; rows:"),
        ("caveats: [dito-lpips]", "caveats: [pear]", r"dito-xl-lpips.rfid.caveats has 'pear'"),
    ],
)
def test_a_mistake_in_the_published_file_is_one_clear_line(finished, right, wrong, told):
    _, root = finished
    path = root / layout.published()
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(MsddError, match=told) as error:
        published.read(root)
    assert str(error.value).startswith("reports/published.yaml: ")
    assert "\n" not in str(error.value)


def test_the_published_file_is_that_of_the_repository_unless_the_folder_has_one(
    finished, monkeypatch
):
    params, root = finished
    (root / layout.published()).unlink()
    table1.run(params, root)
    monkeypatch.setattr(project_files, "folder", lambda: root)
    with pytest.raises(MsddError, match=r"reports/published.yaml is missing"):
        table1.run(params, root)
