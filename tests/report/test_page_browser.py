"""The page in a real browser: what a reader does with it, on a desk and on a phone."""

import shutil

import finished_pipeline as pipeline
import pytest

from msdd.files import write_json
from msdd.page import comparison, document
from msdd.pipeline import layout

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra dev: playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")
QUALITY = "#table2"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a finished pipeline with one recorded job, and one of a comparison."""
    root = tmp_path_factory.mktemp("page")
    params = pipeline.make(root)
    job = {"stage": "train", "wildcards": {"model": "msdd"}, "started": "2026-01-02T03:04:05+00:00"}
    job |= {"seconds": 60.5, "threads": 2, "device": "Some CPU", "host": "node", "engine": "dvc"}
    job |= {"commit": "0123456789abcdef", "dirty": False, "versions": {"torch": "2"}, "made": {}}
    job |= {"code": "", "params": {}, "inputs": {}, "rule": None, "command": []}
    write_json(root / layout.provenance(layout.stage1("msdd")), job)
    document.run(params, root)
    compared = root / "comparison.html"
    compared.write_text(document.compared(comparison.compare(root, root)), encoding="utf-8")
    return {"report": root / document.PAGE, "comparison": compared}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as session:
        started = session.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser, pages):
    """Opens a page; at the end it has complained of nothing and asked for nothing else."""
    opened, said, asked = [], [], []

    def open_page(name="report", width=1280, **context):
        made = browser.new_context(viewport={"width": width, "height": 900}, **context)
        page = made.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name].as_uri())
        opened.append(made)
        return page

    yield open_page
    for made in opened:
        made.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} <= {
        path.as_uri() for path in pages.values()
    }


def names(page, group):
    return page.locator(f"{QUALITY} tbody[data-group='{group}'] th[scope=row]").all_inner_texts()


def test_a_column_sorts_within_groups_both_ways(visit):
    page = visit()
    head = page.locator(f"{QUALITY} thead th", has_text="PSNR")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    down = names(page, "One-step students")
    assert down[0] == "student-finetuned" and names(page, "Baselines")[0] == "bicubic"
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page, "One-step students") == down[::-1]


def test_rows_are_filtered_by_words_and_by_group(visit):
    page = visit()
    sheet = page.locator(QUALITY)
    shown = sheet.locator("tbody tr:not(.group):visible")
    everything = shown.count()
    sheet.get_by_role("button", name="Baselines").click()
    assert shown.count() == everything - 2
    sheet.get_by_role("searchbox").fill("teacher paper")
    assert shown.count() == 1
    assert sheet.locator("output").inner_text() == f"1 of {everything} rows"
    page.emulate_media(media="print")
    assert shown.count() == everything  # paper shows all


def test_what_is_known_of_a_figure_comes_by_pointer_by_keys_and_by_touch(visit):
    page = visit()
    tip = page.get_by_role("tooltip")
    figure = page.locator(f"{QUALITY} #row-teacher td.number").nth(1)
    figure.hover()
    assert "95 % interval" in tip.inner_text() and "protocol primary" in tip.inner_text()
    assert figure.get_attribute("aria-describedby") == tip.get_attribute("id")
    page.keyboard.press("Escape")
    assert tip.count() == 0
    page.locator(f"{QUALITY} tbody th[tabindex='0']").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    assert "PSNR ↑: " in tip.inner_text()
    page.mouse.move(0, 0)
    phone = visit(width=360, has_touch=True)
    cell = phone.locator("#table1 td[data-note^='Published']").first
    cell.tap()
    assert "Published: " in phone.get_by_role("tooltip").inner_text()


def test_the_slider_and_the_toggle_uncover_the_original(visit):
    page = visit()
    figure = page.locator("#pictures figure").first
    cut = "element => getComputedStyle(element).clipPath"
    original = figure.locator(".both img:last-child").first
    figure.get_by_role("slider").fill("30")
    assert "70%" in original.evaluate(cut)
    toggle = figure.get_by_role("button")
    toggle.click()
    assert original.evaluate(cut) == "none" and toggle.get_attribute("aria-pressed") == "true"
    toggle.click()
    assert "70%" in original.evaluate(cut)


def test_two_rows_are_told_apart(visit):
    page = visit()
    page.locator("#differ-a").select_option("teacher")
    page.locator("#differ-b").select_option("one-scale-teacher")
    cells = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    assert page.locator("#differences tbody tr").evaluate_all(cells) == [
        ["model", "msdd", "one-scale"],
        ["model.scales", "3", "1"],
    ]
    page.locator("#differ-b").select_option("student")
    assert "distil" in page.locator("#differences tbody").text_content()


def test_points_and_curves_tell_their_figures(visit):
    page = visit()
    tip = page.get_by_role("tooltip")
    page.locator("a.point", has_text="student-finetuned").hover()
    assert "images/s" in tip.inner_text()
    chart = page.locator("svg.curves").first
    line = chart.locator("polyline").first.get_attribute("points").split(" ")
    x, y = map(float, line[-1].split(","))
    box = chart.bounding_box()
    scale = box["width"] / float(chart.get_attribute("viewBox").split(" ")[2])
    chart.hover(position={"x": x * scale, "y": y * scale})
    assert "102,400 images: loss 0." in tip.inner_text()


@pytest.mark.parametrize(
    ("name", "scheme"), [("report", "light"), ("report", "dark"), ("comparison", "dark")]
)
def test_it_is_accessible_and_fits_a_phone(visit, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra dev")
    page = visit(name, width=360, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 15
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert not bad, [(one["id"], one["nodes"][0]["html"]) for one in bad]


def test_without_scripts_everything_is_there(visit):
    page = visit(java_script_enabled=False)
    figure = page.locator("#pictures figure").first
    assert figure.locator("img").nth(1).is_visible() and not figure.get_by_role("slider").count()
    assert page.locator("details").count() and not page.locator(".differ").is_visible()
