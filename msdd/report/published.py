"""Numbers from papers: `reports/published.yaml`, written by hand and checked on reading."""

from collections.abc import Iterator
from pathlib import Path
from string import ascii_letters

from pydantic import Field

from msdd import project_files
from msdd.errors import MsddError
from msdd.params.plain_yaml import read_yaml
from msdd.params.sections import RowName, Section
from msdd.params.validate import validate
from msdd.pipeline import layout


class PublishedMetric(Section):
    """A published number, its source, and what makes it incomparable."""

    value: float = Field(description="as published")
    source: str = Field(description="row of `sources`")
    caveats: tuple[str, ...] = Field((), description="rows of `caveats`")


class PublishedSystem(Section):
    """The published numbers of one system; those that are not published are left out."""

    system: str = Field(description="its name")
    variant: str = Field("", description="which of its models, or whose figures")
    code: str = Field("", description="of a quantised latent: `bits`, or the number of codes")
    tokens: PublishedMetric = Field(None, description="tokens, or places, of the latent")
    dim: PublishedMetric = Field(None, description="numbers in one token")
    rfid: PublishedMetric = Field(None, description="Fréchet distance on Inception features")
    psnr: PublishedMetric = Field(None, description="dB")
    ssim: PublishedMetric = Field(None, description="structural similarity")
    nfe: PublishedMetric = Field(None, description="evaluations of the decoder for an image")
    images_per_second: PublishedMetric = Field(None, description="throughput")

    def figures(self) -> dict[str, PublishedMetric]:
        """The figures there are, by key."""
        named = {key: getattr(self, key) for key in type(self).model_fields}
        return {key: value for key, value in named.items() if isinstance(value, PublishedMetric)}


class Published(Section):
    """The whole file."""

    sources: dict[RowName, str] = Field(description="where figures were published")
    caveats: dict[RowName, str] = Field(description="what keeps figures from being compared")
    systems: dict[RowName, PublishedSystem] = Field(description="rows of Table 1")


def read(root: Path) -> Published:
    """The published figures below `root`, or else those of the repository that the code is in.

    Raises MsddError, a line for every mistake: a file that is missing, a key that is not known, a
    figure whose source or caveat is not explained.
    """
    path, file = layout.published(), root / place(root)
    if not file.exists():
        raise MsddError(f"{path} is missing: it is part of the repository, copy it from there")
    published = validate(Published, read_yaml(file), str(path))
    mistakes = list(_unexplained(published))
    if mistakes:
        raise MsddError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    return published


def place(root: Path) -> Path:
    """Where the published figures lie: below `root`, relative to it, or else in the repository."""
    path = layout.published()
    return path if (root / path).exists() else project_files.folder() / path


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


COLUMNS = ("tokens", "dim", "rfid", "psnr", "ssim", "nfe", "images_per_second")


def rows(known: Published) -> Iterator[dict]:
    """A row for every system; beside each figure its source and the letters of its notes."""
    numbers, letters = sources(known), caveats(known)
    for system in known.systems.values():
        figures = system.figures()
        row = {"system": system.system, "decode": system.variant or None}
        row["code"] = system.code or None
        for column in COLUMNS:
            row |= _cells(column, figures.get(column), known, letters)
        row["latent"] = latent(row["tokens"], row["dim"], system.code)
        row["latent_marks"] = _letters([figures.get("tokens"), figures.get("dim")], letters)
        cited = {numbers[figure.source] for figure in figures.values()}
        row["source"] = f"[{', '.join(map(str, sorted(cited)))}]"
        yield row


def _cells(column: str, figure: PublishedMetric | None, known: Published, letters: dict) -> dict:
    return {
        column: figure.value if figure else None,
        f"{column}_marks": _letters([figure], letters),
        f"{column}_source": known.sources[figure.source] if figure else None,
    }


def _letters(figures: list[PublishedMetric | None], letters: dict[str, str]) -> str | None:
    marks = {letters[caveat] for figure in figures if figure for caveat in figure.caveats}
    return ",".join(sorted(marks)) or None


def latent(tokens: float | None, dim: float | None, code: str = "") -> str | None:
    """`128 × 32`, `256 × 18 bits` or `128 × 12, 4096 codes`."""
    if tokens is None or dim is None:
        return None
    more = {"": "", "bits": " bits"}.get(code, f", {code}")
    return f"{tokens:g} × {dim:g}{more}"


def sources(known: Published) -> dict[str, int]:
    """Numbers of the sources in the order in which rows first cite them."""
    cited = (figure.source for system in known.systems.values() for figure in _in_order(system))
    return {source: k for k, source in enumerate(dict.fromkeys(cited), 1)}


def caveats(known: Published) -> dict[str, str]:
    """Letters of the caveats in the order in which rows first need them."""
    systems = known.systems.values()
    needed = (caveat for one in systems for figure in _in_order(one) for caveat in figure.caveats)
    return dict(zip(dict.fromkeys(needed), ascii_letters, strict=False))


def _in_order(system: PublishedSystem) -> list[PublishedMetric]:
    """The figures in the order of the table's columns."""
    figures = system.figures()
    return [figures[key] for key in COLUMNS if key in figures]


def notes(known: Published) -> list[str]:
    """What the numbers and letters stand for."""
    cited = [f"[{number}] {known.sources[source]}." for source, number in sources(known).items()]
    return cited + [f"{mark}: {known.caveats[caveat]}." for caveat, mark in caveats(known).items()]
