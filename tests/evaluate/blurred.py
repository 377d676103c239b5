"""A tokenizer that blurs, and evaluations by a protocol of few keys."""

import json
from pathlib import Path

import torch
from coded import RULES
from faded import evaluated

from msdd.cli import main
from msdd.evaluate import distributed, protocols
from msdd.evaluate.sources import Subject

SIDE = 256


def blurred(images, names):
    small = torch.nn.functional.avg_pool2d(images, 4)
    return torch.nn.functional.interpolate(small, SIDE, mode="bicubic").clamp(-1, 1)


SUBJECT = Subject({"tokenizer": "blurred"}, SIDE, blurred)


def chosen(to: Path, keys: str) -> dict:
    """The protocol `mine` with these keys."""
    (to / "rules.yaml").write_text(RULES.format(keys))
    return protocols.load([str(to / "rules.yaml")])


def alone(folder: Path, rules: dict) -> dict:
    return evaluated(folder, rules, subject=SUBJECT)


def joined(folder: Path, rules: dict) -> dict:
    """As one of several processes."""
    return evaluated(folder, rules, distributed.join(), SUBJECT)


def run(sides: Path, to: Path, keys: str, made: str = "r", *more: str) -> int:
    """`msdd evaluate` of two folders of `sides`; JSON in `to / m.json`."""
    chosen(to, keys)
    what = ["--originals", str(sides / "o"), "--reconstructions", str(sides / made)]
    how = ["--protocol", str(to / "rules.yaml"), "--json", str(to / "m.json")]
    return main(["evaluate", *what, *how, *more])


def report_in(to: Path) -> dict:
    return json.loads((to / "m.json").read_text())
