"""A model folder as a model of MLflow, which `mlflow models serve` answers requests with.

MLflow stores the two files of the folder and the name of the module that opens them
(`msdd.tokenizers.pyfunc`): no pickle. The signature leaves the batch open.
"""

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msdd.files import digest
from msdd.tracking import store

LOADER = "msdd.tokenizers.pyfunc"
DIGEST = "msdd.digest"  # the tag by which a model is found again
REFUSED = ("PERMISSION_DENIED", "FEATURE_DISABLED", "NOT_IMPLEMENTED", "ENDPOINT_NOT_FOUND")


@dataclass(frozen=True)
class Place:
    """Where a model goes: client, experiment, the run that made it, and the run that shows it."""

    client: Any
    experiment: str
    run: str
    parent: str


def deliver(place: Place, folder: Path, about: dict, notes: list[str]) -> None:
    """Log the model in `folder` and register it under the alias of its decode.

    about: `name` of the decode and `resolution`. The same files are stored once. Where a server
    has no models, or lets nobody register one, that is a note.
    """
    from mlflow.exceptions import MlflowException

    try:
        model = _logged(place, folder, about)
        _show(place, model)
        _register(place, model, about["name"])
    except MlflowException as error:
        if error.error_code not in REFUSED:
            raise
        notes.append(f"no model of {about['name']}: {str(error).splitlines()[0]}")


def digest_of(folder: Path) -> str:
    """A digest of the files' names and contents."""
    parts = [f"{path.name} {digest(path)}" for path in sorted(folder.iterdir())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _logged(place: Place, folder: Path, about: dict):
    """The logged model with these files, made unless there is a whole one."""
    key, name = digest_of(folder), nameable(about["name"])
    stored = place.client.search_logged_models([place.experiment], f"tags.`{DIGEST}` = '{key}'")
    found = [model for model in stored if model.name == name]
    ready = [model for model in found if model.status.value == "READY"]
    if ready:
        return ready[0]
    model = (found or [None])[0] or place.client.create_logged_model(
        place.experiment, name, place.run, {DIGEST: key}, model_type="tokenizer"
    )
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "model"
        write(folder, target, about["resolution"])
        place.client.log_model_artifacts(model.model_id, str(target))
    return place.client.finalize_logged_model(model.model_id, "READY")


def write(folder: Path, target: Path, resolution: int) -> None:
    """Write the model folder as a model of MLflow into the new folder `target`."""
    import numpy as np
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = Schema([TensorSpec(np.dtype(np.uint8), (-1, resolution, resolution, 3))])
    pyfunc.save_model(
        str(target),
        loader_module=LOADER,
        data_path=str(folder),
        signature=ModelSignature(images, images),
        pip_requirements=["msdd"],
    )


def _show(place: Place, model) -> None:
    """The model as an output of its runs, once."""
    from mlflow.entities import LoggedModelOutput

    for run in (place.run, place.parent):
        outputs = place.client.get_run(run).outputs
        if model.model_id not in [one.model_id for one in outputs.model_outputs]:
            place.client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])


def _register(place: Place, model, decode: str) -> None:
    """A version of the registered model of the experiment's name, and the decode as its alias."""
    name, key = nameable(store.name()), model.tags[DIGEST]
    _make_registered(place.client, name)
    versions = place.client.search_model_versions(f"name = '{name}'")
    own = [one for one in versions if one.tags.get(DIGEST) == key and one.tags["decode"] == decode]
    tags = {DIGEST: key, "decode": decode}
    version = (own or [None])[0] or place.client.create_model_version(
        name, model.artifact_location, place.run, tags, model_id=model.model_id
    )
    if re.fullmatch(r"(?!v\d+$|latest$)[\w-]+", decode):  # what MLflow takes as an alias
        place.client.set_registered_model_alias(name, decode, version.version)


def nameable(name: str) -> str:
    """A name without the characters that MLflow forbids in those of models."""
    return re.sub(r"[/:.%\"']", "-", name)


def _make_registered(client, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=f"Tokenizers that {name} has measured.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
