"""Photographs and archives of them, for `fuzz_targets`: each form that is read in its own way."""

import io
import tarfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from msdd.data import image_file, parquet, sources
from msdd.data.photograph import Photograph


@cache
def picture(side: int = 24) -> Image.Image:
    numbers = np.random.default_rng(0).integers(0, 256, (side, side, 3))
    return Image.fromarray(numbers.astype(np.uint8))


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


@cache
def images() -> list[bytes]:
    """Every format and form that differs in how it is read, with EXIF and profile."""
    image, exif = picture(), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    about = {"exif": exif.tobytes(), "icc_profile": profile}
    made = [saved(image, kind, **about) for kind in ("JPEG", "WEBP", "TIFF")]
    made += pngs()
    made += [saved(image.convert(mode), "TIFF") for mode in ("1", "L", "RGBA", "CMYK", "I;16", "F")]
    packings = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    made += [saved(image, "TIFF", compression=packing) for packing in packings]
    made += [saved(image, kind) for kind in ("BMP", "PPM", "TGA", "PCX", "ICO", "SGI", "DDS", "IM")]
    made += [saved(image.convert("P"), kind) for kind in ("GIF", "BMP")]
    made += [saved(image, "JPEG", progressive=True), saved(image.convert("CMYK"), "JPEG")]
    made += [saved(image, kind) for kind in ("AVIF", "JPEG2000", "MPO") if kind in Image.SAVE]
    return [*made, *tiffs()]


def tiffs() -> list[bytes]:
    """Forms that tifffile writes: planes, tiles, 16 bits, signed, big."""
    import tifffile

    levels = np.random.default_rng(0).integers(0, 2**16, (32, 32, 3)).astype(np.uint16)
    planes = {"planarconfig": "separate", "photometric": "rgb"}
    forms = [(levels, {"photometric": "rgb"}), (levels.transpose(2, 0, 1), planes)]
    forms += [(levels, {"photometric": "rgb", "tile": (16, 16)}), (levels[..., 0].astype("i2"), {})]
    forms += [(levels[..., 0], {"photometric": "miniswhite", "byteorder": ">"})]
    forms += [(levels[..., :2], {"extrasamples": ["unassalpha"], "planarconfig": "contig"})]
    made = []
    for values, how in forms:
        file = io.BytesIO()
        tifffile.imwrite(file, values, **how)
        made.append(file.getvalue())
    return made


@cache
def pngs() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 3
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    modes = ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")
    made = [saved(picture().convert(mode), "PNG", icc_profile=profile) for mode in modes]
    return [
        *made,
        saved(picture(), "PNG", exif=exif),
        saved(picture().convert("P"), "PNG", transparency=3),
    ]


def read_image(path: Path) -> None:
    for srgb in (False, True):
        image_file.decode(image_file.read_file(path, path), path, srgb)


@cache
def tars() -> list[bytes]:
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        inner = tar({"b.png": pngs()[0], f"{'c' * 60}/{'d' * 80}.png": pngs()[2]}, form)
        made += [tar({"a.png": pngs()[0], "n01440764.tar": inner, "ä.jpg": images()[0]}, form)]
    return made


def tar(members: dict[str, bytes], form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return file.getvalue()


def read_archive(path: Path) -> None:
    """What `prepare` does with an archive; names inside it are names, and lead nowhere."""
    for one in sources.photographs(sources.source(Path("."), path, "data.photographs")):
        read_photograph(one)


def read_photograph(one: Photograph) -> None:
    with suppress(image_file.PhotographError):  # one line; the others are read
        image_file.decode(one.read(), one.name)


@cache
def parquets() -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet as pq

    rows = [{"bytes": image, "path": None} for image in pngs()[:4]]
    made = []
    for packing in ("none", "snappy", "zstd"):
        file = io.BytesIO()
        pq.write_table(pa.table({"image": rows}), file, compression=packing, row_group_size=2)
        made.append(file.getvalue())
    return made


def read_parquet(path: Path) -> None:
    parquet.first_rows.cache_clear()
    parquet.images.cache_clear()
    read_archive(path)
