"""From the colours of an embedded profile to sRGB."""

import io

from PIL import Image, ImageCms

WITHOUT_PROFILE = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "YCbCr": "RGB", "LAB": "RGB"}


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An RGB or RGBA image in sRGB; the colours as they are, if the profile does not fit.

    Relative colorimetric with black point compensation, as viewers commonly do. A profile that is
    broken or of another colour space than the image's (of CMYK in an RGB file) counts as none.
    """
    image = with_channels(image)
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    colour = image.convert(image.mode.removesuffix("A")) if alpha else image
    try:
        converted = ImageCms.profileToProfile(
            colour,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if alpha:
        converted.putalpha(alpha)
    return converted


def with_channels(image: Image.Image) -> Image.Image:
    """In a mode that a profile can speak of: L, LA, RGB, RGBA or CMYK."""
    if image.mode == "P" and image.has_transparency_data:
        return image.convert("RGBA")
    wanted = WITHOUT_PROFILE.get(image.mode)
    return image.convert(wanted) if wanted else image
