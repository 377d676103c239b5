"""Published figures as rows of a table: sources become numbers, caveats letters."""

from collections.abc import Iterator
from string import ascii_letters

from msdd.report.published import Figure, Published, System

COLUMNS = {
    "tokens": "tokens",
    "dim": "dim",
    "rfid": "rfid",
    "psnr": "psnr",
    "ssim": "ssim",
    "evaluations": "forward_passes",
    "images_per_second": "images_per_second",
}  # keys of a system to columns of the table


def rows(known: Published) -> Iterator[dict]:
    """A row for every system; beside each figure its source and the letters of its notes."""
    numbers, letters = sources(known), caveats(known)
    for system in known.systems.values():
        figures = system.figures()
        row = {"system": system.system, "row": system.variant or None}
        row["code"] = system.code or None
        for key, column in COLUMNS.items():
            row |= _cells(column, figures.get(key), known, letters)
        row["latent"] = latent(row["tokens"], row["dim"], system.code)
        row["latent_marks"] = _letters([figures.get("tokens"), figures.get("dim")], letters)
        cited = {numbers[figure.source] for figure in figures.values()}
        row["source"] = f"[{', '.join(map(str, sorted(cited)))}]"
        yield row


def _cells(column: str, figure: Figure | None, known: Published, letters: dict) -> dict:
    return {
        column: figure.value if figure else None,
        f"{column}_marks": _letters([figure], letters),
        f"{column}_source": known.sources[figure.source] if figure else None,
    }


def _letters(figures: list[Figure | None], letters: dict[str, str]) -> str | None:
    found = {letters[caveat] for figure in figures if figure for caveat in figure.caveats}
    return ",".join(sorted(found)) or None


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


def _in_order(system: System) -> list[Figure]:
    """The figures in the order of the table's columns."""
    figures = system.figures()
    return [figures[key] for key in COLUMNS if key in figures]


def notes(known: Published) -> list[str]:
    """What the numbers and letters stand for."""
    cited = [f"[{number}] {known.sources[source]}." for source, number in sources(known).items()]
    return cited + [f"{mark}: {known.caveats[caveat]}." for caveat, mark in caveats(known).items()]
