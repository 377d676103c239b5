"""Variational autoencoders of latent diffusion (Rombach et al. 2022), by `diffusers`.

Latents are the mean of the posterior, unscaled: the scaling factor of a diffusion model that was
trained on them plays no part in a reconstruction.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.files import read_json
from msdd.tokenizers.tokenizer import Description, Tokenizer, compile_each, without_gradients
from msdd.weights import ldm
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.strict import load_strict

Config = Mapping[str, object]  # as in the `config.json` of diffusers

# stabilityai/sd-vae-ft-mse; what is not named is the default of diffusers.
PUBLISHED: Config = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 256,
}

KINDS = ("AutoencoderKL", "AutoencoderKLFlux2")  # classes of diffusers

# The attention in files that early versions of diffusers wrote.
FORMER_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class KLVAE(Tokenizer):
    """An AutoencoderKL, f8c4 as published; any other works by its configuration, as does the one
    of FLUX.2, whose latents are those before its pipeline's normalisation.

    resolution: side of the images it is described at; it takes other sides too.
    """

    def __init__(self, config: Config = PUBLISHED, resolution: int = 256) -> None:
        super().__init__()
        self.settings = config
        self.vae = autoencoder(config)
        self.resolution = resolution
        self.multiple = 2 ** (len(self.vae.config.block_out_channels) - 1)

    def describe(self) -> Description:
        tokens = (self.resolution // self.multiple) ** 2
        dim = self.vae.config.latent_channels
        return Description(tokens, dim, None, self.size(), nfe=1)

    def compile_networks(self, **options: object) -> None:
        compile_each((self.vae.encoder, self.vae.decoder), **options)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to posterior means (B, C, H / f, W / f), f = `multiple`."""
        self.check_images(images)
        return self.vae.encode(images.to(self.device)).latent_dist.mode().float()

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents (B, C, h, w) to images (B, 3, f h, f w) in [-1, 1]. No noise is drawn."""
        self.check_latents(latents, self.vae.config.latent_channels, None, None)
        return self.vae.decode(latents.to(self.device)).sample.float().clamp(-1, 1)


def autoencoder(config: Config) -> nn.Module:
    """diffusers' AutoencoderKL, or AutoencoderKLFlux2, with random weights.

    MsddError where diffusers is not installed, and for a configuration that it cannot follow.
    """
    import_torchvision()  # diffusers imports it
    try:
        import diffusers

        kind = getattr(diffusers, config.get("_class_name", KINDS[0]))
    except (ImportError, AttributeError) as error:  # AttributeError: a version without the class
        raise MsddError(f"KL-VAEs need diffusers ({error}); pip install diffusers") from error
    try:
        return kind.from_config(dict(config))
    except (ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MsddError(f"config.json is not one of an AutoencoderKL ({reason})") from error


def config_of(folder: Path) -> Config:
    """The configuration in a folder of diffusers. MsddError if it is of another model."""
    path = Path(folder) / "config.json"
    if not path.exists():
        raise MsddError(f"{folder}: no model of diffusers here (config.json is missing)")
    config = read_json(path)
    if config.get("_class_name") not in KINDS:
        raise MsddError(
            f"{path}: not the configuration of an {' or '.join(KINDS)} of diffusers, but of "
            f"{config.get('_class_name', 'another program')}"
        )
    return config


def load(config: Config, state: Mapping[str, Tensor]) -> KLVAE:
    """The tokenizer with the weights of a state dict, of diffusers or in the layout of latent
    diffusion's own code. MsddError if they do not fit."""
    tokenizer = KLVAE(config)
    load_strict(tokenizer.vae, present_names(state))
    return tokenizer.eval()


def present_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of any layout under the names of diffusers today."""
    if ldm.TELLTALE in state:
        return ldm.to_diffusers(state)
    return {present_name(name): value for name, value in state.items()}


def present_name(name: str) -> str:
    """A parameter's name in diffusers today."""
    return re.sub(
        r"(\.attentions\.\d+)\.(query|key|value|proj_attn)\.",
        lambda m: f"{m[1]}.{FORMER_NAMES[m[2]]}.",
        name,
    )
