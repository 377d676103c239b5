"""The work of every job of a params file: images, FLOPs and files, before anything is run.

FLOPs are those of the FLOP card. A backward pass costs two forward passes, so training costs three;
what is frozen (teacher, encoder of a distillation) costs one. The perceptual network and the
discriminator are counted by their published cost for a pixel. The optimiser counts nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msdd.errors import MsddError
from msdd.flow.sampler import nfe, per_scale
from msdd.model.config import ModelConfig
from msdd.params.schema import Params
from msdd.params.sections import BASELINES, Distil
from msdd.pipeline import jobs, layout
from msdd.speed import costs
from msdd.speed.systems import config_of, decodes_of, on_card
from msdd.train.objective import weight_at

TRAINING = 3  # forward passes that a forward and a backward pass cost
# FLOPs of one pass for a pixel: convolutions of VGG16 and AlexNet, ViT-S/16, the small PatchGAN,
# EfficientNet-Lite0 and Inception, each at its usual size.
PIXEL = {"vgg": 6.1e5, "alex": 2.6e4, "dino": 1.8e5, "patch": 4.5e4}
FEATURES = {"efficientnet-lite0": 0.8e9, "inception": 11.4e9}  # of an image
LPIPS, ADVERSARY = 4, 9  # passes: two images and a gradient; judging, its balance, learning
ROUND = 0.05  # least seconds of a timed sample
# Least and most seconds that a job takes beside its images: what it loads and writes.
EVALUATING, MOVING, WRITING, BUILDING = (5.0, 20.0), (0.1, 20.0), (0.1, 10.0), (0.2, 20.0)
PHOTOGRAPH = 101_000  # bytes of a stored photograph, mean of 150 of ImageNet at store_side 512
CUT = {"random": (1e-4, 1e-3), "adm": (2e-3, 8e-3)}  # seconds a crop, on one core


@dataclass(frozen=True)
class Work:
    """One job.

    stage, name: as DVC names the job, `stage@name`; the name is empty where there is one job.
    wildcards:   of the task. artefact: what its record is named by.
    needs:       the jobs, as `stage@name`, that must be done before.
    images:      how many are trained on, decoded or cut.
    flops:       of one image. precision: `fp32` or `bf16`; None where no network runs.
    trained:     whether it is a training.
    batch:       images in one pass. passes: of a network, for a batch.
    seconds:     least and most, beside what the FLOPs take.
    stored:      bytes of images that it leaves behind.
    numbers:     weights that it leaves behind. state: numbers of its checkpoint while it trains.
    """

    stage: str
    name: str
    wildcards: dict[str, Any]
    artefact: Path
    needs: tuple[str, ...]
    images: int = 0
    flops: float = 0.0
    precision: str | None = None
    trained: bool = False
    batch: int = 1
    passes: int = 0
    seconds: tuple[float, float] = (0.0, 0.0)
    stored: int = 0
    numbers: int = 0
    state: int = 0

    @property
    def key(self) -> str:
        return f"{self.stage}@{self.name}" if self.name else self.stage


def all_work(params: Params, photographs: tuple[int, int] | None = None) -> list[Work]:
    """Every job of the params, each after those it needs.

    photographs: to train on and held out, where the params cut one crop of each. Raises MsddError
    if they are needed and None.
    """
    crops = _crops(params, photographs)
    tables = jobs.rows(params)
    held_out = params.evaluate.images or crops[1]
    count = sum(crops)
    seconds = tuple(count * one for one in CUT[params.data.crop])
    stored = _stored(params, crops)
    work = [Work("prepare", "", {}, layout.prepared(), (), count, seconds=seconds, stored=stored)]
    work += [_latents(params, row, crops[0]) for row in tables["latents"]]
    work += [_train(params, row) for row in params.models]
    work += [_distil(params, name, job) for name, job in tables["scales"].items()]
    work += [_assemble(params, row, job) for row, job in tables["students"].items()]
    work += _chains(params, tables)
    work += [_evaluate(params, row, tables, held_out) for row in params.decodes]
    work += [_baseline(params, name, held_out) for name in BASELINES]
    return [*work, *_reports(params)]


def _stored(params: Params, crops: tuple[int, int]) -> int:
    """Bytes of what `prepare` writes: pixels, or photographs of the size of ImageNet's."""
    pixels = 3 * params.data.resolution**2
    of_one = PHOTOGRAPH if params.data.store == "photographs" else pixels
    return crops[0] * of_one + crops[1] * pixels


