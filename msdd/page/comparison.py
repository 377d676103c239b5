"""Two sets of results: what changed, and whether it is more than noise over images."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from msdd.errors import MsddError
from msdd.listing import walk
from msdd.metrics.intervals import MaybeInterval
from msdd.page import settings
from msdd.params.dotted import dotted
from msdd.params.load import load
from msdd.params.schema import Params
from msdd.pipeline import agreement, layout
from msdd.report import results, timings
from msdd.report.metric_columns import HEADINGS, kind_of, metric_column
from msdd.report.table import Column, Table, decimal
from msdd.weights.representations import key_of

BETTER, WORSE, WITHIN = "better", "worse", "within noise"
EQUAL, UNKNOWN = "equal", "no interval"
PAIRED, APART = "the same images, paired", "other images"
DISTANCES = ("fid", "frechet")
# The keys of a protocol that say how metrics of a kind are measured; of others their own name.
RULES = {"patch_fd": ("patch_fid",), "psnr_hvs_m": ("psnr_hvs",)}
RULES |= dict.fromkeys(("fd", "mind", "fdr"), DISTANCES) | dict.fromkeys(
    ("kd", "kd_torch_fidelity"), ("fid",)
)
ABOUT = ("of", "steps", "guidance", "jump", "noise", "scales", "tokens", "dim", "parameters")
SPEED = Column("images_per_second", "images/s ↑", 1)


@dataclass(frozen=True)
class Side:
    """A checkout, or a folder of kept runs: its evaluations by decode, and its params if known.

    `outdated`: a line for each job behind them that its params or its files disagree with.
    """

    folder: Path
    results: dict[str, dict]
    params: Params | None
    outdated: list[str]

    @property
    def commits(self) -> str:
        timed = [one["timing"] or one["whole"] for one in self.results.values()]
        origins = [timing.get("provenance", {}) for timing in timed]
        return ", ".join(sorted({(one.get("commit") or "unknown")[:12] for one in origins}))


@dataclass(frozen=True)
class Change:
    """A metric of a decode on both sides. `difference` is the second less the first, and its 95 %
    interval is over images; the ends are None where there is none."""

    decode: str
    metric: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    images: str
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """`unlike`: decodes whose figures do not compare, and why. `params`: those that differ."""

    sides: tuple[Side, Side]
    changes: list[Change]
    unlike: dict[str, str]
    only: tuple[list[str], list[str]]
    params: dict[str, tuple[str, str]]

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON, with null in place of infinity."""
        first, second = self.sides
        return {
            "first": {"folder": str(first.folder), "commits": first.commits},
            "second": {"folder": str(second.folder), "commits": second.commits},
            "changes": [_finite(asdict(change)) for change in self.changes],
            "unlike": self.unlike,
            "only_first": self.only[0],
            "only_second": self.only[1],
            "params": {key: list(pair) for key, pair in self.params.items()},
            "outdated_first": first.outdated,
            "outdated_second": second.outdated,
        }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    infinite = {key for key, x in values.items() if isinstance(x, float) and not math.isfinite(x)}
    return values | dict.fromkeys(infinite)


def read(folder: Path) -> Side:
    """The evaluations of a checkout, as its params name them, or all in a folder of kept runs.

    Raises MsddError for a folder without any, and for two of the same decode.
    """
    if not folder.is_dir():
        raise MsddError(f"--compare {folder}: there is no such folder")
    file = folder / "params.yaml"
    params = load(file) if file.exists() else None
    files = [path for path in results.paths(params) if (folder / path).exists()] if params else []
    files = files or _kept(folder)
    if not files:
        raise MsddError(
            f"--compare {folder} holds no evaluation: name a checkout, or a folder of kept runs "
            "with MODEL/stage1/eval/DECODE.json or the like"
        )
    document = timings.read(folder)
    found: dict[str, dict] = {}
    for path in files:
        one = results.read_one(folder, path, document)
        if other := found.get(one["decode"]):
            raise MsddError(
                f"--compare {folder}: {other['file']} and {path} are of one decode, "
                f"{one['decode']}; take one away, or put its params.yaml there"
            )
        found[one["decode"]] = one
    shown = [*files, layout.throughput()]
    outdated = agreement.disagreements(params, folder, shown) if params else []
    return Side(folder, found, params, outdated)


def _kept(folder: Path) -> list[Path]:
    """All evaluations below a folder, relative to it."""
    start = folder / layout.RUNS if (folder / layout.RUNS).is_dir() else folder
    paths = sorted(start / name for name in walk(start) if Path(name).match("eval/*.json"))
    return [path.relative_to(folder) for path in paths if not path.stem.endswith(".timing")]


