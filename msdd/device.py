"""Device, precision and clock."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from msdd.errors import MsddError

NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN, cuSOLVER
)


def prepare_device(cpu_threads: int) -> torch.device:
    """`default_device`, after setting the number of CPU threads, which changes the last bits."""
    torch.set_num_threads(cpu_threads)
    return default_device()


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU; under torchrun the GPU of the process's number.

    MSDD_DEVICE in the environment may say `cpu` or `cuda`; MsddError where torch sees no GPU then,
    and where the job was given one (MSDD_GPUS, set by the workflow's rules): a training of a week
    must not land on a CPU without a word.
    """
    asked = chosen()
    if asked == "cuda" and not torch.cuda.is_available():
        raise MsddError("MSDD_DEVICE=cuda, but torch sees no GPU here; `nvidia-smi` may say why")
    given = os.environ.get("MSDD_GPUS", "0")
    if asked != "cpu" and given != "0" and not torch.cuda.is_available():
        raise MsddError(
            f"this job was given gpu={given}, but torch {torch.__version__} finds no GPU on "
            f"{socket.gethostname()} ({why_none()}); MSDD_DEVICE=cpu computes on the CPU"
        )
    if asked == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if "LOCAL_RANK" not in os.environ:
        return torch.device("cuda")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


def why_none() -> str:
    """What hides the GPUs from torch, as far as can be told."""
    if not torch.backends.cuda.is_built():
        return "a build for CPUs"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "nvidia-smi may say why" if visible is None else f"CUDA_VISIBLE_DEVICES is {visible}"


def chosen() -> str:
    """What MSDD_DEVICE says: `cpu`, `cuda`, or nothing. MsddError for anything else."""
    asked = os.environ.get("MSDD_DEVICE", "")
    if asked not in ("", "cpu", "cuda"):
        raise MsddError(f"MSDD_DEVICE is {asked}; it may be cpu or cuda")
    return asked


def arithmetic(precision: str, device: torch.device) -> AbstractContextManager:
    """Context of a tokenizer's arithmetic: `bf16` by autocast, `fp32` without that of a caller.

    Raises MsddError for another precision, and where bf16 does not compute.
    """
    if precision not in ("fp32", "bf16"):
        raise MsddError(f"the precision {precision} is unknown; it may be fp32 or bf16")
    if precision == "fp32":
        return torch.autocast(device.type, enabled=False)
    check_bf16(device)
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """In the block what measures computes in float32, whatever its caller has chosen.

    No autocast on the device or the CPU, no TF32 or bf16 inside float32 products, no other type of
    new tensors, and on a GPU convolutions by the same algorithm each time. Then all is as it was.
    """
    with ExitStack() as stack:
        for kind in {device.type, "cpu"}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        hold_float32(stack)
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        cudnn = torch.backends.cudnn
        hold(stack, cudnn, enabled=True, benchmark=False, deterministic=True)
        yield


@contextmanager
def whole_float32() -> Iterator[None]:
    """In the block float32 is computed in float32: torch by itself takes TF32 for convolutions on a
    GPU, and some containers for products, too."""
    with ExitStack() as stack:
        hold_float32(stack)
        yield


def hold_float32(stack: ExitStack) -> None:
    """Compute products and convolutions of float32 in float32 until the stack unwinds.

    torch 2.9 has settings for that beside the older ones, and refuses to read these where both
    disagree.
    """
    backends: Any = torch.backends  # mypy does not see what takes the place of its modules
    matmul, cudnn, mkldnn = backends.cuda.matmul, backends.cudnn, backends.mkldnn
    if hasattr(matmul, "fp32_precision"):
        for backend in (matmul, cudnn.conv, mkldnn.matmul, mkldnn.conv):
            hold(stack, backend, fp32_precision="ieee")
    else:
        hold(stack, cudnn, allow_tf32=False)
    stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision("highest")


def hold(stack: ExitStack, owner: object, **settings: object) -> None:
    """Set attributes until the stack unwinds."""
    for name, value in settings.items():
        stack.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)


def check_bf16(device: torch.device) -> None:
    """Raises MsddError where bf16 does not compute."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise MsddError(f"precision bf16: {torch.cuda.get_device_name(device)} lacks it; set fp32")
    if device.type == "cpu" and not cpu_survives_bf16():
        raise MsddError(
            "precision bf16: this processor announces bf16 instructions that this machine forbids; "
            "set precision to fp32, or ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment"
        )


@cache
def cpu_survives_bf16() -> bool:
    """Whether a product in bf16 leaves the process alive.

    Some virtual machines announce the processor's AMX unit and forbid its use; only trying tells.
    """
    if not may_have_amx():
        return True
    trial = "import torch; a = torch.ones(64, 64).bfloat16(); a @ a"
    return subprocess.run([sys.executable, "-c", trial], stderr=subprocess.DEVNULL).returncode >= 0


def may_have_amx() -> bool:
    """Whether Linux lists the unit; True where nothing tells."""
    try:
        return "amx_tile" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True


@contextmanager
def enough_memory(cure: str) -> Iterator[None]:
    """A block in which a lack of memory, of the GPU or of the machine, is an MsddError with what
    to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise MsddError(f"out of memory: {cure} ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    """The first line of what it says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def lacks_memory(error: Exception) -> bool:
    """torch (2.13) has a class of its own for GPUs; of the machine's memory, of a GPU that others
    have filled and of that of NVIDIA's libraries it tells in words."""
    by_name = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return by_name or any(words in str(error) for words in NO_MEMORY)


def clock(device: torch.device) -> float:
    """Seconds, after everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(call: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Seconds for one of `calls` calls in a row, without a pause between them."""
    started = clock(device)
    for _ in range(calls):
        call()
    return (clock(device) - started) / calls


@contextmanager
def seed_torch(seed: int, device: torch.device) -> Iterator[None]:
    """Set torch's random state on the CPU and on the device for the block; afterwards it is as it
    was. That of other GPUs, on which the caller may train, stays: `torch.manual_seed` sets all."""
    seed = int(seed)  # a generator takes no number of NumPy's, such as a user may give
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type not in ("cpu", "meta"):
            torch.get_device_module(device.type).manual_seed(seed)
        yield
