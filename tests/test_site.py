"""`make docs`: the site is built without a warning, and loads nothing from the network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocstrings", reason="needs the extra docs")
pytest.importorskip("material", reason="needs the extra docs")
pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[1]
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=["']?(https?:|//)"""
)
IN_STYLES = re.compile(r"""(?:@import|url\()\s*["']?(?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built as `make docs` does: a broken link, anchor or reference ends it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "-qs", "--site-dir", folder]
    more = {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | more, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_nothing_is_loaded_from_the_network(site):
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert len(pages) > 100
    assert not [path for path, text in pages.items() if LOADED.search(without_canonical(text))]
    assert not [path for path in site.rglob("*.css") if IN_STYLES.search(path.read_text("utf-8"))]


def without_canonical(text):
    return re.sub(r'<link rel="canonical"[^>]*>', "", text)


def test_formulas_are_mathml(site):
    text = (site / "method.html").read_text(encoding="utf-8")
    assert text.count("<math") > 10 and "arithmatex" not in text


def test_links_to_code_lead_to_its_reference(site):
    text = (site / "glossary.html").read_text(encoding="utf-8")
    assert 'href="reference/msdd/flow/jump.html"' in text
    assert "block_noise" in (site / "reference/msdd/flow/jump.html").read_text(encoding="utf-8")
