"""The work of a job: images, FLOPs and files, before anything is run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msdd.errors import MsddError, did_you_mean
from msdd.pipeline import layout


@dataclass(frozen=True)
class Work:
    """One job.

    stage, name: as DVC names the job, `stage@name`; the name is empty where there is one job.
    wildcards:   of the task. artefact: what its record is named by.
    needs:       the jobs, as `stage@name`, that must be done before.
    images:      how many are trained on, decoded or cut.
    flops:       of one image. precision: `fp32` or `bf16`; None where no network runs.
    batch:       images in one pass. passes: of a network of so many `blocks`, for a batch.
    seconds:     least and most, beside what the FLOPs take.
    stored:      bytes of images that it leaves behind.
    numbers:     weights that it leaves behind. state: numbers of its checkpoint while it trains.
    """

    stage: str
    name: str
    wildcards: dict[str, Any]
    artefact: Path
    needs: tuple[str, ...]
    images: int = 0
    flops: float = 0.0
    precision: str | None = None
    batch: int = 1
    passes: int = 0
    blocks: int = 0
    seconds: tuple[float, float] = (0.0, 0.0)
    stored: int = 0
    numbers: int = 0
    state: int = 0

    @property
    def key(self) -> str:
        return f"{self.stage}@{self.name}" if self.name else self.stage


def wanted(work: list[Work], target: str) -> list[Work]:
    """The jobs that a target needs: `all`, a report, or a row. MsddError for what is none."""
    if target == "all":
        return work
    by_key = {one.key: one for one in work}
    todo = [one.key for one in work if target in (one.stage, one.name, one.key)]
    if not todo:
        rows = [one.name for one in work if one.name]
        near = did_you_mean(target, ["all", *layout.REPORTS, *rows])
        raise MsddError(
            f"no target '{target}'; {near}known: all, {', '.join(layout.REPORTS)}, and rows of "
            "models, students and decodes"
        )
    needed: set[str] = set()
    while todo:
        key = todo.pop()
        if key not in needed:
            needed.add(key)
            todo.extend(by_key[key].needs)
    return [one for one in work if one.key in needed]
