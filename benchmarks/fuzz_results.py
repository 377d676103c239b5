"""Statistics, evaluations and records of provenance of other machines, for `fuzz_targets`."""

import io
import json
from functools import cache
from pathlib import Path

import numpy as np

from msdd.commands import provenance as told_provenance
from msdd.evaluate import compare, protocols, reference_statistics
from msdd.page import comparison, document, history


def statistics() -> list[bytes]:
    about = {"images": "a", "preparation": "b", "features": "inception", "weights": "c"}
    arrays = {"mu": np.zeros(8), "sigma": np.eye(8)}
    told = {"about": json.dumps({"count": 9, "identity": about})}
    made = []
    for more in ({}, told, told | {"features": np.ones((4, 8), np.float32)}):
        file = io.BytesIO()
        np.savez(file, **arrays, **more)
        made.append(file.getvalue())
    return made


def read_statistics(path: Path) -> None:
    reference_statistics.read(path)


NAMED = ["0", "1", "2"]
METRIC = {"mean": 20.0, "low": 19.0, "high": 21.0}


@cache
def reports() -> list[bytes]:
    entry = {
        "protocol": protocols.builtin()["primary"],
        "preparation": "prepared crops of 32 px",
        "metrics": {"psnr": METRIC, "ssim": METRIC, "fd_inception": 3.5},
        "per_image": {"psnr": [20.0, None, 21.0], "ssim": [0.5, 0.6, 0.7]},
    }
    whole = {
        "decode": "student",
        "student": "a",
        "model": "b",
        "images": 3,
        "names": NAMED,
        "digest": "d",
        "batch": 2,
        "protocol": "primary",
        "protocols": {"primary": entry},
        "extremes": {},
        "scales": [8, 16],
        "steps": [1, 1],
        "nfe": 2,
        "tokens": 16,
        "dim": 4,
        "parameters": 100,
    }
    return [json.dumps(whole).encode()]


def read_compared(path: Path) -> None:
    """The page of two sets of results, of which one is a stranger's."""
    first = path.parents[3] / "first/runs/eval/student.json"
    first.parent.mkdir(parents=True, exist_ok=True)
    first.write_bytes(reports()[0])
    found = comparison.compare(first.parents[2], path.parents[2])
    document.compared(found)
    comparison.lines(found)
    json.dumps(found.plain())


def read_against(path: Path) -> None:
    other, mine = compare.read(path), json.loads(reports()[0])
    compare.check(mine, other)
    compare.comparison(mine, other)


def records() -> list[bytes]:
    versions = {"python": "3.11", "msdd": "0", "torch": "2", "numpy": None}
    whole = {
        "stage": "train",
        "wildcards": {"model": "a", "scale": 0},
        "code": "c" * 64,
        "params": {"seed": 0, "model.dim": 16, "models": {"a": {}}},
        "inputs": {"params.yaml": "0" * 64},
        "made": {"runs/a/model.safetensors": "0" * 64},
        "commit": None,
        "dirty": False,
        "versions": versions,
        "device": "cpu",
        "cpu": "cpu",
        "host": "h",
        "threads": 1,
        "engine": "dvc",
        "rule": "train@a",
        "command": ["train", "a"],
        "started": "2026-11-28T23:01:50+00:00",
        "seconds": 3.5,
        "speed": {"images_per_second": 9.0},
    }
    piece = {"started": whole["started"], "seconds": 1.0, "images_before": 0}
    return [json.dumps(one).encode() for one in (whole, whole | {"pieces": [piece]})]


def read_record(path: Path) -> None:
    root = path.parents[3]
    artefact = Path("runs/a/model.safetensors")
    (root / artefact).parent.mkdir(parents=True, exist_ok=True)
    (root / artefact).write_bytes(b"a")
    found = history.records(root)
    history.facts(found)
    history.table(found).frame.to_html()
    told = told_provenance.tell(artefact, root)
    "\n".join(told_provenance.lines(told))
