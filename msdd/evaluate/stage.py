"""Evaluation as a stage: a decode or a reference becomes metrics, timing and samples on disk."""

import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from msdd.data.pixels import from_uint8, to_uint8
from msdd.data.shards import Crops
from msdd.device import arithmetic, prepare_device
from msdd.errors import MsddError
from msdd.evaluate.measure import PROTOCOL, SAMPLES, Measurement, Tokenizer, batches, measure
from msdd.evaluate.trace import trace
from msdd.files import atomic, write_json
from msdd.flow.sampler import nfe
from msdd.params.schema import Params
from msdd.params.sections import BASELINES
from msdd.pipeline import layout, receipts
from msdd.pipeline.environment import context
from msdd.pipeline.lock import hold
from msdd.pipeline.provenance import recorded
from msdd.pipeline.task import Task, resolve
from msdd.tokenizers.baselines import Bicubic, MeanColour
from msdd.tokenizers.msdd import MSDD, load
from msdd.tracking.run import open_run


@dataclass(frozen=True)
class Subject:
    """What is measured: a name and the row it belongs to, where its metrics go, and how it
    decodes (`about` goes into the metrics)."""

    name: str
    row: str
    path: Path
    tokenizer: Tokenizer
    about: dict[str, object]
    task: Task


def run(params: Params, decode: str, root: Path = Path(".")) -> dict[str, object]:
    """Measure the row `decode`; returns its metrics."""
    device = prepare_device(params.cpu_threads)
    model, student = params.source(decode)
    row = params.decodes[decode]
    folder = layout.assembled(model, student) if student else layout.stage1(model)
    tokenizer = load(root / folder, row.steps, row.guidance or 1.0, row.jump, device)
    about = {
        "of": row.of,
        "model": model,
        "student": student,
        "steps": tokenizer.steps,
        "guidance": tokenizer.guidance,
        "jump": row.jump,
        "nfe": nfe(tokenizer.steps, tokenizer.guidance),
        "scales": tokenizer.config.sides,
        "tokens": tokenizer.config.latents,
        "dim": tokenizer.config.latent_dim,
        "parameters": tokenizer.size(),
    }
    if tokenizer.config.uvit:
        about["system"] = "SSDD"
    subject = Subject(
        decode,
        row.of,
        layout.evaluation(model, student, decode),
        tokenizer,
        about,
        resolve(params, "evaluate", root, decode=decode),
    )
    return evaluate(subject, params, device, root)


def run_baseline(params: Params, name: str, root: Path = Path(".")) -> dict[str, object]:
    """Measure `mean-colour`, or `bicubic` from the side of the coarsest scale of `model`, half the
    resolution at most."""
    if name not in BASELINES:
        raise MsddError(f"no baseline '{name}'; there are {', '.join(BASELINES)}")
    side = params.data.resolution >> max(1, params.model.scales - 1)
    resolution = params.data.resolution
    tokenizer = MeanColour(resolution) if name == "mean-colour" else Bicubic(side, resolution)
    tokens = 1 if name == "mean-colour" else side**2
    about = {"of": name, "nfe": 0, "tokens": tokens, "dim": 3, "parameters": 0}
    if name == "bicubic":
        about["scales"] = [side]
    job = resolve(params, "baseline", root, baseline=name)
    subject = Subject(name, "baseline", layout.baseline(name), tokenizer, about, job)
    return evaluate(subject, params, prepare_device(params.cpu_threads), root)


def evaluate(
    subject: Subject, params: Params, device: torch.device, root: Path
) -> dict[str, object]:
    """Measure on the held-out crops; write metrics, timing and samples, and tell the tracker."""
    folder = root / layout.prepared()
    crops = Crops(folder, "held_out", expect_resolution=params.data.resolution)
    path, origin = root / subject.path, context()
    more = {"evaluate": params.evaluate.model_dump(mode="json"), "decode": subject.about}
    made = [subject.path, layout.timing(subject.path), layout.samples(subject.path)]
    others = [layout.receipt("evaluations", subject.path)]
    if isinstance(subject.tokenizer, MSDD):
        others.append(layout.pyramid(subject.path))
    with (
        hold(root / layout.checkpoint(subject.path) / "lock"),
        recorded(subject.task, subject.path, [*made, *others], root) as record,
        open_run(subject.task, "evaluate", subject.name, root=root, more=more) as run,
    ):
        record["run"] = run.identity
        result = measure(
            subject.name, subject.tokenizer, crops, params.evaluate, params.seed, device
        )
        with atomic(layout.samples(path)) as temporary, open(temporary, "wb") as file:
            np.save(file, np.stack(result.samples))
        if isinstance(subject.tokenizer, MSDD):
            subject.about["jump_noise"] = follow(subject, crops, params, path)
        write_json(layout.timing(path), timing(result, params, origin))
        write_json(path, metrics(result, subject))
        receipts.write("evaluations", subject.path, made, root)
        run.log(0, flat(result.figures))
        run.image(subject.name, layout.samples(path))
        run.file(path)
    return result.figures


def follow(subject: Subject, crops: Crops, params: Params, path: Path) -> list[dict[str, float]]:
    """Save the clean estimates of a few images scale by scale; what their jumps added to them."""
    ids, originals = next(batches(crops, params.evaluate.images or len(crops), SAMPLES))
    images = from_uint8(originals).to(subject.tokenizer.device)
    with arithmetic(params.evaluate.precision, images.device):
        estimates, jumps = trace(subject.tokenizer, images, ids, params.seed)
    pictures = {
        f"scale{k}": to_uint8(x).permute(0, 2, 3, 1).cpu().numpy() for k, x in enumerate(estimates)
    }
    with atomic(layout.pyramid(path)) as temporary, open(temporary, "wb") as file:
        np.savez(file, **pictures)
    return jumps


def metrics(result: Measurement, subject: Subject) -> dict[str, object]:
    """What depends on params, code and data alone: reproducible bytes."""
    return {
        "decode": subject.name,
        "protocol": PROTOCOL,
        "images": len(result.ids),
        "ids": result.ids,
        "metrics": result.figures,
        "per_image": result.per_image,
        **subject.about,
    }


def timing(result: Measurement, params: Params, origin: dict[str, object]) -> dict[str, object]:
    """Time of decoding alone: the median batch; the first is left out as warm-up."""
    seconds = statistics.median(result.seconds[1:] or result.seconds)
    batch = min(params.evaluate.batch, len(result.ids))
    return {
        "seconds": seconds,
        "batch": batch,
        "images_per_second": batch / seconds,
        "device": origin["device"],
        "threads": params.cpu_threads,
        "precision": params.evaluate.precision,
        "provenance": origin,
    }


def flat(summary: dict[str, object]) -> dict[str, float]:
    """Means and distances alone, as the tracker's metrics."""
    return {
        name: value["mean"] if isinstance(value, dict) else value for name, value in summary.items()
    }
