"""What an ImageNet classifier recognises in originals and in reconstructions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from msdd.data.pixels import as_floats
from msdd.evaluate.name_tables import labels

BEST = 5


def best_classes(network: nn.Module, images: Tensor, batch: int) -> Tensor:
    """The numbers of the 5 classes (B, 5) with the largest logits; the first at a tie."""
    logits = torch.cat([network(part) for part in as_floats(images).split(batch)])
    return logits.sort(dim=1, descending=True, stable=True).indices[:, :BEST].cpu()


def class_numbers(
    originals: Tensor, made: Tensor, names: Sequence[str], table: str | None
) -> dict[str, list[float]]:
    """Columns of 1 or 0 for each image, from the best classes (B, 5) of both sides: whether its
    label is the first or among the 5 (NaN without a label), and whether both sides have the same
    first class."""
    numbers = {"class_agreement": (originals[:, 0] == made[:, 0]).double().tolist()}
    known = labels(names, table)
    for suffix, best in {"_original": originals, "": made}.items():
        for count in (1, BEST):
            rows = zip(best[:, :count].tolist(), known, strict=True)
            numbers[f"top{count}{suffix}"] = [
                float("nan") if label is None else float(label in row) for row, label in rows
            ]
    return numbers
