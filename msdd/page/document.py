"""`reports/report.html`: all results as one page that loads nothing else.

It is made of the same frames as the tables and figures of `msdd.report`. It is a function of its
input files, and of the records of the jobs that made them.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from msdd.files import write_text
from msdd.page import comparison, history, pictures, scatter, settings, table_view, training
from msdd.params import presets
from msdd.params.schema import Params
from msdd.pipeline import agreement, layout
from msdd.report import (
    ablation,
    curves,
    jumps,
    notes,
    other_systems,
    published,
    results,
    speed,
    table1,
    table2,
    timings,
)

HERE = Path(__file__).parent
PAGE = layout.report("report")[0]
TABLES = ("table2", "throughput", "table1", "ablation", "jumps")
BESIDE = (layout.samples, layout.extremes, layout.pyramid)  # an evaluation, shown as pictures


def run(params: Params, root: Path) -> list[str]:
    """Write `reports/report.html` from what is there; returns a line for all that is not, or is out
    of date."""
    with results.recorded("report", params, root, _files(params, root)):
        page = content(params, root)
        write_text(root / PAGE, rendered("document.html", page))
    return page["absent"]


def _files(params: Params, root: Path) -> list[Path]:
    beside = [where(path) for path in results.paths(params) for where in BESIDE]
    others = [published.place(root), *other_systems.files(root)]
    return [*results.timing_files(params), *others, *beside, *curves.files(params)]


def rendered(template: str, values: dict[str, Any]) -> str:
    """A page. What is no markup of the templates is text, whatever characters it has."""
    loader = FileSystemLoader(HERE)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    style, script = (
        Markup((HERE / f"document.{kind}").read_text("utf-8")) for kind in ("css", "js")
    )
    text = environment.get_template(template).render(style=style, script=script, **values)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # halves of surrogate pairs


def compared(found: comparison.Comparison) -> str:
    """The page of two sets of results."""
    named = enumerate(comparison.tables(found))
    verdicts = (comparison.BETTER, comparison.WORSE, comparison.WITHIN, comparison.EQUAL)
    told = [change.verdict for change in found.changes]
    values = {
        "sides": found.sides,
        "unlike": found.unlike,
        "only": found.only,
        "params": found.params,
        "counts": {verdict: told.count(verdict) for verdict in verdicts},
        "views": [table_view.view(f"metric{k}", table) for k, table in named],
        "notes": comparison.notes(found),
    }
    return rendered("comparison.html", values)


def content(params: Params, root: Path) -> dict[str, Any]:
    """All that the page holds; sections of what is not there are None or empty."""
    measured = results.read_present(params, root)
    pictured = [] if results.of_other_crops(measured, root) else measured
    known = _present(params, measured)
    records = history.records(params, root)
    panels, more_panels = training.panels(params, root)
    pairs, more_pairs = pictures.pairs(measured, root)
    return {
        "facts": {"params": _preset(params, root), **history.facts(records)},
        "absent": _absent(params, measured, root),
        "unmeasured": _unmeasured(measured),
        "tables": _tables(known, measured, root),
        "scatter": scatter.draw(measured),
        "psnr_interval": notes.psnr_interval(measured) if measured else "",
        "panels": panels,
        "more_panels": more_panels,
        "pairs": pairs,
        "more_pairs": more_pairs,
        "lines": pictures.lines(pictured, root),
        "pyramids": pictures.pyramids(pictured, root),
        "verdicts": _verdicts(known, measured),
        "history": table_view.view("jobs", history.table(records)) if records else None,
        "settings": settings.of_rows(known, list(known.decodes)),
        "everything": settings.of_everything(params),
    }


def _verdicts(params: Params, measured: list[dict]) -> list[dict]:
    """The rows of the ablation table, each with its difference as text."""
    rows = ablation.rows(params, _named(measured)).to_dict("records")
    return [row | {"told": _told(row)} for row in rows]


def _told(row: dict) -> str:
    figure, low, high = (row[f"psnr_difference{end}"] for end in ("", "_low", "_high"))
    if pd.isna(figure):
        return "no difference"
    interval = "" if pd.isna(low) else f" [{low:+.2f}, {high:+.2f}]"
    return f"{figure:+.2f} dB{interval}".replace("inf", "∞")


def _named(measured: list[dict]) -> dict[str, dict]:
    return {result["decode"]: result for result in measured}


def _present(params: Params, measured: list[dict]) -> Params:
    """The params with those decodes and ablations alone that are measured."""
    names = _named(measured).keys()
    decodes = {name: row for name, row in params.decodes.items() if name in names}
    ablations = {
        name: row for name, row in params.ablations.items() if {row.of, row.against} <= names
    }
    return params.model_copy(update={"decodes": decodes, "ablations": ablations})


def _absent(params: Params, measured: list[dict], root: Path) -> list[str]:
    """What the params ask for and nobody has made yet, or only with other params, or of what has
    been made anew since."""
    files = {result["file"] for result in measured}
    why = {False: "is missing", True: "was measured on other images"}
    lines = [
        f"{path.as_posix()} {why[(root / path).exists()]}: its decode is not shown"
        for path in results.paths(params)
        if path.as_posix() not in files
    ]
    if line := results.of_other_crops(measured, root):
        lines.append(f"{line}: they are not shown beside each other")
    if timings.read(root) is None:
        lines.append(f"{layout.throughput()} is missing: speeds are those beside evaluations")
    shown = [*results.paths(params), *_files(params, root)]
    return lines + agreement.disagreements(params, root, shown)


def _unmeasured(measured: list[dict]) -> dict[str, list[str]]:
    """Metrics that evaluations name as missing, and the decodes that lack them."""
    lacking: dict[str, list[str]] = {}
    for result in measured:
        for metric in result.get("not_measured", {}):
            lacking.setdefault(metric, []).append(result["decode"])
    return lacking


def _tables(
    params: Params, measured: list[dict], root: Path
) -> dict[str, table_view.TableView | None]:
    """The page's tables by name; None for a table without rows."""
    if not measured:
        return dict.fromkeys(TABLES)
    made = {
        "table2": table2.table(params, measured, root),
        "table1": table1.table(params, measured, root),
    }
    if params.ablations:
        made["ablation"] = ablation.table(params, measured, root)
    made |= dict(zip(["jumps"], jumps.tables(measured), strict=False))
    document = timings.read(root)
    if document and document["rows"]:
        made["throughput"] = speed.table(document, layout.throughput().name)
    views = {name: table_view.view(name, table) for name, table in made.items()}
    return dict.fromkeys(TABLES) | views


def _preset(params: Params, root: Path) -> str:
    name = presets.equal(params, root)
    return f"the preset {name}" if name else "params.yaml, which equals no preset"
