"""Snakemake's report of a finished run: what it shows, from one file that loads nothing else."""

import base64
import json
import re
from html.parser import HTMLParser

import engines
import pytest
from checkouts import ROOT, listing, run

from msdd.pipeline import layout

NOWHERE = "http://127.0.0.1:9"  # nothing listens there
SHOWN = {".csv", ".html", ".png", ".svg"}


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    """The report, made without network; making it changes nothing of the run."""
    folder, _ = runs["snakemake"]
    path = tmp_path_factory.mktemp("report") / "report.html"
    before = listing(folder)
    run(folder, "snakemake", "--report", path, http_proxy=NOWHERE, https_proxy=NOWHERE)
    assert listing(folder) == before
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results(page):
    """What the report shows, by path."""
    start = re.search(r'<script id="results">\s*var results = ', page).end()
    return json.JSONDecoder().raw_decode(page, start)[0]


def test_every_table_and_figure_has_a_caption(results):
    files = [path for name in layout.REPORTS for path in layout.report(name)]
    assert results.keys() == {str(path) for path in files if path.suffix in SHOWN}
    for result in results.values():
        assert f"msdd {result['job_properties']['rule']}" in result["caption"]
        assert "system-message" not in result["caption"]  # that is how docutils tells a mistake
        assert result["labels"].keys() == {"title", "format"}


def test_every_rule_is_described(page, tmp_path):
    told = (ROOT / "workflow/report/workflow.rst").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_bytes((ROOT / "presets/tiny.yaml").read_bytes())
    rules = {job.partition("@")[0] for job in engines.snakemake_jobs(tmp_path)}
    of_other_presets = {"scatter", "latents"}
    assert set(re.findall(r"^\| \*\*(\w+)\*\*", told, re.MULTILINE)) == rules | of_other_presets
    assert all(f"<strong>{rule}</strong>" in page for rule in rules)


class Links(HTMLParser):
    """Collects what a page loads: links of its elements, and those in its styles."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data):
        if self.lasttag == "style":
            self.found += re.findall(r"url\(([^)]*)|@import ([^;]*)", data)


def test_nothing_is_loaded_from_elsewhere(page, results):
    assert Links(page).found == []
    for path, result in results.items():
        head, _, content = result["data_uri"].partition(";base64,")
        assert head.startswith("data:")
        if path.endswith((".html", ".svg")):
            links = Links(base64.b64decode(content).decode()).found
            assert all(link.startswith(("#", "data:")) for link in links)
