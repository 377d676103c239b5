"""What is measured of a set of images: sums of features, and features where they are compared."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from msdd.data.pixels import from_uint8
from msdd.device import exact
from msdd.evaluate.measurer import FEATURE_BATCH
from msdd.evaluate.samples_rules import InceptionScore, Key, Rules
from msdd.metrics.frechet import Moments
from msdd.metrics.inception_score import Scores, splits_in_order, splits_shuffled
from msdd.weights.inception_parts import Parts


class Wanted(NamedTuple):
    """What is taken of the images by one network."""

    frechet: bool = False
    spatial: bool = False
    rows: bool = False
    scores: tuple[InceptionScore, ...] = ()

    def __or__(self, other: "Wanted") -> "Wanted":
        scores = (*self.scores, *(one for one in other.scores if one not in self.scores))
        frechet, spatial = self.frechet or other.frechet, self.spatial or other.spatial
        return Wanted(frechet, spatial, self.rows or other.rows, scores)


def wanted_of_samples(protocols: Iterable[Rules]) -> dict[Key, Wanted]:
    """What each network has to provide for the samples."""
    found: dict[Key, Wanted] = {}
    for rules in protocols:
        for key, one in wanted_by(rules).items():
            found[key] = found.get(key, Wanted()) | one
    return found


def wanted_by(rules: Rules) -> dict[Key, Wanted]:
    """What one protocol needs."""
    scores = (rules.inception_score,) if rules.inception_score else ()
    distances, rows = rules.frechet_keys, list(rules.of_single_images.values())
    found = {rules.network: Wanted(spatial=rules.spatial, scores=scores)}
    for key in (*distances, *rows):
        found[key] = found.get(key, Wanted()) | Wanted(frechet=key in distances, rows=key in rows)
    return {key: one for key, one in found.items() if any(one)}


def wanted_of_reference(protocols: Iterable[Rules], exported: bool = False) -> dict[Key, Wanted]:
    """Likewise, of the reference, of which no Inception score is taken.

    exported: a file is made of it. Of Inception it has spatial features beside pooled ones, since
              guided-diffusion's evaluator reads both where it finds `mu`.
    """
    found = {key: one._replace(scores=()) for key, one in wanted_of_samples(protocols).items()}
    if exported:
        both = [key for key, one in found.items() if one.frechet and key[0] == "inception"]
        found |= {key: found[key]._replace(spatial=True) for key in both}
    return {key: one for key, one in found.items() if any(one)}


class NetworkSums(nn.Module):
    """The sums that are wanted of one network's features."""

    def __init__(self, wanted: Wanted, count: int, parts: Parts) -> None:
        super().__init__()
        pool, spatial, logits = parts
        device = pool.device
        self.moments = Moments(pool.shape[1], device) if wanted.frechet else None
        self.spatial = Moments(spatial.shape[1], device) if wanted.spatial else None
        self.scores = nn.ModuleList(
            Scores(splits_of(one, count), logits.shape[1], device) for one in wanted.scores
        )

    def update(self, ids: Sequence[int], parts: Parts) -> None:
        if self.moments is not None:
            self.moments.update(parts.pool)
        if self.spatial is not None:
            self.spatial.update(parts.spatial)
        for scores in self.scores:
            scores.update(ids, parts.logits)

    def merge(self, other: "NetworkSums") -> None:
        for name in ("moments", "spatial"):
            if getattr(self, name) is not None:
                getattr(self, name).merge(getattr(other, name))
        for mine, theirs in zip(self.scores, other.scores, strict=True):
            mine.merge(theirs)


def splits_of(rules: InceptionScore, count: int) -> Tensor:
    """The split of each image."""
    if rules.images:
        return splits_in_order(count, rules.images)
    return splits_shuffled(count, min(rules.splits, count), rules.seed)


class Measurement(NamedTuple):
    """What the networks make of images of one size, whose places in the set are `ids`."""

    ids: Sequence[int]
    parts: dict[Key, Parts]


