"""The page of all results: the figures of the tables, whatever is there, and text as text."""

import re
import subprocess
import sys
from collections import Counter
from html import unescape
from html.parser import HTMLParser

import finished_pipeline as pipeline
import pytest

from msdd.files import read_json, write_json
from msdd.page import document, settings, table_view
from msdd.page.chart import Axis, thinned
from msdd.page.scatter import LABELLED, draw, front
from msdd.params.load import parse
from msdd.pipeline import layout
from msdd.report import ablation, results, table1, table2

HOSTILE = "</script><marquee>&amp;\"'{{ 7*7 }} \u05d0\u05d1\u202e<img src=x onerror=alert(1)>"


def made(params, root) -> str:
    document.run(params, root)
    return (root / document.PAGE).read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Counts elements, and collects what they link to."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.links = Counter(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]


def test_the_page_has_the_figures_of_the_tables_and_loads_nothing(finished):
    params, root = finished
    page = made(params, root)
    shown = Counter(unescape(re.sub(r"<[^>]*>", "", cell)) for cell in cells(page))
    read = results.read(params, root)
    for stage in (table1, table2, ablation):
        table = stage.table(params, read, root)
        rows = [row for _, group in table.groups() for row in group]
        written = Counter(text(column, row) for row in rows for column in table.columns)
        assert not written - shown
    assert all(link.startswith(("#", "data:")) for link in Elements(page).links)


def cells(page: str) -> list[str]:
    return re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", page, re.DOTALL)


def text(column, row) -> str:
    figure, _, interval = column.cell(row).partition(" [")
    return figure + column.mark(row) + (f"[{interval}" if interval else "")


def test_the_same_files_give_the_same_page(finished):
    params, root = finished
    assert made(params, root) == made(params, root)


def test_markup_in_names_is_text(finished):
    """In devices, crops, questions, hosts and photographs: no element, no script, no direction."""
    params, root = finished
    before = Elements(made(params, root)).tags
    for decode in params.decodes:
        path = layout.evaluation(*params.source(decode), decode)
        timed = read_json(root / layout.timing(path))
        pipeline.timing(root, path, timed["images_per_second"], device=HOSTILE)
        report = read_json(root / path)
        for image in report["extremes"]["held_out"].values():
            image["name"] = HOSTILE
        write_json(root / path, report | {"not_measured": {HOSTILE: "gone"}})
    row = params.ablations["joint"].model_copy(update={"question": HOSTILE})
    data = params.data.model_copy(update={"photographs": HOSTILE})
    asked = {"ablations": params.ablations | {"joint": row}, "data": data}
    page = made(params.model_copy(update=asked), root)
    tags = Elements(page).tags
    assert "marquee" not in tags and tags["script"] == before["script"]
    assert tags["img"] == before["img"]
    assert "<marquee" not in page and "onerror=alert(1)>" not in page
    assert unescape(page).count(HOSTILE) > 20


def test_what_is_missing_is_named_and_the_rest_is_shown(finished):
    params, root = finished
    gone = layout.evaluation("msdd", "msdd-joint", "student-joint")
    (root / gone).unlink()
    for decode in params.decodes:
        path = root / layout.evaluation(*params.source(decode), decode)
        layout.extremes(path).unlink()
        if decode != "student-joint":
            report = read_json(path)
            del report["protocols"]["primary"]["metrics"]["lpips_vgg"]
            write_json(path, report | {"not_measured": {"lpips_vgg": "no weights"}})
    page = made(params, root)
    assert f"{gone.as_posix()} is missing" in page and "lpips_vgg is not measured of" in page
    assert 'id="quality"' in page and 'id="row-student"' in page
    assert 'id="row-student-joint"' not in page and "One student for all scales" not in page


def test_while_decodes_are_measured_on_other_images_the_page_shows_the_new_ones(finished):
    """And no prepared crops beside reconstructions of others."""
    params, root = finished
    new, old = (layout.evaluation("msdd", None, name) for name in ("teacher", "teacher-paper-code"))
    write_json(root / new, read_json(root / new) | {"digest": "new"})
    record = {"stage": "evaluate", "params": {"seed": params.seed + 1}, "inputs": {}, "made": {}}
    record |= {"started": "2026-01-01T00:00:00+00:00", "wildcards": {}, "versions": {}}
    record |= dict.fromkeys(("code", "host", "device", "engine", "rule", "commit"), "")
    record |= {"command": [], "dirty": False, "seconds": 1.0, "threads": 1}
    for path in results.paths(params):
        if path != new:
            write_json(root / layout.provenance(path), record)
    page = made(params, root)
    assert 'id="row-teacher"' in page and 'id="row-teacher-paper-code"' not in page
    assert f"{old.as_posix()} was measured on other images: its decode is not shown" in page
    assert "has other crops than" in page and "The same crops through every decode" not in page
    manifest = root / layout.prepared() / "manifest.json"
    write_json(manifest, read_json(manifest) | {"digest": "new"})
    assert "The same crops through every decode" in made(params, root)


