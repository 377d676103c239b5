"""What mkdocs does beside: reference of the code, formulas, search in a folder, list of links.

The pages of `docs/` link to files of the repository, as on a code host. On the site a module is a
page of the reference, made from its docstrings.
"""

import html
import json
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
links: dict[str, set[str]] = {}  # to other sites, with the pages that have them
FROM_TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
FROM_TOP |= {"CHANGELOG.md": "changelog.md", "CITATION.cff": "CITATION.cff"}
FROM_TOP |= {"tests/fixtures/README.md": "fixtures.md"}
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
OUTSIDE = re.compile(r'href="(https?://[^"#]+)')
WORKER = """if (location.protocol === "file:") {
  const source = %s;
  window.Worker = class extends Worker {
    constructor() { super(URL.createObjectURL(new Blob([source]))); }
  };
}
"""
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files, config):
    """The pages that are made: those of the top of the repository and one for each module."""
    for source, page in FROM_TOP.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    modules = sorted(path.relative_to(ROOT) for path in ROOT.glob("msdd/**/*.py"))
    for module in modules:
        name = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
        if not name.endswith("__main__"):
            files.append(File.generated(config, page_of(module), content=f"::: {name}\n"))
    files.append(File.generated(config, "reference/index.md", content=index(modules)))
    for data in ROOT.glob("msdd/**/*.yaml"):
        if "project" not in data.parts:
            uri = f"reference/{data.relative_to(ROOT)}"
            files.append(File.generated(config, uri, content=data.read_text("utf-8")))
    return files


def page_of(module: Path) -> str:
    """The page of a file of the package: `package` for one that stands for its folder."""
    name = "package" if module.stem == "__init__" else module.stem
    return f"reference/{module.with_name(name)}.md"


def index(modules: list[Path]) -> str:
    """Modules by room, each with the first sentence of its docstring."""
    lines = ["# The code", "", "Every module of the package, from its docstrings.", ""]
    for module in modules:
        first = re.match(r'r?"""(.*)', (ROOT / module).read_text("utf-8"))
        if first and module.stem != "__main__":
            told = first[1].removesuffix('"""')
            lines.append(f"- [{module}]({page_of(module).removeprefix('reference/')}): {told}")
    return "\n".join([*lines, ""])


def on_page_markdown(markdown, page, config, files):
    """Links between files of the repository, as links between pages."""
    folder = "" if page.file.src_uri in FROM_TOP.values() else "docs"

    def on_site(found):
        target, anchor = found[1], found[2] or ""
        if "://" in target or target.startswith("#"):
            return found[0]
        path = Path(ROOT, folder, target).resolve()
        if not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / "reference"):
            return found[0]
        return f"]({uri_of(path.relative_to(ROOT))}{anchor})"

    if page.file.src_uri.startswith("reference/"):
        return None
    return LINK.sub(on_site, markdown).replace('src="docs/', 'src="')


def uri_of(path: Path) -> str:
    """Where a file of the repository lies on the site."""
    if path.as_posix() in FROM_TOP:
        return FROM_TOP[path.as_posix()]
    if path.suffix == ".py" and path.parts[0] == "msdd":
        return page_of(path)
    if path.parts[0] == "msdd" and path.suffix == "":
        return page_of(path / "__init__.py")
    return path.relative_to("docs").as_posix() if path.parts[0] == "docs" else f"reference/{path}"


def on_page_content(content, page, config, files):
    """Formulas as MathML, which browsers show by themselves; links elsewhere are noted."""
    for link in OUTSIDE.findall(content):
        links.setdefault(html.unescape(link), set()).add(page.file.src_uri)

    def formula(found):
        text = html.unescape(found[3]).strip()
        if found[2] == "(":
            return convert(text, display="inline")
        return f'<div class="formula" tabindex="0">{convert(text, display="block")}</div>'

    return FORMULA.sub(formula, content)


def on_post_page(output, page, config):
    """The search as a dialog with a name, which Material 9.8.2 leaves out."""
    dialog = 'class="md-search" data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def on_post_build(config):
    """What searches without a server, and the links to other sites, which nobody fetches here."""
    search_from_a_folder(Path(config.site_dir))
    lines = [f"{link}  {' '.join(sorted(pages))}" for link, pages in sorted(links.items())]
    Path(config.site_dir, "external_links.txt").write_text("\n".join([*lines, ""]), "utf-8")


def search_from_a_folder(site: Path) -> None:
    """Browsers fetch nothing from a folder and start no worker there, but they run scripts.

    For pages of files Material 9.8.2 takes the index from `search/search_index.js`.
    """
    index = (site / "search/search_index.json").read_text("utf-8")
    (site / "search/search_index.js").write_text(f"var __index = {index}", "utf-8")
    (worker,) = site.glob("assets/javascripts/workers/search.*.js")
    text = json.dumps(worker.read_text("utf-8").partition("//# sourceMappingURL")[0])
    (site / "search/from_a_folder.js").write_text(WORKER % text, "utf-8")
