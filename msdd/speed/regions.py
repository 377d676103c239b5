"""The regions: what lies between two readings of the clock.

    decode  latents on the device -> images on the device, with the drawing of noise
    encode  images on the device -> latents on the device
    both    images on the device -> reconstructions on the device
    paper   what the MSDD authors' code times: a copy of the originals for the metrics on the host,
            their way to the device, then `both` (theirs counts the first, cold batch too)

Reading files, metrics and writing are in none of them.
"""

from collections.abc import Callable
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor

from msdd.tokenizers.tokenizer import Tokenizer

SETS = 4  # inputs that take turns, so that no cache keeps one for the next call


class Inputs:
    """Images on the host and on the device, in sets that take turns.

    Smooth random pictures: constant ones would run faster on some devices, and white noise is
    nothing that a trained network knows.
    """

    def __init__(self, side: int, batch: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(batch)
        coarse = torch.rand(SETS * batch, 3, 8, 8, generator=generator) * 2 - 1
        images = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
        self.host = images.clamp(-1, 1).split(batch)
        self.images = [images.to(device) for images in self.host]
        self.batch, self.device = batch, device

    def ids(self, turn: int) -> range:
        """Images that were not there before: their noise has to be drawn."""
        return range(turn * self.batch, (turn + 1) * self.batch)


class Regions:
    """One tokenizer's calls, by the name of the region; each call takes the next input.

    Latents are those of the plain tokenizer, so that both decode the same.
    """

    def __init__(self, tokenizer: Tokenizer, plain: Tokenizer, inputs: Inputs) -> None:
        self.tokenizer, self.plain, self.inputs = tokenizer, plain, inputs
        self.latents = [plain.encode(images) for images in inputs.images]
        self.turns = count(1)  # 0 is the gate's

    def call(self, region: str) -> Callable[[], Tensor]:
        """What is timed."""
        return lambda: self.at(region, next(self.turns), self.tokenizer)

    def at(self, region: str, turn: int, tokenizer: Tokenizer) -> Tensor:
        """What comes out of a region at a turn, by this tokenizer."""
        k, ids = turn % SETS, self.inputs.ids(turn)
        if region == "decode":
            return tokenizer.decode(self.latents[k], ids)
        if region == "encode":
            return tokenizer.encode(self.inputs.images[k])
        if region == "both":
            return tokenizer.reconstruct(self.inputs.images[k], ids)
        return _paper(tokenizer, self.inputs.host[k], ids, self.inputs.device)


def _paper(tokenizer: Tokenizer, host: Tensor, ids: range, device: torch.device) -> Tensor:
    """The originals as float arrays in [0, 1] on the host, as the metrics there want them."""
    ((host + 1) / 2).permute(0, 2, 3, 1).contiguous().numpy()
    return tokenizer.reconstruct(host.to(device), ids)
