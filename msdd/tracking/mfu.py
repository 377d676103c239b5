"""How fast a training went: images and FLOPs per second, and MFU, its share of the machine's rate.

MFU (model FLOPs utilisation) divides by the FLOP/s that large matrix products reach on this
machine, which is measured, not by those of a data sheet.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from msdd import ceilings
from msdd.device import arithmetic

MIN_SECONDS = 30  # measuring the machine takes one or two, too many beside a shorter training


@dataclass(frozen=True)
class TrainingSpeed:
    """mfu: FLOP/s as a share of what large products reach here in the training's precision."""

    images_per_second: float
    flops_per_second: float
    mfu: float

    def __str__(self) -> str:
        rate = f"{self.images_per_second:,.3g} images/s, {self.flops_per_second / 1e12:.3g} TFLOP/s"
        return f"{rate}, {self.mfu:.0%} of what large products reach here (MFU)"

    def json(self) -> dict[str, float]:
        """The three numbers by their names."""
        return asdict(self)


def training_speed(
    loss: Callable[[Tensor], Tensor], images: Tensor, precision: str, trained: int, seconds: float
) -> TrainingSpeed:
    """The speed of a training that took `seconds` for `trained` images.

    loss:      from images (B, 3, R, R) to the scalar that is minimised; called once, with a
               backward pass that leaves gradients behind.
    images:    a batch to count the FLOPs of an image on; it decides the device that is measured.
    precision: `fp32` or `bf16`, of the training's arithmetic.
    """
    rate = trained / seconds
    flops = rate * step_flops(loss, images, precision) / len(images)
    reached = ceilings.measure(images.device, precision).rate(precision)
    return TrainingSpeed(rate, flops, flops / reached)


def step_flops(loss: Callable[[Tensor], Tensor], images: Tensor, precision: str) -> int:
    """FLOPs of one forward and backward pass of a loss for a batch of images (B, 3, R, R).

    Neither compiled nor with fused attention: the counter does not see into those. The step of a
    discriminator is not part of it. Gradients are left behind.
    """
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
        torch.compiler.set_stance("force_eager"),
        arithmetic(precision, images.device),
    ):
        loss(images).backward()
    return counter.get_total_flops()
