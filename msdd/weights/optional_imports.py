"""torchvision and timm; torchvision also where its compiled operators do not fit the torch.

A torchvision built for CUDA beside a CPU torch cannot load its own library, and then fails on
import because it describes operators that nobody defined. Defining their schemas is enough:
msdd only uses torchvision's networks, which are plain torch.
"""

import importlib
import sys
from types import ModuleType

import torch

from msdd.errors import MsddError

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[torch.library.Library] = []  # a Library that is collected undefines its schemas


def import_torchvision() -> ModuleType:
    """torchvision; import it, lpips and pytorch_fid only after a call of this.

    Defines the schemas of `nms` and `qnms` when, and only when, torchvision misses them.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    _define_operators()
    return importlib.import_module("torchvision")


def _define_operators() -> None:
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]  # what the failed import left behind
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + SCHEMA)
    _libraries.append(library)


def import_timm(asking: str):
    """timm. Raises MsddError with how to install it; `asking` names the setting that needs it."""
    import_torchvision()
    try:
        import timm
    except ImportError as error:
        raise MsddError(f"{asking} needs timm: install it by `pip install timm`") from error
    return timm
