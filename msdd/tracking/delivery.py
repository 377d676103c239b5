"""From the outbox to MLflow.

No stage waits for a delivery. A run's folder leaves the outbox only after all of it has been
delivered, and delivering the same event twice changes nothing. What was deleted in MLflow's page
while it is still written to is restored, or made again if it is gone for good, and that is told.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from msdd.errors import MsddError
from msdd.files import write_text
from msdd.pipeline import lock
from msdd.tracking import outbox, restored, store, view
from msdd.tracking.outbox import CLOSED, status
from msdd.tracking.sending import Delivery, Destination, state
from msdd.urls import shown, without_secrets

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
            for name, count in _drain(Path(root), notes, patient):
                runs.add(name)
                records += count
    done = f"{records} records of {len(runs)} runs delivered to {shown(store.address(root))}"
    return "; ".join([done, *_once(notes, mark.with_name("notes"), patient)])


def _once(notes: list[str], path: Path, patient: bool) -> list[str]:
    """The notes, and those of deliveries in the background, of which nobody has heard yet."""
    earlier = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    told = list(dict.fromkeys([*earlier, *notes]))
    if patient:
        path.unlink(missing_ok=True)
    elif told:
        write_text(path, "\n".join(told))
    return told


def _drain(root: Path, notes: list[str], patient: bool) -> Iterator[tuple[str, int]]:
    """Deliver every run's folder; yields its name and the number of records that were new.

    If `patient`, also look whether a server has lost something while nothing waits for it.
    """
    uri = store.address(root)
    notes += store.mend_places(root, uri)
    lasting = store.lasting(uri, root)
    restored.clear(root)
    if (to := _destination(root, lasting, notes, patient)) is None:
        return
    failed = {}
    for folder in waiting(root, lasting):
        try:
            yield folder.name, Delivery(to, folder).send()
        except Exception as error:  # one bad record must not keep the others
            failed[folder] = error
    if failed:
        folder, error = next(iter(failed.items()))
        raise _undelivered(uri, len(failed), error, notes, f" (first {folder})")
    _mark(to, root, lasting, count=0)
    view.keep(to.client, to.experiment, to.figures)


def _destination(root: Path, lasting: str, notes: list[str], patient: bool) -> Destination | None:
    """Where to deliver; None if nothing is to be delivered.

    What a server has lost is put back into the outbox.
    """
    count = len(waiting(root, lasting))
    if not count and not (patient and restored.marked(root, lasting)):
        return None
    try:
        to = _connect(root, lasting, count, notes)
    except MsddError:
        if count:
            raise
        return None  # nothing waits for that server
    if restored.lost(to.client, root, lasting):
        lost = restored.again(root, lasting)
        notes.append(f"the last delivery is not there any more: {lost} runs are delivered again")
        to.under = outbox.by_parent(root)
    _mark(to, root, lasting, count)  # before what it stands for
    return to


def _mark(to: Destination, root: Path, lasting: str, count: int) -> None:
    """Leave a mark. MsddError if the server is gone or the disk full; then the next one does."""
    try:
        restored.mark(to.client, to.experiment, root, lasting)
    except Exception as error:
        raise _undelivered(store.address(root), count, error, to.notes) from None


def waiting(root: Path, uri: str) -> list[Path]:
    """The folders of runs that the store at this lasting address does not have in full."""
    return [path for path in outbox.folders(root) if _waiting(path, uri)]


def _waiting(folder: Path, uri: str) -> bool:
    """Whether a run has events that are not delivered, or is closed and can be removed."""
    path = folder / "events.jsonl"
    if not path.exists():
        return False
    try:
        return state(folder, uri)["offset"] < path.stat().st_size or status(folder) in CLOSED
    except MsddError:
        return True  # damaged: its delivery says so


def _undelivered(
    uri: str, count: int, error: Exception, notes: list[str], where: str = ""
) -> MsddError:
    reason = (
        without_secrets(" ".join(str(error).split()))[:MOST].rstrip(".") or type(error).__name__
    )
    told = "".join(f"; {note}" for note in dict.fromkeys(notes))
    return MsddError(
        f"MLflow at {shown(uri)}: {reason}; {count} runs wait in .tracking/outbox{where}, "
        f"and `msdd track` tries again{told}"
    )


def _connect(root: Path, lasting: str, count: int, notes: list[str]) -> Destination:
    """Where runs go; a new database is made and migrated on the way."""
    uri = store.address(root)
    try:
        store.check_name(root, uri)
        client = store.client_at(uri)
        experiment = store.experiment(client, root, uri, notes)
    except Exception as error:
        raise _undelivered(uri, count, error, notes) from None
    return Destination(client, experiment, lasting, notes, outbox.by_parent(root))


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
