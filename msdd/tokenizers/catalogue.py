"""Tokenizers by name: any system with a checkpoint, or the model in a folder.

Nothing heavy is imported before a tokenizer is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msdd.errors import MsddError, did_you_mean
from msdd.files import digest, expand_user
from msdd.tokenizers import arguments, user_code
from msdd.tokenizers.systems import COSMOS, KLVAE, SYSTEMS, System
from msdd.weights import addresses, hub, shards

if TYPE_CHECKING:
    import torch

    from msdd.tokenizers.tokenizer import Tokenizer


SIZES = ("crop", "native")


def load(
    name: str | PathLike[str],
    checkpoint: str | PathLike[str] | None = None,
    device: "str | torch.device" = "cpu",
    *,
    steps: int | Sequence[int] | None = None,
    guidance: float | Sequence[float] | None = None,
    jump: str | None = None,
    run_code: bool = False,
    size: str = "crop",
) -> "Tokenizer":
    """A tokenizer in float32, frozen, in eval mode; its `files` are the weights' digests.

    name:       a row of `SYSTEMS`, a model folder of this project (`runs/<model>/<student>`), a
                folder of diffusers with an AutoencoderKL, the address of either
                (`hf://owner/repository`, `mlflow:/run/artifact`), or `module:object` (`own.Own`).
    checkpoint: of a system: its file, or `hf://owner/repository/file`. What was put on this machine
                before (`hub.find_local`) needs no naming.
    steps, guidance, jump: of the decode, other than published; a model folder makes one unguided
                step a scale unless told otherwise, and takes a list with one entry a scale too.
    run_code:   allows to open Cosmos's TorchScript files, which runs code that stands in them.
    size:       `crop`: it takes images of its own sides; `native`: of any (`any_size.AnySize`).

    Raises MsddError: a name that is not known, weights that are not here or do not fit, a value
    that is not allowed, a setting that the system has not.
    """
    if size not in SIZES:
        raise MsddError(f"size is {size!r:.60}; it must be {' or '.join(SIZES)}")
    name = arguments.place("name", name)
    checkpoint = None if checkpoint is None else arguments.place("checkpoint", checkpoint)
    settings = arguments.of_decode(steps, guidance, jump)
    made = open_tokenizer(name, checkpoint, arguments.device("device", device), settings, run_code)
    if size == "crop":
        return made
    from msdd.tokenizers.any_size import any_size

    return any_size(made)


def open_tokenizer(
    name: str | Path,
    checkpoint: str | Path | None,
    device: "torch.device",
    settings: dict,
    run_code: bool,
) -> "Tokenizer":
    """The tokenizer as it is, for images of its own sides."""
    if addresses.is_address(str(name)):
        name = addresses.folder_of(str(name))
    if str(name) not in SYSTEMS and expand_user(name).is_dir():
        if checkpoint is not None:
            raise MsddError(f"{name} is a folder with weights of its own; it takes no checkpoint")
        return of_folder(expand_user(name), device, settings)
    if user_code.is_object(str(name)):
        return of_object(str(name), checkpoint, device, settings)
    system = find(str(name))
    files = locate(checkpoint, system) if checkpoint else required_files(str(name), system)
    if system.vae:
        files += required_files(system.vae, SYSTEMS[system.vae], of=str(name))
    return finish(with_settings(of_files(system, files, run_code), settings), files, device)


def random_tokenizer(name: str, seed: int = 0, device: "str | torch.device" = "cpu") -> "Tokenizer":
    """A system with random weights, for its speed alone.

    The global random state stays as it was.
    """
    import torch

    from msdd.device import seed_torch
    from msdd.weights.unfilled import fill_zeros

    system = find(name)
    if system.config is None:
        raise MsddError(f"'{name}' has no one size; time rows of `decodes`, or a model folder")
    module, device = module_of(system), torch.device(device)
    with seed_torch(seed, device), torch.device(device):
        made = getattr(module, system.family.kind)(system.config(module))
        fill_zeros(made.eval().requires_grad_(False))
    return made.to(device)  # tables that a network always computes on the CPU, too


def find(name: str) -> System:
    """The row of a name. MsddError, with names that are near, if there is none."""
    if name in SYSTEMS:
        return SYSTEMS[name]
    if Path(name).is_file() and not name.endswith(".py"):
        raise MsddError(f"{name} is a file; name its system, and the file by --checkpoint {name}")
    more = f"; {did_you_mean(name, SYSTEMS).strip() or '`msdd tokenizers` lists them'}"
    if name.startswith(hub.PREFIX):
        more = f"; it is a checkpoint: name its system too, as in NAME with --checkpoint {name}"
    elif name.endswith(".py"):
        more = f"; name a function in that file: {name}:FUNCTION"
    raise MsddError(f"'{name}' is no system and no model folder{more}")


def locate(checkpoint: str | Path, system: System) -> list[Path]:
    """The files that a checkpoint names; of a KL-VAE it may be a folder of diffusers."""
    if system.family is KLVAE and Path(checkpoint).is_dir():
        from msdd.weights import diffusers_folder

        return [
            diffusers_folder.choose(diffusers_folder.place(Path(checkpoint)) or Path(checkpoint))
        ]
    return hub.locate(checkpoint, system.halves if in_halves(checkpoint, system) else system.files)


def in_halves(checkpoint: str | Path, system: System) -> bool:
    """Whether a checkpoint is a folder with the halves of a system apart, or one of them."""
    path = expand_user(checkpoint)
    return path.name in system.halves or any((path / half).is_file() for half in system.halves)


def variant_folder(name: str) -> Path | None:
    """The first of the folders for weights that has a KL-VAE in another form than the published."""
    folders = [place for folder in hub.folders() if (place := folder / name).is_dir()]
    if not folders:  # torch stays out of a mere list
        return None
    from msdd.weights import diffusers_folder

    return next(filter(diffusers_folder.forms, folders), None)


def local_files(name: str, system: System) -> list[Path]:
    """All that opens a system here by its name, the VAE's that it decodes with last; or none."""
    paths = own_files(name, system)
    vae = own_files(system.vae, SYSTEMS[system.vae]) if system.vae else []
    return paths + vae if paths and (vae or not system.vae) else []


