"""The tables as HTML pages: the cells of the Markdown, whatever characters are in them."""

import re
from html import unescape

import pytest

from msdd.pipeline import layout


@pytest.mark.parametrize("name", layout.TABLES)
def test_a_page_has_the_cells_of_the_markdown(hard_tables, name):
    page, markdown = (
        (hard_tables / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "md")
    )
    lines = re.findall(r"<tr>(<td.*?)</tr>", page, re.DOTALL)
    cells = [
        [text(cell) for cell in re.findall(r"<td.*?>(.*?)</td>", line, re.DOTALL)] for line in lines
    ]
    assert cells and cells == list(rows(markdown))


def text(cell):
    """What a browser shows of a cell."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", cell)).split())


def rows(markdown):
    """The cells of the lines of Markdown tables, without headings and groups."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    for line in lines:
        parts = [
            re.sub(r"</?sup>", "", part.strip()) for part in re.split(r"(?<!\\)\|", line)[1:-1]
        ]
        heading = set(line) <= set("|-: ") or parts[0].startswith("**")
        if not heading and "metrics file" not in line:
            yield [re.sub(r"\\(.)", r"\1", part) for part in parts]


def test_notes_are_escaped(hard_tables):
    page = (hard_tables / "table2.html").read_text(encoding="utf-8")
    assert "GPU #1 &amp; more &lt;b&gt;{x}&lt;/b&gt;" in page
