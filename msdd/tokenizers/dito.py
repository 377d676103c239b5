"""DiTo (Chen et al. 2025, arXiv 2501.18593): a diffusion autoencoder trained by flow matching.

t = 1 is noise, t = 0 the image, x_t = (1 - t) x + (s + t (1 - s)) n with s = 1e-5; the renderer
predicts x - (1 - s) n, which is minus the velocity of the other systems here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.flow.noise import image_noise
from msdd.flow.steps import nfe
from msdd.model import vqgan
from msdd.tokenizers.dito_renderer import Renderer
from msdd.tokenizers.tokenizer import Description, Tokenizer, noise_key, without_gradients
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled

RENAMES = [
    (r"^renderer\.", "renderer.net."),
    (r"\.embed_image\.", ".embed_image.f."),
    (r"\.embed_time\.0\.", ".embed_time.f_1."),
    (r"\.embed_time\.2\.", ".embed_time.f_2."),
    (r"\.output\.0\.", ".output.gn."),
    (r"\.output\.2\.", ".output.f."),
    (r"(net\..*)\.norm(\d)\.", r"\1.gn_\2."),
    (r"(net\..*)\.conv(\d)\.", r"\1.f_\2."),
    (r"(net\..*)\.time\.", r"\1.f_t."),
    (r"(net\..*)\.skip\.", r"\1.f_s."),
]


@dataclass(frozen=True)
class DiToConfig:
    """The published f8c4 tokenizer, up to the renderer's widths.

    renderer:      width of its levels; the last one serves two.
    time_features: channels of the embedded time, time_width those of what blocks make of it.
    encoder:       width of each level of the encoder as a multiple of `width`; each but the last
                   halves the side.
    blocks:        residual blocks in a level of the encoder.
    """

    renderer: tuple[int, int, int]
    time_features: int = 320
    time_width: int = 1280
    resolution: int = 256
    width: int = 128
    encoder: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    dim: int = 4

    @property
    def factor(self) -> int:
        """Side of the image / side of the latent."""
        return 2 ** (len(self.encoder) - 1)


SIZES = {
    "B": DiToConfig(renderer=(128, 256, 512)),
    "L": DiToConfig(renderer=(192, 384, 768)),
    "XL": DiToConfig(renderer=(320, 640, 1024)),
}


class DiTo(Tokenizer):
    """Latents are continuous, (B, dim, R / factor, R / factor).

    Each image's latent has mean 0 and variance 1 over all its positions and channels; that fixes
    the side of the images.

    steps:    of Euler's method, of equal length.
    guidance: against a latent of zeros; 1 never evaluates it.
    """

    def __init__(self, config: DiToConfig, steps: int = 50, guidance: float = 1.0) -> None:
        super().__init__()
        self.config, self.resolution = config, config.resolution
        self.steps, self.guidance = steps, guidance
        features = vqgan.Encoder(3, config.width, config.encoder, config.blocks, config.dim)
        self.encoder = nn.Sequential(features, nn.Conv2d(config.dim, config.dim, 1))
        widths = (*config.renderer, config.renderer[-1])
        self.renderer = Renderer(3 + config.dim, widths, config.time_features, config.time_width)

    def describe(self) -> Description:
        tokens = (self.resolution // self.config.factor) ** 2
        passes = nfe([self.steps], [self.guidance])
        return Description(tokens, self.config.dim, None, self.size(), passes)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] to (B, dim, R / factor, R / factor)."""
        features = self.features(images).float()
        return F.layer_norm(features, features.shape[1:])

    def features(self, images: Tensor) -> Tensor:
        """Latents of images before they are normalised."""
        self.check_images(images)
        weight = self.encoder[1].weight
        return self.encoder(images.to(weight.device, weight.dtype))

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents (B, dim, R / factor, R / factor) to images (B, 3, R, R) in [-1, 1].

        The noise of an image is a function of `seed` and its id (its place in the batch by
        default), not of its neighbours.
        """
        side = self.resolution // self.config.factor
        self.check_latents(latents, self.config.dim, side, side)
        ids, seed = noise_key(latents, ids, seed)
        (noise,) = image_noise(seed, ids, [self.resolution], self.device)
        context = self.context(latents.to(self.device))
        return self.sample(noise, context).clamp(-1, 1)

    def context(self, latents: Tensor) -> Tensor:
        """Latents enlarged to the side of the image, as the renderer reads them."""
        return F.interpolate(latents, self.resolution, mode="nearest")

    def sample(self, x: Tensor, context: Tensor) -> Tensor:
        """The image as the sampler leaves it, not clamped, from the noise x (B, 3, R, R)."""
        predict = self.prediction if self.guidance == 1 else self.guided_prediction
        for i in range(self.steps):
            t = torch.full((1,), 1 - i / self.steps, dtype=torch.float32, device=x.device)
            x = x + predict(x, t, context) / self.steps
        return x

    def prediction(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """x - (1 - s) n at noisy images (B, 3, R, R), t (B,) or (1,), context (B, dim, R, R)."""
        return self.renderer(x, t, context).to(x.dtype)

    def guided_prediction(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """Both branches in one batch, and their guided mixture."""
        contexts = torch.cat([torch.zeros_like(context), context])
        null, conditional = self.prediction(torch.cat([x, x]), t, contexts).chunk(2)
        return torch.lerp(null, conditional, self.guidance)


def load(config: DiToConfig, state: Mapping[str, Tensor]) -> DiTo:
    """The tokenizer with the weights of an official state dict. MsddError if they do not fit.

    The official trainer's files keep it under `model`, `sd`.
    """
    with unfilled():  # no time is lost on initial weights
        tokenizer = DiTo(config)
    return load_strict(tokenizer, state, official_name)


def official_name(name: str) -> str:
    """A parameter's name in the official checkpoints."""
    for ours, theirs in RENAMES:
        name = re.sub(ours, theirs, name)
    return name
