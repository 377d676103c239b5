"""The tokenizer that the pipeline trains: a teacher in many steps, or a student in one a scale.

With a KL encoder and a U-ViT at one scale it is SSDD; the official files of that are read by
`msdd.tokenizers.ssdd`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.files import expand_user
from msdd.flow.correlation import CORRELATIONS
from msdd.flow.noise import image_noise, silenced
from msdd.flow.sampler import sample
from msdd.flow.scales import Scale
from msdd.flow.steps import nfe, per_scale, split_steps
from msdd.model.autoencoder import Autoencoder, decoder_of, encode, encoder_of, standardise
from msdd.model.config import ModelConfig
from msdd.model.denoiser import Denoiser
from msdd.tokenizers.frozen import build
from msdd.tokenizers.tokenizer import (
    Description,
    Tokenizer,
    compile_each,
    noise_key,
    without_gradients,
)
from msdd.weights import model_folder
from msdd.weights.model_folder import NOISE
from msdd.weights.weight_digest import weight_digest


class Student(nn.Module):
    """Encoder and one decoder for each scale, coarsest first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = new_encoder(config)
        self.decoders = nn.ModuleList(decoder_of(config) for _ in range(config.scales))


def new_encoder(config: ModelConfig) -> nn.Module:
    """An encoder with fresh weights, of this project or of another tokenizer."""
    return build(config.frozen, config.resolution) if config.frozen else encoder_of(config)


class MSDD(Tokenizer):
    """Encodes images to latents and decodes them by multi-scale sampling.

    With the frozen encoder of another tokenizer its latents are those of that tokenizer,
    (B, channels, h, w).

    steps:    Euler steps, in all or one number per scale; a student makes one a scale.
    guidance: a number or one per scale; 1 never evaluates the null branch.
    jump:     `white` or `paper_code`, the in-block correlation of the noise between scales.
    noise:    `drawn`, or `zero`: none at all.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoders: Sequence[Denoiser],
        steps: int | Sequence[int],
        guidance: float | Sequence[float] = 1.0,
        jump: str = "white",
        noise: str = "drawn",
    ) -> None:
        super().__init__()
        for key, value, known in (("jump", jump, CORRELATIONS), ("noise", noise, NOISE)):
            if value not in known:
                raise MsddError(f"{key} is {value!r}; it may be {' or '.join(known)}")
        self.config, self.resolution = decoders[0].config, decoders[0].config.resolution
        self.encoder, self.decoders = encoder, nn.ModuleList(decoders)
        self.steps = split_steps(steps, self.config.scales)
        self.guidance = per_scale(guidance, self.config.scales)
        self.correlation, self.noise = CORRELATIONS[jump], noise

    def describe(self) -> Description:
        """Tokens, size and forward passes; guided steps count twice."""
        passes = nfe(self.steps, self.guidance)
        return Description(self.config.latents, self.config.latent_dim, None, self.size(), passes)

    def encoder_digest(self) -> str | None:
        """None of another tokenizer's encoder, which has a file of its own."""
        return None if self.config.frozen else weight_digest(self.encoder)

    def compile_networks(self, **options: object) -> None:
        compile_each(dict.fromkeys((self.encoder, *self.decoders)), **options)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] to latents (B, latents, latent_dim)."""
        self.check_images(images)
        if self.config.frozen:
            return self.encoder.encode(images)
        return encode(self.encoder, images.to(self.device))

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents (B, latents, latent_dim) to images (B, 3, R, R) in [-1, 1].

        The noise of an image is a function of `seed` and its id (its place in the batch by
        default), not of its neighbours.
        """
        ids, seed = noise_key(latents, ids, seed)
        latents = tokens_of(latents.to(self.device), self.config)
        return self.states(latents, self.normals(ids, seed))[-1].clamp(-1, 1)

    def normals(self, ids: Sequence[int], seed: int) -> list[Tensor]:
        """The noise of these images, at every scale."""
        return self.silenced(image_noise(seed, ids, self.config.sides, self.device))

    def silenced(self, normals: Sequence[Tensor]) -> list[Tensor]:
        """The noise as this decoder takes it: none with `noise` zero, else in float32 or as precise
        as the weights."""
        kind = torch.promote_types(self.dtype, torch.float32)
        return [silenced(x.to(kind), self.noise) for x in normals]

    @torch.inference_mode()
    def states(self, latents: Tensor, normals: Sequence[Tensor]) -> list[Tensor]:
        """End states of all scales, coarsest first, for `tokens_of` (B, latents, latent_dim)."""

        def velocity(x: Tensor, t: float, scale: Scale, conditional: bool) -> Tensor:
            decoder = self.decoders[scale.index]
            return decoder.velocity(x, t, scale, latents if conditional else None)

        return sample(
            velocity, self.config.flow, normals, self.steps, self.guidance, self.correlation
        )


def tokens_of(latents: Tensor, config: ModelConfig) -> Tensor:
    """Latents as `encode` makes them as what the decoders read: (B, latents, latent_dim).

    Raises MsddError for latents of another size than the decoders were trained on.
    """
    frozen = config.frozen
    wanted = frozen.shape if frozen else (config.latents, config.latent_dim)
    if not latents.is_floating_point():
        raise MsddError(f"latents of {latents.dtype}: this decoder takes floats")
    if not len(latents):
        raise MsddError("an empty batch: at least one image is decoded at once")
    if tuple(latents.shape[1:]) != wanted:
        given, own = ("x".join(map(str, shape)) for shape in (latents.shape[1:], wanted))
        of = f" of {frozen.tokenizer} at {config.resolution} px" if frozen else ""
        raise MsddError(f"latents of {given} an image; this decoder takes {own}{of}")
    return standardise(latents, frozen) if frozen else latents


def teacher(config: ModelConfig) -> Autoencoder:
    """With random weights; its encoder may be another tokenizer's."""
    module = Autoencoder(config)
    module.encoder = new_encoder(config) if config.frozen else module.encoder
    return module


def load(
    folder: str | Path,
    steps: int | Sequence[int] | None = None,
    guidance: float | Sequence[float] = 1.0,
    jump: str = "white",
    noise: str | None = None,
    device: str | torch.device = "cpu",
) -> MSDD:
    """The tokenizer in a model folder: `runs/<model>/stage1` or `runs/<model>/<student>`.

    steps is one a scale if it is not given, noise as in training. Raises MsddError if the folder
    holds no tokenizer.
    """
    place = expand_user(folder)
    kind, config = model_folder.read_config(place)
    if kind == "scale":
        raise MsddError(f"{folder}: holds one scale of a student, not a tokenizer")
    steps = config.scales if steps is None else steps
    make, state = Student if kind == "student" else teacher, model_folder.read(place)
    module = model_folder.sized(lambda: make(config), state, place)
    model_folder.fill(module, state, place)
    decoders = module.decoders if kind == "student" else [module.decoder] * config.scales
    module.to(device).eval().requires_grad_(False)
    noise = noise or model_folder.read_noise(place)
    return MSDD(module.encoder, decoders, steps, guidance, jump, noise)
