"""Sums of what a tokenizer has encoded images to: counts of codes, or moments of latents."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.files import atomic, shown, write_json
from msdd.metrics.codes import CodeUse, code_use
from msdd.metrics.frechet import Moments
from msdd.metrics.latents import latent_spread

LISTED = 2**20  # codes of which the dead ones are listed


class Encoded(NamedTuple):
    """Latents of a batch of images (B, ...), as `encode` made them.

    codes: how many values an index can have; None for a tokenizer that does not say
    books: codebooks of which each token has an index, along the last axis; most have one
    """

    values: Tensor
    codes: int | None = None
    books: int = 1

    @property
    def discrete(self) -> bool:
        return not self.values.is_floating_point()

    @property
    def told(self) -> bool:
        """Whether they can be measured: of indices the size of the codebook must be known."""
        return not self.discrete or self.codes is not None


class Made(NamedTuple):
    """Reconstructions of a batch, and the latents that they were made from, if they are known."""

    images: Tensor
    encoded: Encoded | None


class CodeCounts(nn.Module):
    """How often each index of each codebook came, and of how many images.

    Only those that came are kept: implicit codebooks, as of BSQ (arXiv 2406.07548), may have 2^36
    codes. `seen` are index * codebooks + codebook (K,), ascending, and `times` how often they came.
    """

    @torch.inference_mode(False)  # what is made in that mode could only be changed in it
    def __init__(self, books: int, codes: int) -> None:
        super().__init__()
        self.register_buffer("shape", torch.tensor([books, codes]))
        self.seen = nn.Buffer(torch.zeros(0, dtype=torch.int64))
        self.times = nn.Buffer(torch.zeros(0, dtype=torch.int64))
        self.register_buffer("images", torch.zeros((), dtype=torch.int64))

    @property
    def books(self) -> int:
        return int(self.shape[0])

    @property
    def codes(self) -> int:
        return int(self.shape[1])

    def update(self, indices: Tensor) -> None:
        """Add indices (B, ..., codebooks), or (B, ...) of one codebook."""
        rows = indices.reshape(-1, self.books).long().cpu()
        keys = rows * self.books + torch.arange(self.books)
        self.add(*keys.unique(return_counts=True))
        self.images += len(indices)

    def merge(self, other: "CodeCounts") -> None:
        self.add(other.seen, other.times)
        self.images += other.images

    def add(self, seen: Tensor, times: Tensor) -> None:
        self.seen, places = torch.cat([self.seen, seen]).unique(return_inverse=True)
        times = torch.cat([self.times, times])
        self.times = torch.zeros_like(self.seen).index_add_(0, places, times)

    def use(self) -> CodeUse:
        of_books = (self.times[self.seen % self.books == book] for book in range(self.books))
        return code_use(list(of_books), self.codes)

    def metrics(self) -> dict[str, float]:
        use = self.use()
        return {
            "codebook_usage": use.used / use.size,
            "codebook_perplexity": use.perplexity,
            "code_entropy": use.entropy,
            "code_bits": use.entropy * self.tokens() * self.books,
        }

    def tokens(self) -> float:
        """Mean number of tokens in an image."""
        return self.times.sum().item() / self.books / self.images.item()

    def about(self) -> dict[str, object]:
        """What the metrics were computed on, for JSON."""
        use, books, codes = self.use(), self.books, self.codes
        return {
            "codebooks": books,
            "codes": codes,
            "tokens": self.tokens(),
            "nominal_bits": nominal_bits(self.tokens() * books, codes),
            "seen": int(self.times.sum()),
            "dead": use.size - use.used,
            "dead_codes": self.dead_codes(),
        }

    def dead_codes(self) -> list | None:
        """The indices that never came, a list for each of several codebooks; None of more than
        LISTED, which nobody reads one by one."""
        if self.codes > LISTED:
            return None
        came = torch.zeros(self.codes * self.books, dtype=torch.bool)
        came[self.seen] = True
        dead = [(~row).nonzero().flatten().tolist() for row in came.view(-1, self.books).T]
        return dead[0] if self.books == 1 else dead


def nominal_bits(indices: float, codes: int) -> float:
    """Bits that `indices` indices take when all `codes` codes are equally likely."""
    return indices * math.log2(codes)


def nominal_rate(encoded: Encoded | None, images: Tensor) -> float:
    """Nominal bits per pixel of codes of images (B, 3, H, W); NaN of what are no codes, or of a
    codebook of unknown size."""
    if encoded is None or not encoded.discrete or encoded.codes is None:
        return math.nan
    return nominal_bits(encoded.values[0].numel(), encoded.codes) / images[0, 0].numel()


class LatentMoments(nn.Module):
    """Moments of the channels over all positions, and of the images' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.positions, self.means = Moments(channels), Moments(channels)

    def update(self, latents: Tensor) -> None:
        """Add latents (B, C, ...) of images or (B, tokens, C)."""
        rows = by_position(latents).cpu().double()
        self.means.update(rows.mean(1))
        self.positions.update(rows.flatten(0, 1))

    def merge(self, other: "LatentMoments") -> None:
        self.positions.merge(other.positions)
        self.means.merge(other.means)

    def spread(self):
        """`LatentSpread` of what was added; at least 2 images."""
        positions, means = self.positions, self.means
        between = means.covariance.diagonal()
        return latent_spread(
            positions.mean, positions.covariance, positions.count, between, means.count
        )

    def metrics(self) -> dict[str, float]:
        spread = self.spread()
        return {
            "latent_effective_dimension": spread.effective_dimension,
            "latent_std": spread.std.square().mean().sqrt().item(),
        }

    def about(self) -> dict[str, object]:
        """`LatentSpread` and its numbers of channels and positions, for JSON."""
        spread = {
            name: value.tolist() if isinstance(value, Tensor) else value
            for name, value in self.spread()._asdict().items()
        }
        images = self.means.count
        return {
            "channels": len(self.positions.mean),
            "positions": self.positions.count / images,
            **spread,
        }


