"""What `prepare` says of a set of photographs, beyond how far it is."""

import re
import sys

from msdd.data.photographs import Photograph
from msdd.data.sources import of_other_kinds
from msdd.data.split import Split
from msdd.data.tars import WORDNET_ID
from msdd.params.sections import Data
from msdd.pipeline import layout

# In the names of archives: train-00.parquet, ILSVRC2012_img_val.tar.
SPLIT = re.compile(r"(?<![a-z])(train|validation|val|test)(?=[-_.])")
ONE_CROP = (
    "a single held-out crop gives no interval and no Fréchet distance, so evaluations will fail: "
    "hold more photographs out by data.held_out or data.held_out_fraction"
)
ONE_PHOTOGRAPH = (
    "all held-out crops are of one photograph, of which evaluations say little: hold more out by "
    "data.held_out or data.held_out_fraction"
)


def tell_classes(photographs: dict[str, list[Photograph]]) -> None:
    """One line where both sides have classes of ImageNet, but not the same."""
    train, held_out = (classes(photographs[side]) for side in ("train", "held_out"))
    if train and held_out and train != held_out:
        odd = sorted(train ^ held_out)
        print(
            f"msdd: data.photographs has {len(train)} classes and data.held_out {len(held_out)}; "
            f"{len(odd)} are on one side only, the first is {odd[0]}",
            file=sys.stderr,
        )


def tell_splits(archives: list[tuple[str, str, str]], photographs: str | None) -> None:
    """One line where what is trained on holds archives of several splits, as the Hub's folders do.

    archives: side, name and digest of each (`msdd.data.digests`).
    """
    names = (name.rpartition("/")[2] for side, name, _ in archives if side == "train")
    found = sorted({match[0] for name in names if (match := SPLIT.search(name))})
    if len(found) > 1:
        print(
            f"msdd: warning: {photographs} holds archives of {', '.join(found)}, and all are "
            "trained on: name some by a pattern, as FOLDER/train-*.parquet",
            file=sys.stderr,
        )


def classes(photographs: list[Photograph]) -> set[str]:
    """The folders or archives of classes that photographs lie in."""
    return {match[0] for one in photographs if (match := WORDNET_ID.match(one.name))}


def tell_left_out(data: Data, done: dict[str, Split], others: list[str]) -> None:
    """One line on what the set does not contain, if there is anything."""
    lines = refused_line(data, done), of_other_kinds(others) if others else ""
    parts = [line for line in lines if line]
    if parts:
        print(f"msdd: prepare left out {'; '.join(parts)}", file=sys.stderr)


def tell_shared(names: list[str], count: int) -> None:
    """One line on held-out photographs that are trained on as well, if there are any."""
    if names:
        others = " and others" if len(names) > 1 else ""
        told = f"{len(names)} of {count} held-out photographs are trained on, as the same bytes"
        where = f"{layout.prepared()}/manifest.json names them"
        print(f"msdd: warning: {told} ({names[0]!r}{others}): {where}", file=sys.stderr)


def refused_line(data: Data, done: dict[str, Split]) -> str:
    """How many photographs were refused, their share, and why."""
    small, unreadable = (
        sum(len(split.of_kind(kind)) for split in done.values())
        for kind in ("too_small", "unreadable")
    )
    total = sum(len(split.photographs) for split in done.values())
    if not small + unreadable:
        return ""
    hint = "" if data.enlarge else " (data.enlarge: true would enlarge them)"
    reasons = [f"{small} smaller than data.resolution {data.resolution}{hint}"] if small else []
    reasons += [f"{unreadable} unreadable"] if unreadable else []
    share = f"{small + unreadable} of {total} photographs ({(small + unreadable) / total:.1%})"
    return f"{share}: {', '.join(reasons)}; {layout.prepared()}/manifest.json names them"


def tell_few(held_out: Split) -> None:
    if held_out.count < 2:
        print(f"msdd: warning: {ONE_CROP}", file=sys.stderr)
    elif len(held_out.made) < 2:
        print(f"msdd: warning: {ONE_PHOTOGRAPH}", file=sys.stderr)
