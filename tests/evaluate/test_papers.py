"""Every paper's protocol against a slow and independent version of its code."""

from pathlib import Path

import numpy as np
import pytest
import straightforward
import torch
from faded import SIDE, evaluated, faded, small
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from msdd.data.centre_crops import CROPS
from msdd.data.image_folder import stack
from msdd.metrics.dists import Dists
from msdd.metrics.frechet import Moments, frechet_distance
from msdd.metrics.psnr_hvs import psnr_hvs, psnr_hvs_m
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.pretrained_networks import feature_network, lpips_network

NAMES = ["astronaut.png", "chelsea.png", "china.jpg", "coffee.png", "motorcycle_left.png"]
pytestmark = pytest.mark.usefixtures("own_cache")


# What each paper's code does to images, in NumPy and in its own order of operations:
# (originals in [0, 1], reconstructions in [-1, 1]) to both as levels 0..255, maybe with fractions.
def unit(u):
    return u.astype(np.float32) / np.float32(255)


def rounded(u, x):
    return u, np.round(255 * np.clip((x + 1) / 2, 0, 1))


def shifted(u, x):
    centred = (unit(u) - np.float32(0.5)) / np.float32(0.5)
    return [np.trunc(np.clip(127.5 * images + 128, 0, 255)) for images in (centred, x)]


def flowmos(u, x):
    centred = (u / 127.5 - 1.0).astype(np.float32)
    return [np.trunc((np.clip(images, -1, 1) + 1) / 2 * 255) for images in (centred, x)]


def reconstructions_truncated(u, x):
    return u, np.trunc(255 * np.clip((x + 1) / 2, 0, 1))


def as_floats(u, x):
    return u, 255 * np.clip((x + 1) / 2, 0, 1)


def png_files(u, x):
    centred = (unit(u) - np.float32(0.5)) / np.float32(0.5)
    return [np.trunc(np.clip(images * 0.5 + 0.5, 0, 1) * 255) for images in (centred, x)]


# By protocol: crop, levels and pool of PSNR, levels and range of SSIM, levels and trunks of LPIPS,
# levels of features. A None is not computed.
REFERENCES = {
    "primary": ("adm", rounded, 1, rounded, 1, rounded, ("alex", "vgg"), None),
    "msdd": ("adm", shifted, 1, shifted, 2, None, (), shifted),
    "llamagen": ("adm", shifted, 1, shifted, 2, None, (), None),
    "ssdd": ("bilinear", rounded, "all", rounded, 1, rounded, ("alex",), rounded),
    "flowmo": ("bilinear", flowmos, 5, flowmos, 1, as_floats, ("alex", "vgg"), as_floats),
    "dito": ("lanczos", as_floats, 1, None, None, None, (), png_files),
    "titok": ("bicubic", None, None, None, None, None, (), rounded),
    "extended": ("adm", rounded, 1, rounded, 1, rounded, ("alex", "vgg"), None),
    "vavae": ("bilinear", shifted, 1, None, None, as_floats, ("vgg",), shifted),
    "rae": ("adm", reconstructions_truncated, 1, None, None, None, (), reconstructions_truncated),
    "dc-ae": ("adm", rounded, 1, None, None, rounded, ("alex",), None),
    "gigatok": ("adm", shifted, 1, shifted, 2, as_floats, ("vgg",), None),
    "l-detok": ("adm", as_floats, 1, None, None, None, (), png_files),
}
# Levels of SSIM with a Gaussian window, and which of them is 0.
GAUSSIAN = {
    "extended": (rounded, 0),
    "vavae": (as_floats, 127.5),
    "rae": (reconstructions_truncated, 0),
    "dc-ae": (rounded, 0),
}


