"""From the outbox to MLflow.

The database is SQLite in the working directory unless `MLFLOW_TRACKING_URI` names a server. No
stage waits for a delivery. A run's folder leaves the outbox only after all of it has been
delivered, and delivering the same event twice changes nothing.
"""

import json
import logging
import os
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from msdd.errors import MsddError
from msdd.files import read_json, write_json
from msdd.pipeline import lock
from msdd.tracking import outbox
from msdd.tracking.outbox import CLOSED, events, status

PARAMS, METRICS = 100, 1000  # MLflow's limits for a batch; it shortens long values itself
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the outbox is the retry
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def deliver(root: str | Path = ".", patient: bool = False) -> str:
    """Deliver everything in the outbox of `root` to MLflow; returns what was done in one line.

    If another process is delivering, the rest is left to it, or waited for if `patient`. Raises
    MsddError if something could not be delivered; it stays in the outbox.
    """
    mark, path = Path(root) / ".tracking" / "more", Path(root) / ".tracking" / "lock"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()  # before the attempt: the holder looks for it after letting go
    runs, records = set(), 0
    while mark.exists():
        with lock.wait(path) if patient else lock.attempt(path) as free:
            if free is False:
                return "another process is delivering"
            mark.unlink(missing_ok=True)
            for name, count in _drain(Path(root)):
                runs.add(name)
                records += count
    return f"{records} records of {len(runs)} runs delivered to {address(root)}"


def address(root: str | Path) -> str:
    """The tracking URI: `MLFLOW_TRACKING_URI`, or the SQLite database in `root`."""
    default = f"sqlite:///{Path(root).absolute() / 'mlflow.db'}"
    return os.environ.get("MLFLOW_TRACKING_URI") or default


def _drain(root: Path) -> Iterator[tuple[str, int]]:
    """Deliver every run's folder; yields its name and the number of records that were new."""
    folders = [
        path for path in sorted(outbox.folder(root).glob("*")) if _waiting(path, address(root))
    ]
    if not folders:
        return
    client, experiment = _connect(root, len(folders))
    failed = {}
    for folder in folders:
        try:
            yield folder.name, _Delivery(client, experiment, folder, address(root)).send()
        except Exception as error:  # one bad record must not keep the others
            failed[folder] = error
    if failed:
        folder, error = next(iter(failed.items()))
        raise _undelivered(address(root), len(failed), error, f" (first {folder})")


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


def _undelivered(uri: str, count: int, error: Exception, where: str = "") -> MsddError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return MsddError(
        f"MLflow at {uri}: {reason}; {count} runs wait in .tracking/outbox{where}, "
        "`msdd track` delivers them"
    )


def _connect(root: Path, count: int):
    """A client and the id of the experiment; a new database is made and migrated on the way."""
    uri = address(root)
    try:
        client = client_at(uri)
        return client, _experiment(client, root, uri)
    except Exception as error:
        raise _undelivered(uri, count, error) from None


def _knock(uri: str) -> None:
    """Raise OSError if no server answers at the address."""
    place = urlsplit(uri)
    if place.scheme in ("http", "https"):
        port = place.port or {"http": 80, "https": 443}[place.scheme]
        socket.create_connection((place.hostname, port), timeout=5).close()


def client_at(uri: str):
    """A client of MLflow. Raises OSError, before the slow import, if no server answers."""
    _knock(uri)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module="mlflow")
    from mlflow import MlflowClient  # seconds: only here, never in a stage

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def _experiment(client, root: Path, uri: str) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "msdd")
    experiment = client.get_experiment_by_name(name)
    if experiment:
        return experiment.experiment_id
    local = uri.startswith("sqlite:")  # a server decides itself where artefacts go
    place = (root / "mlartifacts").absolute().as_uri() if local else None
    return client.create_experiment(name, artifact_location=place)


class _Delivery:
    """The delivery of one run's folder."""

    def __init__(self, client, experiment: str, folder: Path, uri: str):
        self.client, self.experiment, self.folder = client, experiment, folder
        self.record = read_json(folder / "run.json")
        self.state = _state(folder, uri)

    def send(self) -> int:
        """Deliver what is new; returns the number of records."""
        parent = self._parent()
        run = self._run(parent)
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

    def _run(self, parent: str) -> str:
        """The run of this folder: the known one, one found by its tag, or a new one."""
        run = self.state["run"]
        if run and self._alive(run):
            return run
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

    def _alive(self, run: str) -> bool:
        """Whether the run still exists; a database may be deleted during a long training."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _find_run(self, key: str) -> str | None:
        runs = self.client.search_runs([self.experiment], f"tags.`msdd.key` = '{key}'")
        return runs[0].info.run_id if runs else None

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


SQLITE = "sqlite:///"


def whereabouts(run: dict[str, str], root: Path) -> dict[str, str]:
    """`status` of a run (`name` and `key`) and, if MLflow has it, its `id`, `page` and `store`.

    Makes neither a database nor an experiment.
    """
    uri = address(root)
    try:
        info = None if _absent(uri) else _search(run["key"], uri)
    except Exception as error:  # MLflow and its clients raise errors of many kinds
        return {"status": f"MLflow at {uri} does not answer: {str(error).splitlines()[0]}"}
    if info is None:
        waits = (outbox.folder(root) / run["key"]).exists()
        return {"status": "not delivered yet: `msdd track`" if waits else f"not in {uri}"}
    place = f"/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    page = (uri if uri.startswith("http") else "http://127.0.0.1:5000") + place
    return {"status": info.status.lower(), "id": info.run_id, "page": page, "store": uri}


def _absent(uri: str) -> bool:
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()


def _search(key: str, uri: str):
    """MLflow's information on the run with a key, or None."""
    client = client_at(uri)
    experiment = client.get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME", "msdd"))
    if experiment is None:
        return None
    runs = client.search_runs([experiment.experiment_id], f"tags.`msdd.key` = '{key}'")
    return runs[0].info if runs else None
