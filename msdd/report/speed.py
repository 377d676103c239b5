"""The stage `speed`: table and figure of what `throughput` has timed."""

from pathlib import Path

import pandas as pd

from msdd.errors import MsddError
from msdd.params.schema import Params
from msdd.pipeline import layout, provenance
from msdd.pipeline.task import resolve
from msdd.report import timings
from msdd.report.notes import commits
from msdd.report.speed_figure import draw
from msdd.report.style import save_as
from msdd.report.table import Column, Table, write

FIELDS = (
    *("system", "resolution", "variant", "precision", "nfe", "parameters", "gflop"),
    *("images_per_second", "images_per_second_low", "images_per_second_high", "batch"),
    *("decode_psnr", "decode_psnr_loss", "latency_ms", "encode", "both"),
    *("paper", "paper_batch", "memory_mb", "mfu"),
    *("speed_up", "by_flops", "times", "times_by_flops", "file"),
)
WHOLE = ("resolution", "nfe", "parameters", "batch", "paper_batch")


def run(params: Params, root: Path) -> None:
    """Write `reports/throughput.{csv,html,md,tex,png,svg}` from `reports/throughput.json`.

    Raises MsddError if nothing was timed yet.
    """
    source, made = layout.throughput(), layout.report("speed")
    document = timings.read(root)
    if document is None:
        raise MsddError(f"{source} is missing: run `msdd throughput` first")
    task = resolve(params, "speed", root, [source])
    with provenance.recorded(task, Path("reports/speed"), made, root):
        render(document, root / source)


def render(document: dict, path: Path) -> None:
    """Write the table and the figure of a document of timings beside its file, `path`."""
    stem = path.with_suffix("")
    write(stem, table(document, path.name))
    save_as(draw(document), stem)


def table(document: dict, source: str) -> Table:
    """A line for every variant of every system; `source` is the document's file."""
    lines = dict.fromkeys((row["system"], row["variant"]) for row in document["rows"])
    rows = [_line(document, system, variant) | {"file": source} for system, variant in lines]
    frame = pd.DataFrame(rows, columns=FIELDS).astype(dict.fromkeys(WHOLE, "Int64"))
    columns = [column for column in _columns(document, frame) if frame[column.name].notna().any()]
    return Table(frame, columns, _caption(document), _notes(document))


def _line(document: dict, name: str, variant: str) -> dict:
    """The cells of one variant of a system."""
    system = next(one for one in document["systems"] if one["system"] == name)
    region = {
        region: timings.rows(document, name, region, variant)
        for region in (*document["throughput"]["regions"], "both")
    }
    decode, paper = region.get("decode", []), timings.paper(region.get("paper", []))
    some = next(row for rows in region.values() for row in rows)
    alone = timings.at(decode, 1)
    return {
        "system": name,
        "resolution": system["resolution"],
        "variant": variant,
        "precision": some["precision"],
        "nfe": system["nfe"],
        "parameters": system["parameters"],
        "gflop": system["flops"].get("decode", 0) / 1e9 or None,
        **_decoding(document, system, timings.best(decode)),
        **_fidelity(document, timings.best(decode)),
        "latency_ms": alone and 1e3 * alone["seconds"],
        "encode": _speed(timings.best(region.get("encode", []))),
        "both": _speed(timings.best(region.get("both", []))),
        "paper": _speed(paper),
        "paper_batch": paper and paper["batch"],
    }


def _decoding(document: dict, system: dict, row: dict | None) -> dict:
    """Speed of decoding in `row`, the best batch size."""
    if row is None:
        return {}
    cost, memory, first = system["flops"]["decode"], row["memory_bytes"], document["systems"][0]
    alike = system["resolution"] == first["resolution"]
    ceiling = document["ceilings"].get(row["precision"])  # of INT8 none is measured
    return {
        "images_per_second": row["images_per_second"],
        "images_per_second_low": row["batch"] / row["seconds_high"],
        "images_per_second_high": row["batch"] / row["seconds_low"],
        "batch": row["batch"],
        "memory_mb": memory and memory / 1e6,
        "mfu": (cost and ceiling and 100 * cost * row["images_per_second"] / ceiling) or None,
        **(_ratios(first, document, cost, row) if alike else {}),
    }


def _ratios(first: dict, document: dict, cost: int, row: dict) -> dict:
    """Ratios of decoding in `row` to decoding with the first system; empty if the first system's
    decoding is not timed by itself."""
    reference = timings.best(timings.rows(document, first["system"], "decode"))
    if reference is None:
        return {}
    speed_up = row["images_per_second"] / reference["images_per_second"]
    by_flops = first["flops"]["decode"] / cost if cost else None  # not counted, which is not free
    return {
        "speed_up": speed_up,
        "by_flops": by_flops,
        "times": _times(speed_up),
        "times_by_flops": _times(by_flops),
    }


def _fidelity(document: dict, row: dict | None) -> dict:
    """What the gate found of a decode at that batch size; nothing of plain ones, or long ago."""
    keys = ("system", "variant", "batch")
    found = [
        one
        for one in document.get("gates", [])
        if row and all(one[key] == row[key] for key in keys)
    ]
    return {key: one.get(key) for one in found for key in ("decode_psnr", "decode_psnr_loss")}


