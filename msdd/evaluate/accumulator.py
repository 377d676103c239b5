"""What an evaluation has measured so far: numbers of every image, and sums of features.

An accumulator grows batch by batch and takes in the states of others. Its memory is that of the
sums, plus a few numbers an image; and however batches are dealt to processes, it ends with the same
bits.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from msdd.evaluate.columns import Features, columns, features_to_sample
from msdd.evaluate.latent_sums import Encoded, LatentSums, check_alike, new_sums, sums_from
from msdd.evaluate.measurer import Measurement, Measurer, doubles
from msdd.evaluate.networks import Networks
from msdd.evaluate.protocol import Protocol
from msdd.metrics.frechet import Moments
from msdd.metrics.kid import Sample
from msdd.metrics.pooling import mean_psnr

LATENTS = "latents/"  # what their sums' names begin with in a state


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


class Accumulator:
    """Grows by `add`, whose batches must be the same however they are dealt to processes.

    protocols, networks, known: as of `Measurer`.
    """

    def __init__(
        self,
        protocols: Mapping[str, Protocol],
        networks: Networks,
        known: Iterable[Features] = (),
    ) -> None:
        self.protocols = list(protocols.values())
        self.measurer = Measurer(self.protocols, networks, known)
        self.networks, self.device = networks, networks.device
        self.features, self.least_side = self.measurer.features, self.measurer.least_side
        columns = self.measurer.columns
        # by which images are told apart
        self.errors = next(str(c) for c in columns if c.kind == "squared_error")
        self.sampled = features_to_sample(self.protocols)
        self.latent_sums: LatentSums | None = None
        self.ids: list[int] = []
        self.pixels: list[int] = []
        # Python's numbers: small tensors that live on would hold the heap of large ones apart
        self.values: dict[str, list[float]] = {str(column): [] for column in columns}
        self.sums: dict[str, Sums] = {}

    def compute(self, *batch) -> Measurement:
        """Measure a batch, given as to `Measurer.measure`. Nothing is added yet, so that whatever
        stops this leaves the accumulator whole."""
        return self.measurer.measure(*batch)

    @torch.inference_mode()
    def add(self, measurement: Measurement) -> None:
        if measurement.encoded:  # first, since latents of another shape are refused
            self.add_latents(measurement.encoded)
        for column, values in measurement.values.items():
            self.values[column] += values
        for wanted, rows in measurement.features:
            if str(wanted) not in self.sums:
                self.sums[str(wanted)] = self.new_sums(wanted, rows.shape[1])
            self.sums[str(wanted)].update(measurement.names[: len(rows)], rows)
        self.ids += measurement.ids
        self.pixels += [measurement.pixels] * len(measurement.ids)

    def add_latents(self, encoded: Encoded) -> None:
        if self.latent_sums is None:
            self.latent_sums = new_sums(encoded)
        check_alike(self.latent_sums, encoded)
        self.latent_sums.update(encoded.values)

    def new_sums(self, wanted: Features, dimensions: int) -> Sums:
        return Sums(dimensions, wanted in self.sampled, self.device)

    def live_figures(self) -> dict[str, float]:
        """The PSNR of the images so far, as the first protocol that has one will show it."""
        first = next((p for p in self.protocols if p.psnr), None)
        if first is None or not self.ids:
            return {}
        errors = np.array(self.values[str(columns(first)["psnr"])])
        pixels = np.array(self.pixels, np.float64)
        if first.psnr.pool not in ("all", 1):  # where the order of images does not matter
            order = np.argsort(self.ids)
            errors, pixels = errors[order], pixels[order]
        return {"psnr": mean_psnr(first.psnr.pool, errors, pixels)}

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


def parts_of(wanted: Features, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the sums of some features, by their names in them."""
    return parts_below(f"sums/{wanted}/", state)


def parts_below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}
