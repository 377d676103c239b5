"""What the outbox, MLflow, addresses and locks hold, for `fuzz_targets`."""

import json
import platform
from pathlib import Path
from typing import Any

from msdd.pipeline import lock
from msdd.tracking import delivery, outbox, sending, view
from msdd.weights import addresses, hub


def run_records() -> list[bytes]:
    import mlflow.entities  # noqa: F401  now, and not in each child

    parent = {"name": "a", "key": "k", "params": {"seed": 0}, "tags": {"group": "row"}}
    whole = {
        "name": "a/stage1",
        "row": "a",
        "stage": "stage1",
        "started": 1,
        "params": {"seed": 0, "stage1": {"batch": 64}},
        "tags": {"commit": "c", "group": "training"},
        "versions": {"python": "3"},
        "parents": [parent],
        "place": "/",
        "job": "j",
        "inputs": {"data/manifest.json": "d"},
    }
    return [json.dumps(whole).encode()]


def event_files() -> list[bytes]:
    events = [
        {"time": 1, "status": "RUNNING"},
        {"time": 2, "step": 4, "metrics": {"loss": 0.5}, "tags": {"a": "b"}},
        {"time": 3, "file": "a/b.png", "parent": "k"},
        {"time": 3, "figures": {"metrics": {"psnr": 20.0}, "tags": {"decode": "d"}}, "parent": "k"},
        {"time": 4, "status": "FINISHED"},
    ]
    return [b"".join(json.dumps(event).encode() + b"\n" for event in events)]


class Client:
    """Takes what it is given, as MLflow's server would: what is sent is looked at, not where."""

    run_id = experiment_id = "1"

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> "Client":
        return self

    def search_runs(self, *_: Any) -> list:
        return []

    def log_artifact(self, run: str, path: str, folder: str | None) -> None:
        assert Path(path).resolve().is_relative_to(self.files.resolve()), f"sends {path}"
        assert ".." not in Path(folder or "").parts and not Path(folder or "").is_absolute()


def read_outbox(path: Path) -> None:
    folder, root = path.parent, path.parents[3]
    others = {"run.json": run_records()[0], "events.jsonl": event_files()[0]}
    for name, content in others.items():
        if name != path.name:
            (folder / name).write_bytes(content)
    (folder / "files/a").mkdir(parents=True, exist_ok=True)
    (folder / "files/a/b.png").write_bytes(b"a")
    client = Client()
    client.files = folder / "files"  # whatever is sent lies there
    delivery.waiting(root, "sqlite:///mlflow.db")
    to = sending.Destination(client, "1", "uri", [], outbox.by_parent(root))
    sending.Delivery(to, folder).send()


def address_lines() -> list[bytes]:
    platform.processor()  # MLflow asks for it, and Python asks a program, once
    return [b"hf://owner/name", b"hf://owner/name@main/folder", b"mlflow:/abc123/models/a"]


def read_address(path: Path) -> None:
    name = path.read_bytes().decode("utf-8", "surrogateescape").strip()
    if addresses.is_address(name):
        addresses.folder_of(name)
    else:
        hub.locate(name, ["a.safetensors"])


def views() -> list[bytes]:
    return [view.packed(view.comparison(["psnr", "ssim"])).encode()]


def read_view(path: Path) -> None:
    found = view.shown(path.read_bytes().decode("latin-1"))
    view.comparison(view.ordered({*found, "psnr"}))


def locks() -> list[bytes]:
    return [json.dumps({"pid": 1, "host": "h", "since": "now"}).encode()]


def read_lock(path: Path) -> None:
    lock.holder(path)
    lock.host(path)
