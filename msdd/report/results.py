"""Reads evaluations for reports."""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from msdd import arrays
from msdd.data.held_out import held_out
from msdd.data.manifest import read_manifest
from msdd.errors import MsddError
from msdd.metrics.intervals import MaybeInterval, groups_of, mean_difference
from msdd.metrics.pooling import pooled_psnr_difference
from msdd.params.schema import Params
from msdd.params.sections import BASELINES
from msdd.pipeline import agreement, forms, layout, provenance
from msdd.pipeline.task import resolve
from msdd.report import timings

BASELINE_ROWS, TEACHERS, STUDENTS = "Baselines", "Teachers", "One-step students"
ELSEWHERE = "Trained elsewhere"
GROUPS = (BASELINE_ROWS, TEACHERS, STUDENTS, ELSEWHERE)  # in the order of every report
TRAINING = {
    "per_scale": "per scale",
    "joint": "joint",
    "joint_paper_code": "joint, authors' code",
    "finetune": "finetune",
}


def paths(params: Params) -> list[Path]:
    """The metrics files in the order of every report: `GROUPS`."""
    baselines = [layout.baseline(name) for name in BASELINES]
    sources = {decode: params.source(decode) for decode in params.trained_here()}
    decodes = sorted(sources, key=lambda decode: sources[decode][1] is not None)  # stable
    decodes += params.trained_elsewhere()
    return baselines + [layout.evaluation(*params.source(decode), decode) for decode in decodes]


def read(params: Params, root: Path, more: Iterable[Path] = ()) -> list[dict]:
    """All evaluations, each with the `file` it comes from; all are of the same images.

    `more` are files that the report shows besides.

    `timing` is what was timed in turns with others, else what stands in the file beside it, empty
    if there is neither. `whole` is the like of what makes whole reconstructions alone: nothing of
    it is a time of decoding, so its `timing` is empty.
    Raises MsddError for a file that is missing, for images that differ, and for what was made with
    other params, or of what has been made anew since.
    """
    if lines := agreement.disagreements(params, root, [*paths(params), *more]):
        raise MsddError("\n".join([*lines, "or put back what it was made with"]))
    return _read_all(paths(params), root)


def read_present(params: Params, root: Path) -> list[dict]:
    """The results that exist so far; `read` wants them all.

    Where they are of different images, those that params or crops have changed since are left out.
    """
    found = _read_each([path for path in paths(params) if (root / path).exists()], root)
    if all(_same_images(one, found[0]) for one in found):
        return found
    old = agreement.outdated(params, root, paths(params))
    return _of_same_images([one for one in found if Path(one["file"]) not in old])


def _read_all(files: list[Path], root: Path) -> list[dict]:
    return _of_same_images(_read_each(files, root))


def _read_each(files: list[Path], root: Path) -> list[dict]:
    document = timings.read(root)
    return [read_one(root, path, document) for path in files]


def _of_same_images(results: list[dict]) -> list[dict]:
    for result in results:
        if not _same_images(result, results[0]):
            raise MsddError(
                f"{result['file']} and {results[0]['file']} were measured on different images: "
                "evaluate both again"
            )
    return results


def _same_images(a: dict, b: dict) -> bool:
    return all(a[key] == b[key] for key in ("names", "digest"))


def read_evaluation(path: Path, protocol: str | None = None) -> dict:
    """A report of `msdd.evaluate.report`, with what one protocol says in place of all of them.

    `protocol` is its name: the one given, if the file has it, else the first. `metrics`,
    `per_image`, `rules` and `pool`, how many images PSNR pools, are those of that protocol;
    infinity stands where the file, which is JSON, has null.
    MsddError for a file of an earlier version.
    """
    report = forms.read(path, forms.Evaluation, "no evaluation of this version")
    name = protocol if protocol in report["protocols"] else report["protocol"]
    if name not in report["protocols"]:
        raise MsddError(f"{path} has no figures of its protocol {name}; evaluate again")
    entry = report.pop("protocols")[name]
    check_entry(path, entry, len(report["names"]))
    return report | {
        "protocol": name,
        "rules": entry["protocol"],
        "levels": entry.get("levels", {}),
        "pool": entry["protocol"].get("psnr", {}).get("pool", 1),
        "metrics": {metric: _finite_or_not(value) for metric, value in entry["metrics"].items()},
        "per_image": {
            metric: [math.inf if value is None else value for value in values]
            for metric, values in entry["per_image"].items()
        },
    }


def check_entry(path: Path, entry: dict, images: int) -> None:
    """MsddError for figures of other images than the named ones, or a mean that is no number."""
    forms.check_lengths(path, entry, images)
    for metric, value in entry["metrics"].items():
        told = value.get("mean") if isinstance(value, dict) else value
        if told is None and not (isinstance(value, dict) and value.get("infinite")):
            raise MsddError(f"{path}: {metric} has no figure; evaluate again")


def _finite_or_not(metric: dict | float) -> dict | float:
    infinite = isinstance(metric, dict) and metric.get("infinite")
    return {"mean": math.inf, "low": None, "high": None} if infinite else metric


