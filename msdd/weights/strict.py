"""`load_strict`: an official state dict into one of our modules, nothing missing or left over."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import Tensor, nn

from msdd.errors import MsddError

Module = TypeVar("Module", bound=nn.Module)
NAMED = 3  # tensors of a kind that an error names; a network of another size differs in hundreds


def load_strict(
    module: Module, state: Mapping[str, Tensor], official: Callable[[str], str] = str
) -> Module:
    """`module` with the weights of an official state dict in float32, frozen and in eval mode.

    official: from a name of ours to the official one, where they differ.

    Raises MsddError with the official names of what is missing, unexpected, of another shape, or
    integers in place of floats.
    """
    wanted = {official(name): (name, value) for name, value in module.state_dict().items()}
    mistakes = differences({name: value for name, (_, value) in wanted.items()}, state)
    if mistakes:
        raise MsddError(f"the weights do not fit {type(module).__name__}: {'; '.join(mistakes)}")
    tensors = {ours: state[name] for name, (ours, _) in wanted.items()}
    module.load_state_dict(tensors, assign=True)  # `module` may be on `meta`, which saves its start
    return module.float().eval().requires_grad_(False)


def differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """What is missing, unexpected, of another shape or kind in `given`; a phrase for each."""
    both = [name for name in wanted if name in given]
    kinds = {
        "missing": [name for name in wanted if name not in given],
        "unexpected": [name for name in given if name not in wanted],
        "of another shape": [
            f"{name} ({list(given[name].shape)} instead of {list(wanted[name].shape)})"
            for name in both
            if given[name].shape != wanted[name].shape
        ],
        "integers, as of quantised weights": [
            name
            for name in both
            if wanted[name].is_floating_point() and not given[name].is_floating_point()
        ],
    }
    return [f"{kind}: {_first(names)}" for kind, names in kinds.items() if names]


def _first(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
