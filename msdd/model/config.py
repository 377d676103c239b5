"""The shape of a model, which `config.json` beside its weights contains."""

import math
from dataclasses import asdict, dataclass, field

from msdd.errors import MsddError
from msdd.flow.scales import Scale, check_ends, split_time

GROUPS = 32  # of the norms of published convolutional networks; all widths are multiples of it
FREQUENCIES = 256  # cosines and sines of a time


@dataclass(frozen=True)
class KLEncoderConfig:
    """The shape of a KL encoder.

    multipliers: width of each level as a multiple of `width`, full resolution first.
    blocks:      residual blocks of a level. groups: of all norms.
    """

    latent_dim: int
    multipliers: tuple[int, ...]
    width: int = 128
    blocks: int = 2
    groups: int = GROUPS

    @property
    def factor(self) -> int:
        """Side of the image / side of the latents' grid."""
        return 2 ** (len(self.multipliers) - 1)


@dataclass(frozen=True)
class UViTConfig:
    """Everything that decides the tensors of a U-ViT and how they are used.

    channels:    width that the multipliers multiply.
    multipliers: width of each level, full resolution first; each level has half the side of the
                 one before, so that L levels put the transformer at 1 / 2^(L - 1).
    depth:       transformer blocks in the middle.
    heads:       of their attention; None: one for every 64 channels, at least 4 and at most 16.
    layers:      residual blocks of a level on the way down; the way up has one more.
    window:      attention reaches less than this many positions in either direction.
    groups:      of all norms. Of 32 channels in 32 groups nothing is left of an image's mean.
    """

    latent_dim: int
    channels: int
    multipliers: tuple[int, ...]
    depth: int
    heads: int | None = None
    layers: int = 2
    window: int = 8
    groups: int = GROUPS

    @property
    def widths(self) -> list[int]:
        """Channels of each level: whole groups of the norms."""
        return [-(-self.channels * m // GROUPS) * GROUPS for m in self.multipliers]

    @property
    def factor(self) -> int:
        """Side of the image / side of the transformer's grid."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def min_side(self) -> int:
        """The smallest image side whose grid holds a window."""
        return self.factor * self.window


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder of another tokenizer, and how its latents become tokens.

    tokenizer: a system of the catalogue, or the folder of diffusers that it was taken from.
    settings:  the configuration of the latter; None for a system.
    file:      name of the file with its weights. sha256: the digest of that file.
    shape:     channels, rows and columns of the latents of an image.
    mean, std: of each channel over the training crops.
    """

    tokenizer: str
    settings: dict | None = field(hash=False)
    file: str
    sha256: str
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_json(cls, values: dict) -> "FrozenEncoder":
        """Made from plain values, with lists in place of tuples. TypeError for unknown keys."""
        tuples = {key: tuple(values[key]) for key in ("shape", "mean", "std") if key in values}
        return cls(**values | tuples)

    def __str__(self) -> str:
        channels, height, width = self.shape
        return f"{self.tokenizer} ({channels}x{height}x{width})"


SHAPES = {"kl_encoder": KLEncoderConfig, "uvit": UViTConfig}


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides a model's tensors and how they are used, in pixels and tokens.

    resolution: side R of an image; the other keys are those of `model` in the params, except:
    time_scale: the factor of T before its embedding (the authors' layout has 1).
    kl_encoder, uvit: shapes of the networks that replace the encoder and the decoder.
    frozen:     the encoder of another tokenizer that replaces the encoder.
    """

    resolution: int
    scales: int
    patch: int
    encoder_patch: int
    width: int
    depth: int
    heads: int
    latents: int
    latent_dim: int
    positions: str
    end_levels: tuple[float, ...] | None = None
    time_scale: float = 1000.0
    kl_encoder: KLEncoderConfig | None = None
    uvit: UViTConfig | None = None
    frozen: FrozenEncoder | None = None

    def __post_init__(self) -> None:
        if self.end_levels is not None:
            check_ends(self.end_levels, self.scales)

    @property
    def sides(self) -> list[int]:
        """Image side at each scale, coarsest first."""
        return [self.resolution >> (self.scales - 1 - i) for i in range(self.scales)]

    @property
    def flow(self) -> tuple[Scale, ...]:
        """The scales' noise levels and shares of the global time, coarsest first."""
        return split_time(self.scales, self.end_levels)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the latents on the image."""
        return near_square(self.latents)

    def grid_of(self, height: int, width: int, count: int) -> tuple[int, int]:
        """Rows and columns of `count` latents that cover an image of height x width pixels, at any
        scale; as dense, and of the same shape of cells, as on the model's own image."""
        rows, columns = self.grid
        density = math.sqrt(count / (rows * columns * height * width))
        return round(rows * height * density), round(columns * width * density)

    @classmethod
    def of(cls, resolution: int, values: dict) -> "ModelConfig":
        """Made from a resolution and the plain values of `model` in params or `config.json`."""
        shapes = {name: _shape(name, values) for name in SHAPES if values.get(name)}
        if values.get("frozen"):
            shapes |= {"frozen": FrozenEncoder.from_json(values["frozen"])}
        if values.get("end_levels") is not None:
            shapes |= {"end_levels": tuple(values["end_levels"])}
        return cls(**values | {"resolution": resolution} | shapes)

    @classmethod
    def from_json(cls, values: dict, where: str) -> "ModelConfig":
        """Made from the values of the file `where`. MsddError if a key is missing or unknown."""
        try:
            config = cls.of(values["resolution"], values)
            _check_sizes(asdict(config))
            return config
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MsddError(
                f"{where}: not a configuration of this version of msdd ({error}); train the model "
                "again, or load it with the version that wrote it"
            ) from error


def _check_sizes(values: dict, below: str = "") -> None:
    """TypeError or ValueError for a size that is none, or beyond any network: a file of a stranger
    may ask for terabytes."""
    for key, value in values.items():
        if isinstance(value, dict) and key != "settings":
            _check_sizes(value, f"{key}.")
        sizes = value if isinstance(value, tuple | list) else [value]
        for size in sizes if key not in FREE else ():
            if size is not None and not isinstance(size, int | dict) or isinstance(size, bool):
                raise TypeError(f"{below}{key} is {size!r:.40}")
            if isinstance(size, int) and not 1 <= size <= MOST.get(key, 2**16):
                raise ValueError(f"{below}{key} is {size}")


# Keys that are no sizes, and sizes that are networks' counts.
FREE = {
    "positions",
    "end_levels",
    "time_scale",
    "mean",
    "std",
    "tokenizer",
    "settings",
    "file",
    "sha256",
}
MOST = {"depth": 512, "scales": 16, "layers": 64, "blocks": 64, "multipliers": 64, "heads": 1024}


def _shape(name: str, values: dict) -> KLEncoderConfig | UViTConfig:
    shape = {"latent_dim": values["latent_dim"]} | values[name]
    return SHAPES[name](**shape | {"multipliers": tuple(shape["multipliers"])})


def mlp_width(width: int) -> int:
    """Hidden size of the SwiGLU: 8/3 of the width, rounded up to a multiple of 256."""
    return -(-(8 * width // 3) // 256) * 256


def near_square(tokens: int) -> tuple[int, int]:
    """(rows, columns) with rows * columns = tokens and rows <= columns, as square as possible."""
    rows = next(r for r in range(math.isqrt(tokens), 0, -1) if tokens % r == 0)
    return rows, tokens // rows
