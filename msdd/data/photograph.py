"""One photograph and where its bytes are: a file of its own, or a part of an archive."""

from dataclasses import dataclass
from pathlib import Path

from msdd.data import parquet
from msdd.data.image_file import failure, read_file
from msdd.data.remote import Remote, locate


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image, by a name that no other of its set has, with forward slashes.

    A file of its own is `name` below `folder`. One in `archive` is `size` bytes from `offset` on of
    a tar file, or row `offset` of a Parquet file. Folder and archive may be URLs; of a file of its
    own in a store, `version` is what the store says of its content.
    """

    name: str
    folder: str
    archive: str = ""
    offset: int = 0
    size: int = 0
    version: str = ""

    @property
    def path(self) -> Path | Remote:
        """The file that holds it."""
        if self.version:
            return Remote(str(locate(self.folder) / self.name), self.size, self.version)
        return locate(self.archive) if self.archive else locate(self.folder) / self.name

    @property
    def place(self) -> str:
        """The folder or archive that it was found in, for errors."""
        return self.archive or self.folder

    def read(self) -> bytes:
        """The image file, still encoded; PhotographError where it cannot be read, MsddError where
        it is the store that does not answer, which says nothing of the image."""
        if self.version:
            return self.path.read()
        if not self.archive:
            return read_file(self.path, self.name)
        read = parquet.read if parquet.is_parquet(self.archive) else read_part
        try:
            return read(self.archive, self.offset, self.size)
        except OSError as error:
            reason = f"{self.archive}: {error.strerror or error}"
            raise failure(Path(self.archive), self.name, error, reason) from error


def read_part(path: str, offset: int, size: int) -> bytes:
    place = locate(path)
    if isinstance(place, Remote):
        part = place.read(offset, size)
    else:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            part = file.read(size)
    if len(part) < size:
        raise OSError("it ends inside this member: the archive is truncated")
    return part
