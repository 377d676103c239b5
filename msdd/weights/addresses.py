"""Model folders by address: a repository of the Hugging Face Hub, or an artefact of MLflow."""

import re
from pathlib import Path

from platformdirs import user_cache_path

from msdd.errors import MsddError
from msdd.files import atomic, read_json, shown
from msdd.urls import without_secrets
from msdd.weights import hub

MLFLOW = "mlflow:/"
FILE = re.compile(r"\.(safetensors|pth?|ckpt|bin|jit)$")  # a checkpoint, not a folder
PART = re.compile(r"[^\x00-\x1f\\%]{1,200}")  # of an artefact's path
CONFIG, DIFFUSERS = "config.json", "diffusion_pytorch_model.safetensors"


def is_address(name: str) -> bool:
    """Whether a name is that of a folder elsewhere: `hf://owner/repository`, with `@revision` or a
    folder behind it, or `mlflow:/run/artifact`."""
    return name.startswith(MLFLOW) or name.startswith("hf:/") and not FILE.search(name)


def folder_of(name: str) -> Path:
    """The folder on this machine with what an address names, which is fetched once.

    It holds a model of this project or of diffusers. Raises MsddError for an address of another
    form, for one that cannot be fetched, and for an artefact of MLflow without exactly one model.
    """
    return _of_mlflow(name) if name.startswith(MLFLOW) else _of_hub(name)


def _of_hub(name: str) -> Path:
    repository, revision, folder = hub.parse(name, "folder, or without a folder")
    below = f"{folder.strip('/')}/" if folder else ""
    config = hub.fetch(repository, below + CONFIG, revision)
    weights = DIFFUSERS if "_class_name" in read_json(config) else "model.safetensors"
    hub.fetch(repository, below + weights, revision)
    return config.parent


def _of_mlflow(name: str) -> Path:
    run, _, artefact = name.removeprefix(MLFLOW).strip("/").partition("/")
    parts = artefact.split("/")
    if not re.fullmatch(r"[\w-]+", run) or not all(map(PART.fullmatch, parts)) or ".." in parts:
        raise MsddError(f"{shown(name)}: not of the form {MLFLOW}RUN/ARTIFACT")
    kept = user_cache_path("msdd") / "mlflow" / run / artefact
    if not kept.exists():
        _download(name, f"runs:/{run}/{artefact}", kept)
    found = [path.parent for path in kept.rglob(CONFIG)]
    if len(found) != 1:
        raise MsddError(f"{name} holds {len(found)} folders with a {CONFIG}; name one with a model")
    return found[0]


def _download(name: str, uri: str, kept: Path) -> None:
    """Put an artefact at `kept`, whole or not at all."""
    try:
        from mlflow.artifacts import download_artifacts
    except ImportError as error:
        raise MsddError(f'{name} needs MLflow: pip install "msdd[pipeline]"') from error
    from msdd.tracking import store

    address = store.address(Path("."))
    try:
        store.client_at(address)
        with atomic(kept) as temporary:
            temporary.mkdir()
            download_artifacts(uri, dst_path=str(temporary), tracking_uri=address)
    except Exception as error:  # MLflow and its clients raise errors of many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        told = f"{name} cannot be fetched from MLflow: {without_secrets(reason)}"
        raise MsddError(told) from error
