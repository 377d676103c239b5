"""Checks that involve several keys of a params file."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from msdd.errors import did_you_mean, known_names
from msdd.params.model_checks import of_folder, of_model
from msdd.params.schema import Params
from msdd.params.sections import BASELINES
from msdd.params.student_checks import of_guidance, of_scales, of_student
from msdd.tokenizers.systems import SYSTEMS
from msdd.urls import has_secret, is_url

WITHOUT_PSNR = ("titok",)  # of the protocols
WINDOW = 7  # of SSIM
RESERVED = re.compile(r"stage1|eval|baseline|elsewhere|scale\d+")  # folders beside the rows' own


def cross_checks(params: Params) -> list[str]:
    """One line for every mistake, without the file's name."""
    return [
        *_names(params),
        *_data(params),
        *(line for row in params.models for line in of_model(params, row)),
        *(line for row in params.students for line in of_student(params, row)),
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
        yield from of_guidance(f"{name}.guidance", decode.guidance, params.stage1_of(decode.of))
    else:
        known = [*params.models, *params.students]
        near = did_you_mean(decode.of, known)
        yield f"{name}.of is '{decode.of}'; {near}rows of models and students: {', '.join(known)}"


def _elsewhere(name: str, decode: Any) -> Iterator[str]:
    """Noise between scales is that of decodes of rows."""
    for key in sorted({"jump", "noise"} & decode.model_fields_set):
        yield f"{name}.{key}: only decodes of rows of models and students have it; leave it out"
    if decode.tokenizer not in SYSTEMS and ":" not in decode.tokenizer:
        yield from of_folder(name, decode.tokenizer)


def _teacher(name: str, decode: Any, scales: int) -> Iterator[str]:
    if decode.steps is None:
        yield f"{name}.steps is missing; it must be the steps over all {scales} scales, or a list"
    elif isinstance(decode.steps, int) and decode.steps < scales:
        yield f"{name}.steps is {decode.steps}; {scales} scales need at least {scales} steps"
    yield from of_scales(f"{name}.steps", decode.steps, scales)
    yield from of_scales(f"{name}.guidance", decode.guidance, scales)


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