def compare(a: Path, b: Path) -> Comparison:
    """What is in folder `b` against folder `a`."""
    sides = read(a), read(b)
    first, second = (side.results for side in sides)
    common = [name for name in first if name in second]
    changes: list[Change] = []
    unlike: dict[str, str] = {}
    for name in common:
        pair = _pair(name, *sides)
        if reason := _unlike(*pair):
            unlike[name] = reason
        else:
            changes += _changes(*pair)
    only = [name for name in first if name not in second], [n for n in second if n not in first]
    return Comparison(sides, changes, unlike, only, _params(*sides, common))


def _pair(name: str, a: Side, b: Side) -> tuple[dict, dict]:
    """A decode's evaluations by the first protocol of one side, if the other has it, too."""
    second = _by(a.results[name]["protocol"], b.results[name], b)
    return _by(second["protocol"], a.results[name], a), second


def _by(protocol: str, result: dict, side: Side) -> dict:
    """The evaluation by a protocol, if it has that."""
    if result["protocol"] == protocol:
        return result
    again = results.read_one(side.folder, Path(result["file"]), None, protocol)
    return again | {"timing": result["timing"]}


def _unlike(a: dict, b: dict) -> str:
    """Why no metric compares; empty if some may."""
    if a["protocol"] != b["protocol"]:
        return f"measured by protocol {a['protocol']}, and by {b['protocol']}"
    if not any(_same_rule(a, b, name) for name in a["metrics"].keys() & b["metrics"].keys()):
        return f"no metric that both have by the same rules of protocol {a['protocol']}"
    return ""


def _same_rule(a: dict, b: dict, metric: str) -> bool:
    """Whether both measured a metric in the same way, on the same crops."""
    kind = kind_of(metric)
    keys = ("crop", *RULES.get(kind, (kind,)))
    same = all(_rule(a, key) == _rule(b, key) for key in keys)
    return same and _levels(a, metric) == _levels(b, metric)


def _levels(result: dict, metric: str) -> str | None:
    """What levels become before the network of a metric, where a report says so."""
    named = result["levels"].items()
    return next((levels for name, levels in named if metric.endswith(key_of(name))), None)


def _rule(result: dict, key: str) -> object:
    """The rule of a metric, without the trunks and networks that were measured besides it."""
    rule = result["rules"].get(key)
    if not isinstance(rule, dict):
        return rule
    return {k: v for k, v in rule.items() if k not in ("nets", "networks")}


def _changes(a: dict, b: dict) -> list[Change]:
    same = all(a[key] == b[key] for key in ("names", "digest"))
    shared = [name for name in a["metrics"] if name in b["metrics"] and _same_rule(a, b, name)]
    changes = [_change(name, a, b, same) for name in _in_order(shared)]
    if _timed_alike(a["timing"], b["timing"]):
        first, second = (one["timing"]["images_per_second"] for one in (a, b))
        difference = (second - first, None, None)
        changes.append(_told(a["decode"], SPEED.name, first, second, difference, "timed apart"))
    return changes


def _timed_alike(a: dict, b: dict) -> bool:
    """Both by `msdd throughput`, each at its best batch, or both by an evaluation at one batch."""
    if not (a and b) or ("run" in a) != ("run" in b):
        return False
    keys = ("variant", "precision") if "run" in a else ("batch", "precision")
    return all(a.get(key) == b.get(key) for key in keys)


def _in_order(metrics: list[str]) -> list[str]:
    """Those that tables have, as tables have them."""
    kinds = list(HEADINGS)
    known = [name for name in metrics if kind_of(name) in kinds]
    return sorted(known, key=lambda name: (kinds.index(kind_of(name)), name))


def _change(metric: str, a: dict, b: dict, same: bool) -> Change:
    first, second = (_figure(one["metrics"][metric]) for one in (a, b))
    if same and metric in a["per_image"] and metric in b["per_image"]:
        paired = _paired(metric, b, a)
        return _told(a["decode"], metric, first, second, paired, PAIRED)
    apart = unpaired(a["metrics"][metric], b["metrics"][metric])
    images = "the same images" if same else APART
    return _told(a["decode"], metric, first, second, apart, images)


def _paired(metric: str, a: dict, b: dict) -> MaybeInterval:
    return results.psnr_difference(a, b) if metric == "psnr" else results.difference(metric, a, b)


