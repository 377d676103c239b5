"""FlowMo (Sargent et al. 2025, arXiv 2503.11056): bits, decoded by a guided pixel flow.

t = 1 is noise, t = 0 the image, x_t = (1 - t) x + t n; the decoder predicts n - x.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from msdd.flow.noise import image_noise
from msdd.tokenizers.flowmo_network import Decoder, Encoder, FlowMoConfig, Transformer
from msdd.tokenizers.tokenizer import Description, Tokenizer, noise_key, without_gradients
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled

FLOWMO_LO = FlowMoConfig(
    resolution=256,
    patch=4,
    tokens=256,
    bits=18,
    group=9,
    encoder=Transformer(width=768, depth=8, heads=12, axes=(8, 28, 28)),
    decoder=Transformer(width=1152, depth=16, heads=12, axes=(12, 42, 42)),
)
FLOWMO_HI = replace(FLOWMO_LO, bits=56, group=14)


@dataclass(frozen=True)
class Sampling:
    """Euler steps from noise to image; the defaults are the official evaluation's.

    power:    times are ((N - i) / N)^power: more than 1 makes steps shorter towards the image.
    guidance: 1 never evaluates the null branch.
    interval: guided are the steps that start at a noise level t / (1 - t) within it.
    """

    steps: int = 25
    power: float = 4.0
    guidance: float = 1.5
    interval: tuple[float, float] = (0.17, 1.02)

    @property
    def times(self) -> list[float]:
        """The times between steps, from 1 to 0: `steps` + 1 of them."""
        return [((self.steps - i) / self.steps) ** self.power for i in range(self.steps + 1)]

    def guided(self, t: float) -> bool:
        """Whether the step that starts at t evaluates both branches."""
        level = t / (1 - t) if t < 1 else math.inf
        return self.guidance != 1 and self.interval[0] <= level <= self.interval[1]

    @property
    def nfe(self) -> int:
        """Forward passes of one decode; a guided step costs two."""
        return sum(2 if self.guided(t) else 1 for t in self.times[:-1])


class FlowMo(Tokenizer):
    """Latents are indices (B, tokens, bits / group), as the official quantiser gives them."""

    def __init__(self, config: FlowMoConfig, sampling: Sampling | None = None) -> None:
        super().__init__()
        self.config, self.resolution = config, config.resolution
        self.sampling = sampling or Sampling()
        self.codes, self.books = 2**config.group, config.bits // config.group
        self.encoder = Encoder(config, config.encoder, config.bits)
        self.decoder = Decoder(config, config.decoder, config.bits + 1)

    def describe(self) -> Description:
        """Parameters are all that a checkpoint stores, idle ones too (`flowmo_network`)."""
        c = self.config
        passes = self.sampling.nfe
        return Description(c.tokens, c.bits, c.tokens * c.bits, self.size(), passes)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] to indices (B, tokens, bits / group) in [0, 2^group)."""
        return pack(self.values(images) > 0, self.config.group)

    def values(self, images: Tensor) -> Tensor:
        """The code of images before its signs are taken, (B, tokens, bits)."""
        self.check_images(images)
        return self.encoder(images.to(self.device)).float()

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Indices (B, tokens, bits / group) to images (B, 3, R, R) in [-1, 1].

        The noise of an image is a function of `seed` and its id (its place in the batch by
        default), not of its neighbours.
        """
        self.check_latents(latents, self.config.tokens, self.books)
        ids, seed = noise_key(latents, ids, seed)
        (noise,) = image_noise(seed, ids, [self.resolution], self.device)
        return self.sample(noise, self.code(latents)).clamp(-1, 1)

    def sample(self, x: Tensor, code: Tensor) -> Tensor:
        """The image as the sampler leaves it, not clamped, from the noise x (B, 3, R, R)."""
        for t, after in pairwise(self.sampling.times):
            x = self.step(x, t, after, code)
        return x

    def step(self, x: Tensor, t: float, after: float, code: Tensor) -> Tensor:
        """One Euler step of all images from time t to the time after it."""
        velocity = self.guided_velocity if self.sampling.guided(t) else self.velocity
        return x - (t - after) * velocity(
            x, torch.full((1,), t, dtype=torch.float32, device=x.device), code
        )

    def code(self, latents: Tensor) -> Tensor:
        """What the decoder reads: +-1 for each bit and a one that says so, (B, tokens, bits + 1).

        The null code is zero throughout.
        """
        signs = 2 * unpack(latents.to(self.device), self.config.group).float() - 1
        return torch.cat([signs, torch.ones_like(signs[..., :1])], dim=-1)

    def velocity(self, x: Tensor, t: Tensor, code: Tensor) -> Tensor:
        """n - x at x (B, 3, R, R), t (B,) or (1,) for all, code (B, tokens, bits + 1)."""
        return self.decoder(x, t, code).to(x.dtype)

    def guided_velocity(self, x: Tensor, t: Tensor, code: Tensor) -> Tensor:
        """Both branches in one batch, and their guided mixture."""
        codes = torch.cat([torch.zeros_like(code), code])
        null, conditional = self.velocity(torch.cat([x, x]), t, codes).chunk(2)
        return torch.lerp(null, conditional, self.sampling.guidance)


def pack(bits: Tensor, group: int) -> Tensor:
    """Bits (..., n) to indices (..., n / group).

    Bit g of index j is channel g * n / group + j, the least significant first.
    """
    planes = bits.unflatten(-1, (group, -1)).long()
    return (planes << torch.arange(group, device=bits.device)[:, None]).sum(-2)


def unpack(indices: Tensor, group: int) -> Tensor:
    """Inverse of `pack`: integers 0 or 1, (..., n)."""
    shifts = torch.arange(group, device=indices.device)[:, None]
    return (indices.unsqueeze(-2) >> shifts & 1).flatten(-2)


def load(
    config: FlowMoConfig, state: Mapping[str, Tensor], sampling: Sampling | None = None
) -> FlowMo:
    """The tokenizer with the weights of an official state dict. MsddError if they do not fit.

    An official file wraps two of them; the evaluated one is `model_ema_state_dict`.
    """
    with unfilled():  # no time is lost on initial weights
        tokenizer = FlowMo(config, sampling)
    return load_strict(tokenizer, state)
