"""The stages `evaluate` and `baseline`: a decode becomes metrics, timing and samples on disk."""

import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from msdd.arrays import read_npz
from msdd.data.held_out import photographs_of
from msdd.data.shards import Crops
from msdd.device import enough_memory, prepare_device
from msdd.evaluate import distributed, pictures, protocols, report
from msdd.evaluate.distributed import Team
from msdd.evaluate.passes import Evaluation, Pass
from msdd.evaluate.prepared import PipelineTokenizer, Prepared
from msdd.evaluate.protocol import Protocol
from msdd.files import read_json, remove, write_json
from msdd.flow.steps import nfe
from msdd.params.sections import Evaluate
from msdd.pipeline import layout, receipts
from msdd.pipeline.environment import context
from msdd.pipeline.lock import hold
from msdd.pipeline.provenance import recorded
from msdd.pipeline.task import Task
from msdd.tokenizers import elsewhere, frozen
from msdd.tokenizers.baselines import Bicubic, MeanColour
from msdd.tokenizers.msdd import load
from msdd.tokenizers.systems import SYSTEMS
from msdd.tracking.run import Run, open_run


@dataclass(frozen=True)
class EvaluationJob:
    """What is measured, where its metrics go, and `about`: how it decodes, for the report."""

    name: str
    path: Path
    tokenizer: PipelineTokenizer
    about: dict[str, object]
    task: Task


def run(task: Task, root: Path) -> dict[str, object] | None:
    """Measure a row of `decodes`, or a baseline; returns the metrics of the first protocol.

    Under torchrun the crops are split over processes; the first one writes, and tells the tracker.
    In the others None.
    """
    prepare_device(task.cpu_threads)
    device = distributed.device(None)
    job = job_of(task, root, device)
    source = source_of(job, device, root)
    chosen = protocols_of(task.evaluate)
    part = Pass("held_out", source, chosen, f"evaluate {job.name}")
    evaluation = Evaluation({"decode": job.name, **job.about}, list(chosen), [part])
    work = root / layout.checkpoint(job.path) / "state"
    skip = task.evaluate.missing == "skip"
    settings = report.Settings(task.evaluate.batch, device, work, cache=False, skip=skip)
    team = distributed.join()
    with enough_memory(f"evaluate {job.name}: lower evaluate.batch, {settings.batch} now"):
        if team.rank:
            report.measure_passes(evaluation, {}, settings, team)
            return None
        return in_first_process(job, evaluation, settings, team, root)


def job_of(task: Task, root: Path, device: torch.device) -> EvaluationJob:
    if task.stage == "baseline":
        return baseline_job(task)
    return decode_job(task, root, device) if task.model else elsewhere_job(task, root, device)


def decode_job(task: Task, root: Path, device: torch.device) -> EvaluationJob:
    """A row of `decodes` with the tokenizer that it opens."""
    model, student, row, name = task.model, task.student, task.decode, task.wildcards["decode"]
    folder = layout.assembled(model, student) if student else layout.stage1(model)
    guidance = 1.0 if row.guidance is None else row.guidance
    tokenizer = load(root / folder, row.steps, guidance, row.jump, row.noise, device)
    about = {
        "of": row.of,
        "model": model,
        "student": student,
        "steps": tokenizer.steps,
        "guidance": tokenizer.guidance,
        "jump": row.jump,
        "noise": tokenizer.noise,
        "nfe": nfe(tokenizer.steps, tokenizer.guidance),
        "scales": tokenizer.config.sides,
        "tokens": tokenizer.config.latents,
        "dim": tokenizer.config.latent_dim,
        "parameters": tokenizer.size(),
    }
    if tokenizer.config.uvit:
        about["system"] = "SSDD"
    return EvaluationJob(name, layout.evaluation(model, student, name), tokenizer, about, task)


