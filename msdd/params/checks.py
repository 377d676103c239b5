"""Checks that involve several keys of a params file."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msdd.errors import did_you_mean, known_names
from msdd.model.config import GROUPS, ModelConfig, near_square
from msdd.params.schema import Params
from msdd.params.sections import BASELINES
from msdd.tokenizers.systems import SYSTEMS
from msdd.train.weight import COLLECTED
from msdd.urls import has_secret, is_url

WITHOUT_PSNR = ("titok",)  # of the protocols
WINDOW = 7  # of SSIM
FEATURES = {"efficientnet-lite0": 1280, "efficientnet-lite2": 1280, "inception": 2048}
RESERVED = re.compile(r"stage1|eval|baseline|elsewhere|scale\d+")  # folders beside the rows' own


def cross_checks(params: Params) -> list[str]:
    """One line for every mistake, without the file's name."""
    return [
        *_names(params),
        *_data(params),
        *(line for row in params.models for line in _model(params, row)),
        *(line for row in params.students for line in _student(params, row)),
        *(line for row in params.decodes for line in _decode(params, row)),
        *(line for row in params.ablations for line in _ablation(params, row)),
        *_throughput(params),
    ]


def _names(params: Params) -> Iterator[str]:
    tables = {"models": params.models, "students": params.students, "decodes": params.decodes}
    taken: dict[str, str] = {}
    for table, rows in tables.items():
        for row in rows:
            if RESERVED.fullmatch(row):
                yield f"{table}.{row}: the name '{row}' is reserved for a folder; choose another"
            if row in BASELINES:
                yield f"{table}.{row}: '{row}' is a baseline of every table; choose another name"
            if row in taken:
                yield f"{table}.{row}: {taken[row]} has a row of that name already"
            taken[row] = table


def _data(params: Params) -> Iterator[str]:
    data, evaluate = params.data, params.evaluate
    if data.crop_side[0] > data.crop_side[1]:
        yield f"data.crop_side is {list(data.crop_side)}; the smaller side comes first"
    yield from _urls(data)
    yield from _store(data)
    if params.prepare_jobs > 1 and data.store != "photographs":
        yield (
            f"prepare_jobs is {params.prepare_jobs}; crops are made by 1 job, only data.store: "
            "photographs by several"
        )
    for key, count in (
        ("data.held_out_crops", data.held_out_crops),
        ("evaluate.images", evaluate.images),
    ):
        if count == 1:
            yield f"{key} is 1; of one image there is no interval and no Fréchet distance"
    if data.resolution < WINDOW:
        yield f"data.resolution is {data.resolution}; SSIM needs {WINDOW} pixels a side"
    if evaluate.images and data.held_out_crops and evaluate.images > data.held_out_crops:
        yield (
            f"evaluate.images is {evaluate.images}, more than data.held_out_crops "
            f"{data.held_out_crops}"
        )
    if evaluate.protocols[0] in WITHOUT_PSNR:
        yield (
            f"evaluate.protocols begins with {evaluate.protocols[0]}, which has no PSNR; tables "
            "show the first, so put another there"
        )


def _urls(data: Any) -> Iterator[str]:
    """Mistakes in URLs; the message does not repeat a URL, which may hold a secret."""
    for key in ("photographs", "held_out"):
        url = getattr(data, key) or ""
        if is_url(url) and has_secret(url):
            yield (
                f"data.{key} is a URL with a password or a query, which would reach dvc.lock, "
                "MLflow and the manifest: write $NAME in its place, and set NAME in the environment"
            )
        elif is_url(url) and "::" in url.partition("://")[0]:
            yield f"data.{key} is a chain of URLs; name the file itself, as s3://bucket/train.tar"


