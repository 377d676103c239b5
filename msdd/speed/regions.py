"""The regions: the parts of a call that lie between two readings of the clock.

    decode  latents on the device -> images on the device, drawing of noise included
    encode  images on the device -> latents on the device
    both    images on the device -> reconstructions on the device
    paper   what the MSDD authors' code times: copying the originals on the host for the metrics,
            moving them to the device, then `both` (theirs counts the first, cold batch too)

No region includes reading files, computing metrics or writing.
"""

from collections.abc import Callable, Sequence
from itertools import count

import torch
from torch import Tensor

from msdd.fast.fidelity import smooth_images
from msdd.tokenizers.tokenizer import Tokenizer

OF_WHOLES = ("both", "paper")  # the regions of what does not encode and decode apart
SETS = 4  # inputs that take turns, so that no cache keeps one for the next call


class Inputs:
    """Smooth random images (batch, 3, side, side) in [-1, 1], in sets that take turns.

    `host` and `images` are the same sets, on the host and on the device.
    """

    def __init__(self, side: int, batch: int, device: torch.device) -> None:
        self.host = smooth_images(SETS * batch, side, seed=batch).split(batch)
        self.images = [images.to(device) for images in self.host]
        self.batch, self.device = batch, device

    def ids(self, turn: int) -> range:
        """Ids of images, new ones at each turn: noise is drawn by id, so none can be reused."""
        return range(turn * self.batch, (turn + 1) * self.batch)


class Regions:
    """One tokenizer's calls by name of the region; each call takes the next set of inputs.

    All variants decode the latents of the plain tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer, plain: Tokenizer, inputs: Inputs) -> None:
        self.tokenizer, self.plain, self.inputs = tokenizer, plain, inputs
        self.latents = [plain.encode(images) for images in inputs.images if plain.apart]
        self.turns = count(1)  # 0 is the gate's

    def call(self, region: str) -> Callable[[], Tensor]:
        """The function that is timed: one call of a region, on the next inputs."""
        return lambda: self.at(region, next(self.turns), self.tokenizer)

    def at(self, region: str, turn: int, tokenizer: Tokenizer) -> Tensor:
        """The output of a region at a turn, computed by `tokenizer`."""
        k, ids = turn % SETS, self.inputs.ids(turn)
        if region == "decode":
            return tokenizer.decode(self.latents[k], ids)
        if region == "encode":
            return tokenizer.encode(self.inputs.images[k])
        if region == "both":
            return tokenizer.reconstruct(self.inputs.images[k], ids)
        return _paper(tokenizer, self.inputs.host[k], ids, self.inputs.device)


def regions_of(tokenizer: Tokenizer, asked: Sequence[str]) -> list[str]:
    """Those of the regions asked for that a tokenizer has; of what makes whole reconstructions
    alone `both` comes in place of its halves."""
    if tokenizer.apart:
        return list(asked)
    return [region for region in OF_WHOLES if region == "both" or region in asked]


def _paper(tokenizer: Tokenizer, host: Tensor, ids: range, device: torch.device) -> Tensor:
    """Copy the originals into float arrays in [0, 1] on the host, for metrics; then reconstruct."""
    ((host + 1) / 2).permute(0, 2, 3, 1).contiguous().numpy()
    return tokenizer.reconstruct(host.to(device), ids)
