"""Where MLflow keeps a run that a stage has told of. Imports MLflow, so it is not for stages."""

import os
from pathlib import Path

from msdd.tracking.delivery import address, client_at
from msdd.tracking.outbox import folder

SQLITE = "sqlite:///"


def whereabouts(run: dict[str, str], root: Path) -> dict[str, str]:
    """`status` of a run (`name` and `key`) and, once it is in MLflow, its `id` and `page`.

    Looks, and makes nothing: no database, no experiment.
    """
    uri = address(root)
    try:
        found = None if _absent(uri) else _search(run["key"], uri)
    except Exception as error:  # MLflow and its clients raise whatever they like
        return {"status": f"MLflow at {uri} does not answer: {str(error).splitlines()[0]}"}
    if found is None:
        waits = (folder(root) / run["key"]).exists()
        return {"status": "not delivered yet: `msdd track`" if waits else f"not in {uri}"}
    place = f"/#/experiments/{found.experiment_id}/runs/{found.run_id}"
    page = (uri if uri.startswith("http") else "http://127.0.0.1:5000") + place
    return {"status": found.status.lower(), "id": found.run_id, "page": page, "store": uri}


def _absent(uri: str) -> bool:
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()


def _search(key: str, uri: str):
    """What MLflow knows of the run with a key, or None."""
    client = client_at(uri)
    experiment = client.get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME", "msdd"))
    if experiment is None:
        return None
    runs = client.search_runs([experiment.experiment_id], f"tags.`msdd.key` = '{key}'")
    return runs[0].info if runs else None