def own_files(name: str, system: System) -> list[Path]:
    """The files of a system that are on this machine, whole or in halves; or none."""
    for files in (system.files, system.halves):
        if paths := hub.find_local(name, system.repository, files):
            return paths
    folder = variant_folder(name) if system.family is KLVAE else None
    return locate(folder, system) if folder else []


def required_files(name: str, system: System, of: str | None = None) -> list[Path]:
    """The files of a system that are on this machine; MsddError says where to get them.

    of: the system whose decoder works on these; its checkpoint is another.
    """
    if paths := own_files(name, system):
        return paths
    if system.config is None:
        raise MsddError(f"'{name}' has no released weights; name the folder of a trained model")
    if not system.files:
        raise MsddError(f"{name}: its authors released no weights; name a checkpoint of your own")
    place = hub.folders()[0] / name
    message = (
        f"{name}: no weights on this machine; put {' and '.join(system.files)} of "
        f"{system.repository} into {place}"
    )
    if of:
        raise MsddError(f"{of} decodes the latents of {message}")
    named = f"{hub.PREFIX}{system.repository}/{system.files[0]}"
    raise MsddError(f"{message}, or name a checkpoint: a path, or {named}")


def of_files(system: System, files: list[Path], run_code: bool = False) -> "Tokenizer":
    """A system with the weights of its official files, the VAE's last if it needs one.

    MsddError if they do not fit.
    """
    if system.config is None:
        raise MsddError(f"{files[0]}: a model of this project is named by its folder alone")
    module = module_of(system)
    config = system.config(module)
    if system.family is COSMOS and files[0].suffix == ".jit":
        return of_archives(config, files, run_code)
    from msdd.weights import official

    parts = [official.read(file) for file in files]
    try:
        return module.load(config, module.join(*parts) if len(parts) > 1 else parts[0])
    except MsddError as error:
        named = " with ".join(map(str, files))
        raise MsddError(f"{named}: {error}{hint_of_origin(system, parts[0])}") from error


def of_archives(config: Any, files: list[Path], run_code: bool) -> "Tokenizer":
    """Cosmos from its TorchScript files."""
    if len(files) < 2:
        raise MsddError(f"{files[0]}: name the folder of encoder.jit and decoder.jit instead")
    for file in files:
        if not file.is_file():
            raise MsddError(f"there is no file {file}")
    if not run_code:
        raise MsddError(
            f"{files[0]} is TorchScript, a program: opening it runs the code in it; allow "
            "that with --run-code, in Python run_code=True"
        )
    from msdd.tokenizers import cosmos_archives

    encoder, decoder = files
    return cosmos_archives.load(config, encoder, decoder, run_code=True)


