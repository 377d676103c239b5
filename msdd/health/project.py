"""The params, the locks and the tracking server of a working directory."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from msdd.errors import MsddError
from msdd.health.finding import Finding
from msdd.health.networks import adversarial, measures
from msdd.params.load import load
from msdd.params.schema import Params
from msdd.pipeline import engine_lock, jobs, layout, lock
from msdd.tracking import delivery, outbox, store
from msdd.urls import shown, without_secrets

PATIENCE = 3  # seconds for a tracking server to answer
PORTS = {"http": 80, "https": 443}


def read(path: Path) -> tuple[Params | None, list[Finding]]:
    """The params, if they are there and valid, and what is to say of them."""
    if not path.exists():
        told = f"{path} is not there; nothing below is checked against what it needs"
        return None, [Finding("params", "warn", told, "`msdd params use demo`, or --params FILE")]
    try:
        params = load(path)
    except (MsddError, OSError) as error:
        lines = str(error).splitlines()
        return None, [Finding("params", "missing", line, f"mend {path}") for line in lines]
    return params, [Finding("params", "ok", f"{path} is valid; jobs: {jobs.plan(params)['jobs']}")]


def inputs(params: Params, root: Path) -> Iterator[Finding]:
    """Photographs that are not there, and tables of jobs of other params."""
    for line in jobs.missing(params, root):
        yield Finding(
            "photographs",
            "missing",
            line.replace("; `prepare`", ": `prepare`"),
            "put it there, or name another",
        )
    try:
        jobs.check_rows(params, root)
    except MsddError as error:
        yield Finding("rows", "warn", str(error), "`msdd params expand`")


def packages(params: Params) -> set[str]:
    """The optional packages, by their names in `machine.OPTIONAL`, that the params need."""
    variants = {variant.partition("-")[0] for variant in params.throughput.variants}
    names = variants & {"onnxruntime", "openvino"}
    places = [params.data.photographs or "", params.data.held_out or ""]
    schemes = {urlsplit(place).scheme for place in places}
    names |= {"s3"} if "s3" in schemes else set()
    names |= {"http"} if schemes & {"http", "https"} else set()
    judges = any(stage.discriminator == "dino" for stage in adversarial(params))
    repa = any(params.stage1_of(row).repa for row in params.models)
    names |= {metric for metric in ("text", "faces") if measures(metric, params)}
    return names | ({"dino"} if judges or repa else set())


def locks(root: Path) -> Iterator[Finding]:
    """Locks that a living process holds, and one that a dead Snakemake has left."""
    paths = [*(root / layout.checkpoint(Path())).glob("**/lock"), root / ".tracking" / "lock"]
    held = [path for path in paths if path.exists() and not is_free(path)]
    for path in held:
        told = f"{path.relative_to(root)} is held by {lock.holder(path)}"
        yield Finding("lock", "warn", told, "wait for it, or stop it")
    if any((root / ".snakemake" / "locks").glob("*.lock")):
        owner = root / engine_lock.OWNER
        if owner.exists() and not is_free(owner):
            told = f"Snakemake runs here: {lock.holder(owner)}"
            yield Finding("lock", "warn", told, "wait for it, or stop it")
        else:
            told = "a Snakemake that is gone has left its lock"
            yield Finding("lock", "ok", told, "the next run removes it")
    elif not held:
        yield Finding("lock", "ok", "nothing is being made here")


def is_free(path: Path) -> bool:
    """True where nothing can be written: then nobody makes anything there."""
    try:
        with lock.attempt(path, sign=False) as free:
            return free
    except OSError:
        return True


def tracking(root: Path) -> Iterator[Finding]:
    """Whether MLflow's store answers, and what has not been delivered to it."""
    uri = store.address(root)
    waiting = delivery.waiting(root, store.lasting(uri, root))
    if waiting:
        told = f"{len(waiting)} runs wait in {outbox.folder(root)}"
        yield Finding("outbox", "warn", told, "`msdd track` delivers them")
    yield _store(uri)


def _store(uri: str) -> Finding:
    if store.absent(uri):
        return Finding("MLflow", "ok", f"{shown(uri)} is made by the first run")
    place = urlsplit(uri)
    if place.scheme not in PORTS:
        return Finding("MLflow", "ok", shown(uri), "`msdd mlflow` shows it")
    try:
        address = (place.hostname or "", place.port or PORTS[place.scheme])
        if not store.through_proxy(place):
            socket.create_connection(address, PATIENCE).close()
    except (OSError, ValueError) as error:
        cure = "start it, or change MLFLOW_TRACKING_URI; until then runs wait in the outbox"
        return Finding(
            "MLflow", "warn", f"{shown(uri)} does not answer ({without_secrets(str(error))})", cure
        )
    return Finding("MLflow", "ok", f"{shown(uri)} answers")
