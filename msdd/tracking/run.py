"""The run of a stage for the experiment tracker, written to disk (`msdd.tracking.outbox`).

A stage never imports MLflow and never waits for it. `MSDD_TRACKING=off` turns all tracking off.
"""

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from msdd.files import read_json, unwritten, write_json
from msdd.pipeline import checkout, environment
from msdd.tracking import outbox, parents
from msdd.tracking.outbox import CLOSED, status
from msdd.tracking.parents import key, of_row

if TYPE_CHECKING:
    from msdd.pipeline.task import Task

TRAININGS = ("train", "distil", "chain")
FLUSH_SECONDS = 60  # between two deliveries in the background while stages run
_deliveries: list[subprocess.Popen] = []  # kept, or Python warns that they still run


def enabled() -> bool:
    """Whether tracking is on: MSDD_TRACKING is anything but `off`."""
    return os.environ.get("MSDD_TRACKING", "on") != "off"


def open_run(
    task: "Task",
    stage: str,
    part: str = "",
    *,
    root: str | Path = ".",
    more: dict | None = None,
    tags: dict[str, object] | None = None,
    resumed: bool = False,
    measured: "dict[str, Task] | None" = None,
) -> "Run":
    """The run of a job under the row of its task, or under the decode that it measures; see `Run`.

    stage:    what the tracker calls the stage ("stage1", "finetune", "evaluate").
    more:     parameters that the row does not have, nested.
    measured: the evaluations whose figures the run gives (`Run.figures`), by decode.
    """
    params = task.row_params | (more or {})
    return Run(
        root,
        task.row,
        stage,
        params,
        part=part,
        parents=parents.of_task(task, params, measured or {}),
        tags=tags_of(task) | (tags or {}),
        inputs=task.inputs,
        resumed=resumed,
        job=task.key,
    )


def tags_of(task: "Task") -> dict[str, object]:
    """The tags by which MLflow's page filters: the group, the model behind a student, the scale."""
    group = "training" if task.stage in TRAININGS else "measurement"
    scale = {"scale": task.wildcards["scale"]} if "scale" in task.wildcards else {}
    return {"group": group, **parents.model_of(task), **scale}


