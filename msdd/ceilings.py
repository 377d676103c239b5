"""Ceilings of devices: the rates of arithmetic and memory that MFU and floors are relative to.

They come from data sheets, from earlier measurements, or from a measurement now, which alone
imports torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msdd.errors import MsddError, known_names

if TYPE_CHECKING:
    import torch

FEW, LONGEST = 256, 2.0  # rows of a first product; seconds that one may take by it
HERE = "this"  # the device that computes here; its ceilings are measured


@dataclass(frozen=True)
class Ceilings:
    """FLOP/s of large dense matrix products in bf16 and fp32, and bytes/s of memory.

    `bf16` is None where it was not measured; `source` says where the rates come from.
    """

    bf16: float | None
    fp32: float
    bandwidth: float
    source: str

    def rate(self, precision: str) -> float:
        """FLOP/s in `bf16` or `fp32`; None where that was not measured."""
        return {"bf16": self.bf16, "fp32": self.fp32}[precision]


# An 8192 x 8192 x 8192 product and a copy of arrays far larger than the caches, torch 2.11.
REACHED = "reached by a bf16 product of 8192 x 8192 matrices and by a copy; fp32 by the data sheet"

DEVICES = {
    "h100": Ceilings(790e12, 67e12, 3.0e12, REACHED),
    "h200": Ceilings(790e12, 67e12, 4.3e12, REACHED),
    "h100-sheet": Ceilings(989e12, 67e12, 3.35e12, "NVIDIA's data sheet, H100 SXM"),
    "h200-sheet": Ceilings(989e12, 67e12, 4.8e12, "NVIDIA's data sheet, H200 SXM"),
    "a100-sheet": Ceilings(312e12, 19.5e12, 2.039e12, "NVIDIA's data sheet, A100 SXM of 80 GB"),
}


def ceilings(name: str, precision: str, threads: int) -> Ceilings:
    """The ceilings of a device in `DEVICES`, or for the name `this` those measured here.

    threads: of a processor that is measured. Raises MsddError for an unknown name.
    """
    if name == HERE:
        from msdd.device import prepare_device

        return measure(prepare_device(threads), precision)
    if name.lower() not in DEVICES:
        raise MsddError(f"no device '{name}'; {known_names(name, [HERE, *DEVICES])}")
    return DEVICES[name.lower()]


def measure(device: "torch.device", precision: str) -> Ceilings:
    """Measure this device: the best of a few large products and copies, in a second or so.

    Measures fp32, and bf16 if that is the `precision`; raises MsddError if the device lacks bf16.
    Matrices are random, because products of zeros draw less power and can run faster.
    """
    import torch

    from msdd.device import check_bf16

    side, numbers = (8192, 2**28) if device.type == "cuda" else (2048, 2**25)
    source = torch.randn(numbers, device=device)
    target = torch.empty_like(source)
    if precision == "bf16":
        check_bf16(device)
    return Ceilings(
        _product(side, "bf16", device) if precision == "bf16" else None,
        _product(side, "fp32", device),
        2 * source.nbytes / _best(lambda: target.copy_(source), device),
        f"measured: products of up to {side} x {side} numbers, a copy of {source.nbytes >> 20} MiB",
    )


def _product(side: int, precision: str, device: "torch.device") -> float:
    """FLOP/s of the product of two square matrices of `side` rows in a precision.

    Of fewer rows where that would take long, as in bf16 on a processor that only emulates it: there
    large matrices are no faster than small ones.
    """
    import torch

    from msdd.device import seconds

    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    few, rows = min(side, FEW), side
    a[:few, :few] @ b[:few, :few]  # the first call of a kind takes longer
    once = seconds(lambda: a[:few, :few] @ b[:few, :few], device, 1)
    while rows > few and once * (rows / few) ** 3 > LONGEST:
        rows //= 2
    a, b = a[:rows, :rows].contiguous(), b[:rows, :rows].contiguous()
    return 2 * rows**3 / _best(lambda: a @ b, device)


def _best(call: Callable[[], object], device: "torch.device") -> float:
    """Least seconds of a call; a GPU gets ten at once, so that their launches cost nothing."""
    from msdd.device import seconds

    call()
    calls = 10 if device.type == "cuda" else 1
    return min(seconds(call, device, calls) for _ in range(4))
