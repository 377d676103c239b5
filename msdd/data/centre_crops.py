"""The centre crops of the papers' data loaders, to the pixel, with Pillow's kernels."""

from collections.abc import Callable

from PIL import Image

from msdd.data.image_file import max_pixels
from msdd.errors import MsddError

Kernel = Image.Resampling


def adm(image: Image.Image, side: int) -> Image.Image:
    """Halved by box means while it stays at least `side` across, then bicubic; both sides rounded.

    The centre crop of ADM (Dhariwal, Nichol 2021), which most later code has taken over.
    """
    return cut(adm_resize(image, side), side, lambda excess: excess // 2)


def adm_resize(image: Image.Image, short: int) -> Image.Image:
    """The whole image with a short side of `short` pixels, by ADM's kernels."""
    while min(image.size) >= 2 * short:
        image = image.resize((image.width // 2, image.height // 2), Kernel.BOX)
    factor = short / min(image.size)
    return image.resize([round(length * factor) for length in image.size], Kernel.BICUBIC)


def torchvision(image: Image.Image, side: int, kernel: Kernel) -> Image.Image:
    """torchvision's Resize of the short side and CenterCrop, on an image of Pillow's.

    The long side loses its fraction; half an odd excess is rounded to the even pixel.
    """
    size = [int(side * length / min(image.size)) for length in image.size]
    return cut(image.resize(size, kernel), side, lambda excess: round(excess / 2))


def lanczos(image: Image.Image, side: int) -> Image.Image:
    """DiTo's: Lanczos, the long side from the ratio of the sides."""
    width, height = image.size
    size = (
        (side, int(height / width * side)) if width < height else (int(width / height * side), side)
    )
    return cut(image.resize(size, Kernel.LANCZOS), side, lambda excess: excess // 2)


def cut(image: Image.Image, side: int, half: Callable[[int], int]) -> Image.Image:
    """The square in the centre; `half` says where it begins in the excess of a length."""
    left, top = half(image.width - side), half(image.height - side)
    return image.crop((left, top, left + side, top + side))


def centre_crop(image: Image.Image, crop: str, side: int, name: object) -> Image.Image:
    """The square of `side` that one of CROPS makes of the image.

    MsddError naming it for a line of pixels that would be enlarged as a whole to more than
    `max_pixels` allows: a few kilobytes would take all memory.
    """
    if (whole := max(image.size) * side // min(image.size) * side) > max_pixels():
        raise MsddError(
            f"{name} has {image.width} x {image.height} pixels: with a short side of {side} it "
            f"would have {whole:,}; crop it first"
        )
    return CROPS[crop](image, side)


CROPS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "adm": adm,
    "bilinear": lambda image, side: torchvision(image, side, Kernel.BILINEAR),
    "bicubic": lambda image, side: torchvision(image, side, Kernel.BICUBIC),
    "lanczos": lanczos,
}
