"""Where MLflow keeps the runs: its address, a client, and the experiment of this project.

The database is SQLite in the working directory unless `MLFLOW_TRACKING_URI` names another or a
server. People delete, rename and move what is in it; whoever delivers gets an experiment that can
be written to, and a line about what had to be done for it.
"""

import logging
import os
import socket
import sqlite3
import warnings
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from msdd.errors import MsddError
from msdd.files import text_of
from msdd.urls import shown

SQLITE = "sqlite:///"
ARTEFACTS = "mlartifacts"
PLACES = (  # tables and columns of MLflow's database with paths of artefacts
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
DEFAULT = "0"  # the id of the experiment that every new store has
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the outbox is the retry
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def address(root: str | Path) -> str:
    """The tracking URI: `MLFLOW_TRACKING_URI`, or the SQLite database in `root`.

    A `~` at the start of a path is the home folder, as in every path of msdd.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if not given:
        return _own(root)
    scheme = SQLITE if given.startswith(f"{SQLITE}~") else ""
    return scheme + os.path.expanduser(given.removeprefix(scheme))


def _own(root: str | Path) -> str:
    """The database in `root`, seen from the working directory.

    SQLAlchemy ends a database's path at a `?`, so the path to the checkout must not be in it.
    """
    return SQLITE + os.path.relpath(_database(root))


def lasting(uri: str, root: Path) -> str:
    """The address by a name that stays when the checkout moves, another folder is current or a
    password changes; it is written down."""
    return f"{SQLITE}mlflow.db" if uri == _own(root) else shown(uri)


def _database(root: str | Path) -> Path:
    return Path(root) / "mlflow.db"


def name() -> str:
    """The experiment: `MLFLOW_EXPERIMENT_NAME`, or msdd."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "msdd"


def absent(uri: str) -> bool:
    """Whether the address is a database that is not there yet."""
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()


def client_at(uri: str):
    """A client of MLflow. Raises OSError, before the slow import, if no server answers."""
    _knock(uri)
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    warnings.filterwarnings("ignore", module="mlflow")
    try:
        from mlflow import MlflowClient  # seconds: only here, never in a stage
    except ModuleNotFoundError as error:
        raise MsddError(f'{error.name} is missing: pip install "msdd[pipeline]"') from error

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def _knock(uri: str) -> None:
    """Raise OSError if no server answers at the address; behind a proxy only that can be asked."""
    place = urlsplit(uri)
    if place.scheme in ("http", "https") and not through_proxy(place):
        port = place.port or {"http": 80, "https": 443}[place.scheme]
        socket.create_connection((place.hostname, port), timeout=5).close()


def through_proxy(place: SplitResult) -> bool:
    """Whether the environment names a proxy for an address (http_proxy, no_proxy)."""
    return place.scheme in getproxies() and not proxy_bypass(place.netloc.rpartition("@")[2])


def experiment(client, root: Path, uri: str, notes: list[str]) -> str:
    """The id of the experiment, which is made or restored if need be; `notes` tell that."""
    if found := client.get_experiment_by_name(name()):
        restore_experiment(client, found, notes)
        return found.experiment_id
    local = uri.startswith("sqlite:")  # a server decides itself where artefacts go
    place = (root / ARTEFACTS).absolute().as_uri() if local else None
    if any(one.experiment_id != DEFAULT for one in client.search_experiments()):
        notes.append(f"the experiment '{name()}' is new there")
    return client.create_experiment(name(), artifact_location=place)


def restore_experiment(client, found, notes: list[str]) -> None:
    """Restore an experiment that was deleted in MLflow's page, which keeps its name and runs."""
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
        notes.append(f"the experiment '{found.name}' had been deleted and is restored")


def mend_places(root: Path, uri: str) -> list[str]:
    """Let the database of a checkout that was moved or copied point to the artefacts beside it.

    MLflow notes their folder with its whole path, in experiments and runs. Does nothing to other
    databases and servers, nor to one that it cannot read: MLflow will say why. Returns a note.
    """
    if uri != _own(root) or absent(uri) or not _is_utf8(root.absolute()):
        return []
    here, places = (root / ARTEFACTS).absolute(), []
    with suppress(sqlite3.Error), closing(sqlite3.connect(_database(root), timeout=20)) as database:
        found = database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        places = [place for (place,) in found if place and _is_elsewhere(place, here)]
        for place in places:
            _move(database, place, here)
    return [f"artefacts are looked for in {here}, no longer in {_path(one)}" for one in places]


def check_name(root: Path, uri: str) -> None:
    """MsddError for a folder whose path is not UTF-8, with a database here: MLflow reads it from a
    URI as another path, and would write artefacts there."""
    if uri.startswith("sqlite:") and not _is_utf8(here := root.absolute()):
        raise MsddError(
            f"the name of {text_of(str(here))} is not UTF-8, and MLflow would write artefacts into "
            "another folder; rename it, or set MLFLOW_TRACKING_URI to a server"
        )


def _is_utf8(path: Path) -> bool:
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_elsewhere(place: str, here: Path) -> bool:
    there = _path(place)
    if not place.startswith("file:") or there.name != ARTEFACTS or there == here:
        return False
    return not (there.exists() and here.exists() and there.samefile(here))


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def _move(database: sqlite3.Connection, place: str, here: Path) -> None:
    """New runs write here. Old ones are found here, unless only the database was copied."""
    old, new = f"{place}/", f"{here.as_uri()}/"
    with database:
        experiments = "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?"
        database.execute(experiments, (here.as_uri(), place))
        if here.exists() or not _path(place).exists():
            for table, column in PLACES:
                moved = f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                under = f"WHERE substr({column}, 1, ?) = ?"
                database.execute(f"{moved} {under}", (new, len(old) + 1, len(old), old))