def test_of_baselines_alone_there_is_a_page(finished):
    params, root = finished
    for decode in params.decodes:
        (root / layout.evaluation(*params.source(decode), decode)).unlink()
    page = made(params, root)
    assert 'id="row-bicubic"' in page and 'id="ablations"' not in page and 'id="speed"' not in page
    for name in ("mean-colour", "bicubic"):
        (root / layout.baseline(name)).unlink()
    assert "Nothing is measured yet" in made(params, root)


def test_params_of_rows_are_resolved_and_told_apart(finished):
    params, _ = finished
    found = settings.of_rows(params, list(params.decodes))
    scales = found["keys"].index("model.scales")
    of = {name: found["values"][scales][row[scales]] for name, row in found["rows"].items()}
    assert of["teacher"] == "3" and of["one-scale-teacher"] == "1"
    mode = found["keys"].index("distil.mode")
    assert found["rows"]["teacher"][mode] is None
    assert found["values"][mode][found["rows"]["student-joint"][mode]] == "joint"
    assert found["shared"]["stage1.batch"] == str(params.stage1.batch)
    assert set(found["students"]) == {"student", "student-finetuned", "student-joint"}
    assert not found["shared"].keys() & set(found["keys"])


def test_a_row_that_was_trained_elsewhere_is_on_the_page(finished):
    """Also a function of images, of which neither latents nor passes are known."""
    params, root = finished
    row = {"decode": "theirs", "tokenizer": "mine.py:whole", "tokens": None, "dim": None}
    row |= {"bits": None, "parameters": 0, "nfe": None, "weights": {}}
    path = layout.evaluation(None, None, "theirs")
    pipeline.evaluation(root, path, row, pipeline.photographs(pipeline.IMAGES), 25)
    pipeline.timing(root, path, 123.4, region="both")
    raw = params.raw()
    raw["decodes"] |= {"theirs": {"tokenizer": "mine.py:whole"}}
    page = made(parse(raw), root)
    assert "theirs is a function of whole images" in page and "123.4 images/s" in page
    assert "decodes trained elsewhere" not in page  # as its speed is not one of decoding alone
    pipeline.timing(root, path, 123.4)
    page = made(parse(raw), root)
    assert 'class="point elsewhere" href="#row-theirs"' in page and "None passes" not in page
    assert "decodes trained elsewhere" in page
    shown = settings.of_rows(parse(raw), ["teacher", "theirs"])
    places = dict(zip(shown["keys"], shown["rows"]["theirs"], strict=True))
    assert places["decode.tokenizer"] is not None
    assert settings.resolved(parse(raw), "theirs").keys() >= {"decode.tokenizer", "model"}
    assert "model.width" not in settings.resolved(parse(raw), "theirs")


def test_a_cell_knows_its_source_and_what_keeps_it_from_comparing(finished):
    params, root = finished
    view = table_view.view("t", table1.table(params, results.read(params, root), root))
    columns = ["".join(head.lines) for head in view.heads]
    stage1 = view.groups[0][1][0].cells[columns.index("PSNR ↑")]
    assert stage1.value == 23.27 and stage1.marks == "b"
    assert stage1.note.startswith("Published: ") and " b: " in stage1.note


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        (Axis(0, 10, 0, 100), ["0", "2", "4", "6", "8", "10"]),
        (Axis(1, 100, 0, 90, log=True), ["1", "2", "5", "10", "20", "50", "100"]),
        (Axis(0.011, 0.018, 0, 90, log=True), None),
        (Axis(5, 5, 0, 90), None),
    ],
)
def test_ticks_are_round_and_stand_where_their_values_do(axis, labels):
    ticks = axis.ticks()
    assert all(axis.start <= place <= axis.end for place, _ in ticks) and ticks
    assert labels is None or [label for _, label in ticks] == labels


def test_of_many_points_those_of_the_front_have_labels(finished):
    params, root = finished
    one = results.read(params, root)[-1]
    speeds = range(1, LABELLED + 2)
    many = [one | {"timing": {"images_per_second": speed, "batch": 1}} for speed in speeds]
    points = draw(many)["points"]
    assert [bool(point["label"]) for point in points] == [False] * LABELLED + [True]


def test_the_front_is_what_no_point_beats_twice():
    points = [{"x": x, "y": y} for x, y in ((1, 1), (2, 3), (3, 2), (2, 2), (4, 9))]
    assert [(one["x"], one["y"]) for one in front(points)] == [(1, 1), (3, 2), (4, 9)]


def test_thinning_keeps_both_ends():
    points = list(range(1000))
    kept = thinned(points, 100)
    assert kept[0] == 0 and kept[-1] == 999 and 100 <= len(kept) <= 102 and thinned([1], 9) == [1]


def test_the_page_does_not_wait_for_torch():
    code = "import sys, msdd.page.document; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
