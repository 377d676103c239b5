"""Prepared photographs on disk: encoded images one after another, and an index of their ends."""

import hashlib
import io
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from msdd import files
from msdd.arrays import read_npy
from msdd.data.centre_crops import adm_resize
from msdd.data.crops import check_size
from msdd.data.image_file import PhotographError, decode
from msdd.data.photograph import Photograph
from msdd.data.shards import allow_open_files
from msdd.errors import MsddError
from msdd.params.sections import Data

ROWS = 2048  # photographs of a shard, refused ones counted
QUALITY = 95  # of JPEG, with colours at full resolution


@dataclass
class Notes:
    """What one shard holds: SHA-256 of its two files; of each photograph that, or why it is not in.

    digests: of the photographs' files, by name, in the order of the shard.
    refused: kind (`unreadable`, `too_small`) and reason, by name.
    """

    shards: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)


def stored(photograph: Photograph, data: Data) -> tuple[bytes, str]:
    """The bytes to store, and the SHA-256 of the photograph's file; raises PhotographError.

    A photograph whose short side is at most `data.store_side` keeps its file as it is, so that
    crops of it are those of the photograph to the bit. A larger one is reduced to that side by
    ADM's kernels.
    """
    file, name = photograph.read(), photograph.name
    pixels, sha256 = decode(file, name, data.to_srgb), hashlib.sha256(file).hexdigest()
    check_size(pixels.shape, name, data)
    if data.store_side is None or min(pixels.shape[:2]) <= data.store_side:
        return file, sha256
    reduced = io.BytesIO()
    image = adm_resize(Image.fromarray(pixels), data.store_side)
    image.save(reduced, "JPEG", quality=QUALITY, subsampling=0)
    return reduced.getvalue(), sha256


def write(path: Path, made: Iterable[tuple[str, tuple[bytes, str] | PhotographError]]) -> Notes:
    """Write `path`.bin, .npy and .json, the last one last: where it is, the shard is whole.

    One process at a time: what a killed one was writing is removed.
    """
    notes, ends, sha = Notes(), [0], hashlib.sha256()
    binary, index = path.with_suffix(".bin"), path.with_suffix(".npy")
    files.remove_unfinished(binary)
    with files.atomic(binary) as temporary, open(temporary, "wb") as file:
        for name, result in made:
            if isinstance(result, PhotographError):
                notes.refused[name] = result.kind, result.reason
                continue
            content, notes.digests[name] = result
            file.write(content)
            sha.update(content)
            ends.append(ends[-1] + len(content))
    with files.atomic(index) as temporary, open(temporary, "wb") as file:
        np.save(file, np.array(ends, np.int64))
    notes.shards = {binary.name: sha.hexdigest(), index.name: files.digest(index)}
    files.write_text(path.with_suffix(".json"), json.dumps(asdict(notes)))
    return notes


def finished(path: Path) -> Notes | None:
    """The notes of a shard that is there already."""
    note = path.with_suffix(".json")
    return Notes(**files.read_json(note)) if note.exists() else None


class PhotographShards:
    """The encoded photographs of a prepared folder, in order."""

    def __init__(self, folder: Path, count: int):
        """Raises MsddError unless the folder holds `count` photographs, whole."""
        indices = sorted(folder.glob("*.npy"))
        allow_open_files(len(indices))
        self.paths = [index.with_suffix(".bin") for index in indices]
        self.ends = [read_npy(index) for index in indices]
        self.firsts = np.cumsum([0, *(len(ends) - 1 for ends in self.ends)])
        sizes = [path.stat().st_size if path.exists() else -1 for path in self.paths]
        if self.firsts[-1] != count or sizes != [ends[-1] for ends in self.ends]:
            raise MsddError(
                f"{folder} does not hold the {count} photographs that its manifest.json lists: "
                "run `msdd prepare` again"
            )
        self.files = [path.open("rb", buffering=0) for path in self.paths]

    def read(self, index: int) -> tuple[str, bytes]:
        """Where photograph `index` is, for errors, and its file. Threads may read at once."""
        shard = int(np.searchsorted(self.firsts, index, side="right")) - 1
        row = index - int(self.firsts[shard])
        start, end = self.ends[shard][row : row + 2].tolist()
        content = os.pread(self.files[shard].fileno(), end - start, start)
        return f"{self.paths[shard]}, photograph {row}", content