def _store(data: Any) -> Iterator[str]:
    """A stored photograph serves every crop: it is never enlarged where the original is not."""
    least = math.ceil(data.resolution / data.crop_side[0])
    if data.store_side and data.store_side < least:
        yield (
            f"data.store_side is {data.store_side}; crops of data.crop_side {data.crop_side[0]:g} "
            f"at data.resolution {data.resolution} need at least {least}, or null"
        )
    if data.store == "photographs" and data.train_crops:
        yield (
            f"data.train_crops is {data.train_crops}; with data.store: photographs every "
            "photograph gives a crop an epoch, so set null"
        )


def _model(params: Params, row: str) -> Iterator[str]:
    """Sizes of the merged row; every message names the values that do not fit."""
    model, resolution = params.model_of(row), params.data.resolution
    unit = model.patch * 2 ** (model.scales - 1)
    if resolution % unit:
        yield (
            f"models.{row}: data.resolution {resolution} is no multiple of {unit} = patch "
            f"{model.patch} x 2^(scales {model.scales} - 1), so the coarsest scale has no whole "
            "number of patches"
        )
    if resolution % model.encoder_patch:
        yield (
            f"models.{row}: data.resolution {resolution} is no multiple of encoder_patch "
            f"{model.encoder_patch}"
        )
    if model.width % (4 * model.heads):
        yield (
            f"models.{row}: width {model.width} / heads {model.heads} is no multiple of 4, which "
            "positions in two dimensions need"
        )
    try:
        ModelConfig.of(resolution, model.model_dump())
    except ValueError as error:
        yield f"models.{row}: {error}"
    yield from _kl_encoder(f"models.{row}", model, resolution)
    yield from _uvit(f"models.{row}", model, resolution)
    training = params.stage1_of(row)
    for key in ("batch", "microbatch"):
        if (value := getattr(training, key)) and value < model.scales:
            yield f"models.{row}: {key} {value} is less than scales {model.scales}"
    yield from _repa(f"models.{row}", model, training.repa)
    if training.encoder:
        yield from _given(params, f"models.{row}: encoder", training.encoder, model)
    yield from _training(params, f"models.{row}", training, row)


def _repa(name: str, model: Any, repa: Any) -> Iterator[str]:
    if repa and not model.uvit:
        yield f"{name}: repa reads the middle of a uvit, which this model has not"
    elif repa and repa.block > model.uvit.depth:
        yield f"{name}: repa.block is {repa.block}, and uvit.depth {model.uvit.depth}"