def _times(ratio: float | None) -> str | None:
    """`24.3×`, or `1/24.3×` for a ratio below 1."""
    if ratio is None:
        return None
    return f"{ratio:.3g}×" if ratio >= 0.995 or not ratio else f"1/{1 / ratio:.3g}×"


def _speed(row: dict | None) -> float | None:
    return row and row["images_per_second"]


def _columns(document: dict, frame: pd.DataFrame) -> list[Column]:
    first = document["systems"][0]["system"] if document["systems"] else "–"
    of_flops, of_speed = (
        4 if frame[name].min() < 0.1 else 2 for name in ("gflop", "images_per_second")
    )
    return [
        Column("system", "system"),
        *([Column("resolution", "px", 0)] if frame["resolution"].nunique() > 1 else []),
        Column("variant", "variant"),
        Column("precision", "precision"),
        Column("nfe", "passes\n(NFE)", 0),
        Column("gflop", "GFLOP", of_flops),
        Column("images_per_second", "decode\nimages/s", of_speed, interval=True),
        Column("batch", "at\nbatch", 0),
        Column("decode_psnr", "PSNR to\nplain (dB)", 1),
        Column("decode_psnr_loss", "PSNR\nlost (dB)", 3),
        Column("latency_ms", "one image\n(ms)", 1),
        Column("encode", "encode\nimages/s", 1),
        Column("both", "both\nimages/s", 1),
        Column("paper", "paper region\nimages/s", 1),
        Column("memory_mb", "memory\n(MB)", 0),
        Column("mfu", "MFU\n(%)", 1),
        Column("times", f"speed-up\nover {first}"),
        Column("times_by_flops", "by\nFLOPs"),
    ]


def _caption(document: dict) -> str:
    origin = document["context"]
    threads = f"{origin['threads']} thread{'s' * (origin['threads'] != 1)}"
    return f"Throughput on {origin['device']}, {threads}, all in one run."


def _notes(document: dict) -> list[str]:
    settings, ceilings, origin = (document[key] for key in ("throughput", "ceilings", "context"))
    batches = ", ".join(map(str, settings["batches"]))
    weights = "random weights, on which speed does not depend" if document["random"] else "trained"
    return [
        "decode: latents on the device to images on the device, with the drawing of noise. encode: "
        "images on the device to latents. both: encode, then decode. paper region: both, with the "
        "originals' copies on the host and to the device, at batch "
        f"{timings.PAPER_BATCH} where that was timed, else at the best batch.{_wholes(document)}",
        f"Every row is at the best of batches {batches}. Speeds are medians over "
        f"{settings['repeats']} rounds, in which all systems take turns after a warm-up; brackets "
        f"are quartiles.{_cold(document)} One system was timed twice a round and its two medians "
        f"differed by {_percent(document['noise'])}: smaller differences are noise.",
        "Variants: plain is eager in fp32; fast and compiled are made for speed, and their images "
        "were compared with the plain variant's before they were timed. "
        f"{_ways(document)}{_refused(document)} PSNR to "
        "plain: of the gate's images, smooth random ones. Lost: how much less they have against "
        "the originals, which says nothing with random weights.",
        "GFLOP: matrix products that decode one image. MFU: their rate, as a share of the rate "
        f"that a large product reached here in the same run ({_rates(ceilings)})."
        f"{_sides(document)}",
        f"Weights: {weights}. Load average: {origin['before']['load_average']:.1f} before, "
        f"{origin['after']['load_average']:.1f} after.",
        commits([origin]),
    ]


def _sides(document: dict) -> str:
    """What systems of several resolutions lack, with a space before it; else empty."""
    several = len({system["resolution"] for system in document["systems"]}) > 1
    return " Only systems of the first one's resolution have a speed-up over it." * several


def _wholes(document: dict) -> str:
    """The systems that do not decode apart, as a sentence; empty if there are none."""
    wholes = [one["system"] for one in document["systems"] if "decode" not in one["flops"]]
    if not wholes:
        return ""
    return f" Functions of whole images, whose decoding alone cannot be timed: {', '.join(wholes)}."


def _cold(document: dict) -> str:
    """The systems that were too slow for a warm-up, as a sentence; empty if there are none."""
    cold = dict.fromkeys(row["system"] for row in document["rows"] if row["cold"])
    note = f" A first call that takes minutes counts, without a warm-up: {', '.join(cold)}."
    return note if cold else ""


def _ways(document: dict) -> str:
    """How the variants made for speed ran: compiled, folded or eager, and for which systems."""
    ways: dict[str, list[str]] = {}
    for row in document["rows"]:
        known = ways.setdefault(f"{row['variant']} is {row['how']}", [])
        if row["variant"] != "plain" and row["system"] not in known:
            known.append(row["system"])
    return " ".join(f"{way}: {', '.join(systems)}." for way, systems in ways.items() if systems)


def _refused(document: dict) -> str:
    """The variants whose images were not the student's, with their figures, as sentences."""
    refused = [one["refused"] for one in document.get("gates", []) if "refused" in one]
    return "".join(f" Refused, and not timed: {line}." for line in refused)


def _percent(noise: float | None) -> str:
    return "–" if noise is None else f"{noise:.1%}"


def _rates(ceilings: dict) -> str:
    rates = {name: ceilings[name] for name in ("bf16", "fp32") if ceilings[name]}
    return ", ".join(f"{rate / 1e12:.4g} TFLOP/s in {name}" for name, rate in rates.items())
