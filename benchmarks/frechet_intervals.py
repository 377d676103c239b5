"""Fréchet distances of rows of `decodes` with intervals, and their differences from the first one.

    python benchmarks/frechet_intervals.py DECODE... [--params params.yaml] [--networks NAME...]

Decodes what `msdd evaluate DECODE` measures. Intervals leave out one photograph after the other,
with all its crops (the jackknife, Efron and Stein 1981), +-1.96 standard errors: a bootstrap would
draw photographs twice, which raises a distance of few images by more than rows differ. The bias
that all rows share at so few images stays in the distances and leaves the differences.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from msdd.data.pixels import from_uint8, to_uint8
from msdd.evaluate.prepared import Prepared
from msdd.evaluate.sources import split
from msdd.evaluate.stage import job_of, source_of
from msdd.metrics.intervals import groups_of
from msdd.params.load import load
from msdd.pipeline.task import resolve
from msdd.weights.pretrained_networks import feature_network

BATCH, CPU = 64, torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("decodes", nargs="+")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--networks", nargs="+", default=["efficientnet-lite0"])
    args = parser.parse_args()
    params, root = load(args.params), Path(".")
    tasks = [resolve(params, "evaluate", decode=name) for name in args.decodes]
    sources = [source_of(job_of(task, root, CPU), CPU, root) for task in tasks]
    groups = groups_of(sources[0].photographs)
    pairs = [images(source) for source in sources]
    print("| decode | network | distance | less the first |\n|---|---|---:|---:|")
    for name in args.networks:
        network, first = feature_network(name), None
        originals = features(network, pairs[0][0])
        for decode, (_, made) in zip(args.decodes, pairs, strict=True):
            found = jackknife(originals, features(network, made), groups)
            first = found if first is None else first
            cells = [interval(found), interval(found - first)]
            print(f"| {decode} | {name} | {' | '.join(cells)} |", flush=True)


@torch.inference_mode()
def images(source: Prepared) -> tuple[Tensor, Tensor]:
    """Originals and reconstructions, uint8 (N, 3, R, R)."""
    batches = [batch for (batch,) in source.batches(split(len(source.names), BATCH))]
    made = [to_uint8(batch.reconstructions) for batch in batches]
    return torch.cat([batch.originals for batch in batches]), torch.cat(made)


@torch.inference_mode()
def features(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(from_uint8(part)) for part in images.split(BATCH)]).double()


def jackknife(X: Tensor, Y: Tensor, groups: Sequence[int] | None) -> np.ndarray:
    """The distance of features X, Y (N, D), then those without each group of images (G + 1,)."""
    places = np.arange(len(X)) if groups is None else np.asarray(groups)
    grams = torch.stack([X @ X.T, Y @ Y.T, X @ Y.T])
    kept = [np.arange(len(X)), *(np.flatnonzero(places != g) for g in np.unique(places))]
    return np.array([distance(grams[:, rows][:, :, rows]) for rows in kept])


def distance(grams: Tensor) -> float:
    """|mean_X - mean_Y|^2 + tr(A + B - 2 (A B)^(1/2)) from X X^T, Y Y^T and X Y^T (3, n, n).

    With A = X_c^T X_c / (n - 1), the trace of the root is the sum of the singular values of
    X_c Y_c^T / (n - 1), so no matrix of features by features is needed.
    """
    means = grams.mean((1, 2))
    centred = grams - grams.mean(1, keepdim=True) - grams.mean(2, keepdim=True)
    centred = (centred + means[:, None, None]) / (grams.shape[1] - 1)
    root = torch.linalg.svdvals(centred[2]).sum()
    traces = centred[0].trace() + centred[1].trace()
    return (means[0] + means[1] - 2 * means[2] + traces - 2 * root).item()


def interval(found: np.ndarray) -> str:
    """The figure (first) with 1.96 standard errors from those that leave out one group each."""
    figure, left_out = found[0], found[1:]
    count = len(left_out)
    error = np.sqrt((count - 1) / count * np.square(left_out - left_out.mean()).sum())
    return f"{figure:.1f} [{figure - 1.96 * error:.1f}, {figure + 1.96 * error:.1f}]"


if __name__ == "__main__":
    main()
