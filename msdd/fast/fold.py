"""A decoder at one fixed time: the effect of the time becomes part of its weights.

A one-step student meets one time T at each scale, so adaLN is constant there: shift and scale
become bias and weight of the norms before them, and gates multiply the rows of the layers before
them. This removes the time network and adaLN, a third of the weights; the result changes by
rounding alone.
"""

import torch
from torch import Tensor, nn

from msdd.model.decoder import Decoder
from msdd.model.mmdit import Modulation, Stream
from msdd.weights.unfilled import unfilled


def fold(decoder: Decoder, time: float) -> Decoder:
    """The decoder at global time T in [0, 1], for `denoise` without conditioning.

    Weights that folding does not change are shared with `decoder`.
    """
    times = torch.tensor([time], dtype=decoder.head.weight.dtype, device=decoder.head.weight.device)
    with torch.no_grad():
        at = decoder.conditioning(times)
        changed = norm("norm", *at.output)
        for i, (block, pair) in enumerate(zip(decoder.blocks, at.blocks, strict=True)):
            for name, m in zip(("latents", "image"), pair, strict=True):
                changed |= fold_stream(getattr(block, name), m, f"blocks.{i}.{name}.")
    with unfilled():  # no time lost on weights that are replaced at once
        folded = Decoder(decoder.config, modulated=False)
    return with_weights(folded, decoder, changed)


def fold_stream(stream: Stream, m: Modulation, prefix: str) -> dict[str, Tensor]:
    """The tensors of a stream that change when its modulation is always m, by name."""
    changed = norm("norm1", m.shift1, m.scale1)
    if m.gate1 is not None:
        gate = m.gate1.flatten()
        changed |= norm("norm2", m.shift2, m.scale2)
        changed["proj.weight"] = gate[:, None] * stream.proj.weight
        changed["proj.bias"] = gate * stream.proj.bias
        changed["mlp.w2.weight"] = m.gate2.flatten()[:, None] * stream.mlp.w2.weight
    return {prefix + name: value for name, value in changed.items()}


def norm(name: str, shift: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """Weight and bias of a norm that includes its modulation."""
    return {f"{name}.weight": 1 + scale.flatten(), f"{name}.bias": shift.flatten()}


def with_weights(folded: Decoder, decoder: Decoder, changed: dict[str, Tensor]) -> Decoder:
    """`folded` with the weights and buffers of `decoder`, except those in `changed`; frozen."""
    whole = decoder.state_dict() | changed
    folded.load_state_dict({name: whole[name] for name in folded.state_dict()}, assign=True)
    for name, table in decoder.named_buffers():  # of positions, which are in no state dict
        folded.register_buffer(name, table, persistent=False)
    return freeze(folded)


def freeze(module: nn.Module) -> nn.Module:
    """The module itself, in evaluation mode and without gradients of its parameters."""
    return module.eval().requires_grad_(False)