def _kl_encoder(name: str, model: Any, resolution: int) -> Iterator[str]:
    """One latent token for each position of its last level, and whole groups of its norms."""
    encoder = model.kl_encoder
    if encoder is None:
        return
    factor = 2 ** (len(encoder.multipliers) - 1)
    if resolution % factor or (resolution // factor) ** 2 != model.latents:
        yield (
            f"{name}: latents is {model.latents}; kl_encoder makes one for each position of "
            f"data.resolution {resolution} / {factor}, {(resolution // factor) ** 2} in all"
        )
    if encoder.width % GROUPS:
        yield f"{name}: kl_encoder.width {encoder.width} is no multiple of {GROUPS}"
    yield from _groups(f"{name}: kl_encoder", encoder.groups)


def _given(params: Params, name: str, given: Any, model: Any) -> Iterator[str]:
    """A file of this project's, or a tokenizer whose latents are stored beforehand."""
    if bool(given.file) == bool(given.tokenizer):
        yield f"{name} must name either a file or a tokenizer"
    elif given.file and (given.checkpoint or not given.sha256):
        yield f"{name}: a file needs its sha256, and has no checkpoint"
    elif given.tokenizer:
        yield from _tokenizer(params, name, given.tokenizer, model)


def _tokenizer(params: Params, name: str, tokenizer: str, model: Any) -> Iterator[str]:
    if params.data.store != "crops":
        yield f"{name}.tokenizer needs data.store: crops, whose latents can be stored"
    if model.kl_encoder:
        yield f"{name}.tokenizer replaces the encoder; set kl_encoder to null"
    system = SYSTEMS.get(tokenizer)
    if system is None or system.config is None:
        yield from _folder(name, tokenizer)
        return
    tokens, rest = divmod(system.tokens * params.data.resolution**2, system.resolution**2)
    if system.bits is not None:
        yield f"{name}.tokenizer is {tokenizer}, whose latents are codes; name a continuous one"
    elif rest or (model.latents, model.latent_dim) != (tokens, system.dim):
        yield (
            f"{name}.tokenizer: latents is {model.latents} and latent_dim {model.latent_dim}, but "
            f"{tokenizer} makes {tokens} of {system.dim} at data.resolution "
            f"{params.data.resolution}; set them so"
        )


def _folder(name: str, tokenizer: str) -> Iterator[str]:
    """A path is opened by the stage, perhaps on another machine; a mere name must be known here."""
    if "/" in tokenizer or Path(tokenizer).is_dir():
        return
    more = did_you_mean(tokenizer, SYSTEMS).strip() or "`msdd tokenizers` lists them"
    yield f"{name}.tokenizer is {tokenizer}, no system and no folder; {more}"


def _groups(name: str, groups: int) -> Iterator[str]:
    if GROUPS % groups:
        yield f"{name}.groups {groups} does not divide {GROUPS}, which divides every width"


def _uvit(name: str, model: Any, resolution: int) -> Iterator[str]:
    """Whole levels, a grid that holds a window and whole latents, whole attention heads."""
    if model.uvit is None:
        return
    shape = ModelConfig.of(resolution, model.model_dump()).uvit
    if model.scales != 1:
        yield f"{name}: scales is {model.scales}; a uvit decodes at 1"
    if resolution % shape.factor or resolution < shape.min_side:
        yield (
            f"{name}: data.resolution {resolution} must be a multiple of {shape.factor} for uvit, "
            f"which halves it {len(shape.multipliers) - 1} times, and at least {shape.min_side} "
            f"for window {shape.window}"
        )
    elif any((resolution // shape.factor) % side for side in near_square(model.latents)):
        grid = "x".join(map(str, near_square(model.latents)))
        yield (
            f"{name}: latents {model.latents} lie on a grid of {grid}, which does not divide "
            f"uvit's of {resolution // shape.factor}x{resolution // shape.factor}"
        )
    if shape.widths[-1] % shape.heads:
        yield f"{name}: uvit.heads {shape.heads} does not divide its width {shape.widths[-1]}"
    yield from _groups(f"{name}: uvit", shape.groups)


def _training(params: Params, name: str, training: Any, model: str) -> Iterator[str]:
    batch = training.batch
    if training.colour_jitter and params.latents_of(model):
        yield f"{name}: colour_jitter changes images whose latents are stored; set it to 0"
    for key in ("images", "log_every", "checkpoint_every"):
        if (value := getattr(training, key)) % batch:
            yield f"{name}: {key} {value} is no multiple of batch {batch}"
    if training.warmup > training.images:
        yield (
            f"{name}: warmup is {training.warmup}, but images {training.images}: the learning rate "
            "would never reach its peak"
        )
    if training.microbatch and batch % training.microbatch:
        yield f"{name}: batch {batch} is no multiple of microbatch {training.microbatch}"
    if params.data.train_crops and batch > params.data.train_crops:
        yield f"{name}: batch {batch} is more than data.train_crops {params.data.train_crops}"


def _student(params: Params, row: str) -> Iterator[str]:
    model = params.model_row(row)
    if model not in params.models:
        near = did_you_mean(model, params.models)
        yield f"students.{row}.model is '{model}'; {near}rows of models: {', '.join(params.models)}"
        return
    distil, scales = params.distil_of(row), params.model_of(model).scales
    for key in ("guidance", "lpips", "gan"):
        yield from _per_scale(f"students.{row}: {key}", getattr(distil, key), scales)
    if distil.frechet:
        yield from _per_scale(f"students.{row}: frechet.weight", distil.frechet.weight, scales)
        yield from _half_life(f"students.{row}", distil)
    yield from _start(params, row, distil.mode)
    yield from _weights(f"students.{row}", distil)
    if distil.mse_teacher or _compares_with_teacher(distil):
        yield from _guidance(f"students.{row}: guidance", distil.guidance, params.stage1_of(model))
    yield from _training(params, f"students.{row}", distil, model)


def _half_life(name: str, distil: Any) -> Iterator[str]:
    """Moments of fewer images than features say nothing of most directions, and a loss that begins
    after the training's end is none."""
    frechet = distil.frechet
    if len(set(frechet.networks)) < len(frechet.networks):
        yield f"{name}: frechet.networks names a network twice; its weight is `frechet.weight`"
    for network in frechet.networks:
        if frechet.half_life < (features := FEATURES[network]):
            yield (
                f"{name}: frechet.half_life is {frechet.half_life}; {network} has {features} "
                "features: at least that"
            )
    weighted = any(frechet.weight) if isinstance(frechet.weight, tuple) else frechet.weight
    if weighted and distil.images <= (collected := COLLECTED * frechet.half_life):
        yield (
            f"{name}: images is {distil.images}, but frechet begins after {collected}, "
            f"{COLLECTED} times its half_life; train on more, or set frechet to null"
        )


def _start(params: Params, row: str, mode: str) -> Iterator[str]:
    """Finetuning begins with a per-scale student of the same model; nothing else begins so."""
    start, name = params.students[row].start, f"students.{row}.start"
    model = params.model_row(row)
    if mode == "finetune" and not _is_per_scale(params, start, model):
        known = [other for other in params.students if _is_per_scale(params, other, model)]
        told = f"{did_you_mean(start, known)}per-scale students of {model}"
        is_now = f"is '{start}'" if start else "is missing"
        yield f"{name} {is_now}; {told}: {', '.join(known) or 'none'}"
    if mode != "finetune" and start is not None:
        yield f"{name} is '{start}', but mode is {mode}; only finetune begins with another student"


def _is_per_scale(params: Params, row: str | None, model: str) -> bool:
    """Whether there is such a row of `students`, of this model and of that mode."""
    student = params.students.get(row)
    return bool(student) and student.model == model and params.distil_of(row).mode == "per_scale"


def _compares_with_teacher(distil: Any) -> bool:
    """Whether LPIPS has a weight at any scale, and is to the teacher's images."""
    lpips = distil.lpips
    return distil.lpips_to == "teacher" and bool(any(lpips) if isinstance(lpips, tuple) else lpips)


def _without_noise(name: str, distil: Any) -> Iterator[str]:
    """A teacher has learned nothing of states without noise."""
    if distil.mode not in ("joint", "finetune"):
        yield f"{name}: noise is zero, but mode is {distil.mode}; only joint and finetune have that"
    if distil.mse_teacher or _compares_with_teacher(distil) or not distil.mse_real:
        yield f"{name}: noise is zero; that needs mse_teacher 0, mse_real above 0, lpips_to real"


def _weights(name: str, distil: Any) -> Iterator[str]:
    """Something must be learned from an image at every scale, before an adversary is balanced."""
    if distil.mode == "joint_paper_code" and distil.frechet:
        yield f"{name}: frechet is set; joint_paper_code, which follows the authors' code, has none"
    if distil.mode == "joint_paper_code" and distil.lpips_to != "real":
        yield f"{name}: lpips_to is {distil.lpips_to}; joint_paper_code compares to real images"
    if distil.mode == "joint_paper_code" and (distil.mse_real or not distil.mse_teacher):
        yield f"{name}: mode joint_paper_code needs mse_teacher above 0 and has no mse_real"
    elif distil.noise == "zero":
        yield from _without_noise(name, distil)
    elif not (distil.mse_teacher or distil.mse_real):
        yield f"{name}: mse_teacher and mse_real are both 0; one of them must be above"


def _decode(params: Params, row: str) -> Iterator[str]:
    decode, name = params.decodes[row], f"decodes.{row}"
    if bool(decode.of) == bool(decode.tokenizer):
        yield f"{name} must name either `of`, a row of models or students, or a `tokenizer`"
    elif decode.tokenizer:
        yield from _elsewhere(name, decode)
    elif decode.checkpoint:
        yield f"{name}.checkpoint belongs to a `tokenizer`; `of` is {decode.of}, so leave it out"
    elif decode.of in params.students:
        for key in ("steps", "guidance"):
            if getattr(decode, key) is not None:
                yield f"{name}.{key}: a student takes one step per scale; leave it out"
        if decode.noise == "drawn" and params.distil_of(decode.of).noise == "zero":
            yield f"{name}.noise is drawn; {decode.of} is trained without noise: leave it out"
    elif decode.of in params.models:
        yield from _teacher(name, decode, params.model_of(decode.of).scales)
        yield from _guidance(f"{name}.guidance", decode.guidance, params.stage1_of(decode.of))
    else:
        known = [*params.models, *params.students]
        near = did_you_mean(decode.of, known)
        yield f"{name}.of is '{decode.of}'; {near}rows of models and students: {', '.join(known)}"


def _elsewhere(name: str, decode: Any) -> Iterator[str]:
    """Noise between scales is that of decodes of rows."""
    for key in sorted({"jump", "noise"} & decode.model_fields_set):
        yield f"{name}.{key}: only decodes of rows of models and students have it; leave it out"
    if decode.tokenizer not in SYSTEMS and ":" not in decode.tokenizer:
        yield from _folder(name, decode.tokenizer)


def _teacher(name: str, decode: Any, scales: int) -> Iterator[str]:
    if decode.steps is None:
        yield f"{name}.steps is missing; it must be the steps over all {scales} scales, or a list"
    elif isinstance(decode.steps, int) and decode.steps < scales:
        yield f"{name}.steps is {decode.steps}; {scales} scales need at least {scales} steps"
    yield from _per_scale(f"{name}.steps", decode.steps, scales)
    yield from _per_scale(f"{name}.guidance", decode.guidance, scales)


def _guidance(key: str, guidance: Any, training: Any) -> Iterator[str]:
    """Guidance asks the model what it makes without latents."""
    values = guidance if isinstance(guidance, tuple) else (1 if guidance is None else guidance,)
    if not training.cond_drop_prob and any(value != 1 for value in values):
        yield f"{key} must be 1: cond_drop_prob is 0, so the model always had latents"


def _per_scale(key: str, value: Any, scales: int) -> Iterator[str]:
    if isinstance(value, tuple) and len(value) != scales:
        yield f"{key} is a list of {len(value)}; the model has {scales} scales"


def _ablation(params: Params, row: str) -> Iterator[str]:
    for key, more in {"of": (), "against": BASELINES}.items():
        name = getattr(params.ablations[row], key)
        if name not in params.decodes and name not in more:
            known = known_names(name, [*params.decodes, *more])
            yield f"ablations.{row}.{key} is '{name}'; {known}"
    if params.ablations[row].of == params.ablations[row].against:
        yield f"ablations.{row}: `of` and `against` are the same decode"


def _throughput(params: Params) -> Iterator[str]:
    """Nothing twice: it would be timed twice and shown once."""
    known = ", ".join(params.decodes) or "none"
    for name in params.timed():
        if name not in params.decodes and (name not in SYSTEMS or not SYSTEMS[name].config):
            near = did_you_mean(name, [*params.decodes, *SYSTEMS])
            yield (
                f"throughput.systems has '{name}'; {near}rows of decodes: {known}; other systems: "
                "`msdd tokenizers` lists them"
            )
    lists = {key: getattr(params.throughput, key) for key in ("batches", "regions", "variants")}
    for key, values in {"systems": params.timed(), **lists}.items():
        for value in (value for value, count in Counter(values).items() if count > 1):
            yield f"throughput.{key} has {value} twice; once is enough"