def _crops(params: Params, photographs: tuple[int, int] | None) -> tuple[int, int]:
    """How many crops there will be to train on, and held out."""
    counts = []
    for i, key in enumerate(("train_crops", "held_out_crops")):
        count = getattr(params.data, key)
        if count is None and photographs is None:
            raise MsddError(
                f"data.{key} is null, one crop of each photograph: say how many there are by "
                "--photographs TRAIN HELD_OUT"
            )
        counts.append(photographs[i] if count is None else count)
    return counts[0], counts[1]


def _latents(params: Params, row: str, crops: int) -> Work:
    config = config_of(params, row)
    return Work(
        "latents",
        row,
        {"model": row},
        layout.latents(row),
        ("prepare",),
        crops,
        costs.encoder_flops(config),
        "fp32",
        batch=64,
        passes=1,
        stored=2 * crops * config.latents * config.latent_dim,
        numbers=costs.encoder_weights(config),
    )


def _images(params: Params, model: str) -> str:
    """The job that makes what a training reads of images."""
    row = params.latents_of(model)
    return f"latents@{row}" if row else "prepare"


def _encoding(config: ModelConfig) -> int:
    """FLOPs of the encoder in a training: none where its latents are stored."""
    return 0 if config.frozen else costs.encoder_flops(config)


def _train(params: Params, row: str) -> Work:
    config, settings = config_of(params, row), params.stage1_of(row)
    sides = config.sides
    decoding = sum(costs.evaluation_flops(config, side) for side in sides) / len(sides)
    encoding = _encoding(config)
    flops = TRAINING * decoding + encoding * (1 if settings.encoder else TRAINING)
    if settings.lpips:  # of the images at the last scale
        flops += LPIPS * PIXEL[settings.lpips_net] * config.resolution**2 / len(sides)
    weights = costs.decoder_weights(config)
    weights += 0 if config.frozen else costs.encoder_weights(config)
    return _training(
        "train",
        row,
        {"model": row},
        layout.stage1(row),
        (_images(params, row),),
        settings=settings,
        flops=flops,
        weights=weights,
        passes=TRAINING * (1 + len(sides)),
    )


def _training(
    stage: str, name: str, wildcards: dict, artefact: Path, needs: tuple[str, ...], **more: Any
) -> Work:
    """A training by its `settings`; its checkpoint has `weights`, their average and two moments."""
    settings, weights = more.pop("settings"), more.pop("weights")
    more = {"numbers": weights} | more
    return Work(
        stage,
        name,
        wildcards,
        artefact,
        needs,
        images=settings.images,
        precision=settings.precision,
        trained=True,
        batch=settings.microbatch or settings.batch,
        state=4 * weights,
        **more,
    )


def _distil(params: Params, name: str, job: dict) -> Work:
    student, k = job["student"], job["scale"]
    config, settings = config_of(params, job["model"]), params.distil_of(student)
    flops = _encoding(config) + _step(config, settings, [k]) + _judged(config, settings, k)
    return _training(
        "distil",
        name,
        {"student": student, "scale": k},
        layout.scale(job["model"], student, k),
        (_images(params, job["model"]), f"train@{job['model']}"),
        settings=settings,
        flops=flops,
        weights=costs.decoder_weights(config),
        passes=_passes(config, settings, [k]),
    )


def _step(config: ModelConfig, settings: Distil, scales: list[int]) -> float:
    """FLOPs of a student trained through these scales, and of its teacher's steps in each."""
    taught = _taught(config, settings)
    return sum((TRAINING + taught[k]) * _evaluation(config, k) for k in scales)


def _passes(config: ModelConfig, settings: Distil, scales: list[int]) -> int:
    """The same as passes of a network, and one of the encoder."""
    taught = _taught(config, settings)
    return 1 + sum(TRAINING + taught[k] for k in scales)


def _evaluation(config: ModelConfig, k: int) -> int:
    return costs.evaluation_flops(config, config.sides[k])


def _taught(config: ModelConfig, settings: Distil) -> list[int]:
    """Evaluations of the teacher at each scale: none where nothing compares with its images."""
    to_teacher = settings.lpips and settings.lpips_to == "teacher"
    if not (settings.mse_teacher or to_teacher):
        return [0] * config.scales
    steps = 1 if settings.mode == "joint_paper_code" else settings.teacher_steps
    return [nfe([steps], [g]) for g in per_scale(settings.guidance, config.scales)]


def _judged(config: ModelConfig, settings: Distil, k: int) -> float:
    """LPIPS and the discriminator at the scale whose images they see."""
    pixels = config.sides[k] ** 2
    seen = 224**2 if settings.discriminator == "dino" else pixels  # DINO's ViT takes 224 px
    lpips = LPIPS * PIXEL[settings.lpips_net] * pixels
    adversary = ADVERSARY * PIXEL[settings.discriminator] * seen
    flops = lpips if weight_at(settings.lpips, config.sides, k) else 0.0
    return flops + (adversary if weight_at(settings.gan, config.sides, k) else 0.0)


