"""How a discrete tokenizer uses its codebook, from how often each index came."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class CodeUse(NamedTuple):
    """Use of one codebook or of several, whose entries count separately.

    size:       entries of all codebooks
    used:       entries that came at least once
    perplexity: 2 to the entropy: as many entries, used equally often, have that entropy; the
                geometric mean of several codebooks
    entropy:    bits a token, the mean of several codebooks
    """

    size: int
    used: int
    perplexity: float
    entropy: float


def code_use(counts: Sequence[Tensor], codes: int) -> CodeUse:
    """From counts (used,) of the entries of each codebook that came, of `codes` entries.

    Entropies are those of the frequencies (Shannon 1948), which lie below those of the source by
    about (used - 1) / (2 ln 2 tokens) bits (Miller 1955): few images make a codebook look small.
    """
    entropy = torch.stack([entropy_of(row) for row in counts]).mean().item()
    return CodeUse(len(counts) * codes, sum(map(len, counts)), 2**entropy, entropy)


def entropy_of(counts: Tensor) -> Tensor:
    """Entropy in bits of the frequencies of counts (used,), all above 0."""
    share = counts.double() / counts.sum()
    return -(share * share.log2()).sum()
