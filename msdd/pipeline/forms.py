"""The forms of JSON files that are read back: whoever wrote one, its values have these types.

A file that was cut, edited or made by somebody else is told here, in one line, and not by whatever
first stumbles over a value. Forms change no result, so they are in a room that no fingerprint has.
"""

from functools import cache
from pathlib import Path
from typing import Any, NotRequired

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from msdd.errors import MsddError
from msdd.files import read_json

MORE = ConfigDict(extra="allow", strict=True)
Detail = float | bool | str | dict[str, float] | None  # of a metric: its mean, estimate, ratios


class Entry(TypedDict):
    """What one protocol says in a report of an evaluation."""

    __pydantic_config__ = MORE
    protocol: dict[str, Any]
    preparation: str
    levels: NotRequired[dict[str, str]]
    metrics: dict[str, dict[str, Detail] | float | None]
    per_image: dict[str, list[float | None]]


class Extreme(TypedDict):
    __pydantic_config__ = MORE
    name: str
    psnr: float | None


class Evaluation(TypedDict):
    """A report of `msdd.evaluate.report`."""

    __pydantic_config__ = MORE
    names: list[str]
    digest: str
    photographs: NotRequired[list[int]]
    protocol: str
    protocols: dict[str, Entry]
    decode: NotRequired[str]
    tokenizer: NotRequired[str]
    model: NotRequired[str | None]
    student: NotRequired[str | None]
    of: NotRequired[str | None]
    scales: NotRequired[list[int]]
    steps: NotRequired[list[int] | int | None]
    nfe: NotRequired[int | None]
    tokens: NotRequired[int | None]
    dim: NotRequired[int | None]
    parameters: NotRequired[int | None]
    extremes: NotRequired[dict[str, dict[str, Extreme]]]


class Timing(TypedDict):
    """The file beside an evaluation."""

    __pydantic_config__ = MORE
    images_per_second: NotRequired[float | None]
    batch: NotRequired[int]
    region: NotRequired[str]
    provenance: NotRequired[dict[str, Any]]


class Speed(TypedDict):
    __pydantic_config__ = MORE
    images_per_second: NotRequired[float | None]


class Piece(TypedDict):
    """A part of a training between two interruptions."""

    __pydantic_config__ = MORE
    started: str
    images_before: int
    seconds: NotRequired[float]


class Record(TypedDict):
    """What `msdd.pipeline.provenance` writes."""

    __pydantic_config__ = MORE
    stage: str
    wildcards: dict[str, str | int | None]
    code: str
    params: dict[str, Any]
    inputs: dict[str, str]
    made: dict[str, str]
    commit: str | None
    dirty: bool | None
    versions: dict[str, str | None]
    device: str
    host: str
    threads: int
    engine: str
    rule: str | None
    command: list[str]
    started: str
    seconds: float
    speed: NotRequired[Speed]
    pieces: NotRequired[list[Piece]]
    run: NotRequired[dict[str, str] | None]


class Parent(TypedDict):
    __pydantic_config__ = MORE
    name: str
    key: str
    params: dict[str, Any]
    tags: dict[str, Any]


class Run(TypedDict):
    """The record of a run in the outbox."""

    __pydantic_config__ = MORE
    name: str
    params: dict[str, Any]
    tags: dict[str, Any]
    versions: dict[str, str | None]
    started: int
    parents: NotRequired[list[Parent]]
    place: NotRequired[str]
    inputs: NotRequired[dict[str, str]]


class Numbers(TypedDict):
    __pydantic_config__ = MORE
    metrics: dict[str, float]
    tags: NotRequired[dict[str, Any]]


class Event(TypedDict):
    """A line of the outbox."""

    __pydantic_config__ = MORE
    time: int
    step: NotRequired[int]
    status: NotRequired[str]
    metrics: NotRequired[dict[str, float]]
    tags: NotRequired[dict[str, Any]]
    figures: NotRequired[Numbers]
    file: NotRequired[str]
    parent: NotRequired[str]
    model: NotRequired[dict[str, Any]]


class Delivered(TypedDict):
    """How far the delivery of a run is."""

    __pydantic_config__ = MORE
    uri: str
    run: str | None
    offset: int


def read(path: str | Path, form: Any, what: str) -> Any:
    """The values of a JSON file that has this form. MsddError with the first place where it has
    not; `what` is told of the file: `no evaluation`."""
    return checked(read_json(path), form, f"{path} is {what}")


def check_lengths(path: Path, entry: Entry, images: int) -> None:
    """MsddError for values of another number of images."""
    for metric, values in entry["per_image"].items():
        if len(values) != images:
            raise MsddError(f"{path}: {metric} is of {len(values)} images, not {images}")


def checked(value: Any, form: Any, told: str) -> Any:
    """`value` unchanged. MsddError, whose message begins with `told`, unless it has the form."""
    try:
        _adapter(form).validate_python(value)
    except (ValidationError, RecursionError) as error:
        raise MsddError(f"{told} ({reason(error)}); make or fetch it again") from None
    return value


@cache
def _adapter(form: Any) -> TypeAdapter:
    return TypeAdapter(form)


def reason(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it lies too deep in itself"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(ascii(part)[:60].strip("'") for part in first["loc"]) or "the file"
    return f"{place}: {first['msg']}"
