"""Where the run of an artefact is: its page in MLflow."""

from pathlib import Path

from msdd.tracking import outbox, parents, store
from msdd.urls import shown, without_secrets


def whereabouts(run: dict[str, str], root: Path) -> dict[str, str]:
    """`status` of a run (`name` and `key`) and, if MLflow has it, its `id`, `page` and `store`.

    Makes neither a database nor an experiment.
    """
    uri = store.address(root)
    try:
        info = None if store.absent(uri) else _search(run["key"], uri)
    except Exception as error:  # MLflow and its clients raise errors of many kinds
        reason = without_secrets((str(error).splitlines() or [type(error).__name__])[0])
        return {"status": f"MLflow at {shown(uri)} does not answer: {reason}"}
    if info is None:
        waits = (outbox.folder(root) / run["key"]).exists()
        return {"status": "not delivered yet: `msdd track`" if waits else f"not in {shown(uri)}"}
    place = f"/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    page = (shown(uri) if uri.startswith("http") else "http://127.0.0.1:5000") + place
    return {"status": info.status.lower(), "id": info.run_id, "page": page, "store": shown(uri)}


def _search(key: str, uri: str):
    """MLflow's information on the run with a key, or None; experiments may have been renamed."""
    client = store.client_at(uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    query = f"tags.`msdd.key` = '{parents.searchable(key)}'"
    runs = client.search_runs(experiments, query)
    return runs[0].info if runs else None
