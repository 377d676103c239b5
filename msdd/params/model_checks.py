"""Checks of a row of `models`: sizes that must fit together, its encoder and its training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msdd.errors import did_you_mean
from msdd.model.config import GROUPS, ModelConfig, near_square
from msdd.params.schema import Params
from msdd.tokenizers.systems import SYSTEMS


def of_model(params: Params, row: str) -> Iterator[str]:
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
    yield from of_training(params, f"models.{row}", training, row)


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
        yield from of_folder(name, tokenizer)
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


def of_folder(name: str, tokenizer: str) -> Iterator[str]:
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


def of_training(params: Params, name: str, training: Any, model: str) -> Iterator[str]:
    """What trainings of models and of students have in common; `model` is the row of `models`."""
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
