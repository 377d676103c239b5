"""What is measured of a batch of images: numbers of each image, and features."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from msdd.data.pixels import as_floats
from msdd.device import exact
from msdd.evaluate import faces, ocr
from msdd.evaluate.class_columns import best_classes, class_numbers
from msdd.evaluate.columns import RATE, Features, MetricColumn, all_pairs, columns
from msdd.evaluate.latent_sums import Encoded, check_encoded, nominal_rate
from msdd.evaluate.networks import Networks
from msdd.evaluate.protocol import Protocol
from msdd.metrics.gaussian_ssim import RADIUS, gaussian_ssim, ms_ssim
from msdd.metrics.patches import patches
from msdd.metrics.pixel import WINDOW, squared_error, ssim
from msdd.metrics.psnr_hvs import SIDE, psnr_hvs, psnr_hvs_m
from msdd.metrics.quantisation import Views
from msdd.weights.features import Inception
from msdd.weights.threads import by_threads

PATCH_BATCH = 64  # patches at once on a GPU
FEATURE_BATCH = 8  # on a CPU larger batches of the feature network are slower
SMALLEST = {  # sides that columns need, in pixels, and what people call the columns
    "ssim": (WINDOW, "SSIM"),
    "gaussian_ssim": (RADIUS + 1, "SSIM Gaussian"),
    "psnr_hvs": (SIDE, "PSNR-HVS"),
}
OF_PIXELS = {  # measures of a pair of images that nothing else decides
    "squared_error": squared_error,
    "psnr_hvs": psnr_hvs,
    "psnr_hvs_m": psnr_hvs_m,
    "ms_ssim": ms_ssim,
}


class Measurement(NamedTuple):
    """What was measured of a batch of images of one size.

    ids:      places of the images in the whole set
    values:   a number for each image, by column
    features: features (N, D) of the first N of the images; N is below the batch's where a distance
              takes only the first images of the set
    pixels:   values in one image, over all channels
    encoded:  the latents, if they are measured
    """

    ids: Sequence[int]
    names: Sequence[str]
    values: dict[str, list[float]]
    features: list[tuple[Features, Tensor]]
    pixels: int
    encoded: Encoded | None = None


class Measurer:
    """Measures originals and reconstructions batch by batch; it keeps nothing of them.

    protocols: what is measured, all on the same crops
    networks:  all their networks
    known:     features that need not be taken, because their statistics are known

    Its `columns` are the numbers of each image, always one of squared errors among them; its
    `features` are those that are taken. Images need `least_side` pixels a side, for the
    metric beside it.
    """

    def __init__(
        self, protocols: Sequence[Protocol], networks: Networks, known: Iterable[Features] = ()
    ) -> None:
        self.networks = networks
        wanted = {column for p in protocols for column in columns(p).values()}
        if not any(column.kind == "squared_error" for column in wanted):
            wanted.add(MetricColumn("squared_error", "none"))  # to tell good images from bad ones
        self.columns = sorted(wanted, key=str)
        self.least_side = max(SMALLEST.get(column.kind, (1, "")) for column in wanted)
        sides = {side for p in protocols for pair in all_pairs(p) for side in pair}
        self.features = sorted(sides - set(known), key=str)
        self.of_latents = any(p.codes or p.latents for p in protocols)

    @torch.inference_mode()
    def measure(
        self,
        ids: Sequence[int],
        names: Sequence[str],
        originals: Tensor,
        reconstructions: Tensor,
        encoded: Encoded | None = None,
        rates: Sequence[float] | None = None,
    ) -> Measurement:
        """Measure a batch of images (B, 3, H, W): originals uint8, reconstructions uint8 or floats
        in [-1, 1]. `ids`, ascending, are the places of the images in the whole set; `rates` are the
        bits per pixel of their files, NaN for a file that is no compressed image.
        """
        measured = encoded if self.of_latents and encoded and encoded.told else None
        if measured:
            check_encoded(measured, names)
        views = Views(originals, reconstructions)
        with exact(originals.device):
            values = {str(c): value.tolist() for c, value in self.numbers(views, names).items()}
            features = [
                (wanted, rows)
                for wanted in self.features
                for rows in self.features_of(wanted, first_of(wanted, ids, views))
            ]
        if RATE in self.columns:
            values[str(RATE)] = list(rates or [nominal_rate(encoded, originals)] * len(ids))
        return Measurement(ids, names, values, features, originals[0].numel(), measured)

    def numbers(self, views: Views, names: Sequence[str]) -> dict[MetricColumn, Tensor]:
        """Numbers (B,) by column; those of one network or judge are computed together."""
        numbers, by_net = {}, {}
        judged: dict[tuple[str, str, str], list[MetricColumn]] = {}
        for column in self.columns:
            if column == RATE:
                continue  # of no image
            if column.kind in OF_PIXELS:
                numbers[column] = OF_PIXELS[column.kind](*views.unit(column.quantisation))
            elif column.kind == "ssim":
                numbers[column] = ssim(*views.unit(column.quantisation), float(column.variant))
            elif column.kind == "gaussian_ssim":
                numbers[column] = gaussian_ssim(*views.unit(column.quantisation), column.variant)
            elif column.kind in ("dists", "dreamsim"):
                network = self.networks.alone[column.kind]
                numbers[column] = network.distance(*views.pair(column.quantisation))
            elif column.kind in ("classes", "text", "faces"):
                key = (column.kind, column.quantisation, column.table)
                judged.setdefault(key, []).append(column)
            else:
                by_net.setdefault(column.variant, []).append(column)
        for net, same in by_net.items():
            pairs = [views.pair(column.quantisation) for column in same]
            numbers |= zip(same, self.networks.lpips[net].distances(pairs), strict=True)
        for (kind, rule, table), same in judged.items():
            found = self.judge(kind, views.pair(rule), names, table or None)
            numbers |= {column: doubles(found[column.variant]) for column in same}
        return numbers

    def judge(
        self, kind: str, pair: tuple[Tensor, Tensor], names: Sequence[str], table: str | None
    ) -> dict[str, list[float]]:
        """Lists of numbers by name: of recognised classes, of text, or of faces."""
        network = self.networks.alone[kind]
        if kind == "text":
            return ocr.numbers_of(network, names, *pair, table)
        if kind == "faces":
            return faces.numbers_of(network, *pair)
        real, made = (best_classes(network, side, FEATURE_BATCH) for side in pair)
        return class_numbers(real, made, names, table)

    def features_of(self, wanted: Features, images: Tensor) -> list[Tensor]:
        """Features (B, D) of images or of their patches, in one block; none of no image."""
        network = self.networks.features[wanted.network, wanted.resize]
        parts = parts_to_see(images, wanted.patch)
        if wanted.patch is None and isinstance(network, Inception):
            rows = by_threads(lambda x: network(as_floats(x)), parts, images.device)
        else:
            rows = [network(as_floats(x)) for x in parts]
        return [torch.cat(rows)] if rows else []


def first_of(wanted: Features, ids: Sequence[int], views: Views) -> Tensor:
    """The images of a side that are among the first so many of the set."""
    count = sum(wanted.first is None or i < wanted.first for i in ids)  # ids ascend
    return views.side(wanted.side, wanted.quantisation)[:count]


def parts_to_see(images: Tensor, patch: int | None) -> Iterator[Tensor]:
    """What a network is given at once: images, or patches of them, which are stacked as they are
    due, so that of a large image no copy is made."""
    if patch is None:
        size = len(images) if images.is_cuda else FEATURE_BATCH
        yield from images.split(max(size, 1)) if len(images) else ()
        return
    every = patches(images, patch)
    while some := list(islice(every, PATCH_BATCH if images.is_cuda else FEATURE_BATCH)):
        yield torch.stack(some)


def doubles(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
