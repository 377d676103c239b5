"""What an evaluation has measured so far: numbers of every image, and sums of features.

An accumulator grows batch by batch and takes in the states of others. Its memory is that of the
sums, plus a few numbers an image; and however batches are dealt to processes, it ends with the same
bits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from msdd.data.pixels import from_uint8
from msdd.device import exact
from msdd.evaluate import faces, ocr
from msdd.evaluate.class_columns import best_classes, class_numbers
from msdd.evaluate.columns import (
    RATE,
    Features,
    MetricColumn,
    all_pairs,
    columns,
    features_to_sample,
)
from msdd.evaluate.latent_sums import (
    Encoded,
    LatentSums,
    check_encoded,
    new_sums,
    nominal_rate,
    sums_from,
)
from msdd.evaluate.networks import Networks
from msdd.evaluate.protocols import Protocol
from msdd.metrics.frechet import Moments
from msdd.metrics.gaussian_ssim import gaussian_ssim, ms_ssim
from msdd.metrics.kid import Sample
from msdd.metrics.patches import patches
from msdd.metrics.pixel import squared_error, ssim
from msdd.metrics.pooling import mean_psnr
from msdd.metrics.psnr_hvs import psnr_hvs, psnr_hvs_m
from msdd.metrics.quantisation import Views
from msdd.weights.features import Inception
from msdd.weights.threads import by_threads

LATENTS = "latents/"  # what their sums' names begin with in a state
PATCH_BATCH = 64  # patches at once on a GPU
FEATURE_BATCH = 8  # on a CPU larger batches of the feature network are slower
OF_PIXELS = {  # measures of a pair of images that nothing else decides
    "squared_error": squared_error,
    "psnr_hvs": psnr_hvs,
    "psnr_hvs_m": psnr_hvs_m,
    "ms_ssim": ms_ssim,
}


class Sums(nn.Module):
    """The moments of features, and for KID a sample of them."""

    def __init__(self, dimensions: int, sampled: bool, device: torch.device) -> None:
        super().__init__()
        self.moments = Moments(dimensions, device)
        self.sample = Sample(dimensions) if sampled else None

    def update(self, names: Sequence[str], features: Tensor) -> None:
        """Add features (B, D) of the images of these names."""
        self.moments.update(features)
        if self.sample is not None:
            self.sample.update(names, features)

    def merge(self, other: "Sums") -> None:
        self.moments.merge(other.moments)
        if self.sample is not None:
            self.sample.merge(other.sample)


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


class Accumulator:
    """Grows by `update`, whose batches must be the same however they are dealt to processes.

    protocols:   what is measured, all on the same crops
    networks:    all their networks
    errors:      the column of squared errors by which images are told apart
    known:       features that need not be taken, because their statistics are known
    """

    def __init__(
        self,
        protocols: Mapping[str, Protocol],
        networks: Networks,
        known: Iterable[Features] = (),
    ) -> None:
        self.networks, self.protocols = networks, list(protocols.values())
        wanted = {column for p in protocols.values() for column in columns(p).values()}
        if not any(column.kind == "squared_error" for column in wanted):
            wanted.add(MetricColumn("squared_error", "none"))  # to tell good images from bad ones
        self.columns = sorted(wanted, key=str)
        self.errors = next(str(c) for c in self.columns if c.kind == "squared_error")
        sides = {side for p in protocols.values() for pair in all_pairs(p) for side in pair}
        self.features = sorted(sides - set(known), key=str)
        self.sampled = features_to_sample(protocols.values())
        self.of_latents = any(p.codes or p.latents for p in protocols.values())
        self.latent_sums: LatentSums | None = None
        self.ids: list[int] = []
        self.pixels: list[int] = []
        # Python's numbers: small tensors that live on would hold the heap of large ones apart
        self.values: dict[str, list[float]] = {str(column): [] for column in self.columns}
        self.sums: dict[str, Sums] = {}

    def update(self, *batch) -> None:
        """Add images, given as to `compute`."""
        self.add(self.compute(*batch))

    @torch.inference_mode()
    def compute(
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

        Nothing is added yet, so that whatever stops this leaves the accumulator whole.
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
                for rows in self.features_of(wanted, self.first_of(wanted, ids, views))
            ]
        if RATE in self.columns:
            values[str(RATE)] = list(rates or [nominal_rate(encoded, originals)] * len(ids))
        return Measurement(ids, names, values, features, originals[0].numel(), measured)

    @torch.inference_mode()
    def add(self, measurement: Measurement) -> None:
        for column, values in measurement.values.items():
            self.values[column] += values
        for wanted, rows in measurement.features:
            if str(wanted) not in self.sums:
                self.sums[str(wanted)] = self.new_sums(wanted, rows.shape[1])
            self.sums[str(wanted)].update(measurement.names[: len(rows)], rows)
        if measurement.encoded:
            self.add_latents(measurement.encoded)
        self.ids += measurement.ids
        self.pixels += [measurement.pixels] * len(measurement.ids)

    def add_latents(self, encoded: Encoded) -> None:
        if self.latent_sums is None:
            self.latent_sums = new_sums(encoded)
        self.latent_sums.update(encoded.values)

    def numbers(self, views: Views, names: Sequence[str]) -> dict[MetricColumn, Tensor]:
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
                network = getattr(self.networks, column.kind)
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
        network = self.networks.judges[kind]
        if kind == "text":
            return ocr.numbers_of(network, names, *pair, table)
        if kind == "faces":
            return faces.numbers_of(network, *pair)
        real, made = (best_classes(network, side, FEATURE_BATCH) for side in pair)
        return class_numbers(real, made, names, table)

    def first_of(self, wanted: Features, ids: Sequence[int], views: Views) -> Tensor:
        """The images of a side that are among the first so many of the set."""
        count = sum(wanted.first is None or i < wanted.first for i in ids)  # ids ascend
        return views.side(wanted.side, wanted.quantisation)[:count]

    def features_of(self, wanted: Features, images: Tensor) -> list[Tensor]:
        """Features (B, D) of images or of their patches, in one block; none of no image."""
        network = self.networks.features[wanted.network, wanted.resize]
        parts = parts_to_see(images, wanted.patch)
        if wanted.patch is None and isinstance(network, Inception):
            rows = by_threads(lambda x: network(floats(x)), parts, images.device)
        else:
            rows = [network(floats(x)) for x in parts]
        return [torch.cat(rows)] if rows else []

    def new_sums(self, wanted: Features, dimensions: int) -> Sums:
        return Sums(dimensions, wanted in self.sampled, self.networks.device)

    def live_figures(self) -> dict[str, float]:
        """The PSNR of the images so far, as the first protocol that has one will show it."""
        first = next((p for p in self.protocols if p.psnr), None)
        if first is None or not self.ids:
            return {}
        values, pool = self.sorted_values(), first.psnr.pool
        errors = values[str(columns(first)["psnr"])].numpy()
        return {"psnr": mean_psnr(pool, errors, values["pixels"].double().numpy())}

    def sorted_values(self) -> dict[str, Tensor]:
        """Columns (N,) in the order of the ids, and `pixels`."""
        order = torch.tensor(self.ids).argsort()
        columns = {key: doubles(values)[order] for key, values in self.values.items()}
        return columns | {"pixels": torch.tensor(self.pixels)[order]}

    def state(self) -> dict[str, Tensor]:
        """All of it as flat tensors; none if there are no images."""
        if not self.ids:
            return {}
        state = {"ids": torch.tensor(self.ids), "pixels": torch.tensor(self.pixels)}
        state |= {f"values/{key}": doubles(values) for key, values in self.values.items()}
        for key, sums in self.sums.items():
            state |= {f"sums/{key}/{name}": x for name, x in sums.state_dict().items()}
        if self.latent_sums is not None:
            sums = self.latent_sums.state_dict()
            state |= {f"{LATENTS}{name}": x for name, x in sums.items()}
        return state

    def takes(self, state: Mapping[str, Tensor]) -> bool:
        """Whether `load` can add a state: a number for each image, and sums of the right sizes."""
        try:
            count = len(state["ids"])
            columns = [state["ids"], state["pixels"], *(state[f"values/{k}"] for k in self.values)]
            for wanted in self.features:
                self.sums_of(wanted, parts_of(wanted, state))
            sums_from(parts_below(LATENTS, state))
        except (KeyError, TypeError, IndexError, RuntimeError):
            return False
        whole = all(not one.is_floating_point() for one in columns[:2])
        return whole and all(one.shape == (count,) for one in columns)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Add what a `state` holds."""
        if not state:
            return
        self.ids += state["ids"].tolist()
        self.pixels += state["pixels"].tolist()
        for key, values in self.values.items():
            values += state[f"values/{key}"].tolist()
        for wanted in self.features:
            if sums := self.sums_of(wanted, parts_of(wanted, state)):
                self.add_sums(wanted, sums)
        if sums := sums_from(parts_below(LATENTS, state)):
            self.merge_latents(sums)

    def merge_latents(self, sums: LatentSums) -> None:
        if self.latent_sums is None:
            self.latent_sums = sums
        else:
            self.latent_sums.merge(sums)

    def sums_of(self, wanted: Features, parts: Mapping[str, Tensor]) -> Sums | None:
        if not parts:
            return None
        sums = self.new_sums(wanted, len(parts["moments.sum"]))
        sums.load_state_dict(parts)
        return sums

    def add_sums(self, wanted: Features, sums: Sums) -> None:
        if str(wanted) in self.sums:
            self.sums[str(wanted)].merge(sums)
        else:
            self.sums[str(wanted)] = sums


def floats(images: Tensor) -> Tensor:
    """uint8 in [-1, 1]; floats as they are."""
    return from_uint8(images) if images.dtype == torch.uint8 else images


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


def parts_of(wanted: Features, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the sums of some features, by their names in them."""
    return parts_below(f"sums/{wanted}/", state)


def parts_below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}


def doubles(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
