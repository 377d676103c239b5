"""Weights of terms of a loss at each scale. Does not import torch."""

from collections.abc import Sequence

from msdd.flow.steps import per_scale

# Smaller images are enlarged so much before a perceptual network that a weight given as one number
# counts as 0 for them; a list with one weight per scale is used as it is.
MIN_SIDE = 32
COLLECTED = 2  # half-lives of images before a Fréchet loss has a weight


def weight_at(weight: float | Sequence[float], sides: Sequence[int], scale: int) -> float:
    """The weight of LPIPS or of the adversary at a scale, from the params.

    weight: a number, which counts as 0 at sides under 32 px, or a list with one for each scale.
    sides:  of the images at every scale, in pixels, coarsest first.
    """
    if not isinstance(weight, Sequence) and sides[scale] < MIN_SIDE:
        return 0.0
    return per_scale(weight, len(sides))[scale]
