"""One job, resolved once: the command makes it; the stage, the tracker and the record read it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdd.errors import MsddError, known_names
from msdd.files import digest
from msdd.params.sections import BASELINES
from msdd.pipeline import layout
from msdd.pipeline.stages import fingerprint, tracked_params

if TYPE_CHECKING:
    from msdd.params.schema import Decode, Params
    from msdd.params.sections import Data, Distil, Evaluate, Model, Stage1

SAVING = "checkpoint_every"


@dataclass(frozen=True)
class Task:
    """One job of a stage, and everything that decides its result.

    stage:     a key of `msdd.pipeline.stages.STAGES`.
    wildcards: what names the job, by the names in the stage's keys; of a distillation also `scale`.
    model:     the row of `models` that is trained, distilled or decoded; None where there is none.
    student:   the row of `students`, likewise.
    start:     the row of `students` that finetuning begins with.
    seed, cpu_threads, data: as the params file has them.
    networks:  the section `model`, as it holds for the row `model`.
    stage1:    the section of that name, as it holds for the row `model`.
    distil:    the section of that name, as it holds for the row `student`.
    evaluate:  the section of that name.
    decode:    the row of `decodes` that is evaluated.
    params:    what the stage depends on, by dotted key, as it holds for the rows; plain values.
    code:      the fingerprint of the stage's code.
    inputs:    SHA-256 of the files that the job reads, by path relative to the working directory.
    latents:   the name of the stored latents that the row `model` decodes; None: it has none.
    first_decode: whether it evaluates the first of the decodes of its row, which the tracker shows
               for the row and keeps the model of.
    """

    stage: str
    wildcards: dict[str, Any]
    model: str | None
    student: str | None
    start: str | None
    seed: int
    cpu_threads: int
    data: "Data"
    networks: "Model | None"
    stage1: "Stage1 | None"
    distil: "Distil | None"
    evaluate: "Evaluate"
    decode: "Decode | None"
    params: dict[str, Any]
    code: str
    inputs: dict[str, str]
    latents: str | None = None
    first_decode: bool = False

    @property
    def row(self) -> str:
        """The row that the tracker files the job under: of `students`, of `models`, or of `decodes`
        if that was trained elsewhere; `baseline` or `reports` for none."""
        if self.stage == "baseline":
            return "baseline"
        return self.student or self.model or self.wildcards.get("decode") or "reports"

    @property
    def row_params(self) -> dict[str, Any]:
        """The settings of the rows as plain values, section by section."""
        sections = {
            "data": self.data,
            "model": self.networks,
            "stage1": self.stage1,
            "distil": self.distil,
        }
        plain = {name: part.model_dump(mode="json") for name, part in sections.items() if part}
        return {"seed": self.seed, "cpu_threads": self.cpu_threads, **plain}

    def record(self) -> dict[str, Any]:
        """What decides the result, and nothing else: ready for JSON."""
        names = ("stage", "wildcards", "params", "code", "inputs")
        return {name: getattr(self, name) for name in names}

    @property
    def key(self) -> str:
        """`record` as one digest: a checkpoint with another key belongs to another result. How
        often is saved changes no bit."""
        params = {k: saved_alike(v) for k, v in self.params.items() if not k.endswith(SAVING)}
        values = list((self.record() | {"params": params}).values())
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def saved_alike(value: Any) -> Any:
    """The value of a param without what it, or a section of a row, says of `SAVING`."""
    if not isinstance(value, dict):
        return value
    left = {key: saved_alike(one) for key, one in value.items() if key != SAVING}
    return {key: one for key, one in left.items() if one != {}}


def resolve(
    params: "Params",
    stage: str,
    root: Path = Path("."),
    inputs: Iterable[Path] | None = None,
    **wildcards: Any,
) -> Task:
    """The job of a stage. Imports no torch.

    inputs:    the files that it reads, relative to `root`; by default those of a stage that makes
               data, models or evaluations. Missing files are left out: the stage reports them.
    wildcards: `part`, `encoder`, `model`, `student`, `student` and `scale`, `decode` or `baseline`.

    Raises MsddError for a row or scale that does not exist, and for a student whose mode belongs to
    another stage.
    """
    task = _of_params(params, stage, wildcards)
    paths = _inputs(params, task) if inputs is None else inputs
    digests = {str(path): digest(root / path) for path in paths if (root / path).exists()}
    return replace(task, code=fingerprint(stage), inputs=digests)


def params_of(params: "Params", stage: str, **wildcards: Any) -> dict[str, Any]:
    """What a job depends on of the params: `Task.params`, without a look at code or files."""
    return _of_params(params, stage, wildcards).params


def _of_params(params: "Params", stage: str, wildcards: dict[str, Any]) -> Task:
    """The job as far as the params decide it."""
    model, student = _rows(params, wildcards)
    _check(params, stage, model, student, wildcards)
    task = Task(
        stage=stage,
        wildcards=wildcards,
        model=model,
        student=student,
        start=params.students[student].start if student else None,
        seed=params.seed,
        cpu_threads=params.cpu_threads,
        data=params.data,
        networks=params.model_of(model) if model else None,
        stage1=params.stage1_of(model) if model else None,
        distil=params.distil_of(student) if student else None,
        evaluate=params.evaluate,
        decode=params.decodes.get(wildcards.get("decode")),
        params={},
        code="",
        inputs={},
        latents=params.latents_of(model) if model else None,
        first_decode=_is_first(params, wildcards.get("decode")),
    )
    return replace(task, params=_tracked_params(params, task))


def _rows(params: "Params", wildcards: dict[str, Any]) -> tuple[str | None, str | None]:
    """The rows of `models` and of `students` behind a job."""
    if "decode" in wildcards:
        return params.source(wildcards["decode"])
    if "encoder" in wildcards:
        return params.row_of(wildcards["encoder"]), None
    student = wildcards.get("student")
    return (params.model_row(student) if student else wildcards.get("model")), student


def _is_first(params: "Params", decode: str | None) -> bool:
    """Whether no decode before this one decodes its row; what was trained elsewhere has none."""
    of = params.decodes[decode].of if decode else None
    return bool(of) and decode == next(n for n, row in params.decodes.items() if row.of == of)


def _check(
    params: "Params", stage: str, model: str | None, student: str | None, wildcards: dict[str, Any]
) -> None:
    if stage == "baseline" and wildcards["baseline"] not in BASELINES:
        name = wildcards["baseline"]
        raise MsddError(f"no baseline '{name}'; {known_names(name, BASELINES)}")
    if stage == "scatter":
        part, count = wildcards["part"], params.prepare_jobs
        if layout.part(part) not in layout.parts(count):
            raise MsddError(
                f"there is no part {part} of prepare_jobs {count}; parts count from 0, and one job "
                "is `msdd prepare`"
            )
    mode = params.distil_of(student).mode if student else None
    if stage in ("distil", "assemble") and mode != "per_scale":
        raise MsddError(f"'{student}' is {mode}: use `msdd chain`")
    if stage == "distil":
        scale, count = wildcards["scale"], params.model_of(model).scales
        if scale not in range(count):
            raise MsddError(
                f"'{student}' has no scale {scale}; its scales are counted from 0, the coarsest, "
                f"to {count - 1}"
            )
    if stage == "chain" and mode == "per_scale":
        raise MsddError(f"'{student}' is per_scale: use `msdd distil` and `msdd assemble`")


def _inputs(params: "Params", task: Task) -> list[Path]:
    """The files that a stage reads, except those that the params name with their digests."""
    if task.stage == "scatter":
        return []
    if task.stage == "prepare":
        return [layout.receipt("parts", part) for part in layout.parts(params.prepare_jobs)]
    if task.stage in ("latents", "baseline") or task.stage == "evaluate" and not task.model:
        return [layout.images(None)]
    if task.stage == "train":
        return [layout.images(task.latents)]
    folders = [layout.stage1(task.model)]
    if task.stage == "assemble":
        scales = range(task.networks.scales)
        folders += [layout.scale(task.model, task.student, k) for k in scales]
        return _model_files(folders)
    if task.stage == "chain" and task.distil.mode == "finetune":
        folders.append(layout.assembled(task.model, task.start))
    if task.stage == "evaluate" and task.student:
        folders = [layout.assembled(task.model, task.student)]
    images = layout.images(None if task.stage == "evaluate" else task.latents)
    return [*_model_files(folders), images]


def _model_files(folders: Iterable[Path]) -> list[Path]:
    return [folder / file for folder in folders for file in layout.MODEL_FILES]


def _tracked_params(params: "Params", task: Task) -> dict[str, Any]:
    """The tracked params with what the rows say in place of the defaults."""
    decodes = {name: decode.model_dump(mode="json") for name, decode in params.decodes.items()}
    values = params.raw() | task.row_params | {"decodes": decodes}
    return tracked_params(task.stage, values, **task.wildcards)
