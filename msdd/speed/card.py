"""The FLOP card: what the arithmetic and the memory of a device allow, before anything is timed.

A floor is the least time that an evaluation can take: its FLOPs at the device's rate, or reading
its weights once from memory, whichever is longer. Both branches of a guided step share one
reading. Bytes of activations are reported but count in no floor, since caches hold part of them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from msdd.ceilings import Ceilings
from msdd.flow.steps import nfe, per_scale, split_steps
from msdd.model.config import ModelConfig
from msdd.speed import costs, flops

BYTES = {"fp32": 4, "bf16": 2}  # of one number
STEPS, GUIDANCE = 50, 2.0  # of the teachers in the paper's comparison with its student


@dataclass(frozen=True)
class Decoder:
    """One way to decode: a teacher in many steps, or a student.

    steps, guidance: one value for each scale; guidance 1 means none.
    networks:        number of sets of weights: 1, or one for each scale.
    conditioned:     False where a fixed time is folded into the weights.
    """

    name: str
    config: ModelConfig
    steps: tuple[int, ...]
    guidance: tuple[float, ...]
    networks: int = 1
    conditioned: bool = True

    @property
    def nfe(self) -> int:
        """Network evaluations of one decode; a guided step takes two."""
        return nfe(self.steps, self.guidance)

    @property
    def flops(self) -> int:
        """FLOPs of decoding one image."""
        shares = zip(self.config.sides, self.steps, self.guidance, strict=True)
        return sum(n * self._step(side, g) for side, n, g in shares)

    @property
    def weights(self) -> int:
        """How many weights one evaluation reads."""
        return costs.decoder_weights(self.config, self.conditioned)

    def floor(self, batch: int, ceilings: Ceilings, precision: str) -> float:
        """The least seconds that decoding `batch` images can take in `fp32` or `bf16`."""
        reading = self.weights * BYTES[precision] / ceilings.bandwidth
        shares = zip(self.config.sides, self.steps, self.guidance, strict=True)
        return sum(
            n * max(reading, batch * self._step(side, g) / ceilings.rate(precision))
            for side, n, g in shares
        )

    def _step(self, side: int, guidance: float) -> int:
        cost = costs.evaluation_flops(self.config, side, self.conditioned)
        return cost * nfe([1], [guidance])


def teacher(
    name: str,
    config: ModelConfig,
    steps: int | Sequence[int],
    guidance: float | Sequence[float] = GUIDANCE,
) -> Decoder:
    """A multi-step decoder. `steps`: their total, or a number for each scale; `guidance` likewise
    one value for all scales or one for each."""
    count = config.scales
    return Decoder(
        name, config, tuple(split_steps(steps, count)), tuple(per_scale(guidance, count))
    )


def student(name: str, config: ModelConfig, conditioned: bool = True) -> Decoder:
    """A one-step decoder: a network for each scale, one step at each, no guidance."""
    ones = (1,) * config.scales
    return Decoder(name, config, ones, tuple(map(float, ones)), config.scales, conditioned)


def comparison(config: ModelConfig) -> list[Decoder]:
    """Teachers of 50 guided steps and students, over all numbers of scales.

    The last is the student whose FLOPs a card takes as the unit.
    """
    each = [replace(config, scales=count, end_levels=None) for count in range(1, config.scales + 1)]
    spread = [teacher(f"{STEPS} steps in all", one, STEPS) for one in each]
    whole = teacher(f"{STEPS} steps at each scale", config, [STEPS] * config.scales)
    folded = [] if config.uvit else [student("student, time folded", config, conditioned=False)]
    return [*spread, whole, *folded, *(student("student", one) for one in each)]


def card(
    config: ModelConfig, decoders: Sequence[Decoder], ceilings: Ceilings, precision: str
) -> dict:
    """The whole card, ready for JSON: times in seconds, sizes in bytes, FLOPs of one image.

    It has a line for each of `decoders` and of `comparison(config)`.
    """
    decoders = [*decoders, *comparison(config)]
    return {
        "model": asdict(config),
        "precision": precision,
        "ceilings": asdict(ceilings),
        "scales": [_scale(config, side, precision) for side in config.sides],
        "encoder": _encoder(config, ceilings, precision),
        "decoders": [_line(one, decoders[-1], ceilings, precision) for one in decoders],
    }


def _scale(config: ModelConfig, side: int, precision: str) -> dict:
    """One evaluation at a scale; of a U-ViT only its FLOPs are known."""
    cost = {"side": side, "flops": costs.evaluation_flops(config, side)}
    if config.uvit:
        return cost
    return cost | {
        "tokens": flops.tokens(config, side),
        "attention_share": flops.attention_share(config, side),
        "activation_bytes": flops.activation_numbers(config, side) * BYTES[precision],
        "launches": flops.launches(config.depth),
    }


def _encoder(config: ModelConfig, ceilings: Ceilings, precision: str) -> dict:
    cost, weights = costs.encoder_flops(config), costs.encoder_weights(config)
    arithmetic = cost / ceilings.rate(precision)
    reading = weights * BYTES[precision] / ceilings.bandwidth
    return {
        "parameters": weights,
        "flops": cost,
        "arithmetic_seconds": arithmetic,
        "weights_seconds": reading,
        "latency_seconds": max(arithmetic, reading),
        "images_per_second": 1 / arithmetic,
    }


def _line(decoder: Decoder, other: Decoder, ceilings: Ceilings, precision: str) -> dict:
    """One decoder. `images_per_second` is the bound at batches so large that reading weights costs
    nothing; `over_student` is its FLOPs over those of `other`."""
    arithmetic = decoder.flops / ceilings.rate(precision)
    read = sum(decoder.steps) * decoder.weights * BYTES[precision]
    return {
        "name": decoder.name,
        "scales": decoder.config.sides,
        "steps": list(decoder.steps),
        "guidance": list(decoder.guidance),
        "nfe": decoder.nfe,
        "parameters": decoder.networks * decoder.weights,
        "flops": decoder.flops,
        "launches": _launches(decoder),
        "weight_bytes": read,
        "arithmetic_seconds": arithmetic,
        "weights_seconds": read / ceilings.bandwidth,
        "latency_seconds": decoder.floor(1, ceilings, precision),
        "images_per_second": 1 / arithmetic,
        "over_student": decoder.flops / other.flops,
    }


def _launches(decoder: Decoder) -> int | None:
    """Kernel launches of the plain variant of an MMDiT; None for a U-ViT and a folded decoder."""
    if decoder.config.uvit or not decoder.conditioned:
        return None
    return decoder.nfe * flops.launches(decoder.config.depth)
