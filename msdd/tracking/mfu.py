"""How fast a training went: images, arithmetic, and the share of what the device can do at most."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from msdd import ceilings
from msdd.device import arithmetic
from msdd.train.job import Job

WORTH = 30  # seconds; to measure the device takes one or two, too many beside a short training


@dataclass(frozen=True)
class Pace:
    """share: of the FLOP/s that large products reach here, in the training's precision."""

    images_per_second: float
    flops_per_second: float
    share: float

    def __str__(self) -> str:
        rate = f"{self.images_per_second:,.3g} images/s, {self.flops_per_second / 1e12:.3g} TFLOP/s"
        return f"{rate}, {self.share:.0%} of what large products reach here"

    def json(self) -> dict[str, float]:
        return asdict(self)


def pace(job: Job, images: Tensor, trained: int, seconds: float) -> Pace:
    """Of a training of `trained` images that is over: one more pass, on `images`, is counted."""
    rate = trained / seconds
    flops = rate * step_flops(job, images) / len(images)
    reached = ceilings.measure(images.device, job.settings.precision)
    return Pace(rate, flops, flops / reached.rate(job.settings.precision))


def step_flops(job: Job, images: Tensor) -> int:
    """FLOPs of the passes through all networks, forward and back, for a batch; not compiled and
    with attention as two products, or the counter would not see them all. The discriminator's own
    step is left out."""
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
        torch.compiler.set_stance("force_eager"),
        arithmetic(job.settings.precision, images.device),
    ):
        loss = job.losses(images)["loss"]
        loss.backward()
    job.network.zero_grad(set_to_none=True)
    return counter.get_total_flops()
