"""The systems that are timed: any tokenizer, and the decodes of a params file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from msdd.ceilings import Ceilings
from msdd.fast.export import export, unexportable
from msdd.fast.tokenizer import Fast
from msdd.model.autoencoder import decoder_of
from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.speed import card, costs
from msdd.speed.counted import coding_flops
from msdd.speed.precision import InPrecision
from msdd.speed.rows import config_of, config_with, on_card
from msdd.tokenizers import elsewhere
from msdd.tokenizers.catalogue import random_tokenizer
from msdd.tokenizers.msdd import MSDD, load, new_encoder
from msdd.tokenizers.own import Own, open_own
from msdd.tokenizers.tokenizer import Tokenizer
from msdd.tokenizers.user_code import is_object
from msdd.weights.unfilled import fill_zeros


@dataclass(frozen=True)
class TimedSystem:
    """One thing to time.

    plain: eager in fp32; every other variant must agree with it.
    fast:  makes the variant for speed, from the number of images in a batch and whether to compile
           on a processor too; on a GPU it is always compiled.
    flops: FLOPs of one image in the regions `encode` and `decode`, or in `both`, see `counted`.
    runtime: makes a variant by a runtime of `Fast`, from the number of images in a batch, the
           runtime and its precision; None for what only torch decodes.
    """

    name: str
    plain: Tokenizer
    fast: Callable[[int, bool], Tokenizer]
    flops: dict[str, int]
    runtime: Callable[[int, str, str], Tokenizer] | None = None


def of_tokenizer(name: str, tokenizer: Tokenizer, precision: str) -> TimedSystem:
    """Any tokenizer, with its FLOPs counted; its parameters must not require gradients.

    Its fast variant is its own code in `precision` (`fp32` or `bf16`), compiled on a GPU.
    """
    return TimedSystem(
        name, tokenizer, _in_precision(tokenizer, precision), coding_flops(tokenizer)
    )


def systems_of(
    params: Params,
    root: Path,
    device: torch.device,
    random: bool = False,
    names: Sequence[str] | None = None,
) -> list[TimedSystem]:
    """The systems of `throughput.systems`, or of `names`, which may be `module:object` too; rows of
    `decodes` with the same networks share them.

    Weights of the rows of `decodes` are read below `root`, or drawn at random if `random` is set;
    those of other systems are always drawn at random, but what is the user's own stays as it is.
    Rows that were trained elsewhere are timed at the resolution of the params.
    """
    decodes = set(params.trained_here()).intersection(names or params.timed())
    sources = {params.source(name) for name in decodes}
    make = partial(_random, params) if random else partial(_trained_tokenizer, root)
    networks = {source: make(*source).to(device) for source in sources}
    return [
        _of_decode(params, name, networks[params.source(name)])
        if name in decodes
        else of_tokenizer(name, _other(params, name, root, device), params.throughput.precision)
        for name in names or params.timed()
    ]


def _other(params: Params, name: str, root: Path, device: torch.device) -> Tokenizer:
    if is_object(name):
        return open_own(name, device)
    if name in params.decodes:
        made = elsewhere.open_row(params.decodes[name], root, params.data.resolution, device)
        if isinstance(made, Own):
            return made
    else:
        made = random_tokenizer(name, params.seed, device)
    # A GPU's convolutions run up to twice as fast so; what is the user's own stays as it is.
    return made.to(memory_format=torch.channels_last) if device.type == "cuda" else made


def _of_decode(params: Params, name: str, networks: MSDD) -> TimedSystem:
    """A row of `decodes`, with its FLOPs in closed form."""
    cost, row = on_card(params, name), params.decodes[name]
    how = (cost.steps, cost.guidance, row.jump, row.noise or networks.noise)
    plain = MSDD(networks.encoder, networks.decoders, *how)
    flops = {"encode": costs.encoder_flops(cost.config), "decode": cost.flops}
    precision = params.throughput.precision
    return TimedSystem(name, plain, _fast(plain, precision), flops, runtime_of(plain))


def runtime_of(plain: MSDD) -> Callable[[int, str, str], Tokenizer] | None:
    """A function that makes the variants by other runtimes, from batch, runtime and precision; None
    but for a student of MMDiTs on a processor."""
    if unexportable(plain) or plain.config.kl_encoder or plain.device.type != "cpu":
        return None
    folder = TemporaryDirectory(prefix="msdd-")  # is removed with the function below

    @cache
    def file() -> Path:
        return export(plain, Path(folder.name) / "decoder.onnx")[0]

    def make(batch: int, runtime: str, precision: str) -> Fast:
        return Fast(plain, batch, None, precision, None, runtime, file())

    return make


def _fast(plain: MSDD, precision: str) -> Callable[[int, bool], Tokenizer]:
    """The variant `Fast`; U-ViTs and KL encoders have none and run their own code."""
    if plain.config.uvit or plain.config.kl_encoder:
        return _in_precision(plain, precision)
    return lambda batch, compiled: Fast(plain, batch, None, precision, compiled or None)


def _in_precision(tokenizer: Tokenizer, precision: str) -> Callable[[int, bool], Tokenizer]:
    """The fast variant of systems without `Fast`: the same precision, compiled on a GPU."""

    def fast(batch: int, compiled: bool) -> Tokenizer:
        compiled = compiled or tokenizer.device.type == "cuda"
        if precision == "fp32" and not compiled:
            return tokenizer
        return InPrecision(tokenizer, precision, compiled)

    return fast


def _trained_tokenizer(root: Path, model: str, student: str | None) -> MSDD:
    return load(root / (layout.assembled(model, student) if student else layout.stage1(model)))


def _random(params: Params, model: str, student: str | None) -> MSDD:
    """Networks with random weights, on which speed does not depend."""
    torch.manual_seed(params.seed)
    config = config_of(params, model)
    encoder = new_encoder(config)
    decoders = [decoder_of(config) for _ in range(config.scales if student else 1)]
    for part in (encoder, *decoders):
        fill_zeros(part.eval().requires_grad_(False))
    return MSDD(encoder, decoders if student else decoders * config.scales, config.scales)


def card_of(params: Params, names: Sequence[str], ceilings: Ceilings, precision: str) -> dict:
    """The FLOP card of the params' `model`, with a line for each of these rows of `decodes`."""
    config = config_with(params.data.resolution, params.model, params.stage1.encoder)
    return card.card(config, [on_card(params, name) for name in names], ceilings, precision)
