"""A report of samples as text for people: one line a protocol, and what it says of the sets."""

from collections.abc import Collection

from msdd.evaluate import text
from msdd.evaluate.samples_rules import Rules
from msdd.weights.representations import key_of

NAMES = {
    "fd_inception": "gFID ↓",
    "sfd_inception": "sFID ↓",
    "inception_score": "IS ↑",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "density": "density ↑",
    "coverage": "coverage ↑",
    "cmmd": text.NAMES["cmmd"],
}
DISTANCES = ("fd_", "fdr_", "kd_", "mind_")  # how the names of those of networks begin
INTERVALS = "Intervals are 95 % bootstrap intervals over images, with the balls around them held."


def heading(metric: str) -> str:
    """A metric's heading; a distance on a network other than Inception carries its name."""
    return NAMES.get(metric) or text.heading(metric)


def table(report: dict) -> str:
    """The metrics, protocols down and metrics across, or turned."""
    entries = report["protocols"]
    has = {metric for entry in entries.values() for metric in entry["metrics"]}
    distances = sorted(name for name in has if name.startswith(DISTANCES))
    shown = [*distances, *(name for name in NAMES if name in has and name not in distances)]
    rows = [["protocol", *map(heading, shown)]]
    for name, entry in entries.items():
        rows.append([name, *(cell(metric, entry["metrics"].get(metric)) for metric in shown)])
    return text.fitted(rows)


def cell(name: str, value: dict | float | None) -> str:
    """A distance; a share with its interval; a score with its deviation over splits."""
    if isinstance(value, dict) and "std" in value and not name.startswith("kd_"):
        return f"{value['mean']:.2f} ± {value['std']:.2f}"
    return text.cell(name, value)


def notes(report: dict) -> list[str]:
    """What was compared, by which rules, and what to mind."""
    lines = [described("samples", report["samples"], report)]
    lines += of_reference(report["reference"], report["of_reference"])
    entries = report["protocols"]
    for name, entry in entries.items():
        rules = Rules.model_validate(entry["protocol"], strict=False)
        lines.append(f"{name}: {describe(rules, entry['metrics'])}")
    if any(set(entry["metrics"]) & {"precision", "density"} for entry in entries.values()):
        lines.append(INTERVALS)
    lines += text.not_measured(report["not_measured"]) + text.of_fdr(report)
    return lines + [f"warning: {one}" for one in report["warnings"]]


def of_reference(place: str, about: dict) -> list[str]:
    """Which images, and which statistics."""
    lines = [described("reference", place, about)] if "images" in about else []
    if statistics := about.get("statistics"):
        count = statistics["count"]
        of = f"of {count:,} images" if count else "of images that it does not count"
        lines.append(f"reference: the statistics in {place}, {of}, for Fréchet distances")
    return lines


def described(what: str, place: str, about: dict) -> str:
    """Count, size and classes of a set of images."""
    width, height = about["size"]
    line = f"{what}: {about['images']:,} images of {width} x {height} px in {place}"
    if classes := about.get("classes"):
        few, many = classes["fewest"], classes["most"]
        each = f"{few:,}" if few == many else f"{few:,} to {many:,}"
        line += f"; {classes['classes']:,} classes with {each} images each"
    return line


def describe(rules: Rules, metrics: Collection[str]) -> str:
    """The rules by which these metrics are measured."""
    if not metrics:
        return "no metric is left"
    of_first = set(rules.metrics_on(rules.network)) & set(metrics)
    parts = [f"features of {text.describe_network(rules)}"] if of_first else []
    further = [name for name, _ in rules.frechet_keys if name != rules.features]
    if measured := [name for name in further if f"fd_{key_of(name)}" in metrics]:
        parts.append(f"features of {', '.join(measured)}")
    if (score := rules.inception_score) and "inception_score" in metrics:
        consecutive = f"splits of {score.images or 0:,} images in order"
        splits = consecutive if score.images else f"{score.splits} splits of shuffled images"
        parts.append(f"IS over {splits}, ± their deviation")
    if rules.kid and f"kd_torch_fidelity_{key_of(rules.features)}" in metrics:
        parts.append("KID over 100 subsets of 1,000")
    if any(name.startswith("mind_") for name in metrics):
        parts.append("MIND along 1,000 directions")
    if (pair := rules.precision_recall) and "precision" in metrics:
        parts.append(f"precision and recall, {pair.neighbours} neighbours, {pair.distances}")
    if (pair := rules.density_coverage) and "density" in metrics:
        parts.append(f"density and coverage, {pair.neighbours} neighbours")
    if "cmmd" in metrics:
        parts.append("CMMD")
    return "; ".join(parts)