class Run:
    """One attempt at one stage, as a run of the tracker; a context manager.

    Leaving it records whether the stage has finished or failed.

    root:       the working directory of the pipeline.
    row:        the row of `params.yaml` that the stage works for; a parent collects its runs.
    stage:      the name of the stage ("stage1", "distil", "evaluate").
    params:     the resolved parameters of the stage, nested.
    part:       what tells runs of this stage and row apart ("scale0", a decode's name).
    parents:    the runs that it belongs to, from `msdd.tracking.parents`; by default one of the row
                with these params.
    tags:       more tags (`model`, `data`, `part`).
    inputs:     SHA-256 of the files that the stage reads, by path; those of images become MLflow's
                datasets.
    resumed:    whether the stage continues from a checkpoint. Then the run of the interrupted
                attempt continues, and what it logged after the checkpoint is not logged twice.
    job:        what decides the result, as a digest. The run of an interrupted attempt at the same
                job continues also without a checkpoint, as after a scheduler has queued it again.
    """

    def __init__(
        self,
        root: str | Path,
        row: str,
        stage: str,
        params: dict,
        *,
        part: str = "",
        parents: list[dict] | None = None,
        tags: dict[str, object] | None = None,
        inputs: dict[str, str] | None = None,
        resumed: bool = False,
        job: str | None = None,
    ):
        self.root = checkout.original(root)  # a copy is deleted, its outbox stays
        self.place = str(Path(root).absolute())
        self.last_step = -1  # that the attempt has logged which this one continues
        self.on = enabled()
        if not self.on:
            return
        self.name = "/".join(filter(None, (row, stage, part)))
        record = _record(self.name, row, stage, params, tags or {})
        record |= {"parents": parents or [of_row(row, params, _model(tags))]}
        record |= {"place": self.place, "job": job, "inputs": inputs or {}}
        self.parents = record["parents"]
        self.folder = self._interrupted(record, resumed)
        if self.folder is None:
            self._abandon()
            self.folder = outbox.folder(self.root) / f"{self._stem}{time.time_ns():x}"
            write_json(self.folder / "run.json", record)
        else:
            self.last_step = outbox.mend(self.folder)

    @property
    def identity(self) -> dict[str, str] | None:
        """Name, and the key by which MLflow finds the run; None if tracking is off."""
        return {"name": self.name, "key": self.folder.name} if self.on else None

    @property
    def _stem(self) -> str:
        return self.name.replace("/", ".") + "."

    def _attempts(self) -> list[Path]:
        """The folders of this run that are not finished, the latest first."""
        folders = [path.parent for path in outbox.folder(self.root).glob(f"{self._stem}*/run.json")]
        named = [path for path in folders if path.name.count(".") == self._stem.count(".")]
        open_ = [path for path in sorted(named, reverse=True) if status(path) not in CLOSED]
        return [path for path in open_ if self._here(path)]

    def _here(self, folder: Path) -> bool:
        """Whether the attempt belongs to this copy of the checkout, or to one that is deleted.

        Another host may reach the same folder by another path.
        """
        place, here = Path(read_json(folder / "run.json")["place"]), Path(self.place)
        return not place.exists() or here.exists() and here.samefile(place)

    def _interrupted(self, record: dict, resumed: bool) -> Path | None:
        """The folder of the attempt that this one continues."""
        for folder in self._attempts():
            earlier = read_json(folder / "run.json")
            same_job = record["job"] and record["job"] == earlier.get("job")
            if same_job or resumed and key(earlier["params"]) == key(record["params"]):
                return folder
        return None

    def _abandon(self) -> None:
        """Close the interrupted attempts: this one starts afresh."""
        for folder in self._attempts():
            outbox.mend(folder)
            outbox.append(folder, {"status": "KILLED"})

    def __enter__(self) -> "Run":
        self._append({"status": "RUNNING"})
        environment.load()  # the first value of the processor's load means nothing
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        self._append({"status": "FAILED" if kind else "FINISHED"})
        flush(self.root, at_once=True)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Log metrics at a step (images seen in training), with those of the machine.

        An infinite one becomes a tag of its name.
        """
        if not self.is_new(step):
            return
        finite, tags = _finite(values | environment.load())
        self._append({"step": int(step), "metrics": finite} | ({"tags": tags} if tags else {}))
        flush(self.root)

    def figures(self, values: dict[str, float], decode: str | None = None) -> None:
        """Give the figures of a decode to the parents that carry them, in place of earlier ones.

        decode: which of those that the run has measured; None if it is only one.
        """
        if not self.on:
            return
        metrics, tags = _finite(values)
        for parent in self.parents:
            if (name := parent.get("decode")) and decode in (None, name):
                told = {"metrics": metrics, "tags": tags | {"decode": name}}
                self._append({"figures": told, "parent": parent["key"]})

    def is_new(self, step: int) -> bool:
        """Whether metrics of a step would be logged: tracking is on, and no attempt before this
        one, which it continues, has logged them."""
        return self.on and not 0 <= step <= self.last_step

    def image(self, name: str, images: object, step: int = 0, above: bool = True) -> None:
        """Log images as one picture: uint8 (N, H, W, 3), or the path of a .npy file of them.

        MLflow compares pictures of a name, step by step: runs that may be compared use the same.
        above: the first parent gets the picture, too.
        """
        if self.on:
            from msdd.tracking import pictures

            parent = {"parent": self.parents[0]["key"]} if above else {}
            for file in pictures.write(images, name, step, self.folder / "files"):
                self._append({"file": file} | parent)

    def model(self, name: str, files: Iterable[Path], settings: dict, resolution: int) -> None:
        """Keep the files of a model folder as a model that MLflow serves, by the name of a decode.

        settings:   arguments of `msdd.tokenizers.msdd.load`, for JSON.
        resolution: sides of the images, in pixels.
        """
        if self.on:
            for path in files:
                _link(path, self._target("model", path.name))
            write_json(self._target("model", "decode.json"), settings)
            parent = self.parents[0]["key"]
            self._append({"model": {"name": name, "resolution": resolution}, "parent": parent})

    def file(self, path: str | Path, folder: str = "") -> None:
        """Log a finished file, which becomes an artefact in `folder`."""
        if self.on:
            target = self._target(folder, Path(path).name)
            _link(Path(path), target)
            self._append({"file": str(target.relative_to(self.folder / "files"))})

    def _target(self, folder: str, name: str) -> Path:
        target = self.folder / "files" / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _append(self, event: dict) -> None:
        if self.on:
            outbox.append(self.folder, event)


def _record(name: str, row: str, stage: str, params: dict, tags: dict[str, object]) -> dict:
    context = environment.context()
    circumstances = {name: context[name] for name in ("commit", "dirty", "device", "host")}
    own = {"row": row, "stage": stage, "params_digest": key(params)}
    return {
        "name": name,
        "row": row,
        "params": params,
        "tags": own | tags | circumstances | _experiment(),
        "versions": context["versions"],
        "started": outbox.now(),
    }


def _experiment() -> dict[str, str]:
    """DVC's name of the experiment, if this is one."""
    return {"experiment": os.environ["DVC_EXP_NAME"]} if "DVC_EXP_NAME" in os.environ else {}


def _model(tags: dict[str, object] | None) -> dict[str, object]:
    return {name: value for name, value in (tags or {}).items() if name == "model"}


def _finite(values: dict[str, float]) -> tuple[dict[str, float], dict[str, str]]:
    """The finite numbers, and the others as tags of their names.

    MLflow's database would store 1.797e308 for an infinite one (MLflow 3.17.2,
    `SqlAlchemyStore.sanitize_metric_value`), and its page shows that.
    """
    numbers = {name: float(value) for name, value in values.items()}
    finite = {name: value for name, value in numbers.items() if not math.isinf(value)}
    infinite = sorted(numbers.keys() - finite.keys())
    return finite, {name: "∞" if numbers[name] > 0 else "-∞" for name in infinite}


def _link(source: Path, target: Path) -> None:
    """A hard link keeps the content even if the stage replaces the file by a newer one."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def flush(root: str | Path, at_once: bool = False) -> None:
    """Start a delivery in the background, at most one a minute unless `at_once`; never waits.

    Where it cannot start, the runs wait for the next one.
    """
    stamp = Path(root) / ".tracking" / "flushed"
    if enabled() and (at_once or not 0 <= _age(stamp) <= FLUSH_SECONDS):  # the clock may go back
        with unwritten("what is tracked waits for `msdd track`"):
            _deliver(root, stamp)


def _deliver(root: str | Path, stamp: Path) -> None:
    stamp.touch()
    with open(stamp.with_name("delivery.log"), "a") as log:
        command = [sys.executable, "-m", "msdd.tracking.delivery", str(Path(root).absolute())]
        quiet = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        delivery = subprocess.Popen(
            command,
            cwd=root,  # not that of a stage in a copy of DVC's queue, which may go before
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives the stage and its terminal
            env=os.environ | quiet,
        )
    _deliveries[:] = [one for one in _deliveries if one.poll() is None] + [delivery]


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime if path.exists() else float("inf")
