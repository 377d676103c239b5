"""What was trained elsewhere, of rows of `decodes` and encoders of stored latents: the tokenizers,
and the files behind these.

Imports no torch before one is opened: both engines ask for the files when they plan.
"""

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdd.data.digests import of_files
from msdd.errors import MsddError
from msdd.files import expand_user, remove, write_text
from msdd.params.schema import Decode, Params
from msdd.params.sections import Given
from msdd.pipeline import layout, provenance
from msdd.tokenizers import catalogue, user_code
from msdd.tokenizers.systems import SYSTEMS
from msdd.weights import addresses, hub, shards

if TYPE_CHECKING:
    import torch

    from msdd.tokenizers.tokenizer import Tokenizer

WEIGHTS = (".json", ".safetensors", ".bin", ".pt", ".pth")


def open_row(row: Decode, root: Path, side: int, device: "torch.device") -> "Tokenizer":
    """The tokenizer of a row for images of `side` pixels; relative paths lie below `root`.

    Raises MsddError for one that cannot be had, or does not take that side.
    """
    name, checkpoint = locate(row, root)
    made = catalogue.load(
        name, checkpoint, device, steps=row.steps, guidance=row.guidance, jump=None
    )
    made.check_sides(side, side)
    made.resolution = side
    return made


def locate(row: Decode | Given, root: Path) -> tuple[str | Path, str | Path | None]:
    """Name and checkpoint, with paths that are relative to `root` made so that they open here."""
    name, checkpoint = row.tokenizer, row.checkpoint
    if checkpoint and not checkpoint.startswith(hub.PREFIX):
        checkpoint = expand_user(checkpoint, root)
    if user_code.is_object(name):
        module, _, thing = name.partition(":")
        here = user_code.file_of(module)
        return f"{expand_user(here, root)}:{thing}" if here else name, checkpoint
    folder = expand_user(name, root)
    return folder if name not in SYSTEMS and folder.is_dir() else name, checkpoint


def files(row: Decode | Given, root: Path) -> list[Path]:
    """The files on this machine that decide what a row decodes; none of what an address names.

    Of code the file that is named, not what it imports. Raises MsddError where they are missing.
    """
    name, checkpoint = locate(row, root)
    if isinstance(name, Path):
        return _of_folder(name)
    if addresses.is_address(name) or str(checkpoint or "").startswith(hub.PREFIX):
        return []
    if user_code.is_object(name):
        return _of_code(name.rpartition(":")[0])
    system = catalogue.find(name)
    found = catalogue.locate(checkpoint, system) if checkpoint else None
    if system.vae:
        found = (found or []) + catalogue.required_files(system.vae, SYSTEMS[system.vae], of=name)
    found = found or catalogue.required_files(name, system)
    if gone := [path for path in found if not path.exists()]:
        raise MsddError(f"there is no file {gone[0]}")
    return [part for path in found for part in shards.files_of(path)]


def _of_folder(folder: Path) -> list[Path]:
    from msdd.weights import diffusers_folder

    place = diffusers_folder.place(folder) or folder
    return sorted(path for path in place.iterdir() if path.suffix in WEIGHTS)


def _of_code(module: str) -> list[Path]:
    if path := user_code.file_of(module):
        if not path.exists():
            raise MsddError(f"there is no file {path}")
        return [path]
    user_code.put_first(Path.cwd())
    try:
        spec = find_spec(module)
    except ImportError:
        spec = None
    if spec is None or not spec.origin:
        raise MsddError(f"there is no module '{module}' in this folder or in Python's path")
    return [Path(spec.origin)]


def inputs(
    params: Params, stage: str, wildcards: Mapping[str, Any], root: Path = Path(".")
) -> list[Path]:
    """All files that `evaluate` of a row, or `latents`, reads; missing weights fail when it opens
    them."""
    if stage == "latents":
        row = params.stage1_of(params.row_of(wildcards["encoder"])).encoder
    else:
        row = params.decodes[wildcards["decode"]]
    try:
        return [layout.images(None), *files(row, root)]
    except MsddError:
        return [layout.images(None)]


def weights_digest(params: Params, decode: str, root: Path = Path(".")) -> str:
    """`digest_of` the weights of a row of `decodes`."""
    made = layout.evaluation(*params.source(decode), decode)
    return digest_of(params.decodes[decode], made, root)


def encoder_digest(params: Params, name: str, root: Path = Path(".")) -> str:
    """`digest_of` the weights that encode the stored latents of this name; of a system the SHA-256
    of its file, if the params know it: that encodes the same wherever it lies."""
    given = params.stage1_of(params.row_of(name)).encoder
    if given.sha256 and given.tokenizer in SYSTEMS:
        return given.sha256
    return digest_of(given, layout.latents(name), root)


def digest_of(row: Decode | Given, made: Path, root: Path) -> str:
    """One digest of a row's files by name and content, by which both engines see a change.

    Where they cannot be found, that of those from which there is a result `made`, or the reason if
    there is none: results can be used without the weights. Of an address, which the params name
    already, it is empty.
    """
    try:
        found = files(row, root)
    except MsddError as error:
        recorded = _recorded(made, root)
        return _of_rows(recorded) if recorded else str(error)
    return _of_rows(zip((path.name for path in found), of_files(found, root), strict=True))


def _recorded(made: Path, root: Path) -> list[tuple[str, str]]:
    path = root / layout.provenance(made)
    read = provenance.read(path)["inputs"] if path.exists() else {}
    return [
        (Path(name).name, sha256)
        for name, sha256 in read.items()
        if name != str(layout.images(None))
    ]


def _of_rows(rows) -> str:
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(rows))
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def write_digests(params: Params, root: Path = Path(".")) -> None:
    """Write `.code/weights/<decode>` and `.code/encoders/<name of latents>` wherever there are such
    weights, for DVC; those of rows that are gone go."""
    kinds = (
        (layout.weights(), params.trained_elsewhere(), weights_digest),
        (layout.encoders(), params.encoding(), encoder_digest),
    )
    for place, rows, digest in kinds:
        folder = root / place
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name not in rows:
                remove(path)
        for row in rows:
            write_text(folder / row, f"{digest(params, row, root)}\n")
