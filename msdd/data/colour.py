"""From the colours of an embedded profile to sRGB."""

import io

import numpy as np
from PIL import Image, ImageCms

WITHOUT_PROFILE = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "YCbCr": "RGB"}


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An RGB or RGBA image in sRGB; the colours as they are, if the profile does not fit.

    Relative colorimetric with black point compensation, as viewers commonly do. A profile that is
    broken or of another colour space than the image's (of CMYK in an RGB file) counts as none.
    """
    image = with_channels(image)
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    colour = image.convert(image.mode.removesuffix("A")) if alpha else image
    try:
        result = converted(colour, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if alpha:
        result.putalpha(alpha)
    return result


def converted(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """L, RGB or CMYK to RGB.

    For gray, LittleCMS 2.19 interpolates between a few nodes and misses a linear profile by up to
    10 levels; without that it takes 0.3 s a megapixel, so it is asked for 256 levels only.
    """
    if image.mode != "L":
        return transformed(image, profile, ImageCms.Flags.NONE)
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    table = np.asarray(transformed(ramp, profile, ImageCms.Flags.NOOPTIMIZE))[0]
    return Image.fromarray(table[np.asarray(image)])


def transformed(
    image: Image.Image, profile: ImageCms.ImageCmsProfile, flags: ImageCms.Flags
) -> Image.Image:
    return ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def with_channels(image: Image.Image) -> Image.Image:
    """The image in a mode that a colour profile applies to: L, LA, RGB, RGBA or CMYK."""
    if image.mode == "P" and image.has_transparency_data:
        return image.convert("RGBA")
    wanted = WITHOUT_PROFILE.get(image.mode)
    return image.convert(wanted) if wanted else image
