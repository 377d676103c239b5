"""Checks of a row of `students`: what it begins with, and whether its losses have a meaning."""

from collections.abc import Iterator
from typing import Any

from msdd.errors import did_you_mean
from msdd.params.model_checks import of_training
from msdd.params.schema import Params
from msdd.train.weight import COLLECTED, weight_at

FEATURES = {"efficientnet-lite0": 1280, "efficientnet-lite2": 1280, "inception": 2048}


def of_student(params: Params, row: str) -> Iterator[str]:
    """The mistakes of the merged row."""
    model = params.model_row(row)
    if model not in params.models:
        near = did_you_mean(model, params.models)
        yield f"students.{row}.model is '{model}'; {near}rows of models: {', '.join(params.models)}"
        return
    distil, scales = params.distil_of(row), params.model_of(model).scales
    for key in ("guidance", "lpips", "gan"):
        yield from of_scales(f"students.{row}: {key}", getattr(distil, key), scales)
    if distil.frechet:
        yield from of_scales(f"students.{row}: frechet.weight", distil.frechet.weight, scales)
        yield from _half_life(f"students.{row}", distil)
    yield from _start(params, row, distil.mode)
    yield from _weights(f"students.{row}", distil, params.data.resolution)
    if distil.train_encoder:
        yield from _trained_encoder(f"students.{row}", distil, params, model)
    if distil.mse_teacher or _compares_with_teacher(distil):
        teacher = params.stage1_of(model)
        yield from of_guidance(f"students.{row}: guidance", distil.guidance, teacher)
    yield from of_training(params, f"students.{row}", distil, model)


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


def _without_noise(name: str, distil: Any, side: int) -> Iterator[str]:
    """A teacher has learned nothing of states without noise."""
    if distil.mode not in ("joint", "finetune"):
        yield f"{name}: noise is zero, but mode is {distil.mode}; only joint and finetune have that"
    if distil.mse_teacher or _compares_with_teacher(distil) or not _sees_real_images(distil, side):
        yield f"{name}: noise is zero; that needs mse_teacher 0, mse_real above 0, lpips_to real"


def _sees_real_images(distil: Any, side: int) -> bool:
    """By a squared error, or in a chain by the Fréchet distance of its last images alone, which
    have that side."""
    if distil.mse_real or not distil.frechet or distil.mode not in ("joint", "finetune"):
        return bool(distil.mse_real)
    weight = distil.frechet.weight
    return bool(weight_at(weight[-1:] if isinstance(weight, tuple) else weight, [side], 0))


def _trained_encoder(name: str, distil: Any, params: Params, model: str) -> Iterator[str]:
    """A teacher decodes the latents that it was trained with."""
    if distil.mode not in ("joint", "finetune"):
        yield (
            f"{name}: train_encoder is true, but mode is {distil.mode}; "
            "only joint and finetune train an encoder"
        )
    if distil.mse_teacher or _compares_with_teacher(distil):
        yield f"{name}: train_encoder is true; that needs mse_teacher 0 and lpips_to real"
    if params.stage1_of(model).encoder or params.model_of(model).kl_encoder:
        yield (
            f"{name}: train_encoder is true, but models.{model} has a stage1.encoder or a "
            "kl_encoder; only an encoder with registers is trained on"
        )


def _weights(name: str, distil: Any, side: int) -> Iterator[str]:
    """Something must be learned from an image at every scale, before an adversary is balanced."""
    if distil.mode == "joint_paper_code" and distil.frechet:
        yield f"{name}: frechet is set; joint_paper_code, which follows the authors' code, has none"
    if distil.mode == "joint_paper_code" and distil.lpips_to != "real":
        yield f"{name}: lpips_to is {distil.lpips_to}; joint_paper_code compares to real images"
    if distil.mode == "joint_paper_code" and (distil.mse_real or not distil.mse_teacher):
        yield f"{name}: mode joint_paper_code needs mse_teacher above 0 and has no mse_real"
    elif distil.noise == "zero":
        yield from _without_noise(name, distil, side)
    elif not (distil.mse_teacher or _sees_real_images(distil, side)):
        yield (
            f"{name}: mse_teacher and mse_real are both 0; one of them must be above, or in "
            "mode joint or finetune frechet have a weight at the last scale"
        )


def of_guidance(key: str, guidance: Any, training: Any) -> Iterator[str]:
    """Guidance asks the model what it makes without latents."""
    values = guidance if isinstance(guidance, tuple) else (1 if guidance is None else guidance,)
    if not training.cond_drop_prob and any(value != 1 for value in values):
        yield f"{key} must be 1: cond_drop_prob is 0, so the model always had latents"


def of_scales(key: str, value: Any, scales: int) -> Iterator[str]:
    """A list has a value for each scale."""
    if isinstance(value, tuple) and len(value) != scales:
        yield f"{key} is a list of {len(value)}; the model has {scales} scales"
