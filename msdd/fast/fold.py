"""A decoder at one time: what the time does to it becomes part of its weights.

A one-step student meets one T per scale, so adaLN is constant there: shift and scale are the bias
and weight of the norms before them, gates multiply the rows of the layers before them. That takes
the time network and adaLN away, a third of the weights, and changes the result by rounding alone.
"""

import torch
from torch import Tensor, nn

from msdd.model.decoder import Decoder
from msdd.model.mmdit import Modulation, Stream


def fold(decoder: Decoder, time: float) -> Decoder:
    """The decoder at global time T, for `denoise` without conditioning; shares what is equal."""
    times = torch.tensor([time], dtype=decoder.head.weight.dtype, device=decoder.head.weight.device)
    with torch.no_grad():
        at = decoder.conditioning(times)
        changed = norm("norm", *at.output)
        for i, (block, pair) in enumerate(zip(decoder.blocks, at.blocks, strict=True)):
            for name, m in zip(("latents", "image"), pair, strict=True):
                changed |= fold_stream(getattr(block, name), m, f"blocks.{i}.{name}.")
    with torch.device("meta"):  # no time for weights that are replaced at once
        folded = Decoder(decoder.config, modulated=False)
    return with_weights(folded, decoder, changed)


def fold_stream(stream: Stream, m: Modulation, prefix: str) -> dict[str, Tensor]:
    """The tensors of a stream that differ when it is modulated by m always."""
    changed = norm("norm1", m.shift1, m.scale1)
    if m.gate1 is not None:
        gate = m.gate1.flatten()
        changed |= norm("norm2", m.shift2, m.scale2)
        changed["proj.weight"] = gate[:, None] * stream.proj.weight
        changed["proj.bias"] = gate * stream.proj.bias
        changed["mlp.w2.weight"] = m.gate2.flatten()[:, None] * stream.mlp.w2.weight
    return {prefix + name: value for name, value in changed.items()}


def norm(name: str, shift: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """A norm that ends with modulation."""
    return {f"{name}.weight": 1 + scale.flatten(), f"{name}.bias": shift.flatten()}


def with_weights(folded: Decoder, decoder: Decoder, changed: dict[str, Tensor]) -> Decoder:
    whole = decoder.state_dict() | changed
    folded.load_state_dict({name: whole[name] for name in folded.state_dict()}, assign=True)
    for name, table in decoder.named_buffers():  # of positions, which no state dict holds
        folded.register_buffer(name, table, persistent=False)
    return freeze(folded)


def freeze(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)
