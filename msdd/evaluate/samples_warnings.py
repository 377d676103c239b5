"""What commonly goes wrong when samples meet a reference, where it can be recognised."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain

import torch

from msdd.evaluate.samples_reference import Given
from msdd.evaluate.samples_rules import Rules
from msdd.evaluate.samples_sets import ImageSet
from msdd.weights.representations import REPRESENTATIONS

USUAL = (50_000, 10_000)  # samples of published figures
READ = 16  # images at once
VALIDATION = "ILSVRC2012_val"  # in the names of ImageNet's validation images


def class_balance(classes: Sequence[str]) -> dict[str, int]:
    """How many classes there are, and the fewest and the most images of one."""
    counts = Counter(classes).values()
    return {"classes": len(counts), "fewest": min(counts), "most": max(counts)}


def warnings(samples: ImageSet, given: Given, protocols: Iterable[Rules]) -> list[str]:
    """Each in a sentence."""
    return [
        *of_count(samples, given, list(protocols)),
        *(of_images(samples, given.images) if given.images else ()),
        *(images.remark for images in (samples, given.images) if images and images.remark),
    ]


def of_count(samples: ImageSet, given: Given, protocols: list[Rules]) -> Iterator[str]:
    count = len(samples.names)
    counts = {"samples": count, "images of the reference": images_behind(given)}
    usual = "published figures are of 50,000 samples, some of 10,000"
    if few := of_features(counts, protocols):
        yield (
            f"{few}: their covariance is singular, and the Fréchet distance far above that of "
            f"larger sets; {usual}"
        )
    elif count not in USUAL:
        yield f"{count:,} samples: {usual}; Fréchet distances of fewer are higher"


def of_features(counts: Mapping[str, int | None], protocols: list[Rules]) -> str:
    """The networks that have as many features as one of these sets has images, or more."""
    by_sets: dict[str, list[str]] = {}
    for network in sorted({name for rules in protocols for name, _ in rules.frechet_keys}):
        wide = REPRESENTATIONS[network].dimensions
        few = [f"{n:,} {what}" for what, n in counts.items() if n is not None and n <= wide]
        if few:
            by_sets.setdefault(" and ".join(few), []).append(f"{wide:,} features of {network}")
    return "; ".join(f"{few} for {', '.join(wide)}" for few, wide in by_sets.items())


def images_behind(given: Given) -> int | None:
    """Number of images behind the statistics, if their file has it, or in the folder or array."""
    if given.statistics:
        return given.told.get("count")
    return len(given.images.names) if given.images else None


def of_images(samples: ImageSet, images: ImageSet) -> Iterator[str]:
    if samples.size != images.size:
        sizes = " and ".join(f"{w} x {h}" for w, h in (samples.size, images.size))
        yield f"samples and reference have different sizes, {sizes} px: distances contain that"
    elif samples.digest() == images.digest() or same_pixels(samples, images):
        yield "the samples are the reference itself"
    if any(VALIDATION in name for name in images.names[:1]):
        yield (
            "the reference is ImageNet's validation set: guided-diffusion, and papers that follow "
            "it, compare samples with statistics of the training set"
        )
    if samples.classes and images.classes:
        yield from of_classes(set(samples.classes), set(images.classes))


def same_pixels(a: ImageSet, b: ImageSet) -> bool:
    """Whether images of one size are the same levels in the same order, whatever files they are in.
    Other images tell themselves apart at the first."""
    count = len(a.names)
    if count != len(b.names):
        return False
    ranges = [range(1), *(range(i, min(i + READ, count)) for i in range(1, count, READ))]
    with closing(a.batches(ranges)) as one, closing(b.batches(ranges)) as other:
        return all(
            torch.equal(x.images, y.images)
            for x, y in zip(chain.from_iterable(one), chain.from_iterable(other), strict=True)
        )


def of_classes(made: set[str], real: set[str]) -> Iterator[str]:
    if not made & real:  # labels in one and names in the other
        return
    if lacking := len(real - made):
        yield f"{lacking:,} of {len(real):,} classes of the reference have no sample"
    if more := len(made - real):
        yield f"{more:,} of {len(made):,} classes of the samples are not in the reference"
