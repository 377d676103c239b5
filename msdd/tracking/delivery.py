"""From the outbox to MLflow.

No stage waits for a delivery. A run's folder leaves the outbox only after all of it has been
delivered, and delivering the same event twice changes nothing. What was deleted in MLflow's page
while it is still written to is restored, or made again if it is gone for good, and that is told.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from msdd.errors import MsddError
from msdd.files import read_json, write_json, write_text
from msdd.pipeline import lock
from msdd.tracking import outbox, store
from msdd.tracking.outbox import CLOSED, events, status

PARAMS, METRICS = 100, 1000  # MLflow's limits for a batch; it shortens long values itself
MOST = 1000  # characters of a reason; MLflow's longest have more than 500


def deliver(root: str | Path = ".", patient: bool = False) -> str:
    """Deliver everything in the outbox of `root` to MLflow; returns what was done in one line.

    If another process is delivering, the rest is left to it, or waited for if `patient`. Raises
    MsddError if something could not be delivered; it stays in the outbox.
    """
    mark, path = Path(root) / ".tracking" / "more", Path(root) / ".tracking" / "lock"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()  # before the attempt: the holder looks for it after letting go
    runs, records, notes = set(), 0, []
    while mark.exists():
        with lock.wait(path) if patient else lock.attempt(path) as free:
            if free is False:
                return "another process is delivering"
            mark.unlink(missing_ok=True)
            for name, count in _drain(Path(root), notes):
                runs.add(name)
                records += count
    done = f"{records} records of {len(runs)} runs delivered to {store.address(root)}"
    return "; ".join([done, *_once(notes, mark.with_name("notes"), patient)])


def _once(notes: list[str], path: Path, patient: bool) -> list[str]:
    """The notes, and those of deliveries in the background, of which nobody has heard yet."""
    earlier = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    told = list(dict.fromkeys([*earlier, *notes]))
    if patient:
        path.unlink(missing_ok=True)
    elif told:
        write_text(path, "\n".join(told))
    return told


def _drain(root: Path, notes: list[str]) -> Iterator[tuple[str, int]]:
    """Deliver every run's folder; yields its name and the number of records that were new."""
    uri = store.address(root)
    notes += store.mend_places(root, uri)
    lasting = store.lasting(uri, root)
    folders = waiting(root, lasting)
    if not folders:
        return
    client, experiment = _connect(root, len(folders), notes)
    failed = {}
    for folder in folders:
        try:
            yield folder.name, _Delivery(client, experiment, folder, lasting, notes).send()
        except Exception as error:  # one bad record must not keep the others
            failed[folder] = error
    if failed:
        folder, error = next(iter(failed.items()))
        raise _undelivered(uri, len(failed), error, notes, f" (first {folder})")


def waiting(root: Path, uri: str) -> list[Path]:
    """The folders of runs that the store at this lasting address does not have in full."""
    return [path for path in sorted(outbox.folder(root).glob("*")) if _waiting(path, uri)]


def _waiting(folder: Path, uri: str) -> bool:
    """Whether a run has events that are not delivered, or is closed and can be removed."""
    path = folder / "events.jsonl"
    if not path.exists():
        return False
    return _state(folder, uri)["offset"] < path.stat().st_size or status(folder) in CLOSED


def _state(folder: Path, uri: str) -> dict:
    """What has been delivered to this address: the run's id, and the events up to a byte."""
    path = folder / "delivered.json"
    state = read_json(path) if path.exists() else {}
    return state if state.get("uri") == uri else {"uri": uri, "run": None, "offset": 0}


def _undelivered(
    uri: str, count: int, error: Exception, notes: list[str], where: str = ""
) -> MsddError:
    reason = " ".join(str(error).split())[:MOST].rstrip(".") or type(error).__name__
    told = "".join(f"; {note}" for note in dict.fromkeys(notes))
    return MsddError(
        f"MLflow at {uri}: {reason}; {count} runs wait in .tracking/outbox{where}, "
        f"and `msdd track` tries again{told}"
    )


def _connect(root: Path, count: int, notes: list[str]):
    """A client and the id of the experiment; a new database is made and migrated on the way."""
    uri = store.address(root)
    try:
        client = store.client_at(uri)
        return client, store.experiment(client, root, uri, notes)
    except Exception as error:
        raise _undelivered(uri, count, error, notes) from None


