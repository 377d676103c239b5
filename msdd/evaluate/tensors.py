"""Images that are in memory as a source of an evaluation."""

import hashlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from msdd.data.pixels import as_uint8, check_finite, from_uint8
from msdd.errors import MsddError
from msdd.evaluate.latent_sums import Made
from msdd.evaluate.sources import AS_IS, Batch, Reconstruct, with_latents
from msdd.tokenizers.own import warn_of_range_alone


class Tensors:
    """Originals (N, 3, H, W), uint8 or floats in [-1, 1], which are rounded to 8 bits, and what
    becomes of them: by `reconstruct`, or reconstructions of the same shape.

    Raises MsddError for other shapes and types, and for fewer than 2 images.
    """

    preparation = AS_IS
    photographs: list[int] | None = None

    def __init__(self, originals: Tensor, made: Reconstruct | Tensor, device: torch.device) -> None:
        check("the originals", originals)
        if isinstance(made, Tensor):
            check("the reconstructions", made)
            if made.shape != originals.shape:
                shapes = f"{tuple(made.shape)}, the originals {tuple(originals.shape)}"
                raise MsddError(f"the reconstructions are {shapes}: they must be alike")
        self.originals, self.made, self.device = levels(originals), made, device
        self.names = [str(i) for i in range(len(originals))]

    def pixels(self) -> list[int]:
        return [self.originals[0, 0].numel()] * len(self.names)

    def digest(self) -> str:
        return digest_of(self.originals)

    def identity(self) -> str:
        return self.digest()

    @torch.inference_mode()
    def batches(self, ranges: Iterable[range]) -> Iterator[list[Batch]]:
        for ids in map(list, ranges):
            originals = self.originals[ids].to(self.device)
            made, encoded = with_latents(self.reconstructions(originals, ids))
            check_finite(made, ids)
            yield [Batch(ids, originals, made, encoded)]

    def reconstructions(self, originals: Tensor, ids: list[int]) -> Tensor | Made:
        if isinstance(self.made, Tensor):
            return self.made[ids].to(self.device)
        return self.made(from_uint8(originals), [self.names[i] for i in ids])


def levels(images: Tensor) -> Tensor:
    """Images as uint8 on the CPU; floats in [-1, 1] are rounded."""
    return as_uint8(images).cpu()


def digest_of(images: Tensor) -> str:
    """SHA-256 of the shape and the levels of uint8 images."""
    sha = hashlib.sha256(f"{tuple(images.shape)}\n".encode())
    sha.update(images.contiguous().numpy().tobytes())
    return sha.hexdigest()


def check(what: str, images: Tensor) -> None:
    """MsddError for other shapes and types, and for values that are no numbers; a warning where
    values seem to be in another range."""
    if images.ndim != 4 or images.shape[1] != 3 or len(images) < 2 or not images.numel():
        raise MsddError(f"{what} are {tuple(images.shape)}; they must be (N, 3, H, W), N >= 2")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise MsddError(f"{what} are {images.dtype}; they must be uint8, or floats in [-1, 1]")
    for i, image in enumerate(images):
        if not image.isfinite().all():
            value = image[~image.isfinite()][0].item()
            raise MsddError(f"{what}: image {i} contains {value}; levels must be finite numbers")
    warn_of_range_alone(what, images)
