"""The work of every job of a params file.

FLOPs are those of the FLOP card, and of the networks that judge images.
"""

from collections.abc import Iterator
from pathlib import Path

from msdd.errors import MsddError
from msdd.params.schema import Params
from msdd.params.sections import BASELINES
from msdd.pipeline import jobs, layout
from msdd.speed import costs, judges
from msdd.speed.rows import config_of, decodes_of, on_card
from msdd.speed.training_work import chains, distil, student_weights, train
from msdd.speed.work import Work

ROUND = 0.05  # least seconds of a timed sample
# Least and most seconds that a job takes beside its images: what it loads and writes.
EVALUATING, MOVING, WRITING, BUILDING = (5.0, 20.0), (0.1, 20.0), (0.1, 10.0), (0.2, 20.0)
# Bytes of a stored photograph, means of 150 of ImageNet (docs/imagenet.md): whole, at store_side
# 512 and 320, and the power of the side by which smaller ones shrink.
WHOLE, LARGE, REDUCED, POWER = 105_000, 101_000, 74_000, 1.6
CUT = {"random": (1e-4, 1e-3), "adm": (2e-3, 8e-3)}  # seconds a crop, on one core


def all_work(params: Params, photographs: tuple[int, int] | None = None) -> list[Work]:
    """Every job of the params, each after those it needs.

    photographs: to train on and held out, where the params cut one crop of each. Raises MsddError
    if they are needed and None.
    """
    crops = _crops(params, photographs)
    tables = jobs.rows(params)
    held_out = params.evaluate.images or crops[1]
    work = _prepare(params, crops, tables["parts"])
    work += [_latents(params, name, row, crops[0]) for name, row in params.encoding().items()]
    work += [train(params, row) for row in params.models]
    work += [distil(params, name, job) for name, job in tables["scales"].items()]
    work += [_assemble(params, row, job) for row, job in tables["students"].items()]
    work += chains(params, tables)
    work += [_evaluate(params, row, tables, held_out) for row in params.trained_here()]
    work += [_elsewhere(params, row, held_out) for row in params.trained_elsewhere()]
    work += [_baseline(params, name, held_out) for name in BASELINES]
    return [*work, *_reports(params)]


def _prepare(params: Params, crops: tuple[int, int], parts: dict) -> list[Work]:
    """The jobs that prepare; parts share what is trained on and leave the rest to `prepare`."""
    train, held_out = _stored(params, crops)
    work = [
        Work(
            "scatter",
            name,
            {"part": job["part"]},
            Path(job["path"]),
            (),
            crops[0] // len(parts),
            seconds=_cut(params, crops[0] / len(parts)),
        )
        for name, job in parts.items()
    ]
    count = crops[1] if parts else sum(crops)
    needs, seconds = tuple(one.key for one in work), _cut(params, count)
    place, stored = layout.prepared(), train + held_out
    return [*work, Work("prepare", "", {}, place, needs, count, seconds=seconds, stored=stored)]


def _cut(params: Params, count: float) -> tuple[float, float]:
    least, most = CUT[params.data.crop]
    return count * least, count * most


def _stored(params: Params, crops: tuple[int, int]) -> tuple[int, int]:
    """Bytes of what is trained on, pixels or ImageNet's photographs, and of what is held out."""
    pixels = 3 * params.data.resolution**2
    of_one = (
        photograph_bytes(params.data.store_side) if params.data.store == "photographs" else pixels
    )
    return crops[0] * of_one, crops[1] * pixels


def photograph_bytes(side: int | None) -> int:
    """Bytes of a photograph whose short side is reduced to `side`, or of a whole one."""
    return WHOLE if side is None else min(LARGE, round(REDUCED * (side / 320) ** POWER))


def _latents(params: Params, name: str, row: str, crops: int) -> Work:
    config = config_of(params, row)
    return Work(
        "latents",
        name,
        {"encoder": name},
        layout.latents(name),
        ("prepare",),
        crops,
        costs.encoder_flops(config),
        "fp32",
        batch=64,
        passes=1,
        blocks=costs.blocks(config),
        stored=2 * crops * config.latents * config.latent_dim,
        numbers=costs.encoder_weights(config),
    )


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


def _assemble(params: Params, row: str, job: dict) -> Work:
    needs = tuple(f"distil@{row}-scale{k}" for k in range(job["scales"]))
    folder = layout.assembled(job["model"], row)
    numbers = student_weights(config_of(params, job["model"]))
    return Work("assemble", row, {"student": row}, folder, needs, seconds=MOVING, numbers=numbers)


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
        blocks=costs.blocks(decoder.config),
        seconds=EVALUATING,
    )


def _elsewhere(params: Params, row: str, images: int) -> Work:
    from msdd.speed import counted  # imports torch

    flops = counted.system_flops(params.decodes[row].tokenizer, params.data.resolution)
    return Work(
        "evaluate",
        row,
        {"decode": row},
        layout.evaluation(None, None, row),
        ("prepare",),
        images,
        flops + _metrics(params),
        params.evaluate.precision,
        batch=params.evaluate.batch,
        passes=2,
        blocks=params.model.depth,
        seconds=EVALUATING,
    )


def _metrics(params: Params) -> float:
    """Perceptual distance of two images by each network, and features of both."""
    perceptual = sum(judges.lpips(net, params.data.resolution) for net in params.evaluate.lpips)
    return perceptual + 2 * judges.FEATURES[params.evaluate.features]


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