def _figure(value: dict | float) -> float:
    return value["mean"] if isinstance(value, dict) else value


def unpaired(a: dict | float, b: dict | float) -> MaybeInterval:
    """The difference b - a of means of other images, from the 95 % interval of each.

    The ends are as far away as both sides' own, taken together as independent (MOVER, Zou and
    Donner 2008). None without two intervals.
    """
    difference = float(np.subtract(_figure(b), _figure(a)))
    ends = [one.get(end) for one in (a, b) if isinstance(one, dict) for end in ("low", "high")]
    if len(ends) < 4 or any(end is None or not math.isfinite(end) for end in ends):
        return difference, None, None
    a_low, a_high, b_low, b_high = ends
    low = difference - math.hypot(b["mean"] - b_low, a_high - a["mean"])
    return difference, low, difference + math.hypot(b_high - b["mean"], a["mean"] - a_low)


def _told(
    decode: str, metric: str, a: float, b: float, difference: MaybeInterval, images: str
) -> Change:
    figure, low, high = difference
    told = verdict(metric, figure, low, high)
    return Change(decode, metric, a, b, figure, low, high, images, told)


def verdict(metric: str, figure: float, low: float | None, high: float | None) -> str:
    """What a difference and its 95 % interval say: equal, better, worse, or no more than noise."""
    if figure == 0 and not low and not high:
        return EQUAL
    if low is None or math.isnan(low):
        return UNKNOWN
    if low <= 0 <= high:
        return WITHIN
    return BETTER if (low > 0) == ("↑" in column(metric).heading) else WORSE


def _params(a: Side, b: Side, common: list[str]) -> dict[str, tuple[str, str]]:
    """The params that differ; unless both sides have a params.yaml, those in the evaluations."""
    if a.params and b.params:
        return settings.differences(*(dotted(side.params.raw()) for side in (a, b)))
    told = [
        {f"{name}.{key}": side.results[name].get(key) for name in common for key in ABOUT}
        for side in (a, b)
    ]
    return settings.differences(*told)


def column(metric: str) -> Column:
    return SPEED if metric == SPEED.name else metric_column(metric)


def tables(comparison: Comparison) -> list[Table]:
    """A table for every metric, with a line for every decode."""
    metrics = dict.fromkeys(change.metric for change in comparison.changes)
    return [_table(comparison, metric) for metric in metrics]


def _table(comparison: Comparison, metric: str) -> Table:
    rows = [asdict(change) for change in comparison.changes if change.metric == metric]
    frame = pd.DataFrame(rows).rename(columns={"low": "difference_low", "high": "difference_high"})
    shown, more = column(metric), 1 if metric == SPEED.name else 2
    columns = [
        Column("decode", "decode"),
        Column("first", "first", shown.digits),
        Column("second", "second", shown.digits),
        Column("difference", "second\nless first", shown.digits + more, interval=True),
        Column("images", "images"),
        Column("verdict", "second is"),
    ]
    return Table(frame, columns, shown.heading, [])


def notes(comparison: Comparison) -> list[str]:
    """What the verdicts mean, and what they leave out."""
    count = sum(change.low is not None for change in comparison.changes)
    return [
        "better, worse: the 95 % bootstrap interval of the difference over images leaves out 0; "
        "within noise: it holds 0; equal: to the last bit. Where something has changed that "
        f"matters to none of these {count} intervals, about {0.05 * count:.1f} leave out 0 by "
        "chance.",
        "Images that both sides measured are paired, one by one. Of other images the intervals of "
        "both sides count, as independent. Distances of features have no interval here.",
        "An interval over images does not hold what another training, with another seed, gives.",
        "Speeds were timed apart: load, clocks and devices differ, too.",
    ]


def lines(comparison: Comparison) -> list[list[str]]:
    """What is not equal, as cells of text: decode, metric, both figures, difference, verdict."""
    return [_line(change) for change in comparison.changes if change.verdict != EQUAL]


def _line(change: Change) -> list[str]:
    shown = column(change.metric)
    first, second = (decimal(value, shown.digits) for value in (change.first, change.second))
    told = [signed(x, shown.digits + 2) for x in (change.low, change.high) if x is not None]
    interval = f"[{', '.join(told)}]" if told else ""
    difference = signed(change.difference, shown.digits + 2)
    return [change.decode, shown.heading, first, second, difference, interval, change.verdict]


def signed(value: float, digits: int) -> str:
    if math.isnan(value):
        return "undefined"
    return ("" if value < 0 else "+") + decimal(value, digits)
