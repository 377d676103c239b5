"""Parquet files of images in the layout of the Hugging Face Hub: a column `image` with `bytes`."""

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from msdd.data.remote import Remote, bare, locate
from msdd.errors import MsddError

COLUMN = "image.bytes"
BATCH = 16  # rows that are decompressed at a time
GROUPS = 4  # row groups that stay in memory: photographs are read in the order of the rows
LOCK = Lock()  # so that threads do not read the same group at once


def is_parquet(path: str | Path | Remote) -> bool:
    return bare(path).lower().endswith(".parquet")


def rows(path: Path | Remote) -> int:
    """How many images a file holds. MsddError where it is damaged or of another layout."""
    try:
        metadata = open_file(path).metadata
    except (OSError, ValueError, MemoryError) as error:  # pyarrow's errors are of these kinds
        reason = " ".join(str(error).split())
        raise MsddError(f"{path} cannot be read as Parquet ({reason}): fetch it again") from error
    names = [metadata.schema.column(k).path for k in range(metadata.num_columns)]
    if COLUMN not in names:
        raise MsddError(
            f"{path} has no column `image` with `bytes`, as the Hub's imagenet-1k has; its "
            f"columns: {', '.join(names)}"
        )
    return metadata.num_rows


def open_file(path: str | Path | Remote) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MsddError(f"{path}: Parquet files need the package pyarrow, install it") from error
    place = locate(str(path))
    return ParquetFile(place.open() if isinstance(place, Remote) else place)


def read(path: str, row: int, _size: int = 0) -> bytes:
    """The image of a row, encoded. OSError where it cannot be read or the row has none."""
    starts = first_rows(path)
    group = int(np.searchsorted(starts, row, side="right")) - 1
    try:
        with LOCK:
            column = images(path, group)
        image = column[row - int(starts[group])].as_py()
    except MemoryError as error:  # of this machine, not of the image
        raise MsddError(f"{path}: too little memory for its row group {group} ({error})") from error
    except (ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        raise OSError(" ".join(str(error).split())) from error
    if not isinstance(image, bytes):
        raise OSError(f"row {row} has no image bytes")
    return image


@lru_cache(maxsize=1024)
def first_rows(path: str) -> np.ndarray:
    """The first row of each row group."""
    metadata = open_file(path).metadata
    sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    return np.cumsum([0, *sizes])[:-1]


@lru_cache(maxsize=GROUPS)
def images(path: str, group: int) -> Any:
    """The encoded images of a row group; a row alone cannot be read, as pages are compressed.

    By a few rows at a time: an array of pyarrow holds 2 GB, and a row group may be larger.
    """
    from pyarrow import chunked_array

    few = {"batch_size": BATCH, "row_groups": [group], "columns": [COLUMN], "use_threads": False}
    batches = open_file(path).iter_batches(**few)
    return chunked_array([batch.column("image").field("bytes") for batch in batches])
