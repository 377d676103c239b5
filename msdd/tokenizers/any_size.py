"""Images of any size through a tokenizer: whole where its network takes them, else by tiles."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from msdd.errors import MsddError
from msdd.flow.noise import Window, field
from msdd.model.autoencoder import encode, standardise, tokens
from msdd.model.config import ModelConfig
from msdd.tokenizers.msdd import MSDD
from msdd.tokenizers.tiles import Layout, enlarged, mirror_pad, nearest, shares
from msdd.tokenizers.tokenizer import Description, Tokenizer, noise_key, without_gradients

PIXELS = 8 * 256**2  # of the tiles that are coded at once
OVERLAP = 16  # pixels at the least: with 8 of them a seam can be measured (docs/sizes.md)

Place = tuple[int, int, int]  # image, row and column of a tile


def any_size(tokenizer: Tokenizer, batch: int | None = None) -> "AnySize":
    """The tokenizer for images of any sides.

    batch: tiles that are coded at once, which bounds the memory; None: as many as have the pixels
           of 8 images of 256 px.
    """
    if tokenizer.multiple:
        return Whole(tokenizer)
    batch = batch or max(1, PIXELS // tokenizer.resolution**2)
    config = getattr(tokenizer, "config", None)
    if isinstance(config, ModelConfig) and has_grid(config):
        return Windows(tokenizer, batch)
    return Tiles(tokenizer, batch)


def has_grid(config: ModelConfig) -> bool:
    """Whether latents lie on the image, each with the same share of it, and are seen by that."""
    return (config.positions == "grid" or config.uvit is not None) and not any(
        config.resolution % n for n in config.grid
    )


class AnySize(Tokenizer):
    """Takes images of any sides: they are continued by reflection to sides that fit.

    `decode` makes images of those sides; `reconstruct` cuts them to the sides that were given.

    varies: the axes of an image's latents whose lengths follow from its sides.
    """

    multiple = 1
    varies: tuple[int, int] = (-2, -1)

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer, self.resolution = tokenizer, tokenizer.resolution
        self.codes, self.books, self.files = tokenizer.codes, tokenizer.books, dict(tokenizer.files)
        self.apart = tokenizer.apart
        self.name = getattr(tokenizer, "name", type(tokenizer).__name__)

    @property
    def device(self) -> torch.device:
        return self.tokenizer.device

    def describe(self) -> Description:
        return self.tokenizer.describe()

    def encoder_digest(self) -> str | None:
        return self.tokenizer.encoder_digest()

    def pad(self, images: Tensor) -> Tensor:
        self.check_images(images)
        return mirror_pad(images, *self.sides(*images.shape[-2:]))

    @abstractmethod
    def sides(self, height: int, width: int) -> tuple[int, int]:
        """The sides to which images are enlarged."""

    def reconstruct(
        self, images: Tensor, ids: Sequence[int] | None = None, seed: int = 0
    ) -> Tensor:
        latents, (height, width) = self.encode(images), images.shape[-2:]
        return self.decode(latents, ids, seed)[..., :height, :width]


class Whole(AnySize):
    """A tokenizer whose network takes other sides: images are only padded."""

    def sides(self, height: int, width: int) -> tuple[int, int]:
        multiple = self.tokenizer.multiple
        least = enlarged(self.tokenizer.least, multiple, multiple)
        return enlarged(height, least, multiple), enlarged(width, least, multiple)

    def encode(self, images: Tensor) -> Tensor:
        return self.tokenizer.encode(self.pad(images))

    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        return self.tokenizer.decode(latents, ids, seed)

    def reconstruct(
        self, images: Tensor, ids: Sequence[int] | None = None, seed: int = 0
    ) -> Tensor:
        padded, (height, width) = self.pad(images), images.shape[-2:]
        return self.tokenizer.reconstruct(padded, ids, seed)[..., :height, :width]


class Windows(AnySize):
    """An MSDD tokenizer whose latents lie on a grid: those of an image are (B, dim, h, w), one for
    each cell, and the decoder works on windows of them that overlap.

    Each latent is taken from the tile whose centre is nearest. Of an image of the model's own size
    latents and pixels are those of the model itself.

    tiled: False codes an image as a whole, with positions beyond those that were trained. That
           costs quality and, by attention, time and memory (docs/sizes.md).
    """

    def __init__(self, tokenizer: Tokenizer, batch: int) -> None:
        super().__init__(tokenizer)
        self.config, self.batch, self.tiled = tokenizer.config, batch, True
        self.cell = tuple(self.resolution // n for n in self.config.grid)
        self.unit = tuple(math.lcm(side, ratio(self.config)) for side in self.cell)

    def sides(self, height: int, width: int) -> tuple[int, int]:
        whole = 1 if self.tiled else whole_unit(self.config)
        a, b = (math.lcm(unit, whole) for unit in self.unit)
        return enlarged(height, self.resolution, a), enlarged(width, self.resolution, b)

    def layout(self, height: int, width: int) -> Layout:
        stride = tuple(stride_of(self.resolution, unit) for unit in self.unit)
        return Layout.over(height, width, self.resolution, stride)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, dim, h, w), with a latent for each cell."""
        images = self.pad(images)
        if self.config.frozen:  # convolutions, which take any sides
            return self.tokenizer.encoder.encode(images)
        if not self.tiled and self.config.kl_encoder:
            whole = encode(self.tokenizer.encoder, images.to(self.device))
            return whole.mT.unflatten(2, (-1, images.shape[-1] // self.cell[1]))
        layout = self.layout(*images.shape[-2:])
        tiles = encode_tiles(layout, images, self.batch, self.tokenizer.encode)
        return self.middle(layout, tiles.mT.unflatten(-1, self.config.grid))

    def middle(self, layout: Layout, latents: Tensor) -> Tensor:
        """At each place the latents of the tile whose centre is nearest, from those of all tiles,
        (B, rows, columns, dim, *grid)."""
        rows, i = self.choose(layout.rows, 0)
        columns, j = self.choose(layout.columns, 1)
        chosen = latents[:, rows[:, None], columns, :, i[:, None], j]  # (h, w, B, dim)
        return chosen.permute(2, 3, 0, 1).contiguous()

    def choose(self, begins: list[int], axis: int) -> tuple[Tensor, Tensor]:
        """For each cell along an axis the tile that it is taken from, and its place in there."""
        side = self.cell[axis]
        cells = torch.arange((begins[-1] + self.resolution) // side)
        tiles = nearest(begins, self.resolution, (cells + 0.5) * side)
        return tiles, cells - torch.tensor(begins)[tiles] // side

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents (B, dim, h, w) to images (B, 3, H, W) in [-1, 1], a cell of pixels for each.

        MsddError for latents of another form, or of fewer cells than the model's own image has.
        """
        self.check_cells(latents)
        ids, seed = noise_key(latents, ids, seed)
        height, width = (n * c for n, c in zip(latents.shape[-2:], self.cell, strict=True))
        if not self.tiled:
            return self.decode_whole(latents, ids, seed, (height, width))
        layout = self.layout(height, width)
        rows, columns = self.config.grid

        def decode(places: Sequence[Place]) -> Tensor:
            some = torch.stack([latents[b, :, *self.cells(layout, i, j)] for b, i, j in places])
            some = some if self.config.frozen else tokens(some)
            return self.tokenizer.decode(some, windows(layout, ids, places), seed)

        return blend(layout, len(latents), self.batch, decode)

    def cells(self, layout: Layout, row: int, column: int) -> tuple[slice, slice]:
        """The latents of a tile."""
        tops = zip((layout.rows[row], layout.columns[column]), self.cell, strict=True)
        firsts = (top // side for top, side in tops)
        return tuple(slice(i, i + n) for i, n in zip(firsts, self.config.grid, strict=True))

    def decode_whole(
        self, latents: Tensor, ids: Sequence[int], seed: int, size: tuple[int, int]
    ) -> Tensor:
        self.check_whole(size)
        noise = [field(seed, image, self.config.sides, *size, self.device) for image in ids]
        normals = self.tokenizer.silenced(
            [torch.stack(scale) for scale in zip(*noise, strict=True)]
        )
        latents, frozen = latents.to(self.device), self.config.frozen
        conditions = standardise(latents, frozen) if frozen else tokens(latents)
        return self.tokenizer.states(conditions, normals)[-1].clamp(-1, 1)

    def check_whole(self, size: tuple[int, int]) -> None:
        if not isinstance(self.tokenizer, MSDD) or any(g != 1 for g in self.tokenizer.guidance):
            raise MsddError("only an MSDD without guidance decodes whole images; decode by tiles")
        multiple = whole_unit(self.config)
        if any(side % multiple for side in size):
            raise MsddError(
                f"an image of {size[1]} x {size[0]} px cannot be decoded whole, which takes "
                f"multiples of {multiple} px; decode it by tiles"
            )

    def check_cells(self, latents: Tensor) -> None:
        given, dim = tuple(latents.shape), self.config.latent_dim
        least = " x ".join(map(str, self.config.grid))
        steps = [unit // side for unit, side in zip(self.unit, self.cell, strict=True)]
        fits = (
            latents.ndim == 4
            and len(latents) > 0
            and latents.shape[1] == dim
            and all(n >= m for n, m in zip(given[2:], self.config.grid, strict=True))
            and not any(n % step for n, step in zip(given[2:], steps, strict=True))
        )
        if not fits:
            also = "" if steps == [1, 1] else f", sides multiples of {steps[0]} and {steps[1]}"
            raise MsddError(
                f"latents {given} are not of this decoder, which takes (B, {dim}, h, w) of at "
                f"least {least} cells{also}; encode with its own encoder"
            )


class Tiles(AnySize):
    """A tokenizer of one size, on tiles that overlap; latents (B, rows, columns, ...), where each
    tile has those that the tokenizer gives for an image."""

    varies = (0, 1)

    def __init__(self, tokenizer: Tokenizer, batch: int) -> None:
        super().__init__(tokenizer)
        config = getattr(tokenizer, "config", None)
        self.batch = batch
        unit = ratio(config) if isinstance(config, ModelConfig) else 1
        self.stride = stride_of(self.resolution, unit)

    def sides(self, height: int, width: int) -> tuple[int, int]:
        return tuple(
            self.resolution + enlarged(max(side - self.resolution, 0), 0, self.stride)
            for side in (height, width)
        )

    def layout(self, height: int, width: int) -> Layout:
        return Layout.over(height, width, self.resolution, (self.stride, self.stride))

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, rows, columns, ...), the latents of each tile."""
        images = self.pad(images)
        layout = self.layout(*images.shape[-2:])
        return encode_tiles(layout, images, self.batch, self.tokenizer.encode)

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents (B, rows, columns, ...) to images (B, 3, H, W) in [-1, 1]."""
        self.check_tiles(latents)
        ids, seed = noise_key(latents, ids, seed)
        size = (self.resolution + (n - 1) * self.stride for n in latents.shape[1:3])
        layout = self.layout(*size)

        def decode(places: Sequence[Place]) -> Tensor:
            some = torch.stack([latents[place] for place in places])
            return self.tokenizer.decode(some, windows(layout, ids, places), seed)

        return blend(layout, len(latents), self.batch, decode)

    def check_tiles(self, latents: Tensor) -> None:
        if latents.ndim < 4 or not latents.numel():
            raise MsddError(
                f"latents {tuple(latents.shape)} are not of this decoder, which takes (B, rows, "
                "columns, ...), B 1 or more, with an image's latents for each tile"
            )


def whole_unit(config: ModelConfig) -> int:
    """What the sides of images that are decoded whole are multiples of."""
    return config.uvit.factor if config.uvit else config.patch * ratio(config)


def ratio(config: ModelConfig) -> int:
    """Side of the last scale / side of the first."""
    return 2 ** (config.scales - 1)


def stride_of(tile: int, unit: int) -> int:
    """The distance of tiles that overlap by a quarter, or by 16 px if that is more, but at most by
    a half; a multiple of the unit."""
    overlap = min(tile // 2, max(tile // 4, OVERLAP))
    return max(unit, (tile - overlap) // unit * unit)


def windows(layout: Layout, ids: Sequence[int], places: Sequence[Place]) -> list[Window]:
    """What the noise of tiles depends on: their image, and where in it they lie."""
    return [Window(ids[b], layout.rows[i], layout.columns[j]) for b, i, j in places]


def batches(places: Sequence[Place], batch: int) -> Iterator[Sequence[Place]]:
    return (places[k : k + batch] for k in range(0, len(places), batch))


def encode_tiles(
    layout: Layout, images: Tensor, batch: int, function: Callable[[Tensor], Tensor]
) -> Tensor:
    """The latents of all tiles of images (B, 3, H, W), (B, rows, columns, ...)."""
    parts = []
    for some in batches(layout.places(len(images)), batch):
        tiles = [images[(b, slice(None), *layout.window(i, j))] for b, i, j in some]
        parts.append(function(torch.stack(tiles)))
    return torch.cat(parts).unflatten(0, (len(images), len(layout.rows), len(layout.columns)))


def blend(
    layout: Layout, images: int, batch: int, function: Callable[[Sequence[Place]], Tensor]
) -> Tensor:
    """Images (B, 3, H, W) of tiles (n, 3, tile, tile), which `function` makes of their places."""
    by_row, by_column = (shares(begins, layout.tile) for begins in (layout.rows, layout.columns))
    result = None
    for some in batches(layout.places(images), batch):
        made = function(some).float()
        if result is None:
            result = made.new_zeros(images, 3, *layout.size)
            by_row, by_column = by_row.to(made.device), by_column.to(made.device)
        for (b, i, j), tile in zip(some, made, strict=True):
            window = (b, slice(None), *layout.window(i, j))
            result[window] += tile * by_row[i][:, None] * by_column[j]
    return result
