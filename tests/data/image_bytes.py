"""Parts of image files by their specifications, as no library writes them."""

import struct
import zlib

import numpy as np
from PIL import ImageCms

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
