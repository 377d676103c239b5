"""Parts of image files by their specifications, as no library writes them."""

import struct
import zlib

import numpy as np
from PIL import ImageCms

SIDE = 24  # of a TIFF, unless another size is said
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(kind, data):
    """Of a PNG."""
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def packed(levels, bits):
    """Rows of samples with the high bit first, each row filled up to a byte."""
    each = (levels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(each.reshape(len(levels), -1).astype(np.uint8), axis=1).tobytes()


def exchanged():
    """The profile of sRGB with the primaries of red and green exchanged, and nothing else."""
    tags = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    (count,) = struct.unpack_from(">L", SRGB, 128)
    profile = bytearray(SRGB)
    for place in range(132, 132 + 12 * count, 12):
        name = bytes(profile[place : place + 4])
        profile[place : place + 4] = tags.get(name, name)
    return bytes(profile)


def tiff(data, bits, photometric, order="<", size=(SIDE, SIDE), **more):
    """One strip without compression; `more` is tags by number, each with one SHORT."""
    tags = {256: size[0], 257: size[1], 258: bits, 259: 1, 262: photometric, 277: 1, 278: size[1]}
    tags |= {int(tag[1:]): value for tag, value in more.items()} | {273: 0, 279: len(data)}
    place = 8 + 2 + 12 * len(tags) + 4
    file = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}LH", 8, len(tags))
    for tag, value in sorted(tags.items()):
        long = tag in (256, 257, 273, 278, 279)
        value = place if tag == 273 else value
        file += struct.pack(f"{order}HHL{'L' if long else 'Hxx'}", tag, 4 if long else 3, 1, value)
    return file + bytes(4) + data