def read_one(root: Path, path: Path, document: dict | None, protocol: str | None = None) -> dict:
    """An evaluation below `root` with its `file` and `timing`, as `read` gives it."""
    result = read_evaluation(require(root, path), protocol)
    if "decode" not in result:
        raise MsddError(f"{path} is of no decode or baseline of a pipeline; evaluate that again")
    timing = root / layout.timing(path)
    aside = forms.read(timing, forms.Timing, "no timing") if timing.exists() else {}
    whole = aside.get("region") == "both"
    region = "both" if whole else "decode"
    in_turns = timings.timing(document, result["decode"], region) if document else None
    known, nothing = in_turns or aside, {}
    both = {"timing": nothing, "whole": known} if whole else {"timing": known, "whole": nothing}
    return result | {"file": path.as_posix()} | both


def require(root: Path, path: Path) -> Path:
    """Where `path` is below `root`; a clear error if it is not."""
    if not (root / path).exists():
        raise MsddError(f"{path} is missing: run `msdd evaluate` or `msdd baseline` first")
    return root / path


def psnr_difference(a: dict, b: dict) -> MaybeInterval:
    """PSNR of evaluation `a` minus that of `b`, in dB, with its 95 % interval.

    The images are the same, and paired. Where the protocol pools errors over images, so does this.
    """
    if a["pool"] == 1:
        return difference("psnr", a, b)
    errors = [10 ** (-np.array(result["per_image"]["psnr"]) / 10) for result in (a, b)]
    weights = np.ones(len(errors[0]))
    return pooled_psnr_difference(a["pool"], *errors, weights, groups_of(a.get("photographs")))


def difference(metric: str, a: dict, b: dict) -> MaybeInterval:
    """Mean over images of evaluation `a` minus that of `b`, with its 95 % interval.

    The images are the same, and paired.
    """
    groups = groups_of(a.get("photographs"))
    return mean_difference(a["per_image"][metric], b["per_image"][metric], groups)


def group(result: dict) -> str:
    """Which part of a table an evaluation belongs to."""
    if result.get("student"):
        return STUDENTS
    if result.get("tokenizer"):
        return ELSEWHERE
    return TEACHERS if result.get("model") else BASELINE_ROWS


def training(result: dict, params: Params) -> str | None:
    """How the networks behind an evaluation were trained."""
    if result.get("student"):
        return distillation(result["student"], params)
    return "stage 1" if result.get("model") else None


def distillation(student: str, params: Params) -> str:
    """How a student was trained, and from which other one if it was."""
    start = params.students[student].start
    return TRAINING[params.distil_of(student).mode] + (f" from {start}" if start else "")


def with_pyramids(results: list[dict], root: Path) -> list[dict]:
    """The first teacher and the first student with a pyramid file, over several scales if any."""
    kept = [one for one in results if (root / layout.pyramid(Path(one["file"]))).exists()]
    kept.sort(key=lambda result: len(result["scales"]) == 1)
    groups = ([one for one in kept if group(one) == kind] for kind in (TEACHERS, STUDENTS))
    return [some[0] for some in groups if some]


def estimates(result: dict, root: Path) -> list[np.ndarray]:
    """Clean estimates of a few crops at each scale, coarsest first, uint8 (K, side, side, 3)."""
    names = [f"scale{k}" for k in range(len(result["scales"]))]
    found = arrays.read_npz(root / layout.pyramid(Path(result["file"])), names)
    return [found[name] for name in names]


def of_other_crops(results: list[dict], root: Path) -> str:
    """A line where the prepared crops are not those that were measured any more; else empty."""
    if not results or read_manifest(root / layout.prepared())["digest"] == results[0]["digest"]:
        return ""
    return f"{layout.prepared()} has other crops than {results[0]['file']} was measured on"


def originals(results: list[dict], root: Path, columns: np.ndarray) -> np.ndarray:
    """The crops behind samples and estimates, uint8 (N, H, W, 3): a crop's name is its place.

    MsddError where they are not there any more.
    """
    if line := of_other_crops(results, root):
        raise MsddError(f"{line}: evaluate it again")
    ids = [int(results[0]["names"][column]) for column in columns]
    return held_out(root / layout.prepared(), ids)


def photographs(root: Path, split: str) -> int:
    """How many photographs the crops of `train` or `held_out` were cut from."""
    return read_manifest(root / layout.prepared())["photographs"][split]


def recorded(
    name: str, params: Params, root: Path, more: Iterable[Path] = ()
) -> AbstractContextManager:
    """Record the report that the block writes, of all evaluations and the files `more`."""
    inputs = [layout.images(None), *paths(params), *more]
    task, made = resolve(params, name, root, inputs), layout.report(name)
    return provenance.recorded(task, Path("reports") / name, made, root)


def timing_files(params: Params) -> list[Path]:
    """What holds the speed of decodes: those timed in turns, and the files beside evaluations."""
    return [layout.throughput(), *(layout.timing(path) for path in paths(params))]
