"""The evaluations that tables and figures are made of."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from msdd.data.manifest import read_manifest
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.params.schema import Params
from msdd.params.sections import BASELINES
from msdd.pipeline import layout, provenance
from msdd.pipeline.task import resolve
from msdd.report import timings

BASELINE_ROWS, TEACHERS, STUDENTS = "Baselines", "Teachers", "One-step students"
TRAINING = {
    "per_scale": "per scale",
    "joint": "joint",
    "joint_paper_code": "joint, authors' code",
    "finetune": "finetune",
}


def paths(params: Params) -> list[Path]:
    """The metrics files in the order of every report: references, teachers, students."""
    references = [layout.baseline(name) for name in BASELINES]
    sources = {decode: params.source(decode) for decode in params.decodes}
    decodes = sorted(sources, key=lambda decode: sources[decode][1] is not None)  # stable
    return references + [layout.evaluation(*sources[decode], decode) for decode in decodes]


def read(params: Params, root: Path) -> list[dict]:
    """All evaluations, each with the `file` it comes from; all are of the same images.

    `timing` is what was timed in turns with others, else what stands in the file beside it, empty
    if there is neither.
    Raises MsddError for a file that is missing and for images that differ.
    """
    document = timings.read(root)
    results = [_read(root, path, document) for path in paths(params)]
    for result in results:
        if result["ids"] != results[0]["ids"]:
            raise MsddError(
                f"{result['file']} and {results[0]['file']} were measured on different images: "
                "evaluate both again"
            )
    return results


def _read(root: Path, path: Path, document: dict | None) -> dict:
    result = read_json(existing(root, path))
    timing = root / layout.timing(path)
    aside = read_json(timing) if timing.exists() else {}
    in_turns = timings.timing(document, result["decode"]) if document else None
    return result | {"file": path.as_posix(), "timing": in_turns or aside}


def existing(root: Path, path: Path) -> Path:
    """Where `path` is below `root`; a clear error if it is not."""
    if not (root / path).exists():
        raise MsddError(f"{path} is missing: run `msdd evaluate` or `msdd baseline` first")
    return root / path


def group(result: dict) -> str:
    """Which part of a table an evaluation belongs to."""
    if result.get("student"):
        return STUDENTS
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


def photographs(root: Path, split: str) -> int:
    """How many photographs the crops of `train` or `held_out` were cut from."""
    return read_manifest(root / layout.prepared())["photographs"][split]


def recorded(
    name: str, params: Params, root: Path, more: Iterable[Path] = ()
) -> AbstractContextManager:
    """Record the report that the block writes, of all evaluations and the files `more`."""
    inputs = [layout.prepared() / "manifest.json", *paths(params), *more]
    task, made = resolve(params, name, root, inputs), layout.report(name)
    return provenance.recorded(task, Path("reports") / name, made, root)


def timing_files(params: Params) -> list[Path]:
    """What holds the speed of decodes: those timed in turns, and the files beside evaluations."""
    return [layout.throughput(), *(layout.timing(path) for path in paths(params))]
