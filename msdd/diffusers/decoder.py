"""`Decoder`: a model folder behind the interface of diffusers' autoencoders."""

import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from msdd.diffusers.card import card
from msdd.errors import MsddError
from msdd.files import atomic, expand_user, read_json, write_json, write_text
from msdd.tokenizers.any_size import Windows
from msdd.tokenizers.catalogue import load
from msdd.tokenizers.tokenizer import HALF
from msdd.weights import hub
from msdd.weights.model_folder import read_config
from msdd.weights.optional_imports import import_torchvision

import_torchvision()  # diffusers imports it
try:
    from diffusers import ModelMixin
    from diffusers.configuration_utils import ConfigMixin
    from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
    from diffusers.models.modeling_outputs import AutoencoderKLOutput
except ImportError as error:
    raise MsddError(f"msdd.diffusers needs diffusers ({error}); pip install diffusers") from error

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
STATISTICS = {"scaling_factor": 1.0, "shift_factor": 0.0}
OWN = ("subfolder", "revision", "torch_dtype", "dtype", *STATISTICS, "steps", "guidance")


class Decoder(ModelMixin, ConfigMixin):
    """The encoder and decoder of a model folder as a pipeline's `vae`.

    Latents (B, latent_channels, h, w) have one position for each cell of pixels; images are
    (B, 3, H, W) in [-1, 1]. Images of any sides are taken: their latents are those of the sides
    enlarged by reflection. Encoding draws nothing: `latent_dist.sample()` is `latent_dist.mode()`.

    Weights may be cast to float16 or bfloat16; the tables of positions, the noise and the sampler
    stay in float32.
    """

    config_name = CONFIG

    def __init__(self, sized: Windows, folder: Path, scaling_factor: float, shift_factor: float):
        super().__init__()
        self.sized, self.folder = sized, folder.resolve()  # also after a change of folder
        self.register_to_config(
            in_channels=3,
            out_channels=3,
            latent_channels=sized.config.latent_dim,
            sample_size=sized.resolution,
            # Pipelines derive the ratio of sides from its length, as 2^(length - 1).
            block_out_channels=[sized.config.width] * (ratio_exponent(sized, folder) + 1),
            scaling_factor=scaling_factor,
            shift_factor=shift_factor,
            force_upcast=False,
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        dtype: torch.dtype | str | None = None,
        scaling_factor: float | None = None,
        shift_factor: float | None = None,
        steps: int | Sequence[int] | None = None,
        guidance: float | Sequence[float] | None = None,
        **passed_on: object,
    ) -> "Decoder":
        """The model in a folder (`runs/<model>/<student>`, or what `save_pretrained` wrote), or in
        a repository of the Hub, frozen and in eval mode.

        dtype, torch_dtype: the type of the weights, by the newer or the older name; None or "auto":
                     float32, as stored.
        scaling_factor, shift_factor: a pipeline decodes latents / scaling_factor + shift_factor;
                     by default as saved, otherwise 1 and 0.
        steps, guidance: of a teacher's decode, as `msdd.load` takes them.
        passed_on:   what pipelines tell their models about ways to load; the weights are one file,
                     so nothing of it applies.

        Raises MsddError for a folder without a model, one whose latents lie on no grid, files that
        cannot be fetched, and a mistyped name.
        """
        check_typos(passed_on)
        folder = locate(pretrained_model_name_or_path, subfolder, revision)
        settings = {"steps": steps, "guidance": guidance}
        settings = {name: value for name, value in settings.items() if value is not None}
        sized = load(folder, size="native", **settings)
        if not isinstance(sized, Windows):
            raise MsddError(
                f"{folder}: its latents have no place on the image, as pipelines of diffusers need "
                "it; train with positions: grid"
            )
        saved = read_json(folder / CONFIG)
        given = {"scaling_factor": scaling_factor, "shift_factor": shift_factor}
        statistics = {
            name: float(saved.get(name, default) if given[name] is None else given[name])
            for name, default in STATISTICS.items()
        }
        made = cls(sized, folder, **statistics).eval().requires_grad_(False)
        cast = dtype or torch_dtype
        if cast not in (None, "auto", torch.float32, torch.float64, *HALF):
            raise MsddError(
                f"torch_dtype is {cast}; it may be float32, float64, bfloat16 or float16"
            )
        if cast in (None, "auto"):
            return made
        return torch.nn.Module.to(made, cast)  # its own `to` warns

    @classmethod
    def from_config(cls, *_: object, **__: object) -> "Decoder":
        """MsddError: the configuration of diffusers does not have the networks' shapes."""
        raise MsddError(
            "Decoder.from_config: a decoder is made from its folder, by Decoder.from_pretrained; "
            "examples/train_and_distil.py trains one"
        )

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple:
        """The latents of images (B, 3, H, W) in [-1, 1], as a distribution without spread."""
        mean = self.sized.encode(x).to(self.dtype)
        parameters = torch.cat([mean, torch.zeros_like(mean)], dim=1)
        distribution = DiagonalGaussianDistribution(parameters, deterministic=True)
        return AutoencoderKLOutput(latent_dist=distribution) if return_dict else (distribution,)

    def decode(
        self,
        z: Tensor,
        return_dict: bool = True,
        generator: torch.Generator | list[torch.Generator] | None = None,
    ) -> DecoderOutput | tuple:
        """Images (B, 3, H, W) in [-1, 1] of latents (B, latent_channels, h, w).

        generator: of the seed of the noise; None: seed 0. The noise of an image depends on the
                   seed and on its place in the batch. A list has one for each image, which is then
                   decoded as if it were alone.

        Raises MsddError for latents of another form, of fewer positions than an image of the
        model's own size has, and for generators that are not one for each.
        """
        if isinstance(generator, list):
            if len(generator) != len(z):
                raise MsddError(f"{len(generator)} generators for {len(z)} latents; give one each")
            each = zip(z.split(1), generator, strict=True)
            images = torch.cat([self.decode(one, generator=g).sample for one, g in each])
        else:
            seed = 0 if generator is None else draw_seed(generator)
            images = self.sized.decode(z, seed=seed).to(self.dtype)
        return DecoderOutput(sample=images) if return_dict else (images,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> DecoderOutput | tuple:
        """`decode` of `encode`."""
        return self.decode(self.encode(sample).latent_dist.mode(), return_dict)

    def enable_tiling(self, use_tiling: bool = True) -> None:
        """Decode by tiles of the model's own size, which is the default."""
        self.sized.tiled = use_tiling

    def disable_tiling(self) -> None:
        """Decode images whole, with positions beyond those that were trained (docs/sizes.md)."""
        self.enable_tiling(False)

    def enable_slicing(self) -> None:
        """Nothing: tiles bound the memory of a batch already."""

    disable_slicing = enable_slicing

    def save_pretrained(
        self, save_directory: str | Path, push_to_hub: bool = False, **passed_on: object
    ) -> None:
        """Write the weights as they are, the configuration and a model card.

        `msdd.load` opens the folder, too. push_to_hub: `push_to_hub` is another method here.
        passed_on: of pipelines, about ways to save one file.
        """
        if push_to_hub:
            raise MsddError("save_pretrained writes here alone; call push_to_hub(repo_id)")
        target = expand_user(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        if target.resolve() != self.folder.resolve():
            with atomic(target / WEIGHTS) as temporary:
                shutil.copyfile(self.folder / WEIGHTS, temporary)
        kept = {name: self.config[name] for name in STATISTICS}
        content = card(self.folder, self.config)
        write_json(target / CONFIG, read_json(self.folder / CONFIG) | kept)
        write_text(target / CARD, content)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload a decoder of msdd",
    ) -> str:
        """Save into a repository of the Hub, made if there is none; the address of the commit."""
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            named = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            return api.upload_folder(
                repo_id=named, folder_path=folder, commit_message=commit_message
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Decoder":
        """Cast and move, but leave buffers, which are tables of positions, in their type."""
        before = {
            (module, name): value
            for module in self.modules()
            for name, value in module.named_buffers(recurse=False)
        }
        super()._apply(fn, recurse)
        for (module, name), value in before.items():
            module._buffers[name] = value.to(module._buffers[name].device)
        return self


def check_typos(given: Iterable[str]) -> None:
    """MsddError for a name that is nearly one of `from_pretrained`'s own, and would be dropped."""
    for name in given:
        if near := get_close_matches(name, OWN, n=1, cutoff=0.75):
            raise MsddError(f"from_pretrained takes no {name}; did you mean {near[0]}?")


def locate(source: str | Path, subfolder: str | None, revision: str | None) -> Path:
    """The folder of a model: here, or of a repository of the Hub in its cache."""
    folder = expand_user(source)
    if folder.is_dir():
        folder = folder / (subfolder or "")
        read_config(folder)  # tells what else it holds
        return folder
    if str(source).count("/") != 1 or str(source).startswith(("/", ".", "~")):
        raise MsddError(f"there is no folder {source}, and it is no owner/name of the Hub")
    below = f"{subfolder}/" if subfolder else ""
    files = [hub.fetch(str(source), below + name, revision) for name in (CONFIG, WEIGHTS)]
    return files[0].parent


def ratio_exponent(sized: Windows, folder: Path) -> int:
    """log2 of a cell's side. MsddError unless cells are squares whose side is a power of 2."""
    height, width = sized.cell
    if height != width or 2 ** int(math.log2(height)) != height:
        raise MsddError(
            f"{folder}: a latent stands for {height} x {width} px, and pipelines of diffusers need "
            "squares with a side of 2, 4, 8, ... px"
        )
    return int(math.log2(height))


def draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
