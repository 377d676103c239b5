"""`make docs`: built without a warning, and in a browser, from a folder, without the network."""

import os
import re
import shutil
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


def test_links_to_other_sites_are_listed(site):
    listed = (site / "external_links.txt").read_text(encoding="utf-8").splitlines()
    assert "https://keepachangelog.com/en/1.1.0/  changelog.md" in listed


@pytest.fixture
def visit(site):
    """Opens a page of the folder; at the end nothing was complained of or asked elsewhere."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the extra dev: playwright")
    if not (chromium := shutil.which("chromium")):
        pytest.skip("needs Debian's chromium")
    said, asked = [], []
    with api.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def open_page(name, width=1280, **context):
            page = browser.new_context(
                viewport={"width": width, "height": 900}, **context
            ).new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto((site / name).as_uri())
            return page

        yield open_page
        browser.close()
    assert not said
    assert not [url for url in asked if not url.startswith((site.as_uri(), "data:", "blob:"))]


def test_words_are_found_from_a_folder(visit):
    page = visit("index.html")
    page.get_by_role("textbox", name="Search").fill("teacher_steps")
    found = page.locator(".md-search-result__link").first
    found.wait_for(timeout=60_000)
    found.click()
    page.wait_for_url("**/*.html**")
    assert "teacher_steps" in page.locator("article").inner_text()


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "method.html",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("params.html", "pipeline.html")),
    ],
)
def test_a_page_is_accessible_and_fits_a_phone(visit, name):
    page = visit(name, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert_accessible(page, least=16)
    dark = visit(name, width=360, color_scheme="dark")
    assert dark.evaluate("document.body.dataset.mdColorScheme") == "slate"
    assert_accessible(dark, least=1, runOnly=["color-contrast"])


def assert_accessible(page, least, **options):
    """By at least so many rules of axe."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra dev")
    options["preload"] = False  # it would fetch the styles
    found = axe.Axe().run(page, options=options).response
    assert len(found["passes"]) >= least
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert not bad, [(one["id"], [node["html"] for node in one["nodes"]][:5]) for one in bad]
