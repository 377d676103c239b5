"""Names of tensors as trainings leave them, brought back to those of the network itself.

Compiling, data parallelism, averaging and bigger models put prefixes before the names of a network:
`_orig_mod.` (torch.compile), `module.` (DataParallel, DistributedDataParallel, AveragedModel),
`first_stage_model.` (latent diffusion, Stable Diffusion), `vae.`, `model.`, `ema.`.
"""

import re

from torch import Tensor

StateDict = dict[str, Tensor]

# Of wrappers that may stand around any part of a network; no network has names like these.
WRAPPER = re.compile(
    r"(?:(?<=^)|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
PREFIXES = ("module.", "model.", "ema.", "vae.", "first_stage_model.")  # that all names may have
PARTS = ("first_stage_model.", "vae.")  # of a file that also holds the rest of a bigger model
HALVES = ("encoder.", "decoder.")  # of every tokenizer
BESIDE = ("loss.", "discriminator.", "model_ema.", "n_averaged")  # of a training, not of a network


def bare(state: StateDict) -> tuple[StateDict, list[str]]:
    """Tensors by the names of the network itself, and in words what was changed for that."""
    for step in (_unwrap, _all, _part, _beside):
        changed, words = step(state)
        if changed and words:
            state, more = bare(changed)
            return state, [words, *more]
    return state, []


def _unwrap(state: StateDict) -> tuple[StateDict, str]:
    """Without the names of wrappers, unless two tensors would have one name then."""
    found = {match for name in state for match in WRAPPER.findall(name)}
    changed = {WRAPPER.sub("", name): value for name, value in state.items()}
    if not found or len(changed) < len(state):
        return state, ""
    return changed, f"{' and '.join(f'{w}.' for w in sorted(found))} is taken off the names"


def _all(state: StateDict) -> tuple[StateDict, str]:
    """Without the prefixes that all names have, one within another."""
    taken = ""
    while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in state)), ""):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
        taken += prefix
    return state, taken and f"{taken} is taken off all names"


def _part(state: StateDict) -> tuple[StateDict, str]:
    """The tokenizer of a bigger model, which has no encoder and no decoder of its own."""
    for prefix in () if any(name.startswith(HALVES) for name in state) else PARTS:
        part = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        if part:
            return part, f"of {len(state)} tensors the {len(part)} of {prefix} are taken"
    return state, ""


def _beside(state: StateDict) -> tuple[StateDict, str]:
    """Without what only the training of the network needs."""
    kept = {name: value for name, value in state.items() if not name.startswith(BESIDE)}
    found = sorted({prefix for name in state for prefix in BESIDE if name.startswith(prefix)})
    return kept, found and f"{' and '.join(found)} of the training is left out"