class _Delivery:
    """The delivery of one run's folder."""

    def __init__(self, client, experiment: str, folder: Path, uri: str, notes: list[str]):
        self.client, self.experiment, self.folder = client, experiment, folder
        self.notes = notes
        self.record = read_json(folder / "run.json")
        self.state = _state(folder, uri)

    def send(self) -> int:
        """Deliver what is new; returns the number of records."""
        known = self._known()
        parent = self._parent()
        run = self._run(known, parent)
        new, end = events(self.folder, self.state["offset"])
        self._metrics(run, new)
        for event in new:
            if "file" in event:
                self._file(run, event["file"])
            for name, value in event.get("tags", {}).items():
                self.client.set_tag(run, name, value)
        changes = [event for event in new if "status" in event]
        if changes:
            self._status(run, changes[-1])
        if changes and not self._others_run():
            self._status(parent, changes[-1])
        self._save(run, end)
        if status(self.folder) in CLOSED and end == (self.folder / "events.jsonl").stat().st_size:
            shutil.rmtree(self.folder)
        return len(new)

    def _others_run(self) -> bool:
        """Whether another stage of the same row is running, so that the parent's status stays."""
        others = [path.parent for path in self.folder.parent.glob("*/run.json")]
        keys = {path: read_json(path / "run.json")["row_key"] for path in others}
        return any(
            path != self.folder
            and keys[path] == self.record["row_key"]
            and status(path) == "RUNNING"
            for path in others
        )

    def _save(self, run: str, offset: int) -> None:
        self.state |= {"run": run, "offset": offset}
        write_json(self.folder / "delivered.json", self.state)

    def _known(self):
        """The run that was written to before, restored if need be, or None.

        It keeps its experiment, also where that has been renamed.
        """
        run = self._get(self.state["run"]) if self.state["run"] else None
        if run is None:
            return None
        if run.info.experiment_id != self.experiment:
            self.experiment = run.info.experiment_id
            found = self.client.get_experiment(self.experiment)
            store.restore_experiment(self.client, found, self.notes)
        self._restore(run)
        return run

    def _run(self, known, parent: str) -> str:
        """The run of this folder: the known one, one found by its tag, or a new one."""
        if known:
            if known.data.tags.get("mlflow.parentRunId") != parent:
                self.client.set_tag(known.info.run_id, "mlflow.parentRunId", parent)
            return known.info.run_id
        if self.state["run"]:
            self.notes.append(f"the run {self.record['name']} was gone and is there again")
        self.state["offset"] = 0  # nothing has been delivered to this address
        record = self.record
        tags = record["tags"] | {"mlflow.parentRunId": parent}
        tags |= {f"version.{name}": value for name, value in record["versions"].items()}
        return self._find_run(self.folder.name) or self._create(
            self.folder.name, record["name"], tags, record["params"]
        )

    def _parent(self) -> str:
        """The run of the row with these parameters, the parent of its stages' runs."""
        record = self.record
        tags = {name: record["tags"][name] for name in ("row", "model") if name in record["tags"]}
        row_key = record["row_key"]
        return self._find_run(row_key) or self._create(
            row_key, record["row"], tags, record["row_params"]
        )

    def _get(self, run: str):
        """The run, deleted or not; None if it is gone, as from a database that was deleted."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _restore(self, run) -> None:
        """Restore a run that was deleted in MLflow's page."""
        if run.info.lifecycle_stage == "deleted":
            self.client.restore_run(run.info.run_id)
            self.notes.append(f"the run {run.info.run_name} had been deleted and is restored")

    def _find_run(self, key: str) -> str | None:
        """The run with a key; restored if it was deleted."""
        from mlflow.entities import ViewType

        query = f"tags.`msdd.key` = '{key}'"
        runs = self.client.search_runs([self.experiment], query, ViewType.ALL)
        if not runs:
            return None
        run = min(runs, key=lambda run: run.info.lifecycle_stage == "deleted")
        self._restore(run)
        return run.info.run_id

    def _create(self, key: str, name: str, tags: dict, params: dict) -> str:
        commit = self.record["tags"]["commit"]
        tags |= {"msdd.key": key, "mlflow.source.name": "msdd", "mlflow.source.git.commit": commit}
        tags = {name: str(value) for name, value in tags.items() if value is not None}
        started = self.record["started"]
        run = self.client.create_run(self.experiment, started, tags, name).info.run_id
        self._params(run, params)
        return run

    def _params(self, run: str, params: dict) -> None:
        from mlflow.entities import Param

        flat = [Param(name, value) for name, value in flatten(params).items()]
        for part in chunks(flat, PARAMS):
            self.client.log_batch(run, params=part)
        self.client.log_dict(run, params, "params.yaml")

    def _metrics(self, run: str, new: list[dict]) -> None:
        from mlflow.entities import Metric

        points = [
            Metric(name, value, event["time"], event["step"])
            for event in new
            for name, value in event.get("metrics", {}).items()
        ]
        for part in chunks(points, METRICS):
            self.client.log_batch(run, metrics=part)

    def _file(self, run: str, name: str) -> None:
        path = self.folder / "files" / name
        folder = Path(name).parent.as_posix()
        self.client.log_artifact(run, str(path), None if folder == "." else folder)

    def _status(self, run: str, event: dict) -> None:
        if event["status"] == "RUNNING":
            self.client.update_run(run, status="RUNNING")
        else:
            self.client.set_terminated(run, event["status"], event["time"])


def flatten(params: dict, prefix: str = "") -> dict[str, str]:
    """Nested parameters as `{"stage1.batch": "64"}`, texts as they are, other values as JSON."""
    flat = {}
    for name, value in params.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value)
    return flat


def chunks(items: list, size: int) -> Iterator[list]:
    return (items[start : start + size] for start in range(0, len(items), size))


def main() -> None:
    """`python -m msdd.tracking.delivery ROOT`, which stages start in the background."""
    os.nice(10)
    try:
        line = deliver(sys.argv[1])
    except MsddError as error:
        line = str(error)
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}", flush=True)


if __name__ == "__main__":
    main()