def elsewhere_job(task: Task, root: Path, device: torch.device) -> EvaluationJob:
    """A row of `decodes` with the tokenizer that it names."""
    row, name = task.decode, task.wildcards["decode"]
    tokenizer = elsewhere.open_row(row, root, task.data.resolution, device)
    about = tokenizer.describe()._asdict()
    about |= {"tokenizer": frozen.shown(row.tokenizer), "weights": dict(tokenizer.files)}
    if row.tokenizer in SYSTEMS:
        about["system"] = SYSTEMS[row.tokenizer].family.title
    return EvaluationJob(name, layout.evaluation(None, None, name), tokenizer, about, task)


def baseline_job(task: Task) -> EvaluationJob:
    """`mean-colour`, or `bicubic` from the side of the coarsest scale of `model`, half the
    resolution at most."""
    name, resolution = task.wildcards["baseline"], task.data.resolution
    side = resolution >> max(1, task.params["model.scales"] - 1)
    tokenizer = MeanColour(resolution) if name == "mean-colour" else Bicubic(side, resolution)
    tokens = 1 if name == "mean-colour" else side**2
    about = {"of": name, "nfe": 0, "tokens": tokens, "dim": 3, "parameters": 0}
    if name == "bicubic":
        about["scales"] = [side]
    return EvaluationJob(name, layout.baseline(name), tokenizer, about, task)


def in_first_process(
    job: EvaluationJob, evaluation: Evaluation, settings: report.Settings, team: Team, root: Path
) -> dict[str, object]:
    """Measure, write metrics, timing and samples, and tell the tracker."""
    origin, source = context(), evaluation.passes[0].source
    more = {"evaluate": job.task.evaluate.model_dump(mode="json"), "decode": job.about}
    measured = {job.name: job.task}
    beside = (layout.timing, layout.samples, layout.extremes)
    made = [job.path, *(where(job.path) for where in beside)]
    others = [layout.receipt("evaluations", job.path)]
    if job.task.model:
        others.append(layout.pyramid(job.path))
    with (
        hold(root / layout.checkpoint(job.path) / "lock"),
        recorded(job.task, job.path, [*made, *others], root) as record,
        open_run(job.task, "evaluate", job.name, root=root, more=more, measured=measured) as run,
    ):
        record["run"] = run.identity
        document = report.opening(evaluation, settings)
        report.measure_passes(evaluation, document, settings, team)
        document["not_measured"] = announce(document["not_measured"])
        write(job, document, source, origin, root)
        receipts.write("evaluations", job.path, made, root)
        remove(settings.work)
        tell(run, job, document, source, root)
    return document["protocols"][document["protocol"]]["metrics"]


def announce(missing: dict[str, str]) -> dict[str, str]:
    """Print why metrics are missing, which may name folders of this machine; what the metrics file
    says instead."""
    for name, reason in missing.items():
        print(f"{name} is not measured: {reason}", file=sys.stderr)
    return dict.fromkeys(missing, "not measured: see the log of the evaluation")


def write(
    job: EvaluationJob,
    document: dict[str, object],
    source: Prepared,
    origin: dict[str, object],
    root: Path,
) -> None:
    """Put timing, samples, extremes, pyramid and metrics in place; what is decoded for pictures
    alone is not timed."""
    path, batch = root / job.path, job.task.evaluate.batch
    if not source.timed:  # an interrupted run has decoded all: the batches of the samples are timed
        source.first_samples(batch)
    write_json(layout.timing(path), timing(source, job.task, origin))
    pictures.save(layout.samples(path), source.first_samples(batch))
    extremes = pictures.of_extremes(document["extremes"]["held_out"], source)
    pictures.save(layout.extremes(path), extremes)
    if job.task.model:
        document["jump_noise"] = pictures.follow(source, job.task, path)
    write_json(path, document)


def source_of(job: EvaluationJob, device: torch.device, root: Path) -> Prepared:
    """The first crops of the held-out ones, as many as the params say, and the tokenizer."""
    task = job.task
    crops = Crops(root / layout.prepared(), "held_out", expect_resolution=task.data.resolution)
    count = min(task.evaluate.images or len(crops), len(crops))
    how = (task.seed, task.evaluate.precision, device)
    owners = photographs_of(root / layout.prepared(), count)
    return Prepared(crops, count, job.tokenizer, task.key, *how, owners)


