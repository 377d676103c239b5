"""What `fuzz.py` changes and reads: a target for each form of file, with valid seeds made here."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import fuzz_mutations as mutations
import fuzz_photographs as photographs
import fuzz_results as results
import fuzz_settings as settings
import fuzz_tracking as tracking
import fuzz_weights as weights
import pyarrow
import torch
from safetensors.torch import save

from msdd.params.load import load as load_params


@dataclass(frozen=True)
class Target:
    """name, file: of what, and where it lies. make: seeds. mutate: what is changed of them.
    read: what a command does with the file. inputs: how many `make fuzz` tries."""

    name: str
    file: str
    make: Callable[[], Sequence[bytes]]
    mutate: mutations.Mutate
    read: Callable[[Path], object]
    inputs: int

    @cached_property
    def seeds(self) -> Sequence[bytes]:
        return self.make()


def settle_machine() -> None:
    """What is asked for elsewhere is refused at once: no Hub, no server; small pictures only."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MSDD_MAX_PIXELS": "1000000",
        "OMP_NUM_THREADS": "1",
    }
    torch.set_num_threads(1)
    # Arrow's own pool (mimalloc) reserves a GiB of addresses at its first use, which is all that
    # `fuzz.limit` leaves. The variable ARROW_DEFAULT_MEMORY_POOL would be read before this line.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


settle_machine()
PICKLE = mutations.zipped(
    {"data.pkl": mutations.raw, "version": mutations.raw, "/0": mutations.raw}
)
NPZ = mutations.zipped({".npy": mutations.in_npy})
EVAL, RECORD, RUN = (
    "second/runs/eval/student.json",
    "provenance/runs/a/stage1.json",
    ".tracking/outbox/a.1",
)
TARGETS = (
    Target("images", "a.png", photographs.images, mutations.raw, photographs.read_image, 16_000),
    Target("png", "a.png", photographs.pngs, mutations.in_png, photographs.read_image, 4_500),
    Target("tars", "a.tar", photographs.tars, mutations.in_tar, photographs.read_archive, 1_500),
    Target(
        "parquet", "a.parquet", photographs.parquets, mutations.raw, photographs.read_parquet, 1_000
    ),
    Target("params", "params.yaml", settings.params, mutations.in_yaml, load_params, 3_000),
    Target("rows", "workflow/rows.yaml", settings.rows, mutations.raw, settings.read_rows, 1_000),
    Target(
        "protocols",
        "a.yaml",
        settings.protocol_files,
        mutations.in_yaml,
        settings.read_protocols,
        500,
    ),
    Target(
        "published",
        "reports/published.yaml",
        settings.published_files,
        mutations.in_yaml,
        settings.read_published,
        100,
    ),
    Target("evaluations", EVAL, results.reports, mutations.in_json, results.read_compared, 2_000),
    Target("against", "a.json", results.reports, mutations.in_json, results.read_against, 2_000),
    Target("records", RECORD, results.records, mutations.in_json, results.read_record, 3_000),
    Target(
        "runs",
        f"{RUN}/run.json",
        tracking.run_records,
        mutations.in_json,
        tracking.read_outbox,
        1_500,
    ),
    Target(
        "events",
        f"{RUN}/events.jsonl",
        tracking.event_files,
        mutations.in_lines,
        tracking.read_outbox,
        1_500,
    ),
    Target(
        "safetensors",
        "a.safetensors",
        lambda: [save(weights.tensors())],
        mutations.in_safetensors,
        weights.read_weights,
        2_000,
    ),
    Target("pickles", "a.pt", weights.pickles, PICKLE, weights.read_weights, 2_000),
    Target(
        "indices",
        "a.safetensors.index.json",
        weights.index_files,
        mutations.in_json,
        weights.read_index,
        1_000,
    ),
    Target(
        "models", "config.json", weights.model_configs, mutations.in_json, weights.read_model, 2_000
    ),
    Target(
        "training-checkpoints",
        "state.pt",
        weights.training_checkpoints,
        mutations.digested(PICKLE),
        weights.read_training_checkpoint,
        2_000,
    ),
    Target(
        "evaluation-checkpoints",
        "kkkkkkkkkkkk/process0.safetensors",
        weights.evaluation_checkpoints,
        mutations.in_safetensors,
        weights.read_evaluation_checkpoint,
        2_000,
    ),
    Target("statistics", "a.npz", results.statistics, NPZ, results.read_statistics, 1_500),
    Target(
        "latents",
        "a.safetensors",
        weights.latents,
        mutations.in_safetensors,
        weights.read_latents,
        1_000,
    ),
    Target(
        "addresses", "a.txt", tracking.address_lines, mutations.raw, tracking.read_address, 1_000
    ),
    Target("views", "a.txt", tracking.views, mutations.raw, tracking.read_view, 500),
    Target("locks", "lock", tracking.locks, mutations.in_json, tracking.read_lock, 500),
)
