"""The pipeline's source of images: held-out crops, and what a tokenizer makes of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from msdd.data.pixels import check_finite, from_uint8, to_uint8
from msdd.data.shards import Crops
from msdd.device import arithmetic, clock
from msdd.evaluate.latent_sums import Made
from msdd.evaluate.sources import Batch, encoded_by, split

SAMPLES = 16  # reconstructions that are kept to look at


class PipelineTokenizer(Protocol):
    """What the pipeline measures. The seed and an image's id decide the noise of its decoding."""

    apart: bool  # whether `encode` and `decode` are two; else `reconstruct` is all that it has

    def encode(self, images: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor, ids: Sequence[int], seed: int) -> Tensor: ...
    def reconstruct(self, images: Tensor, ids: Sequence[int], seed: int) -> Tensor: ...


class Prepared:
    """The first `count` held-out crops, and what a tokenizer makes of them.

    key:       digest of everything that decides the result
    precision: of the tokenizer's arithmetic, fp32 or bf16
    photographs: see `Source`
    timed:     images and seconds of every batch decoded here: of decoding alone, or of the whole
               reconstruction where nothing decodes apart

    A batch is read from its memory map when it is due: that costs nothing beside decoding, whose
    time a thread that reads ahead would change.
    """

    def __init__(
        self,
        crops: Crops,
        count: int,
        tokenizer: PipelineTokenizer,
        key: str,
        seed: int,
        precision: str,
        device: torch.device,
        photographs: list[int] | None = None,
    ) -> None:
        self.crops, self.tokenizer, self.key = crops, tokenizer, key
        self.seed, self.precision, self.device = seed, precision, device
        self.names = [str(i) for i in range(count)]
        self.photographs = photographs
        self.preparation = f"prepared crops of {crops.resolution} px"
        self.timed: list[tuple[int, float]] = []
        self.samples: dict[int, np.ndarray] = {}

    def pixels(self) -> list[int]:
        return [self.crops.resolution**2] * len(self.names)

    def digest(self) -> str:
        return self.crops.digest

    def identity(self) -> str:
        return self.key

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Batch]]:
        for ids in map(list, ranges):
            originals = self.crops.batch(np.array(ids)).to(self.device)
            yield [Batch(ids, originals, *self.code(originals, ids))]

    def reconstruct(self, originals: Tensor, ids: list[int]) -> Tensor:
        return self.code(originals, ids).images

    def code(self, originals: Tensor, ids: list[int]) -> Made:
        """Reconstructions, floats in [-1, 1], of uint8 crops (B, 3, R, R), and their latents.

        Raises MsddError naming a crop whose reconstruction has a NaN.
        """
        with arithmetic(self.precision, self.device):
            apart, given = self.tokenizer.apart, from_uint8(originals)
            given = self.tokenizer.encode(given) if apart else given
            started = clock(self.device)
            decode = self.tokenizer.decode if apart else self.tokenizer.reconstruct
            decoded = decode(given, ids, self.seed)
            self.timed.append((len(ids), clock(self.device) - started))
        check_finite(decoded, ids)
        self.keep_samples(ids, decoded)
        encoded = encoded_by(self.tokenizer, given) if apart else None
        return Made(decoded, encoded)

    def keep_samples(self, ids: list[int], decoded: Tensor) -> None:
        rows = [row for row, i in enumerate(ids) if i < SAMPLES]
        pictures = to_uint8(decoded[rows]).permute(0, 2, 3, 1).cpu().numpy()
        self.samples |= zip([ids[row] for row in rows], pictures, strict=True)

    def first_samples(self, batch: int) -> np.ndarray:
        """The first reconstructions, uint8 (K, R, R, 3).

        Batches that another process or an interrupted run has decoded are decoded here again.
        """
        wanted = range(min(SAMPLES, len(self.names)))
        ranges = split(len(self.names), batch)
        elsewhere = {i for i in wanted if i not in self.samples}
        for _ in self.batches(part for part in ranges if elsewhere & set(part)):
            pass
        return np.stack([self.samples[i] for i in wanted])
