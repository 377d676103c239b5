"""Vector quantisation with unit vectors (Yu et al. 2021, ViT-VQGAN), in LlamaGen and TiTok."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Codebook(nn.Module):
    """Rows (codes, dim). They are stored at any length; all use is of their directions."""

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, dim)

    def nearest(self, z: Tensor) -> Tensor:
        """Features (B, dim, ...) to the index (B, ...) of the nearest row, the first at a tie.

        Between unit vectors the least distance is the largest product. It is taken in float32 at
        any autocast: bfloat16 does not tell neighbours of 16384 rows apart.
        """
        with torch.autocast(z.device.type, enabled=False):
            rows = F.normalize(self.embedding.weight.float(), dim=-1)
            return (F.normalize(z.float().movedim(1, -1), dim=-1) @ rows.T).argmax(-1)

    def vectors(self, indices: Tensor) -> Tensor:
        """Indices (B, ...) to unit vectors (B, dim, ...)."""
        return F.normalize(self.embedding(indices), dim=-1).movedim(-1, 1)


def bits(tokens: int, codes: int) -> int:
    """Bits that hold `tokens` indices, each one of `codes`."""
    return math.ceil(tokens * math.log2(codes))