def slow_psnr(a, b, pool) -> float:
    if pool == "all":
        return -10 * np.log10(((a - b) ** 2).mean() / 255**2)
    groups = [slice(i // pool * pool, (i // pool + 1) * pool) for i in range(len(a))]
    return np.mean([peak_signal_noise_ratio(a[g], b[g], data_range=255) for g in groups])


def slow_lpips(net, a, b) -> float:
    network = lpips_network(net)
    with torch.no_grad():
        sides = [torch.from_numpy(x / 127.5 - 1).float().permute(0, 3, 1, 2) for x in (a, b)]
        pairs = zip(*(side.split(1) for side in sides), strict=True)
        return np.mean([network(*pair).item() for pair in pairs])


def slow_gaussian_ssim(a, b, zero) -> float:
    """By torchmetrics, for levels that count from `zero`, in float64."""
    import_torchvision()
    from torchmetrics.functional.image import structural_similarity_index_measure

    sides = [torch.from_numpy(x - zero).permute(0, 3, 1, 2) for x in (b, a)]
    return structural_similarity_index_measure(*sides, data_range=255.0).item()


def slow_dists(a, b) -> float:
    """Image by image; tests/metrics/test_dists.py holds it to its package."""
    sides = [torch.from_numpy(x).permute(0, 3, 1, 2).to(torch.uint8) for x in (a, b)]
    distances = [
        Dists(torch.device("cpu")).distance(x[None], y[None]) for x, y in zip(*sides, strict=True)
    ]
    return torch.cat(distances).mean().item()


def slow_psnr_hvs(measure, a, b) -> float:
    """Image by image; tests/metrics/test_psnr_hvs.py holds it to its formula."""
    sides = [torch.from_numpy(x).permute(0, 3, 1, 2).to(torch.uint8).split(1) for x in (a, b)]
    return np.mean([measure(*pair).item() for pair in zip(*sides, strict=True)])


def slow_distance(a, b) -> float:
    network, sides = feature_network("efficientnet-lite0"), []
    for images in (a, b):
        floats = torch.from_numpy(images / 127.5 - 1).float().permute(0, 3, 1, 2)
        sides.append(Moments(1280))
        with torch.no_grad():
            sides[-1].update(network(floats))
    return frechet_distance(*sides)


def slow_figures(folder: Path, name: str) -> dict[str, float]:
    crop, psnr_of, pool, ssim_of, data_range, lpips_of, nets, features_of = REFERENCES[name]
    images = [Image.open(folder / file).convert("RGB") for file in NAMES]
    u = np.stack([np.asarray(CROPS[crop](image, SIDE)) for image in images])
    x = faded(stack(u).float() / 127.5 - 1).permute(0, 2, 3, 1).numpy()
    found = {}
    if features_of:
        found["fd_efficientnet_lite0"] = slow_distance(*map(np.float64, features_of(u, x)))
    if psnr_of:
        found["psnr"] = slow_psnr(*map(np.float64, psnr_of(u, x)), pool)
    if ssim_of:
        sides = map(np.float64, ssim_of(u, x))
        found["ssim"] = np.mean(straightforward.ssim_of_each(*sides, data_range))
    if name in GAUSSIAN:
        levels, zero = GAUSSIAN[name]
        found["gaussian_ssim"] = slow_gaussian_ssim(*map(np.float64, levels(u, x)), zero)
    if name == "extended":
        found["dists"] = slow_dists(*map(np.float64, rounded(u, x)))
        found["psnr_hvs"] = slow_psnr_hvs(psnr_hvs, *map(np.float64, rounded(u, x)))
        found["psnr_hvs_m"] = slow_psnr_hvs(psnr_hvs_m, *map(np.float64, rounded(u, x)))
    for net in nets:
        found[f"lpips_{net}"] = slow_lpips(net, *map(np.float64, lpips_of(u, x)))
    return found


@pytest.fixture(scope="module")
def of_all(photographs) -> dict:
    """Without the distances that cost time and see the same images as another one's."""
    chosen = {
        name: protocol if REFERENCES[name][-1] else protocol.with_features("none")
        for name, protocol in small(list(REFERENCES)).items()
    }
    without = {"codes": False, "latents": False, "classes": None, "text": None, "faces": None}
    chosen["extended"] = chosen["extended"].model_copy(update=without)
    return evaluated(photographs, chosen)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_protocol_is_what_the_papers_code_does(photographs, of_all, name):
    figures = of_all["protocols"][name]["metrics"]
    found = {k: v["mean"] if isinstance(v, dict) else v for k, v in figures.items()}
    expected = slow_figures(photographs, name)
    if distance := expected.pop("fd_efficientnet_lite0", None):
        assert found.pop("fd_efficientnet_lite0") == pytest.approx(distance, rel=1e-4)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_dreamsim_is_told_to_be_missing(of_all):
    assert "dreamsim" not in of_all["protocols"]["ssdd"]["metrics"]
    assert of_all["not_measured"]["dreamsim"].startswith(("the package", "its weights"))


def test_ms_ssim_of_small_images_is_told_to_be_missing(of_all):
    assert "ms_ssim" not in of_all["protocols"]["extended"]["metrics"]
    assert of_all["not_measured"]["ms_ssim"].endswith("in astronaut and 4 others")
