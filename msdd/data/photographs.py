"""Which photographs are trained on and which are held out."""

import importlib.util
from pathlib import Path

import numpy as np

from msdd.data.image_file import decode, read_file
from msdd.data.photograph import Photograph
from msdd.data.remote import Remote
from msdd.data.sources import Source, photographs, source
from msdd.errors import MsddError
from msdd.params.sections import Data
from msdd.pipeline.checkout import original
from msdd.seeds import hash_of

EMBEDDED_TRAIN = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "china.jpg")
EMBEDDED_HELD_OUT = ("rocket.jpg", "flower.jpg")
OF_SCIKIT_LEARN = {"china.jpg", "flower.jpg"}


def divided(found: dict[str, Source], data: Data) -> dict[str, list[Photograph]]:
    """The photographs of `train` and of `held_out`, each sorted by name, from what `sources` found.

    The split is by photograph: no file gives crops to both sides.
    """
    train = photographs(found["train"]) if "train" in found else None
    if "held_out" in found:
        held_out = photographs(found["held_out"])
    elif train is None:
        held_out = embedded_photographs(EMBEDDED_HELD_OUT)
    else:
        train, held_out = divide(train, data.held_out_fraction)
    return {"train": train or embedded_photographs(EMBEDDED_TRAIN), "held_out": held_out}


def sources(data: Data, root: Path) -> dict[str, Source]:
    """What `data.photographs` (`train`) and `data.held_out` name, if it is not embedded or null.

    Relative folders are taken below `root`.
    """
    named = {"train": ("photographs", data.photographs), "held_out": ("held_out", data.held_out)}
    found = {
        side: source(original(root), value, f"data.{key}")
        for side, (key, value) in named.items()
        if value not in (None, "embedded")
    }
    if len(found) == 2:
        check_apart(found["train"], found["held_out"])
    return found


def embedded_photographs(names: tuple[str, ...]) -> list[Photograph]:
    """Photographs that the wheels of scikit-image and scikit-learn carry; nothing is fetched."""
    return [embedded_photograph(name) for name in sorted(names)]


def embedded_photograph(name: str) -> Photograph:
    package, module, below = "scikit-image", "skimage", "data"
    if name in OF_SCIKIT_LEARN:
        package, module, below = "scikit-learn", "sklearn", "datasets/images"
    spec = importlib.util.find_spec(module)  # finds the folder without importing the package
    folder = Path(spec.origin).parent / below if spec else None
    if folder is None or not (folder / name).is_file():
        raise MsddError(
            f"data.photographs: `embedded` needs {name} of the package {package}, which is missing "
            f'here: pip install "msdd[pipeline]", or name a folder of images'
        )
    return Photograph(name, str(folder))


def check_apart(train: Source, held_out: Source) -> None:
    """Held-out images inside the training folder or archives, or the reverse: a test trained on."""
    one, other = places(train), places(held_out)
    if any(not a.isdisjoint([b, *b.parents]) for a, bs in ((one, other), (other, one)) for b in bs):
        raise MsddError(
            f"data.held_out: {train.value} and {held_out.value} contain each other;"
            " held-out images must be separate from data.photographs"
        )


def places(source: Source) -> set[Path]:
    """The folder of images, or the archives; those of file:// lie where their paths say."""
    return {local(path).resolve() for path in source.archives or [source.folder]}


def local(path: Path | Remote) -> Path | Remote:
    scheme, _, rest = path.base.partition("://") if isinstance(path, Remote) else ("", "", "")
    return Path(rest) if scheme == "file" else path


def divide(
    photographs: list[Photograph], fraction: float
) -> tuple[list[Photograph], list[Photograph]]:
    """Train and held-out photographs by a hash of the name.

    A photograph keeps its side when others are added or removed, but for the two rescues: the
    lowest hash is held out even when it is above `fraction`, the highest always trains.
    """
    if len(photographs) < 2:
        raise MsddError(
            f"data.photographs: {photographs[0].place} holds one image, and a held-out one is "
            "needed too: add images, or set data.held_out"
        )
    ranked = sorted(photographs, key=lambda photograph: hash_of(photograph.name))
    below = sum(hash_of(photograph.name) < fraction * 2**128 for photograph in ranked)
    cut = min(max(below, 1), len(ranked) - 1)
    return tuple(sorted(part, key=lambda p: p.name) for part in (ranked[cut:], ranked[:cut]))


def read_photograph(path: str | Path) -> np.ndarray:
    """The pixels of an image file as uint8 (H, W, 3), upright; raises PhotographError."""
    return decode(read_file(Path(path), path), path)