def _assemble(params: Params, row: str, job: dict) -> Work:
    needs = tuple(f"distil@{row}-scale{k}" for k in range(job["scales"]))
    folder = layout.assembled(job["model"], row)
    numbers = _student_weights(config_of(params, job["model"]))
    return Work("assemble", row, {"student": row}, folder, needs, seconds=MOVING, numbers=numbers)


def _student_weights(config: ModelConfig) -> int:
    return costs.encoder_weights(config) + config.scales * costs.decoder_weights(config)


def _chains(params: Params, tables: dict) -> Iterator[Work]:
    for row, job in tables["chains"].items():
        config, settings = config_of(params, job["model"]), params.distil_of(row)
        count, start = config.scales, params.students[row].start
        needs = [
            _images(params, job["model"]),
            f"train@{job['model']}",
            *([f"assemble@{start}"] if start else []),
        ]
        flops = _encoding(config) + _step(config, settings, list(range(count)))
        flops += _judged(config, settings, count - 1)
        networks = count if settings.mode == "finetune" else 1
        yield _training(
            "chain",
            row,
            {"student": row},
            layout.assembled(job["model"], row),
            tuple(needs),
            settings=settings,
            flops=flops,
            weights=networks * costs.decoder_weights(config),
            numbers=_student_weights(config),
            passes=_passes(config, settings, list(range(count))),
        )


def _evaluate(params: Params, row: str, tables: dict, images: int) -> Work:
    model, student = params.source(row)
    made = f"train@{model}"
    if student:
        made = f"chain@{student}" if student in tables["chains"] else f"assemble@{student}"
    decoder = on_card(params, row)
    flops = costs.encoder_flops(decoder.config) + decoder.flops + _metrics(params)
    artefact = layout.evaluation(model, student, row)
    return Work(
        "evaluate",
        row,
        {"decode": row},
        artefact,
        ("prepare", made),
        images,
        flops,
        params.evaluate.precision,
        batch=params.evaluate.batch,
        passes=1 + decoder.nfe,
        seconds=EVALUATING,
    )


def _metrics(params: Params) -> float:
    """Perceptual distance of two images by each network, and features of both."""
    pixels = params.data.resolution**2
    perceptual = sum(2 * PIXEL[network] * pixels for network in params.evaluate.lpips)
    return perceptual + 2 * FEATURES[params.evaluate.features]


def _baseline(params: Params, name: str, images: int) -> Work:
    artefact = layout.baseline(name)
    named = {"baseline": name}
    needs, flops = ("prepare",), _metrics(params)
    return Work("baseline", name, named, artefact, needs, images, flops, "fp32", seconds=EVALUATING)


def _reports(params: Params) -> Iterator[Work]:
    measured = [f"evaluate@{row}" for row in params.decodes]
    measured += [f"baseline@{name}" for name in BASELINES]
    yield _throughput(params, measured)
    for name in layout.REPORTS:
        if name != "throughput":
            timed = () if name == "ablation" else ("throughput",)
            needs = timed if name == "speed" else (*measured, *timed)
            yield Work(name, "", {}, Path("reports") / name, needs, seconds=WRITING)


def _throughput(params: Params, needs: list[str]) -> Work:
    """Timed samples of all decodes in turns; other systems are left out, and so is `paper`'s copy.

    A sample is preceded by a call that does not count, and has as many calls as fill `ROUND`.
    """
    timed, named = params.throughput, decodes_of(params)
    rounds = timed.repeats * len(timed.regions) * len(timed.variants) * len(named)
    flops = sum(on_card(params, name).flops for name in named) / max(1, len(named))
    built = len(named) * len(timed.batches) * len(timed.variants)
    seconds = [rounds * len(timed.batches) * ROUND + built * one for one in BUILDING]
    return Work(
        "throughput",
        "",
        {},
        layout.throughput(),
        tuple(needs),
        2 * rounds * sum(timed.batches),
        flops,
        timed.precision,
        batch=max(timed.batches),
        seconds=(seconds[0], seconds[1]),
    )


def wanted(work: list[Work], target: str) -> list[Work]:
    """The jobs that a target needs: `all`, a report, or a row. MsddError for what is none."""
    if target == "all":
        return work
    by_key = {one.key: one for one in work}
    todo = [one.key for one in work if target in (one.stage, one.name, one.key)]
    if not todo:
        raise MsddError(
            f"no target '{target}'; known: all, {', '.join(layout.REPORTS)}, and rows of models, "
            "students and decodes"
        )
    needed: set[str] = set()
    while todo:
        key = todo.pop()
        if key not in needed:
            needed.add(key)
            todo.extend(by_key[key].needs)
    return [one for one in work if one.key in needed]