def by_position(latents: Tensor) -> Tensor:
    """(B, positions, C) of (B, C), (B, tokens, C) or (B, C, height, width, ...)."""
    if latents.ndim == 2:
        return latents[:, None]
    return latents if latents.ndim == 3 else latents.flatten(2).transpose(1, 2)


LatentSums = CodeCounts | LatentMoments


def sums_for(key: str, sums: LatentSums | None) -> LatentSums | str:
    """The sums that a protocol's key `codes` or `latents` is of, or why there are none."""
    if sums is None:
        return (
            "no latents were seen: the reconstructions are files, or a function's, or `encode` "
            "gives integers and no attribute `codes` tells the size of the codebook"
        )
    if key == "codes" and isinstance(sums, LatentMoments):
        return "the latents are continuous: there is no codebook"
    if key == "latents" and isinstance(sums, CodeCounts):
        return "the latents are indices of a codebook"
    return sums


def check_alike(sums: LatentSums, encoded: Encoded) -> None:
    """MsddError for latents of another kind, or of other channels, than those before."""
    if isinstance(sums, CodeCounts):
        before, now = "codes", "codes" if encoded.discrete else "numbers"
    else:
        before = f"{len(sums.positions.sum)} channels"
        now = "codes" if encoded.discrete else f"{by_position(encoded.values).shape[-1]} channels"
    if now != before:
        raise MsddError(f"latents have {now} here, and had {before} in the images before")


def new_sums(encoded: Encoded) -> LatentSums:
    if encoded.discrete:
        if encoded.books * encoded.codes >= 2**63:
            raise MsddError(
                f"{encoded.books} codebooks of {encoded.codes:,} codes cannot be counted: their "
                "indices take more than 63 bits"
            )
        return CodeCounts(encoded.books, encoded.codes)
    return LatentMoments(by_position(encoded.values).shape[-1])


def sums_from(parts: Mapping[str, Tensor]) -> LatentSums | None:
    """The sums of a `state_dict`; None where there is none."""
    if not parts:
        return None
    if "seen" in parts:
        codes = CodeCounts(*parts["shape"].tolist())
        codes.seen, codes.times, codes.images = (
            parts[name] for name in ("seen", "times", "images")
        )
        return codes
    made = LatentMoments(len(parts["means.sum"]))
    made.load_state_dict(parts)
    return made


def write(path: Path, report: Mapping) -> None:
    """Write the `LatentSpread` of a report to a .npz or .json file: arrays (C,) by name.

    MsddError where no latents were measured.
    """
    measured = (entry["latents"] for entry in report["protocols"].values() if "latents" in entry)
    spread = next(measured, None)
    if spread is None:
        reason = report["not_measured"].get("latents", "no protocol measures them")
        raise MsddError(f"{path} is not written: {reason}")
    if path.suffix == ".json":
        write_json(path, spread)
        return
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: np.array(value) for name, value in spread.items()})


def check_encoded(encoded: Encoded, names: list[str]) -> None:
    """MsddError for an index outside the codebook, and for latents that are NaN or infinite."""
    values = encoded.values
    if not encoded.discrete:
        wide = values.float() if values.itemsize == 1 else values  # of float8 torch asks nothing
        bad = ~wide.flatten(1).isfinite().all(1)
        if bad.any():
            name = names[int(bad.nonzero()[0])]
            raise MsddError(f"the latents of {shown(name)} contain NaN or infinity")
        return
    values = values.long()  # of the short types without sign torch compares none
    outside = (values < 0) | (values >= encoded.codes)
    if outside.any():
        place = outside.nonzero()[0]
        raise MsddError(
            f"the tokenizer encoded {shown(names[int(place[0])])} to the index "
            f"{values[tuple(place)].item()}: its codebook has {encoded.codes} codes, 0 to "
            f"{encoded.codes - 1}"
        )
