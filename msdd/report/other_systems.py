"""Other systems in Table 1: the evaluations and timings of them that were made here, by name.

Speed comes from `reports/systems/throughput.json` (`make table1-speed`), quality from the files of
`msdd evaluate --tokenizer NAME ... --json reports/systems/NAME.json`.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from msdd.errors import MsddError
from msdd.pipeline import layout
from msdd.report import timings
from msdd.report.metric_columns import metrics, speed
from msdd.report.notes import commits, regions
from msdd.report.published import Published, latent
from msdd.report.results import read_evaluation
from msdd.tokenizers.systems import MSDD, SYSTEMS, System

GROUP = "Other systems at their published sizes, measured here"
NOWHERE = "not measured here"


def files(root: Path) -> list[Path]:
    """All files in the folder of other systems, relative to `root`."""
    return [path.relative_to(root) for path in sorted((root / layout.systems()).glob("*"))]


def evaluation_files(root: Path) -> list[Path]:
    """The files of evaluations, relative to `root`. MsddError for one that is named otherwise."""
    paths = [path for path in files(root) if path.suffix == ".json"]
    paths = [path for path in paths if path != layout.systems_timed()]
    for path in paths:
        if path.stem not in SYSTEMS:
            raise MsddError(f"{path} is named like no system; `msdd tokenizers` lists the names")
    return paths


def rows(known: Published, root: Path) -> Iterator[dict]:
    """A row for each measured system, and one for each published row without a measured system."""
    document = timings.read(root, layout.systems_timed()) or {"rows": [], "systems": []}
    quality = {path.stem: path for path in evaluation_files(root)}
    named = [(name, system) for name, system in SYSTEMS.items() if system.family is not MSDD]
    for _, alike in groupby(named, key=lambda pair: pair[1].row):
        alike = list(alike)
        variants = [
            _of_system(system, known)
            | {"decode": name}
            | _measurement(quality.get(name), timings.timing(document, name), root)
            for name, system in alike
        ]
        yield from [row for row in variants if row["source"] == "here"] or [_nowhere(variants)]
    for about in document["systems"]:
        if about["system"] not in SYSTEMS:
            timing = timings.timing(document, about["system"])
            yield _of_decode(about) | _measurement(None, timing, root)


def _of_system(system: System, known: Published) -> dict:
    return {
        "group": GROUP,
        "system": system.family.title,
        "tokens": system.tokens,
        "dim": system.dim,
        "latent": latent(system.tokens, system.dim, code_of(system, known)),
        "nfe": system.nfe,
        "parameters": system.parameters,
    }


def code_of(system: System, known: Published) -> str:
    return known.systems[system.row].code if system.row else ""


def _of_decode(about: dict) -> dict:
    """A row of `decodes` that was timed beside them, at the size of its params."""
    return {
        "group": GROUP,
        "decode": f"{about['system']}, {about['resolution']} px",
        "system": "MSDD",
        "tokens": about["tokens"],
        "dim": about["dim"],
        "latent": f"{about['tokens']} × {about['dim']}",
        "nfe": about["nfe"],
        "parameters": about["parameters"],
    }


def _measurement(path: Path | None, timing: dict | None, root: Path) -> dict:
    files = [file.as_posix() for file in (path, timing and layout.systems_timed()) if file]
    return {
        **(_quality(root / path) if path else {}),
        **speed({"timing": timing or {}}),
        "source": "here" if files else NOWHERE,
        "file": ", ".join(files) or None,
    }


def _quality(path: Path) -> dict:
    """Metrics of one protocol."""
    report = _evaluation(path)
    if "description" not in report:
        raise MsddError(f"{path}: no report of `msdd evaluate --tokenizer`; take it away")
    if report["tokenizer"] != path.stem:
        raise MsddError(
            f"{path} holds metrics of {report['tokenizer']}; name it {report['tokenizer']}.json"
        )
    return {
        "nfe": report["description"]["nfe"],
        "protocol": report["protocol"],
        **metrics(report),
    }


def _evaluation(path: Path) -> dict:
    """An evaluation by the protocol `primary`, or else by the first in the file."""
    return read_evaluation(path, "primary")


def _weights(report: dict) -> str:
    """Files with the first digits of their digests."""
    files = report.get("weights", {}).items()
    return ", ".join(f"{name} ({digest[:12]})" for name, digest in files) or "unknown"


def notes(root: Path, known: Published) -> list[str]:
    """Images, weights, devices and commits behind these rows."""
    document = timings.read(root, layout.systems_timed())
    lines = [*_of_timing(document), *_ratios(document, known)] if document else []
    for path in evaluation_files(root):
        report = _evaluation(root / path)
        origin = report["provenance"]
        lines.append(
            f"{path.stem}: {report['images']} images at {report['resolution']} px by protocol "
            f"{report['protocol']}; weights {_weights(report)}; on {origin['device']}. "
            f"All metrics are in {path.as_posix()}. {commits([origin])}"
        )
    return lines


def _of_timing(document: dict) -> Iterator[str]:
    timed = _timings(document).values()
    weights = "random weights, on which speed does not depend" if document["random"] else "theirs"
    yield (
        "Other systems' images/s: decoding alone, all in one run, timed at their published sizes "
        f"on {regions([{'timing': timing} for timing in timed])}; weights: {weights}. They come "
        f"from {layout.systems_timed().as_posix()}. {commits([document['context']])}"
    )


def _timings(document: dict) -> dict[str, dict]:
    """The timing of every system whose decoding was timed, by name."""
    all_timings = {
        one["system"]: timings.timing(document, one["system"]) for one in document["systems"]
    }
    return {name: timing for name, timing in all_timings.items() if timing}


def _ratios(document: dict, known: Published) -> Iterator[str]:
    """Speed-ups of our decoder over the other systems of its resolution, here and in the paper, as
    a sentence."""
    speeds = {name: one["images_per_second"] for name, one in _timings(document).items()}
    sides = {one["system"]: one["resolution"] for one in document["systems"]}
    ours = next((name for name in speeds if name not in SYSTEMS), None)
    published = known.systems["msdd-stage-2"].images_per_second.value
    ratios = [
        f"{name} {speeds[ours] / speed:.3g}×{_in_paper(name, published, known)}"
        for name, speed in speeds.items()
        if ours and name in SYSTEMS and sides[name] == sides[ours]
    ]
    if ratios:
        yield (
            f"Images/s of {ours} over those of other systems: {', '.join(ratios)}. In brackets the "
            "ratio of what the MSDD paper gives for its distilled decoder and for them."
        )


def _in_paper(name: str, ours: float, known: Published) -> str:
    row = SYSTEMS[name].row
    theirs = known.systems[row].figures().get("images_per_second") if row else None
    return f" ({ours / theirs.value:.3g}×)" if theirs else ""


def _nowhere(variants: list[dict]) -> dict:
    """One row that represents all."""
    if len(variants) == 1:
        return variants[0]
    same = {key: variants[0][key] for key in ("group", "system", "source")}
    return same | {"decode": f"{len(variants)} variants"}