def hint_of_origin(asked: System, state: Mapping[str, "torch.Tensor"]) -> str:
    """Whose tensors these are, as the end of a message; nothing where that is not plain."""
    size = sum(value.numel() for value in state.values())
    named = [system for system in SYSTEMS.values() if system.family.telltale in state]
    exact = [name for name, system in SYSTEMS.items() if system.parameters == size]
    if exact:
        return f"; its size is that of {' or '.join(exact)}"
    if named and named[0].family is not asked.family:
        return f"; its tensors have the names of {named[0].family.title}"
    return ""


def of_object(
    name: str, checkpoint: str | Path | None, device: "str | torch.device", settings: dict
) -> "Tokenizer":
    """A function or an object of the user's; it is opened as it is."""
    if unheard := [*settings, *(["checkpoint"] if checkpoint else [])]:
        raise MsddError(f"--{unheard[0]} means nothing to {name}; leave it out")
    from msdd.tokenizers.own import open_own

    return open_own(name, device)


def of_folder(folder: Path, device: "str | torch.device", settings: dict) -> "Tokenizer":
    """The tokenizer in a model folder, ours or one of diffusers."""
    from msdd.weights import diffusers_folder

    if place := diffusers_folder.place(folder):
        return of_diffusers(place, device, settings)
    if not (folder / "config.json").exists():
        raise MsddError(
            f"{folder}: no model here (config.json is missing); a tokenizer's folder is "
            "runs/<model>/<student> of this project, or one of diffusers"
        )
    from msdd.tokenizers import msdd
    from msdd.weights import model_folder

    kind, _ = model_folder.read_config(folder)
    if kind == "student" and settings.keys() & {"steps", "guidance"}:
        raise MsddError(f"{folder} holds a student: it makes one unguided step a scale")
    try:
        made = msdd.load(folder, **settings)
    except (ValueError, MsddError) as error:
        raise naming(folder, error) from error
    return finish(made, [folder / "model.safetensors"], device)


def naming(folder: Path, error: Exception) -> MsddError:
    return MsddError(str(error) if str(folder) in str(error) else f"{folder}: {error}")


def of_diffusers(folder: Path, device: "str | torch.device", settings: dict) -> "Tokenizer":
    """The KL-VAE in a folder of diffusers."""
    from msdd.tokenizers import klvae
    from msdd.weights import diffusers_folder, official

    config, file = klvae.config_of(folder), diffusers_folder.choose(folder)
    state = official.read(file)
    try:
        made = klvae.load(config, state)
    except MsddError as error:
        raise MsddError(f"{file}: {error}") from error
    return finish(with_settings(made, settings), [file], device)


def with_settings(made: "Tokenizer", settings: dict) -> "Tokenizer":
    """The tokenizer with other settings of the decode. MsddError for one that it does not have."""
    holder: Any = getattr(made, "sampling", made)
    for name, value in settings.items():
        if not hasattr(holder, name):
            raise MsddError(f"{type(made).__name__} has no {name} to set")
        if isinstance(value, list):
            raise MsddError(f"{name} is {value}; {type(made).__name__} takes one number")
    if holder is not made:
        made.sampling = replace(holder, **settings)
    else:
        vars(made).update(settings)
    return made


def finish(made: "Tokenizer", files: list[Path], device: "str | torch.device") -> "Tokenizer":
    """The tokenizer on the device, with the digests of the files that it was made from."""
    parts = [part for file in files for part in shards.files_of(file)]
    made.files = {file.name: digest(file) for file in parts}
    return made.to(device)


def module_of(system: System) -> ModuleType:
    return import_module(f"msdd.tokenizers.{system.family.module}")


def _loaded_by_name() -> None:
    """Never called: its imports show the families to the fingerprints of code, which cannot follow
    `module_of`."""
    from msdd.tokenizers import (  # noqa: F401
        cosmos,
        dito,
        flowmo,
        klvae,
        llamagen,
        msdd,
        ssdd,
        taef2,
        titok,
    )
