"""Patterns of names: exactly the given ones, in a text that grows slower than their list."""

import re
from itertools import product

import pytest

from msdd.pipeline.patterns import any_of

WORDS = ["".join(letters) for n in range(1, 4) for letters in product("ab1-", repeat=n)]


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a"],
        ["a", "b", "-"],
        ["a", "ab", "ab-", "b1a"],
        ["aba", "ab1", "ab-", "a"],
        WORDS[::3],
        WORDS,
    ],
)
def test_exactly_these_names_match(names):
    pattern = re.compile(any_of(names))
    assert {word for word in ["", *WORDS] if pattern.fullmatch(word)} == set(names)
    inside = re.compile(f"runs/(?P<name>{any_of(names)})/config.json")  # as Snakemake has it
    assert {word for word in WORDS if inside.fullmatch(f"runs/{word}/config.json")} == set(names)


def test_numbered_rows_make_a_short_pattern():
    names = [f"student-{i}" for i in range(1000)]
    assert len(any_of(names)) < len("|".join(names)) / 5