def protocols_of(settings: Evaluate) -> dict[str, Protocol]:
    """The protocols that the params name, in their order.

    All take the networks that the params name, where they have such a metric at all, and KID or
    not as the params say.
    """
    return {
        name: restrict(protocol.with_features(settings.features), settings)
        for name, protocol in protocols.load(settings.protocols).items()
    }


def restrict(protocol: Protocol, settings: Evaluate) -> Protocol:
    """With the trunks of LPIPS that both it and the params name."""
    own = protocol.lpips.nets if protocol.lpips else ()
    nets = tuple(net for net in settings.lpips if net in own)
    lpips = protocol.lpips.model_copy(update={"nets": nets}) if nets else None
    kid = settings.kid and protocol.fid is not None
    return protocol.model_copy(update={"lpips": lpips, "kid": kid})


def timing(source: Prepared, task: Task, origin: dict[str, object]) -> dict[str, object]:
    """Time of decoding alone: the median, over the batches that this process has decoded, of the
    seconds of an image; the last batch may have fewer images than the others.

    The first batch is left out as warm-up. `seconds` are those of `batch` images, the largest batch
    that counts. Where nothing decodes apart it is the time of whole reconstructions, the region
    `both`, and so says the document.
    """
    counted = source.timed[1:] or source.timed
    batch = max(images for images, _ in counted)
    per_image = statistics.median(seconds / images for images, seconds in counted)
    return {
        "seconds": batch * per_image,
        "batch": batch,
        "images_per_second": 1 / per_image,
        "device": origin["device"],
        "threads": task.cpu_threads,
        "precision": task.evaluate.precision,
        "provenance": origin,
        **({} if source.tokenizer.apart else {"region": "both"}),
    }


def tell(run: Run, job: EvaluationJob, document: dict, source: Prepared, root: Path) -> None:
    """Give the tracker the metrics and their like, images, the model, and the metrics file.

    Baselines have no speed there: next to theirs, those of decoders are all zero on a chart. What
    makes whole reconstructions alone has none of decoding.
    """
    path = root / job.path
    figures = flat(document)
    if job.about["nfe"] is not None:
        figures["nfe"] = job.about["nfe"]
    if job.task.stage == "evaluate" and job.tokenizer.apart:
        figures["images_per_second"] = read_json(layout.timing(path))["images_per_second"]
    run.log(0, figures)
    run.figures(figures)
    run.image("reconstructions", pictures.beside_originals(source, layout.samples(path)))
    run.image("worst-median-best", layout.extremes(path))
    if run.on:
        tell_scales(run, layout.pyramid(path))
    if job.task.first_decode:
        tell_model(run, job, path.parents[1])
    run.file(path)


def tell_scales(run: Run, file: Path) -> None:
    """The estimates of a decoder, coarse to fine: a picture whose steps are sides in pixels."""
    if file.exists():
        for estimates in read_npz(file).values():
            run.image("coarse-to-fine", estimates, step=estimates.shape[1])


def tell_model(run: Run, job: EvaluationJob, folder: Path) -> None:
    """The model folder, and how it decodes, for MLflow to serve."""
    settings = {name: job.about[name] for name in ("steps", "guidance", "jump", "noise")}
    files = [folder / file for file in layout.MODEL_FILES]
    run.model(job.name, files, settings, job.tokenizer.resolution)


def flat(document: dict) -> dict[str, float]:
    """Means and distances alone, as the tracker's metrics; those of further protocols under their
    names."""
    values = {}
    for name, entry in document["protocols"].items():
        prefix = "" if name == document["protocol"] else f"{name}/"
        for metric, value in entry["metrics"].items():
            values[prefix + metric] = mean_of(value) if isinstance(value, dict) else value
    return values


def mean_of(metric: dict) -> float:
    return math.inf if metric.get("infinite") else metric["mean"]
