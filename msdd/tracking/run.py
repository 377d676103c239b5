"""The run of a stage for the experiment tracker, written to disk (`msdd.tracking.outbox`).

A stage never imports MLflow and never waits for it. `MSDD_TRACKING=off` turns all tracking off.
"""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msdd.files import read_json, write_json
from msdd.pipeline import checkout, environment
from msdd.tracking import outbox
from msdd.tracking.outbox import CLOSED, status

if TYPE_CHECKING:
    from msdd.pipeline.task import Task

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
) -> "Run":
    """The run of a job under the row of its task; see `Run`.

    stage: what the tracker calls the stage ("stage1", "finetune", "evaluate").
    more:  parameters that the row does not have, nested.
    """
    of_row = task.row_params
    model = {"model": task.model} if task.student else {}
    return Run(
        root,
        task.row,
        stage,
        of_row | (more or {}),
        part=part,
        row_params=of_row,
        tags=model | (tags or {}),
        resumed=resumed,
    )


def key(*parts: object) -> str:
    """A digest of values that JSON can hold: 16 hexadecimal digits of SHA-256."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Run:
    """One attempt at one stage, as a run of the tracker; a context manager.

    Leaving it records whether the stage has finished or failed.

    root:       the working directory of the pipeline.
    row:        the row of `params.yaml` that the stage works for; a parent collects its runs.
    stage:      the name of the stage ("stage1", "distil", "evaluate").
    params:     the resolved parameters of the stage, nested.
    part:       what tells runs of this stage and row apart ("scale0", a decode's name).
    row_params: the resolved parameters of the row; another value begins another parent. Those of
                the stage by default.
    tags:       more tags (`model`, `data`, `part`).
    resumed:    whether the stage continues from a checkpoint. Then the run of the interrupted
                attempt continues, and what it logged after the checkpoint is not logged twice.
    """

    def __init__(
        self,
        root: str | Path,
        row: str,
        stage: str,
        params: dict,
        *,
        part: str = "",
        row_params: dict | None = None,
        tags: dict[str, object] | None = None,
        resumed: bool = False,
    ):
        self.root = checkout.original(root)  # a copy is deleted, its outbox stays
        self.place = str(Path(root).absolute())
        self.last_step = -1  # that the attempt has logged which this one continues
        self.on = enabled()
        if not self.on:
            return
        self.name = "/".join(filter(None, (row, stage, part)))
        record = _record(self.name, row, stage, params, row_params or params, tags or {})
        record["place"] = self.place
        self.folder = self._interrupted(record) if resumed else None
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
        """Whether the attempt belongs to this copy of the checkout, or to one that is deleted."""
        place = read_json(folder / "run.json")["place"]
        return place == self.place or not Path(place).exists()

    def _interrupted(self, record: dict) -> Path | None:
        """The folder of the attempt that this one continues."""
        for folder in self._attempts():
            if key(read_json(folder / "run.json")["params"]) == key(record["params"]):
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

        An infinite one becomes a tag of its name: MLflow's database would store 1.797e308 for it
        (MLflow 3.17.2, `SqlAlchemyStore.sanitize_metric_value`), and its page shows that.
        """
        if not self.on or 0 <= step <= self.last_step:
            return
        numbers = {name: float(value) for name, value in (values | environment.load()).items()}
        finite = {name: value for name, value in numbers.items() if not math.isinf(value)}
        infinite = sorted(numbers.keys() - finite.keys())
        tags = {name: "∞" if numbers[name] > 0 else "-∞" for name in infinite}
        self._append({"step": int(step), "metrics": finite} | ({"tags": tags} if tags else {}))
        flush(self.root)

    def image(self, name: str, images: object) -> None:
        """Log images as one picture: uint8 (N, H, W, 3), or the path of a .npy file of them."""
        if self.on:
            target = self._target("samples", f"{name}.png")
            _picture(images).save(target)
            self._append({"file": f"samples/{target.name}"})

    def file(self, path: str | Path, folder: str = "") -> None:
        """Log a finished file, which becomes an artefact in `folder`."""
        if self.on:
            target = self._target(folder, Path(path).name)
            target.unlink(missing_ok=True)
            _link(Path(path), target)
            self._append({"file": str(target.relative_to(self.folder / "files"))})

    def _target(self, folder: str, name: str) -> Path:
        target = self.folder / "files" / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _append(self, event: dict) -> None:
        if self.on:
            outbox.append(self.folder, event)


def _record(
    name: str, row: str, stage: str, params: dict, row_params: dict, tags: dict[str, object]
) -> dict:
    context = environment.context()
    circumstances = {name: context[name] for name in ("commit", "dirty", "device", "host")}
    return {
        "name": name,
        "row": row,
        "params": params,
        "row_params": row_params,
        "row_key": key(row, row_params),
        "tags": {"row": row, "stage": stage, **tags, **circumstances, **_experiment()},
        "versions": context["versions"],
        "started": outbox.now(),
    }


def _experiment() -> dict[str, str]:
    """DVC's name of the experiment, if this is one."""
    return {"experiment": os.environ["DVC_EXP_NAME"]} if "DVC_EXP_NAME" in os.environ else {}


def _link(source: Path, target: Path) -> None:
    """A hard link keeps the content even if the stage replaces the file by a newer one."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _picture(images: object):
    """A grid of images, at most 8 in a row, small ones enlarged by nearest."""
    import numpy as np
    from PIL import Image

    array = np.load(images) if isinstance(images, (str, Path)) else np.asarray(images)
    count, height, width, channels = array.shape
    columns = min(count, 8)
    rows = -(-count // columns)
    canvas = np.full((rows * columns, height, width, channels), 255, array.dtype)
    canvas[:count] = array
    grid = canvas.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = Image.fromarray(grid.reshape(rows * height, columns * width, channels))
    enlarge = max(1, 128 // height)
    size = (picture.width * enlarge, picture.height * enlarge)
    return picture.resize(size, Image.Resampling.NEAREST)


def flush(root: str | Path, at_once: bool = False) -> None:
    """Start a delivery in the background, at most one a minute unless `at_once`; never waits."""
    stamp = Path(root) / ".tracking" / "flushed"
    if not enabled() or not (at_once or _age(stamp) > FLUSH_SECONDS):
        return
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
