"""The papers' own figures: `reports/published.yaml`, written by hand and checked on reading."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from msdd import layout
from msdd.errors import MsddError
from msdd.mistakes import validate
from msdd.plain_yaml import read_yaml
from msdd.sections import RowName, Section

REPOSITORY = Path(__file__).parents[2]


class Figure(Section):
    """A published number, where it stands, and what keeps it from being compared."""

    value: float = Field(description="as published")
    source: str = Field(description="row of `sources`")
    caveats: tuple[str, ...] = Field((), description="rows of `caveats`")


class System(Section):
    """What is published of one system; a figure that is not published is left out."""

    system: str = Field(description="its name")
    variant: str = Field("", description="which of its models, or whose figures")
    code: str = Field("", description="of a quantised latent: `bits`, or the number of codes")
    tokens: Figure = Field(None, description="tokens, or places, of the latent")
    dim: Figure = Field(None, description="numbers in one token")
    rfid: Figure = Field(None, description="Fréchet distance on Inception features")
    psnr: Figure = Field(None, description="dB")
    ssim: Figure = Field(None, description="structural similarity")
    evaluations: Figure = Field(None, description="evaluations of the decoder for an image")
    images_per_second: Figure = Field(None, description="throughput")

    def figures(self) -> dict[str, Figure]:
        """The figures there are, by key."""
        named = {key: getattr(self, key) for key in type(self).model_fields}
        return {key: value for key, value in named.items() if isinstance(value, Figure)}


class Published(Section):
    """The whole file."""

    sources: dict[RowName, str] = Field(description="where figures stand")
    caveats: dict[RowName, str] = Field(description="what keeps figures from being compared")
    systems: dict[RowName, System] = Field(description="rows of Table 1")


def read(root: Path) -> Published:
    """The published figures below `root`, or else those of the repository that the code is in.

    Raises MsddError, a line for every mistake: a file that is missing, a key that is not known, a
    figure whose source or caveat is not explained.
    """
    path, found = layout.published(), root / place(root)
    if not found.exists():
        raise MsddError(f"{path} is missing: it is part of the repository, copy it from there")
    published = validate(Published, read_yaml(found), str(path))
    mistakes = list(_unexplained(published))
    if mistakes:
        raise MsddError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    return published


def place(root: Path) -> Path:
    """Where the published figures lie: below `root`, relative to it, or else in the repository."""
    path = layout.published()
    return path if (root / path).exists() else REPOSITORY / path


def _unexplained(published: Published) -> Iterator[str]:
    for row, system in published.systems.items():
        for key, figure in system.figures().items():
            where = f"systems.{row}.{key}"
            if figure.source not in published.sources:
                yield f"{where}.source is '{figure.source}'; rows: {', '.join(published.sources)}"
            for caveat in figure.caveats:
                if caveat not in published.caveats:
                    known = ", ".join(published.caveats)
                    yield f"{where}.caveats has '{caveat}'; rows: {known}"
