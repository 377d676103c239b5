"""The Inception score (Salimans et al. 2016) as sums over its splits, which grow and merge."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from msdd.metrics.frechet import add


def splits_in_order(count: int, images: int) -> Tensor:
    """The split (count,) of each image: consecutive ones of so many images; the last may be short.

    guided-diffusion's evaluator takes 5,000.
    """
    return torch.arange(count) // images


def splits_shuffled(count: int, splits: int, seed: int) -> Tensor:
    """The split (count,) of each image, as torch-fidelity 0.4.0 shuffles and cuts them."""
    order = np.random.RandomState(seed).permutation(count)
    ends = [(i + 1) * count // splits for i in range(splits)]
    places = np.searchsorted(ends, np.arange(count), side="right")
    found = np.empty(count, dtype=np.int64)
    found[order] = places
    return torch.from_numpy(found)


class Scores(nn.Module):
    """Sums of class probabilities and of their negative entropies, by split, in float64.

    However blocks are dealt to processes, the sums have the same bits, as those of `Moments`.
    """

    @torch.inference_mode(False)  # what is made in that mode could only be changed in it
    def __init__(self, splits: Tensor, classes: int, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.splits = splits  # of each image of the set: no part of what is measured
        shape = (int(splits.max()) + 1, classes + 1)  # the last column: sums of p log p
        for name in ("sums", "errors"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64, device=device))

    def update(self, ids: Sequence[int], logits: Tensor) -> None:
        """Add the logits (B, classes) of the images at these places."""
        log_p = logits.double().log_softmax(1)
        p = log_p.exp()
        rows = torch.cat([p, (p * log_p).sum(1, keepdim=True)], 1)
        splits = self.splits[torch.tensor(ids)]
        for split in splits.unique().tolist():
            term = rows[(splits == split).to(rows.device)].sum(0)
            add(self.sums[split], self.errors[split], term.to(self.sums))

    def merge(self, other: "Scores") -> None:
        add(self.sums, self.errors, other.sums.to(self.sums))
        self.errors += other.errors.to(self.errors)

    def score(self) -> tuple[float, float]:
        """Mean of exp(mean KL of an image's classes to those of its split) over the splits, and its
        standard deviation over them. Between 1 and the number of classes."""
        counts = self.splits.bincount().to(self.sums)[:, None]
        means = (self.sums + self.errors) / counts
        q, negative_entropy = means[:, :-1], means[:, -1]
        scores = (negative_entropy - torch.special.xlogy(q, q).sum(1)).exp()
        return scores.mean().item(), scores.std(correction=0).item()
