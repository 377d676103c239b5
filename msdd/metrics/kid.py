"""The kernel distance of features (KID; Binkowski et al. 2018) on a bounded sample of images."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.seeds import generator, seed_of

CAPACITY = 5000  # images of a sample
SUBSETS, SIZE = 100, 1000  # as in the literature
TORCH_FIDELITY_SEED = 2020
ROWS = 256  # of the kernel's matrix at once, which bounds memory
EMPTY = torch.iinfo(torch.int64).max


class Sample(nn.Module):
    """Features (capacity, D) of the images whose ids have the smallest hashes.

    A uniform sample without replacement that is a function of the ids alone: however images are
    dealt to processes and merged, the same ones are in it, and two sets of the same ids keep the
    same. Its `state_dict` carries it to another process or into a file.
    """

    @torch.inference_mode(False)  # what is made in that mode could only be changed in it
    def __init__(self, dimensions: int, capacity: int = CAPACITY) -> None:
        super().__init__()
        self.register_buffer("keys", torch.full((capacity,), EMPTY))
        self.register_buffer("rows", torch.zeros(capacity, dimensions, dtype=torch.float32))

    def update(self, ids: Sequence[int | str], features: Tensor) -> None:
        """Offer the features (B, D) of these images."""
        keys = torch.tensor([seed_of("sample", image) for image in ids])
        self.offer(keys, features.detach().float().cpu())

    def merge(self, other: "Sample") -> None:
        """Offer what another part of the same set has kept."""
        self.offer(other.keys, other.rows)

    def offer(self, keys: Tensor, rows: Tensor) -> None:
        for key, row in zip(keys, rows, strict=True):
            last = self.keys.argmax()
            if key < self.keys[last]:
                self.keys[last], self.rows[last] = key, row

    @property
    def features(self) -> Tensor:
        """The kept features (n, D) in the order of the hashes."""
        order = self.keys.argsort()
        return self.rows[order[self.keys[order] < EMPTY]]


def in_order(features: Tensor, ids: Sequence[int | str]) -> Tensor:
    """The features of a `Sample` of these ids in the order of the ids."""
    keys = torch.tensor([seed_of("sample", image) for image in ids])
    kept = keys.argsort()[: len(features)]  # these ids, in the order of `features`
    return features[kept.argsort()]


def kid(x: Tensor, y: Tensor) -> dict[str, float | str]:
    """Squared maximum mean discrepancy of features x, y (n, D), averaged over subsets of images.

    The kernel is (x . y / D + 1)^3. A subset takes the same rows of both, and its estimate is the
    one-sample U-statistic (Gretton et al. 2012, equation 4): it leaves out the kernel of a row with
    itself and with its partner, and so stays unbiased when row i of y is the reconstruction of row
    i of x; equal sets are at 0. torch-fidelity 0.4.0 does so with `mmd_est="u-statistic"`; its
    default, "unbiased", and torchmetrics keep partners, which is right for unrelated sets alone: of
    reconstructions it falls too low, mostly below 0. `estimate` says which one this is. Of sets of
    unequal length the longer one is cut.

    100 subsets of 1000 rows, or of half the rows where there are fewer than 2000. `std` is
    the deviation between subsets, as papers print it. `low` and `high` are the ends of the 95 %
    interval of the mean, by the jackknife that deletes all but a subset (Shao, Wu 1989; too wide by
    half for sets that hardly differ, whose estimates vary by 1 / n and not 1 / sqrt n) plus the
    error of drawing only so many.

    MsddError for fewer than 4 rows or features that are not finite.
    """
    n = min(len(x), len(y))
    check(n, x, y)
    size = min(SIZE, n // 2)
    estimates = subset_estimates(x[:n].double(), y[:n].double(), subsets(n, size))
    mean, std = estimates.mean().item(), estimates.std(correction=0).item()
    half = 1.96 * std * sqrt(size / (n - size) + 1 / SUBSETS)
    about = {"subsets": SUBSETS, "size": size, "images": n, "estimate": "u-statistic"}
    return {"mean": mean, "low": mean - half, "high": mean + half, "std": std, **about}


def kid_torch_fidelity(x: Tensor, y: Tensor) -> dict[str, float | str]:
    """KID as torch-fidelity 0.4.0 has it by default, of features x, y (n, D) in the order of files.

    Subsets of 1000 rows are drawn from each side by itself, by its generator and seed, and the
    estimate keeps the kernel of a row with its partner: unbiased where both sides are unrelated,
    and too low, mostly below 0, of reconstructions. The kernel is taken in float64 where it takes
    float32. There is no interval; `std` is the deviation between subsets.

    MsddError for fewer than 1000 rows a side, which torch-fidelity refuses too, or features that
    are not finite.
    """
    if (fewest := min(len(x), len(y))) < SIZE:
        raise MsddError(f"torch-fidelity's KID takes subsets of {SIZE} images, not {fewest}")
    check(fewest, x, y)
    draws = np.random.RandomState(TORCH_FIDELITY_SEED)
    estimates = []
    for _ in range(SUBSETS):
        a, b = (side[draws.choice(len(side), SIZE, replace=False)].double() for side in (x, y))
        within = sum((k := kernel(s, s)).sum() - k.trace() for s in (a, b)) / (SIZE * (SIZE - 1))
        estimates.append((within - 2 * kernel(a, b).mean()).item())
    about = {"subsets": SUBSETS, "size": SIZE, "images": fewest, "estimate": "unbiased"}
    mean, std = float(np.mean(estimates)), float(np.std(estimates))
    return {"mean": mean, "low": None, "high": None, "std": std, **about}


def check(n: int, x: Tensor, y: Tensor) -> None:
    if n < 4:
        raise MsddError(f"a kernel distance needs at least 4 images, not {n}")
    if not (x.isfinite().all() and y.isfinite().all()):
        raise MsddError("the features of a kernel distance contain NaN or infinity")


def subsets(n: int, size: int) -> Tensor:
    """Rows of each subset, (SUBSETS, size), without replacement inside a subset."""
    draws = generator("kid", 0, n, size)
    return torch.stack([torch.from_numpy(draws.permutation(n)[:size]) for _ in range(SUBSETS)])


def subset_estimates(x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
    """The U-statistic of each subset of `rows` (subsets, size): (subsets,).

    As quadratic forms of 0 and 1 in one matrix, which is never held whole.
    """
    chosen = torch.zeros(len(rows), len(x), dtype=x.dtype).scatter_(1, rows, 1)
    sums = torch.zeros(len(rows), dtype=x.dtype)
    for part in torch.arange(len(x)).split(ROWS):
        h = kernel(x[part], x) + kernel(y[part], y) - 2 * kernel(x[part], y)
        h[torch.arange(len(part)), part] = 0
        sums += ((chosen[:, part] @ h) * chosen).sum(1)
    size = rows.shape[1]
    return sums / (size * (size - 1))


def kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