class SetSums:
    """Grows by `add` and takes in the states of others, with the same bits however batches are
    dealt, as `msdd.evaluate.accumulator.Accumulator` does for pairs.

    wanted:   by network
    networks: what makes `Parts` of images, by the same keys
    count:    images of the whole set

    Memory is that of the sums; and 4 D bytes an image where rows are wanted.
    """

    least_side = (1, "")  # the networks resize

    def __init__(
        self,
        wanted: Mapping[Key, Wanted],
        networks: Mapping[Key, nn.Module],
        count: int,
        device: torch.device,
    ) -> None:
        self.wanted, self.count, self.device = dict(wanted), count, device
        self.networks = {key: networks[key] for key in wanted}
        self.features = [f"{key} {one}" for key, one in self.wanted.items()]
        self.ids: list[int] = []
        self.sums: dict[Key, NetworkSums] = {}
        self.kept: dict[Key, list[Tensor]] = {key: [] for key, w in wanted.items() if w.rows}

    @torch.inference_mode()
    def compute(self, ids: Sequence[int], _names: Sequence[str], images: Tensor) -> Measurement:
        """Measure uint8 images (B, 3, H, W); nothing is added yet."""
        floats = from_uint8(images)
        with exact(images.device):
            return Measurement(ids, {key: self.parts_of(key, floats) for key in self.wanted})

    def parts_of(self, key: Key, images: Tensor) -> Parts:
        size = len(images) if images.is_cuda else FEATURE_BATCH
        parts = [self.networks[key](part) for part in images.split(size)]
        return Parts(
            *(None if one[0] is None else torch.cat(one) for one in zip(*parts, strict=True))
        )

    @torch.inference_mode()
    def add(self, measurement: Measurement) -> None:
        for key, parts in measurement.parts.items():
            if key not in self.sums:
                self.sums[key] = NetworkSums(self.wanted[key], self.count, parts)
            self.sums[key].update(measurement.ids, parts)
            if key in self.kept:
                self.kept[key].append(parts.pool.float().cpu())
        self.ids += measurement.ids

    def live_figures(self) -> dict[str, float]:
        return {}

    def rows(self, key: Key) -> Tensor:
        """Features (N, D) in the order of the set."""
        return torch.cat(self.kept[key])[torch.tensor(self.ids).argsort()]

    def state(self) -> dict[str, Tensor]:
        """All of it as flat tensors; none if there are no images."""
        if not self.ids:
            return {}
        state = {"ids": torch.tensor(self.ids)}
        for number, key in enumerate(self.wanted):
            sums = self.sums[key].state_dict()
            state |= {f"sums/{number}/{name}": x for name, x in sums.items()}
            if key in self.kept:
                state[f"rows/{number}"] = torch.cat(self.kept[key])
        return state

    def takes(self, state: Mapping[str, Tensor]) -> bool:
        """Whether `load` can add a state."""
        try:
            rows = [state[f"rows/{i}"] for i, key in enumerate(self.wanted) if key in self.kept]
            for number, key in enumerate(self.wanted):
                self.sums_of(number, key, state)
            return all(len(one) == len(state["ids"]) and one.ndim == 2 for one in rows)
        except (KeyError, TypeError, IndexError, RuntimeError):
            return False

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Add what a `state` holds."""
        if not state:
            return
        self.ids += state["ids"].tolist()
        for number, key in enumerate(self.wanted):
            sums = self.sums_of(number, key, state)
            if key in self.sums:
                self.sums[key].merge(sums)
            else:
                self.sums[key] = sums
            if key in self.kept:
                self.kept[key].append(state[f"rows/{number}"])

    def sums_of(self, number: int, key: Key, state: Mapping[str, Tensor]) -> NetworkSums:
        prefix = f"sums/{number}/"
        found = {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}
        sums = NetworkSums(self.wanted[key], self.count, like(found, self.device))
        sums.load_state_dict(found)
        return sums


def like(state: Mapping[str, Tensor], device: torch.device) -> Parts:
    """Parts of no image, as wide as those of a state of `NetworkSums`."""
    wide = {
        "pool": state.get("moments.sum"),
        "spatial": state.get("spatial.sum"),
        "logits": state.get("scores.0.sums"),
    }
    widths = {name: 0 if one is None else one.shape[-1] for name, one in wide.items()}
    widths["logits"] = max(0, widths["logits"] - 1)  # the sums of p log p stand beside
    return Parts(**{name: torch.empty(0, width, device=device) for name, width in widths.items()})
