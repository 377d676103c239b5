"""`msdd.evaluate`, the function: `msdd evaluate` for Python."""

import threading
from collections.abc import Callable
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, Literal, TypedDict, cast

import torch
from torch import Tensor

from msdd.data.image_folder import tell_others
from msdd.errors import MsddError
from msdd.evaluate import (
    arguments,
    distributed,
    named,
    passes,
    protocols,
    report,
    samples_report,
)
from msdd.evaluate.passes import Evaluation, Pass
from msdd.evaluate.protocol import Protocol
from msdd.evaluate.sources import Subject
from msdd.evaluate.tensors import Tensors
from msdd.pipeline import stop
from msdd.terminal import silent
from msdd.tokenizers import tokenizer as base
from msdd.tokenizers.any_size import AnySize
from msdd.tokenizers.own import Own, device_of, modes_kept, warn
from msdd.tokenizers.protocol import Tokenizer

Place = str | PathLike[str]
Measured = Tokenizer | Callable[[Tensor], Tensor] | Place
ONE = threading.RLock()  # standard error and torch's random state are the process's


class Entry(TypedDict):
    """What was measured under one protocol.

    protocol:  its rules
    metrics:   by name; a mean is {mean, low, high} with a 95 % interval, a distance a number
    per_image: by metric, in the order of `names`; None for an infinite PSNR
    """

    protocol: dict[str, Any]
    preparation: str
    metrics: dict[str, Any]
    per_image: dict[str, list[float | None]]


class Report(TypedDict):
    """The JSON document of `msdd evaluate --json`.

    protocol:     the first one
    digest:       of the originals and their names
    not_measured: metrics that could not be, each with the reason
    """

    images: int
    names: list[str]
    digest: str
    batch: int
    reference: str
    protocol: str
    protocols: dict[str, Entry]
    extremes: dict[str, Any]
    not_measured: dict[str, str]


@stop.left_alone()
def evaluate(
    tokenizer: Measured | None = None,
    images: Place | Tensor | None = None,
    *,
    originals: Place | Tensor | None = None,
    reconstructions: Place | Tensor | None = None,
    samples: Place | Tensor | None = None,
    reference: Place | Tensor | None = None,
    protocol: protocols.Names | None = None,
    features: str | None = None,
    missing: Literal["stop", "skip"] = "stop",
    resolution: int | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    seed: int = 0,
    batch: int | None = None,
    device: str | torch.device | None = None,
    quiet: bool = False,
) -> Report:
    """Measure a tokenizer on images, reconstructions against originals, or generated samples.

    tokenizer:  what `msdd.load` gives; an object with `encode` and `decode`; a function from images
                to images (B, 3, H, W) in [-1, 1]; or a name of `--tokenizer`.
    images:     a folder of photographs, cropped as each protocol says; or a tensor (N, 3, H, W),
                taken as it is: uint8, or floats in [-1, 1].
    originals, reconstructions: in place of the two above: two folders with images of the same
                names, or two tensors.
    samples, reference: in their place: folders, `.npz` files or tensors without partners
                (docs/samples.md).
    protocol:   one or several names of docs/protocols.md, `all`, or YAML files, by default
                `primary`; of samples those of docs/samples.md.
    features:   another network for the Fréchet distance than the protocol's, one of
                `msdd.weights.representations`, or `none`.
    missing:    `skip`: metrics whose weights cannot be had stand in `not_measured`, in place of an
                error.
    resolution: of a tokenizer on a folder, the side of the crops in pixels; None: as published.
    precision, seed: of a tokenizer's decoding.
    batch:      images at once, 1 or more; None: 64 up to 256 px, fewer above.
    device:     None: that of the tokenizer or of its first parameter, else a GPU if there is one.
                Networks of an object of your own are moved to a device that is named, and are in
                eval mode only until this returns.
    quiet:      print neither progress nor warnings, which otherwise go to standard error.

    Signals are left to the caller, and it may run in any thread, in one after the other; Ctrl-C
    ends it after a batch.
    Raises MsddError for values that are not allowed, for arguments that do not fit together or mean
    nothing to what is measured, and for images that cannot be measured.
    """
    arguments.check_what((tokenizer, images), (originals, reconstructions), (samples, reference))
    arguments.check_choice("missing", missing, ("stop", "skip"))
    arguments.check_choice("precision", precision, ("fp32", "bf16"))
    batch = arguments.positive("batch", batch)
    resolution = arguments.positive("resolution", resolution)
    seed = arguments.whole("seed", seed)
    of_decoding = {"resolution": resolution, "precision": precision, "seed": seed}
    arguments.check_heard(tokenizer, images, samples, **of_decoding)
    where = device_for(tokenizer, device)
    settings = report.Settings(batch, where, skip=missing == "skip")
    with ONE, silent(quiet), modes_kept(tokenizer):
        for told in (warn, tell_others):  # what a quiet evaluation has not said, the next one does
            told.cache_clear()
        if samples is not None and reference is not None:
            return of_samples(samples, reference, protocol, features, settings)
        chosen = protocols.choose(protocol or "primary", features)
        if tokenizer is None:
            pairs = of_pairs(originals, reconstructions, chosen, where)
            return measure(pairs, originals, settings)
        images = arguments.images_of("images", images)  # before any weights are loaded
        subject = subject_of(tokenizer, where, named.Decoding(seed, precision), resolution)
        return measure(of_subject(subject, images, chosen, where), images, settings)


