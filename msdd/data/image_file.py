"""From an image file to pixels: any kind of file as upright 8-bit RGB."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from msdd.errors import MsddError


class PhotographError(MsddError):
    """A file that gives no crops. `kind` is `unreadable` or `too_small`, `reason` names no path."""

    def __init__(self, name: object, kind: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.kind, self.reason = kind, reason


def read_photograph(path: str | Path) -> np.ndarray:
    """The pixels of an image file as uint8 (H, W, 3), upright; raises PhotographError."""
    return decode(read_file(Path(path), path), path)


def read_file(path: Path, name: object) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PhotographError(name, "unreadable", error.strerror or str(error)) from error


def decode(file: bytes, name: object) -> np.ndarray:
    """The image in the bytes of a file as uint8 RGB (H, W, 3), upright; the first, if many.

    Decoders report damage by exceptions of a dozen types; all become PhotographError.
    """
    try:
        with Image.open(io.BytesIO(file)) as image:
            return np.asarray(to_rgb(ImageOps.exif_transpose(image)))
    except MemoryError:
        raise
    except UnidentifiedImageError as error:  # its own text holds the address of the buffer
        reason = "not an image of a known format" if file else "an empty file"
        raise PhotographError(name, "unreadable", reason) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotographError(name, "unreadable", reason) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture as 8-bit RGB: transparency on white, 16 bits by their high byte.

    The high byte maps 257 k to k and 65535 to 255; it is also what Pillow does to 16-bit colour.
    Colour profiles are not applied, as in the field's other pipelines.
    """
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range; save it as 8 or 16 bit")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
