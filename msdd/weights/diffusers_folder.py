"""Folders of diffusers: where in them an autoencoder lies, and in which form its weights are there.

By `save_pretrained` of diffusers 0.42 a form is one file, `diffusion_pytorch_model.safetensors` or
`.bin`, or several with an index. A variant stands in the name: `STEM.fp16.safetensors`, or
`STEM.safetensors.index.fp16.json`.
"""

import re
import sys
from pathlib import Path

import torch

from msdd.errors import MsddError
from msdd.files import read_json
from msdd.weights import official, shards

STEM = "diffusion_pytorch_model"
SHARD = re.compile(r".*-\d+-of-\d+\b.*")
WHOLE = re.compile(rf"{STEM}(\.[^.]+)?\.(safetensors|bin)")
INDEX = re.compile(rf"{STEM}\.(safetensors|bin)\.index(\.[^.]+)?\.json")
VAE = "vae"  # the folder in a pipeline's


def place(folder: Path) -> Path | None:
    """The folder of an autoencoder: this one, or `vae/` in a pipeline's; None for other folders."""
    config = folder / "config.json"
    if config.exists():
        values = read_json(config)
        return folder if isinstance(values, dict) and "_class_name" in values else None
    if (folder / VAE / "config.json").exists():
        return folder / VAE
    if (folder / "model_index.json").exists():
        raise MsddError(
            f"{folder}: a pipeline of diffusers without {VAE}/config.json; fetch {VAE}/"
        )
    return None


def choose(folder: Path) -> Path:
    """The file with the weights, or their index; of several forms the most precise one.

    Says on stderr what it takes, unless that is the one plain form. Raises MsddError for a folder
    without weights in a form that is read.
    """
    found = forms(folder)
    if not found:
        raise MsddError(
            f"{folder}: there is no {STEM}.safetensors or .bin, nor one of a variant (.fp16.) or "
            f"an index of shards that are here; it has {listing(folder)}"
        )
    first = max(found, key=rank) if len(found) > 1 else found[0]
    others = [form.name for form in found if form != first]
    if others or is_variant(first):
        also = f"; also there: {', '.join(others)}" if others else ""
        print(f"msdd: {folder}: {first.name} is taken, as float32{also}", file=sys.stderr)
    return first


def forms(folder: Path) -> list[Path]:
    """The single files and the indices in a folder; an index without any of its shards is none."""
    files = [path for path in sorted(folder.glob(f"{STEM}*")) if path.is_file()]
    single = [p for p in files if WHOLE.fullmatch(p.name) and not SHARD.fullmatch(p.name)]
    spread = [path for path in files if INDEX.fullmatch(path.name)]
    present = [path for path in spread if any(map(Path.is_file, shards.files_of(path)))]
    return [*single, *(present or (spread if not single else []))]


def rank(form: Path) -> tuple:
    """Greater is better: precision, plain before `ema` before other variants, the rest."""
    ending = form.name.removeprefix(STEM)
    plain = not is_variant(form)
    return (precision(form), plain, ".ema." in ending, ".safetensors" in ending, form.suffix)


def is_variant(form: Path) -> bool:
    match = WHOLE.fullmatch(form.name) or INDEX.fullmatch(form.name)
    return any((group or "").startswith(".") for group in match.groups())


def precision(form: Path) -> float:
    """1 over the relative step of the least precise number in a form's first file: 1024 for fp16,
    128 for bf16; 0 where the file cannot be read."""
    try:
        state = official.content(shards.files_of(form)[0])
    except MsddError:
        return 0
    kinds = {value.dtype for value in state.values() if value.is_floating_point()}
    return min((1 / torch.finfo(kind).eps for kind in kinds), default=0)


def listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"
