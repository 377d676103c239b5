"""`Evaluation` and `Pass`: which images are measured under which protocols."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from msdd.evaluate.protocol import Protocol
from msdd.evaluate.sources import Cropped, Folders, Source, Subject


class Pass(NamedTuple):
    """Images that are measured at once, and the protocols that want them so.

    label: of the line that shows its progress
    """

    name: str
    source: Source
    protocols: Mapping[str, Protocol]
    label: str


@dataclass(frozen=True)
class Evaluation:
    """about: what a report says of it beside its metrics, and what tells two of them apart
    order: names of the protocols as the report has them; tables show the first
    """

    about: dict[str, object]
    order: list[str]
    passes: list[Pass]

    @property
    def protocols(self) -> list[Protocol]:
        """The protocols of all passes."""
        return [protocol for part in self.passes for protocol in part.protocols.values()]


def of_folders(
    originals: Path, reconstructions: Path, protocols: Mapping[str, Protocol]
) -> Evaluation:
    """Two folders of images of the same names, under the metric half of each protocol."""
    about = {"originals": str(originals), "reconstructions": str(reconstructions)}
    halves = {name: protocol.for_files() for name, protocol in protocols.items()}
    source = Folders(originals, reconstructions)
    return Evaluation(about, list(halves), [_pass("files", source, halves)])


def of_tokenizer(
    subject: Subject, images: Path, protocols: Mapping[str, Protocol], device: torch.device
) -> Evaluation:
    """A tokenizer on a folder of images, cropped as each protocol says: one pass for each crop."""
    side = subject.resolution
    crops = sorted({protocol.crop for protocol in protocols.values()})
    passes = [
        _pass(
            crop,
            Cropped(images, crop, side, subject.reconstruct, device),
            {name: protocol for name, protocol in protocols.items() if protocol.crop == crop},
            f", pass {number} of {len(crops)}" if len(crops) > 1 else "",
        )
        for number, crop in enumerate(crops, start=1)
    ]
    return Evaluation(subject.about | {"resolution": side}, list(protocols), passes)


def _pass(name: str, source: Source, protocols: Mapping[str, Protocol], number: str = "") -> Pass:
    return Pass(name, source, protocols, f"evaluate {name}{number}")
