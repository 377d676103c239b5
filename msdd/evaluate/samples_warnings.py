"""What commonly goes wrong when samples meet a reference, where it can be recognised."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msdd.evaluate.samples_reference import Given
from msdd.evaluate.samples_rules import Rules
from msdd.evaluate.samples_sets import ImageSet
from msdd.weights.representations import REPRESENTATIONS

USUAL = (50_000, 10_000)  # samples of published figures
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
    ]


def of_count(samples: ImageSet, given: Given, protocols: list[Rules]) -> Iterator[str]:
    count = len(samples.names)
    if count not in USUAL:
        yield (
            f"{count:,} samples: published figures are of 50,000, some of 10,000; Fréchet "
            "distances of fewer are higher"
        )
    counts = {"samples": count, "images of the reference": images_behind(given)}
    for network in sorted({rules.features for rules in protocols if rules.frechet}):
        wide = REPRESENTATIONS[network].dimensions
        for what, number in counts.items():
            if number is not None and number <= wide:
                yield (
                    f"{number:,} {what} for {wide:,} features of {network}: their covariance is "
                    "singular, and the Fréchet distance far above that of larger sets"
                )


def images_behind(given: Given) -> int | None:
    """Of the statistics, if they tell, or of the images."""
    if given.statistics:
        return given.told.get("count")
    return len(given.images.names) if given.images else None


def of_images(samples: ImageSet, images: ImageSet) -> Iterator[str]:
    if samples.size != images.size:
        sizes = " and ".join(f"{w} x {h}" for w, h in (samples.size, images.size))
        yield f"samples and reference have different sizes, {sizes} px: distances contain that"
    if samples.digest() == images.digest():
        yield "the samples are the reference itself"
    if any(VALIDATION in name for name in images.names[:1]):
        yield (
            "the reference is ImageNet's validation set: guided-diffusion, and papers that follow "
            "it, compare samples with statistics of the training set"
        )
    if samples.classes and images.classes:
        yield from of_classes(set(samples.classes), set(images.classes))


def of_classes(made: set[str], real: set[str]) -> Iterator[str]:
    if not made & real:  # labels in one and names in the other
        return
    if lacking := len(real - made):
        yield f"{lacking:,} of {len(real):,} classes of the reference have no sample"
    if more := len(made - real):
        yield f"{more:,} of {len(made):,} classes of the samples are not in the reference"
