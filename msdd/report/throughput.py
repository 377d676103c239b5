"""Throughput as a table: what was timed in one run, beside what arithmetic says of it."""

import pandas as pd

from msdd.report import timed
from msdd.report.notes import commits
from msdd.report.table import Column, Table

FIELDS = (
    *("system", "variant", "precision", "nfe", "parameters", "gflop"),
    *("images_per_second", "images_per_second_low", "images_per_second_high", "batch"),
    *("latency_ms", "encode", "both", "paper", "paper_batch", "memory_mb", "share"),
    *("speed_up", "by_flops", "times", "times_by_flops", "file"),
)
WHOLE = ("nfe", "parameters", "batch", "paper_batch")


def table(document: dict, source: str) -> Table:
    """A line for every variant of every system; `source` is the document's file."""
    lines = dict.fromkeys((row["system"], row["variant"]) for row in document["rows"])
    rows = [_line(document, system, variant) | {"file": source} for system, variant in lines]
    frame = pd.DataFrame(rows, columns=FIELDS).astype(dict.fromkeys(WHOLE, "Int64"))
    slowest = frame["images_per_second"].min()
    columns = [column for column in _columns(document, slowest) if frame[column.name].notna().any()]
    return Table(frame, columns, _caption(document), _notes(document), None, "file")


def _line(document: dict, name: str, variant: str) -> dict:
    system = next(one for one in document["systems"] if one["system"] == name)
    region = {
        region: timed.rows(document, name, region, variant)
        for region in document["throughput"]["regions"]
    }
    decode, paper = region.get("decode", []), timed.paper(region.get("paper", []))
    some = next(row for rows in region.values() for row in rows)
    alone = timed.at(decode, 1)
    return {
        "system": name,
        "variant": variant,
        "precision": some["precision"],
        "nfe": system["nfe"],
        "parameters": system["parameters"],
        "gflop": system["flops"]["decode"] / 1e9,
        **_decoding(document, system, timed.best(decode)),
        "latency_ms": alone and 1e3 * alone["seconds"],
        "encode": _speed(timed.best(region.get("encode", []))),
        "both": _speed(timed.best(region.get("both", []))),
        "paper": _speed(paper),
        "paper_batch": paper and paper["batch"],
    }


def _decoding(document: dict, system: dict, row: dict | None) -> dict:
    """Decoding at the best batch size, and how it stands to the first system's."""
    if row is None:
        return {}
    first = document["systems"][0]
    reference = timed.best(timed.rows(document, first["system"], "decode"))
    cost, memory = system["flops"]["decode"], row["memory_bytes"]
    ceiling = document["ceilings"][row["precision"]]
    speed_up = row["images_per_second"] / reference["images_per_second"]
    by_flops = first["flops"]["decode"] / cost
    return {
        "images_per_second": row["images_per_second"],
        "images_per_second_low": row["batch"] / row["seconds_high"],
        "images_per_second_high": row["batch"] / row["seconds_low"],
        "batch": row["batch"],
        "memory_mb": memory and memory / 1e6,
        "share": ceiling and 100 * cost * row["images_per_second"] / ceiling,
        "speed_up": speed_up,
        "by_flops": by_flops,
        "times": _times(speed_up),
        "times_by_flops": _times(by_flops),
    }


def _times(ratio: float) -> str:
    """`24.3×`, or `1/24.3×` for a ratio below 1."""
    return f"{ratio:.3g}×" if ratio >= 0.995 else f"1/{1 / ratio:.3g}×"


def _speed(row: dict | None) -> float | None:
    return row and row["images_per_second"]


def _columns(document: dict, slowest: float) -> list[Column]:
    first = document["systems"][0]["system"] if document["systems"] else "–"
    digits = 4 if slowest < 0.1 else 2
    return [
        Column("system", "system"),
        Column("variant", "variant"),
        Column("precision", "precision"),
        Column("nfe", "passes\n(NFE)", 0),
        Column("gflop", "GFLOP", 2),
        Column("images_per_second", "decode\nimages/s", digits, interval=True),
        Column("batch", "at\nbatch", 0),
        Column("latency_ms", "one image\n(ms)", 1),
        Column("encode", "encode\nimages/s", 1),
        Column("both", "both\nimages/s", 1),
        Column("paper", "paper region\nimages/s", 1),
        Column("memory_mb", "memory\n(MB)", 0),
        Column("share", "of the\nceiling", 1, unit=" %"),
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
        "the way there. both: one after the other. paper region: both, with the originals' copies "
        f"on the host and to the device, at batch {timed.PAPER_BATCH} where it was timed, else at "
        "the best.",
        f"Each at the best of batches {batches}; medians over {settings['repeats']} rounds in "
        "which all take turns, after a warm-up; brackets are quartiles."
        f"{_cold(document)} Two medians of the same "
        f"differed by {_percent(document['noise'])}: smaller differences are noise.",
        "Paths: plain is eager in fp32; fast and compiled are made for speed, and before they were "
        f"timed, their images were held against the plain variant's. {_ways(document)}",
        "GFLOP: matrix products for one image, decoding. of the ceiling: share of the rate that a "
        f"large product reached here in the same run ({_rates(ceilings)}).",
        f"Weights: {weights}. Load average: {origin['before']['load_average']:.1f} before, "
        f"{origin['after']['load_average']:.1f} after.",
        commits([origin]),
    ]


def _cold(document: dict) -> str:
    """Which systems are too slow for a warm-up."""
    cold = dict.fromkeys(row["system"] for row in document["rows"] if row["cold"])
    told = f" The first call counts, warm-up and all, where it takes minutes: {', '.join(cold)}."
    return told if cold else ""


def _ways(document: dict) -> str:
    """What the variants that are made for speed came to."""
    ways: dict[str, list[str]] = {}
    for row in document["rows"]:
        known = ways.setdefault(f"{row['variant']} is {row['how']}", [])
        if row["variant"] != "plain" and row["system"] not in known:
            known.append(row["system"])
    return " ".join(f"{way}: {', '.join(found)}." for way, found in ways.items() if found)


def _percent(noise: float | None) -> str:
    return "–" if noise is None else f"{noise:.1%}"


def _rates(ceilings: dict) -> str:
    rates = {name: ceilings[name] for name in ("bf16", "fp32") if ceilings[name]}
    return ", ".join(f"{rate / 1e12:.4g} TFLOP/s in {name}" for name, rate in rates.items())
