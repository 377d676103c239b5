"""The delivery of one run's folder to MLflow. Sending the same twice changes nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msdd.files import sync, write_json
from msdd.params.dotted import dotted, written
from msdd.pipeline import forms
from msdd.tracking import models, outbox, parents, pictures, restored, store
from msdd.tracking.batches import Batch
from msdd.tracking.datasets import inputs
from msdd.tracking.outbox import CLOSED, events, status

WHOLE = "msdd.whole"  # tag of a run that has what belongs to it from its start


@dataclass
class Destination:
    """Where runs go.

    client:     of MLflow.
    experiment: its id.
    uri:        the address by a name that lasts.
    notes:      lines about what had to be done.
    under:      the folders of runs under each parent, by the parent's key.
    known:      the ids of parents that were found, by experiment and key.
    figures:    the names of all figures that were delivered.
    """

    client: Any
    experiment: str
    uri: str
    notes: list[str]
    under: dict[str, list[Path]]
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    figures: dict[str, None] = field(default_factory=dict)


def state(folder: Path, uri: str) -> dict:
    """What has been delivered to this address: the run's id, and the events up to a byte."""
    path = folder / "delivered.json"
    found = forms.read(path, forms.Delivered, "no note of a delivery") if path.exists() else {}
    return (
        found
        if found.get("uri") == uri and found["offset"] >= 0
        else {"uri": uri, "run": None, "offset": 0}
    )


class Delivery:
    """The delivery of one run's folder."""

    def __init__(self, to: Destination, folder: Path):
        self.to, self.client, self.folder = to, to.client, folder
        self.experiment, self.notes = to.experiment, to.notes
        self.record = outbox.read(folder)
        self.state = state(folder, to.uri)

    def send(self) -> int:
        """Deliver what is new; returns the number of records."""
        known = self._known()
        above = {one["key"]: self._parent(one) for one in parents.read(self.record)}
        run = self._run(known, next(iter(above.values())))
        new, end = events(self.folder, self.state["offset"])
        self._numbers(run, new, above)
        self._files(run, new, above)
        for event in new:
            if "model" in event:
                place = models.Place(self.client, self.experiment, run, above[event["parent"]])
                models.deliver(place, self.folder / "files" / "model", event["model"], self.notes)
        self._statuses(run, new, above)
        self._save(run, end)
        if status(self.folder) in CLOSED and end == (self.folder / "events.jsonl").stat().st_size:
            restored.keep(self.folder)
        return len(new)

    def _statuses(self, run: str, new: list[dict], above: dict[str, str]) -> None:
        """Parents run as long as one of their runs does."""
        changes = [event for event in new if "status" in event]
        if changes:
            self._status(run, changes[-1])
            for key, parent in above.items():
                if not self._others_run(key):
                    self._status(parent, changes[-1])

    def _others_run(self, key: str) -> bool:
        """Whether another run under a parent goes on, so that the parent's status stays."""
        others = [path for path in self.to.under[key] if path != self.folder]
        return any(
            (path / "events.jsonl").exists() and status(path) == "RUNNING" for path in others
        )

    def _save(self, run: str, offset: int) -> None:
        sync(self.folder / "events.jsonl")  # or a power cut may take back what is delivered
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
        return self._open(self.folder.name, record["name"], tags, record["params"])

    def _parent(self, parent: dict) -> str:
        """The run of a row or a decode with these parameters, found or made once a delivery."""
        place = (self.experiment, parent["key"])
        if place not in self.to.known:
            self.to.known[place] = self._open(
                parent["key"], parent["name"], dict(parent["tags"]), parent["params"]
            )
        return self.to.known[place]

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

    def _open(self, key: str, name: str, tags: dict, params: dict) -> str:
        """The run with a key: found, or made; completed where the server went away meanwhile."""
        found = self._find_run(key)
        run = found.info.run_id if found else self._create(key, name, tags)
        if found is None or WHOLE not in found.data.tags:
            self._complete(run, params)
        return run

    def _find_run(self, key: str):
        """The run with a key, restored if it was deleted; None without one."""
        from mlflow.entities import ViewType

        query = f"tags.`msdd.key` = '{parents.searchable(key)}'"
        runs = self.client.search_runs([self.experiment], query, ViewType.ALL)
        if not runs:
            return None
        run = min(runs, key=lambda run: run.info.lifecycle_stage == "deleted")
        self._restore(run)
        return run

    def _create(self, key: str, name: str, tags: dict) -> str:
        commit = self.record["tags"]["commit"]
        tags |= {"msdd.key": parents.searchable(key), "commit": commit}
        tags |= {"mlflow.source.name": "msdd", "mlflow.source.git.commit": commit}
        tags = {name: str(value) for name, value in tags.items() if value is not None}
        started = self.record["started"]
        return self.client.create_run(self.experiment, started, tags, name).info.run_id

    def _complete(self, run: str, params: dict) -> None:
        """What belongs to a run from its start; a second time it changes nothing."""
        flat = {key: written(value) for key, value in dotted(params).items()}
        Batch(params=flat).send(self.client, run)
        self.client.log_dict(run, params, "params.yaml")
        if datasets := inputs(self.record):
            self.client.log_inputs(run, datasets)
        self.client.set_tag(run, WHOLE, "true")

    def _numbers(self, run: str, new: list[dict], above: dict[str, str]) -> None:
        """Metrics and tags of the run, and the figures that its parents carry."""
        batches = {id_: Batch() for id_ in (run, *above.values())}
        for event in new:
            batches[run].add(event)
            if figures := event.get("figures"):
                batches[above[event["parent"]]].add(figures | {"time": event["time"], "step": 0})
                self.to.figures |= dict.fromkeys(figures["metrics"])
        for id_, batch in batches.items():
            batch.send(self.client, id_)

    def _files(self, run: str, new: list[dict], above: dict[str, str]) -> None:
        """Files of the run; pictures also for the parent that shows them."""
        told = dict.fromkeys(
            (event["file"], event.get("parent")) for event in new if "file" in event
        )
        for name, parent in told:
            for id_ in filter(None, (run, above.get(parent))):
                self._file(id_, name)
        shown = {above[parent] for _, parent in told if parent}
        shown |= {run for name, _ in told if name.startswith(pictures.FOLDER)}
        for id_ in shown:
            self.client.set_tag(id_, pictures.TAG, "True")

    def _file(self, run: str, name: str) -> None:
        path = outbox.file(self.folder, name)
        folder = Path(name).parent.as_posix()
        self.client.log_artifact(run, str(path), None if folder == "." else folder)

    def _status(self, run: str, event: dict) -> None:
        if event["status"] == "RUNNING":
            self.client.update_run(run, status="RUNNING")
        else:
            self.client.set_terminated(run, event["status"], event["time"])