def device_for(tokenizer: Measured | None, device: str | torch.device | None) -> torch.device:
    """The device that is named, else the tokenizer's, else the default."""
    if device is None:
        ours = tokenizer if isinstance(tokenizer, base.Tokenizer) else None
        device = ours.device if ours else device_of(tokenizer)
    return distributed.device(None if device is None else str(device))


def measure(evaluation: Evaluation, images: object, settings: report.Settings) -> Report:
    """The report of an evaluation; what is computed of images in files is cached."""
    settings = replace(settings, cache=not isinstance(images, Tensor))
    document = report.opening(evaluation, settings)
    report.measure_passes(evaluation, document, settings, distributed.Team())
    return cast(Report, document)


def of_samples(
    samples: Place | Tensor,
    reference: Place | Tensor,
    protocol: protocols.Names | None,
    features: str | None,
    settings: report.Settings,
) -> Report:
    """`msdd evaluate --samples`."""
    made = arguments.images_of("samples", samples, "a folder, a .npz file")
    real = arguments.images_of("reference", reference, "a folder, a .npz file")
    comparison = samples_report.comparison_of(made, real, protocol, features, "samples")
    document = samples_report.opening(comparison, settings)
    samples_report.measure(comparison, document, settings, distributed.Team())
    return cast(Report, document)


def of_pairs(
    originals: Any, made: Any, chosen: dict[str, Protocol], device: torch.device
) -> Evaluation:
    """Two folders, or two tensors."""
    originals = arguments.images_of("originals", originals)
    made = arguments.images_of("reconstructions", made)
    kinds = {isinstance(side, Tensor) for side in (originals, made)}
    if len(kinds) > 1:
        raise MsddError("originals and reconstructions must both be folders, or both tensors")
    if kinds == {False}:
        return passes.of_folders(originals, made, chosen)
    if made.dtype == torch.uint8:  # as files
        chosen = {name: protocol.for_files() for name, protocol in chosen.items()}
    source = Tensors(originals, made, device)
    about: dict[str, object] = {"tokenizer": "reconstructions in memory"}
    return Evaluation(about, list(chosen), [Pass("tensors", source, chosen, "evaluate")])


def of_subject(
    subject: Subject, images: Any, chosen: dict[str, Protocol], device: torch.device
) -> Evaluation:
    """A tokenizer on a folder, or on a tensor."""
    if not isinstance(images, Tensor):
        return passes.of_tokenizer(subject, images, chosen, device)
    source = Tensors(images, subject.reconstruct, device)
    return Evaluation(subject.about, list(chosen), [Pass("tensors", source, chosen, "evaluate")])


def subject_of(
    tokenizer: Measured, device: torch.device, decoding: named.Decoding, resolution: int | None
) -> Subject:
    """Any tokenizer as an evaluation sees it."""
    if isinstance(tokenizer, str | PathLike):
        return named.open_subject(fspath(tokenizer), None, device, decoding, resolution)
    if isinstance(tokenizer, AnySize) and isinstance(tokenizer.tokenizer, Own):
        tokenizer = tokenizer.tokenizer  # which takes any size by itself
    if isinstance(tokenizer, base.Tokenizer) and not isinstance(tokenizer, Own):
        about = {"tokenizer": name_of(tokenizer), **vars(decoding)}
        about["weights"] = dict(tokenizer.files)
        about["precision"] = getattr(tokenizer, "precision", decoding.precision)
        side = resolution or tokenizer.resolution
        return Subject(about, side, named.through_tokenizer(tokenizer, device, decoding))
    own = tokenizer if isinstance(tokenizer, Own) else Own(name_of(tokenizer), tokenizer, device)
    about = {"tokenizer": own.name, **vars(decoding)}
    return Subject(about, resolution or own.resolution, named.through_own(own, device, decoding))


def name_of(thing: object) -> str:
    """A function's own name, or the name of an object's class."""
    return getattr(thing, "__qualname__", type(thing).__qualname__)
