"""From an image file to pixels: any kind of file as upright 8-bit RGB (docs/images.md)."""

import errno
import io
import logging
import os
import struct
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from msdd.data import metadata, tiff
from msdd.data.colour import to_srgb
from msdd.data.levels import opaque, with_eight_bits
from msdd.errors import MsddError
from msdd.files import shown

MAX_PIXELS = 178_956_970  # 0.5 GiB as RGB, and the limit that Pillow has had since its version 5
OF_FILE = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
# Formats that Pillow opens without decoding them, or by programs that may not be there: a file of
# PostScript is a program, which it gives to Ghostscript.
DECODERS = ("pillow", "tifffile", "imagecodecs", "pillow-heif", "pillow-jxl-plugin")
UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
# Formats of which Pillow makes another picture without a word: levels with a sign or an offset
# (FITS, IM, MCIDAS), negatives (XBM, PSD of 1 bit), the byte of filling for a colour (SUN), and of
# PSD the first of many inks alone, or a stored selection for transparency.
UNREAD |= {"FITS", "IM", "MCIDAS", "PSD", "SUN", "XBM"}
HEIC = {b"ftyp" + brand for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1")}
# Pillow warns between its limit and twice that. Here it is one limit, and what is above is refused.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Of metadata that cannot be read, such as EXIF or the frames of a PNG; it counts as none.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # errors are raised as well


class PhotographError(MsddError):
    """A file that gives no crops. `kind` is `unreadable` or `too_small`, `reason` names no path."""

    def __init__(self, name: object, kind: str, reason: str):
        super().__init__(f"{shown(str(name))}: {reason}")
        self.kind, self.reason = kind, reason


def read_file(path: Path, name: object) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise failure(path, name, error, error.strerror or str(error)) from error


def failure(path: Path, name: object, error: OSError, reason: str) -> MsddError:
    """PhotographError if the error is the file's own; else MsddError: storage that is away for a
    moment says nothing of an image, which would be left out for good."""
    if is_of_file(path, error):
        return PhotographError(name, "unreadable", reason)
    return MsddError(
        f"{shown(str(name))}: {reason}; if it was there a moment ago, see to the storage and run "
        "the same command again"
    )


def is_of_file(path: Path, error: OSError) -> bool:
    """Whether an error is of the file, and will be the same: it ends early, may not be read, or is
    a link to nothing."""
    return error.errno in (None, *OF_FILE) or path.is_symlink() and not path.exists()


def decode(file: bytes, name: object, srgb: bool = False) -> np.ndarray:
    """The image in the bytes of a file as uint8 RGB (H, W, 3), upright; the first, if many.

    `srgb` converts colours from an embedded profile to sRGB; otherwise profiles are ignored.
    Decoders report damage by exceptions of a dozen types; all become PhotographError.
    """
    # The limit is a global of Pillow, which its user may have lifted: it is only raised here, and
    # `check_pixels` refuses. All threads write the same value, so none disturbs another.
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels() > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels()
    try:
        return np.asarray(with_or_without_metadata(file, srgb))
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotographError(name, "unreadable", above_limit()) from error
    except UnidentifiedImageError as error:  # its own text holds the address of the buffer
        raise PhotographError(name, "unreadable", unidentified(file)) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotographError(name, "unreadable", reason) from error


def max_pixels() -> int:
    """The most pixels that an image may have: MSDD_MAX_PIXELS of the environment, or 179 million.

    Without a limit, a file of a few kilobytes could take all memory.
    """
    given = os.environ.get("MSDD_MAX_PIXELS", "") or str(MAX_PIXELS)
    if not given.isdecimal() or int(given) < 1:
        raise MsddError(f"MSDD_MAX_PIXELS: {given!r} is no number of pixels such as {MAX_PIXELS}")
    return int(given)


def readers() -> str:
    """What decides, beside a file, whether its image can be read: the limit and the decoders."""
    found = {name: _version(name) for name in DECODERS}
    return f"{max_pixels()} {found}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_pixels(size: tuple[int, int]) -> None:
    if size[0] * size[1] > max_pixels():
        raise ValueError(f"{size[0]} x {size[1]} are {above_limit()}")


def above_limit() -> str:
    return (
        f"more than {max_pixels():,} pixels: store a smaller image, or set the environment "
        "variable MSDD_MAX_PIXELS (decoding takes up to 20 bytes a pixel)"
    )


def unidentified(file: bytes) -> str:
    """Why Pillow opens no such file. A format that it knows says so itself, if asked directly."""
    for kind in formats():
        plugin, accept = Image.OPEN[kind]
        try:
            if file and accept and accept(file[:16]) is True:
                plugin(io.BytesIO(file), "")
        except Exception as error:
            said = " ".join(str(error).split())
            reason = f"damaged, or of a form that Pillow does not read ({said})"
            return f"{kind} file, {reason}: save it anew, for example as PNG"
    if file[4:12] in HEIC:
        return "a HEIC file, which Pillow does not read without a plugin: save it as PNG or JPEG"
    return "not an image of a known format" if file else "an empty file"


def with_or_without_metadata(file: bytes, srgb: bool) -> Image.Image:
    """What says nothing about pixels never costs the picture: a second try goes without it."""
    try:
        return to_rgb(file, srgb)
    except MemoryError:
        raise
    except Exception:
        bare = without_metadata(file)
        if bare is None:
            raise
    return to_rgb(bare, srgb, metadata.png_profile(file))


def without_metadata(file: bytes) -> bytes | None:
    try:
        classic = tiff.is_tiff(file) and not tiff.is_big(file)
        return tiff.without_metadata(file) if classic else metadata.left_out(file)
    except struct.error:  # the directory itself is damaged
        return None


def to_rgb(file: bytes, srgb: bool, profile: bytes | None = None) -> Image.Image:
    """8-bit RGB, upright, on white; `profile` is one that the file itself no longer holds."""
    image = load(file)
    orientation = metadata.orientation(image)
    image = opaque(with_eight_bits(image, file))
    profile = profile or image.info.get("icc_profile")
    image = flat(to_srgb(image, profile) if srgb and profile else image)
    return metadata.upright(image, orientation)


def load(file: bytes) -> Image.Image:
    """The first image of a file, as it is stored."""
    try:
        image = Image.open(io.BytesIO(file), formats=formats())
    except UnidentifiedImageError:
        if not tiff.is_tiff(file):
            raise
        return tiff.load(file, check_pixels)
    check_pixels(image.size)
    if image.format == "TIFF" and tiff.misread(image):
        return tiff.load(file, check_pixels)
    image.load()
    return image


def formats() -> list[str]:
    """Image formats recognised by a file's content, not by its ending, except UNREAD."""
    Image.init()
    return [kind for kind in Image.OPEN if kind not in UNREAD]


def flat(image: Image.Image) -> Image.Image:
    """The image as RGB, with transparency on white."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("LA") if image.mode == "La" else image  # Pillow knows no shorter way
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
