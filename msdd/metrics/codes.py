"""How a discrete tokenizer uses its codebook, from how often each index came."""

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
    dead:       those that never came, for each codebook
    """

    size: int
    used: int
    perplexity: float
    entropy: float
    dead: list[list[int]]


def code_use(counts: Tensor) -> CodeUse:
    """From counts (codebooks, codes), integers; each codebook was used at least once.

    Entropies are those of the frequencies (Shannon 1948), which lie below those of the source by
    about (used - 1) / (2 ln 2 tokens) bits (Miller 1955): few images make a codebook look small.
    """
    entropy = torch.stack([entropy_of(row) for row in counts]).mean().item()
    dead = [(row == 0).nonzero().flatten().tolist() for row in counts]
    return CodeUse(counts.numel(), int((counts > 0).sum()), 2**entropy, entropy, dead)


def entropy_of(counts: Tensor) -> Tensor:
    """Entropy in bits of the frequencies of counts (codes,)."""
    share = counts[counts > 0].double() / counts.sum()
    return -(share * share.log2()).sum()
