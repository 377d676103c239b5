"""The FLOP card as lines for a terminal."""

from collections.abc import Sequence

from tabulate import tabulate

SCALES = ("scale", "GFLOP", "arithmetic", "image tokens", "in attention", "activations", "launches")
DECODERS = (
    "decoder",
    "scales",
    "steps",
    "guidance",
    "passes (NFE)",
    "weights",
    "GFLOP",
    "launches",
    "arithmetic",
    "reading",
    "batch 1",
    "images/s",
    "over student",
)
NOTES = (
    "GFLOP: of one image; a multiply-add counts 2; norms, activations and softmax are not counted",
    "arithmetic, reading: least time of one image's products; of reading weights, each step",
    "batch 1: least time of one image alone; images/s: at most, at an MFU of 100 %",
    "activations: bytes written and read if no cache held any; launches: of the plain variant",
    "over student: FLOPs as a multiple of the last row's",
)


def text(card: dict) -> str:
    """The document of `card.card` as two aligned tables with their notes."""
    rate = card["ceilings"][card["precision"]]
    scales = [_scale(scale, rate) for scale in card["scales"]]
    decoders = [DECODERS, *(_decoder(line) for line in card["decoders"])]
    parts = [_heading(card), align([SCALES[: len(scales[0])], *scales])]
    parts += [_encoder(card["encoder"]), align(decoders), "\n".join(NOTES)]
    return "\n\n".join(parts)


def _heading(card: dict) -> str:
    model, ceilings = card["model"], card["ceilings"]
    rate = ceilings[card["precision"]] / 1e12
    mmdit = f"patch {model['patch']}, width {model['width']}, depth {model['depth']}"
    network = "U-ViT" if model["uvit"] else mmdit
    return (
        f"{model['resolution']} px, {network}, {model['latents']} latents of "
        f"{model['latent_dim']}\n{card['precision']} at {rate:,.4g} TFLOP/s, memory at "
        f"{ceilings['bandwidth'] / 1e9:,.4g} GB/s ({ceilings['source']})"
    )


def _scale(scale: dict, rate: float) -> tuple[str, ...]:
    cost = f"{scale['side']} px", giga(scale["flops"]), time(scale["flops"] / rate)
    if "tokens" not in scale:
        return cost
    return (
        *cost,
        f"{scale['tokens']:,}",
        f"{scale['attention_share']:.1%}",
        f"{scale['activation_bytes'] / 1e6:,.1f} MB",
        f"{scale['launches']:,}",
    )


def _encoder(encoder: dict) -> str:
    return (
        f"encoder: {encoder['parameters'] / 1e6:,.1f} M weights, {giga(encoder['flops'])} GFLOP, "
        f"at least {time(encoder['latency_seconds'])} at batch 1, at most "
        f"{encoder['images_per_second']:,.4g} images/s"
    )


def _decoder(line: dict) -> tuple[str, ...]:
    return (
        line["name"],
        "/".join(map(str, line["scales"])),
        _per_scale(line["steps"]),
        _per_scale(line["guidance"]),
        f"{line['nfe']:,}",
        f"{line['parameters'] / 1e6:,.1f} M",
        giga(line["flops"]),
        "–" if line["launches"] is None else f"{line['launches']:,}",
        time(line["arithmetic_seconds"]),
        time(line["weights_seconds"]),
        time(line["latency_seconds"]),
        f"{line['images_per_second']:,.4g}",
        f"{line['over_student']:,.2f}×",
    )


def _per_scale(values: Sequence[float]) -> str:
    """`1/2/4`, or one number where all scales have the same."""
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else "/".join(texts)


def giga(flops: float) -> str:
    """FLOPs as GFLOP in four digits, or whole from 1000 on."""
    return f"{flops / 1e9:,.4g}" if flops < 1e12 else f"{flops / 1e9:,.0f}"


def time(seconds: float) -> str:
    """Seconds as `12.3 us`, `1.23 ms` or `1.23 s`."""
    for unit, name in ((1e-6, "us"), (1e-3, "ms")):
        if seconds < 1000 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:,.3g} s"


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart: the first to the left, the others to the right."""
    sides = "left", *["right"] * (len(rows[0]) - 1)
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=sides)
