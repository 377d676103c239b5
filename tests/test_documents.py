"""Every block of code of the documents: run here as it stands, or marked with where it is run.

A mark is a comment above the block, which pages do not show: `<!-- not run: the reason -->`, or
`<!-- run by: tests/a/test_b.py::name -->`, also several with commas between them.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from msdd import cli, load
from msdd.evaluate import protocols
from msdd.params.plain_yaml import read_yaml

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[1]
PAGES = {path.name: path for path in (ROOT, ROOT / "docs") for path in sorted(path.glob("*.md"))}
BLOCK = re.compile(
    r"^(?:<!-- (run by|not run): (.+?) -->\n)?```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
FOLDERS = ("photos", "photographs", "originals", "reconstructions", "decoded", "crops", "theirs")
FOLDERS += ("IN", "DIR")
CALLABLE = "def reconstruct(images):\n    return images.round(decimals=1)\n"


class Block(NamedTuple):
    mark: str  # "run by", "not run", or nothing
    where: str
    language: str
    text: str


def blocks(page: str, *languages: str) -> list[Block]:
    found = [Block(*each) for each in BLOCK.findall(PAGES[page].read_text(encoding="utf-8"))]
    return [block for block in found if not languages or block.language in languages]


def with_blocks_to_run(*languages: str) -> list[str]:
    return [page for page in PAGES if any(not block.mark for block in blocks(page, *languages))]


@pytest.fixture(scope="module")
def finished(trained: Path, tmp_path_factory) -> Path:
    """The preset tiny with an evaluation; to be read only."""
    root = shutil.copytree(trained, tmp_path_factory.mktemp("finished") / "work")
    here = Path.cwd()
    os.chdir(root)
    try:
        assert cli.main(["evaluate", "student", "--quiet"]) == 0
    finally:
        os.chdir(here)
    return root


@pytest.fixture
def place(finished, tmp_path, monkeypatch, inception) -> Path:
    """A working directory with what the pages name: models, folders of images, code, kept runs."""
    for name in ("work", "before", "work/kept/june", "work/kept/july"):
        shutil.copytree(finished, tmp_path / name)
    root = tmp_path / "work"
    for model in ("msdd/msdd-finetuned", "taef2/taef2-finetuned"):
        shutil.copytree(root / "runs/msdd/msdd-1step", root / "runs" / model)
    photograph(0).save(root / "photo.png")
    for module in ("my_module", "my_package"):
        (root / f"{module}.py").write_text(CALLABLE)
    # Ten seconds for each of 2,048 features; tests/metrics/test_frechet.py holds it.
    monkeypatch.setattr("msdd.evaluate.distances.frechet_distance", lambda *_: 1.0)
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    give_folders(root)
    return root


def give_folders(root: Path) -> None:
    for folder in FOLDERS:
        (root / folder).mkdir()
        for k in range(2):
            photograph(k).save(root / folder / f"{k}.png")


def photograph(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("page", with_blocks_to_run("sh"))
def test_commands_run_as_they_stand(page, place, capfd):
    """One after the other, so that a command finds what those before it have made."""
    if page == "how.md":  # its reader begins with nothing
        (place / "new").mkdir()
        os.chdir("new")
    for line in commands(block for block in blocks(page, "sh") if not block.mark):
        capfd.readouterr()
        assert run(line) == 0, f"{line}\n{capfd.readouterr().err[-2000:]}"


def commands(of) -> Iterator[str]:
    for block in of:
        for line in block.text.replace("\\\n", " ").splitlines():
            if shlex.split(line, comments=True):
                yield line


def run(line: str) -> int:
    """A command of ours in this process, which has torch; others by a shell."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "msdd":
        return cli.main(arguments)
    if program == "cd":
        os.chdir(*arguments)
        give_folders(Path.cwd())
        return 0
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(["bash", "-c", line], env=environment).returncode


@pytest.mark.parametrize("page", with_blocks_to_run("python"))
def test_python_runs_as_it_stands(page, place):
    """In one namespace for each page, with the tensors that it speaks of."""
    tokenizer = load("runs/msdd/msdd-1step")
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    space = {"__name__": page, "images": images, "latents": tokenizer.encode(images)}
    for block in blocks(page, "python"):
        if not block.mark:
            exec(block.text, space)


@pytest.mark.parametrize("page", with_blocks_to_run("yaml"))
def test_yaml_is_taken(page, tmp_path):
    """Sections of params by their schema, without what else is required; others as protocols."""
    jsonschema = pytest.importorskip("jsonschema")  # comes with Snakemake
    schema = without_required(json.loads((ROOT / "presets/params.schema.json").read_text()))
    for block in blocks(page, "yaml"):
        (tmp_path / "mine.yaml").write_text(block.text)
        raw = read_yaml(tmp_path / "mine.yaml")
        if raw.keys() <= schema["properties"].keys():
            jsonschema.validate(raw, schema)
        else:
            assert protocols.load([str(tmp_path / "mine.yaml")]).keys() == raw.keys()


def without_required(schema):
    if isinstance(schema, dict):
        kept = {k: v for k, v in schema.items() if k != "required"}
        return {k: without_required(v) for k, v in kept.items()}
    return [without_required(each) for each in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("page", PAGES)
def test_what_does_not_run_here_is_marked(page):
    """With a test that there is, and with commands that there are."""
    for block in blocks(page):
        assert block.mark or block.language in ("sh", "python", "yaml"), block
        for where in block.where.split(", ") if block.mark == "run by" else ():
            file, _, test = where.partition("::")
            assert f"def {test}" in (ROOT / file).read_text(), where
    for line in commands(block for block in blocks(page, "sh") if block.mark):
        assert_known(shlex.split(line, comments=True))


def assert_known(words: list[str]) -> None:
    """Our own commands have these options; make has this target."""
    program, *arguments = words
    if program == "msdd":
        cli.parser().parse_args(arguments)
    if program == "make":
        targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets)


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"CHANGELOG.md"}))  # it tells of what was
def test_commands_within_sentences_exist(page):
    text = re.sub(r"\s+", " ", BLOCK.sub("", PAGES[page].read_text(encoding="utf-8")))
    told = set(re.findall(r"`msdd ([a-z][a-z0-9-]+)", text))
    assert told <= cli.parser()._subparsers._group_actions[0].choices.keys()
    for target in re.findall(r"`make ([a-z][\w-]*)`", text):
        assert_known(["make", target])


def test_a_page_names_the_metrics_that_prefer_blur():
    """Those by which bicubic is ahead of TAEF2, by the table above the sentence."""
    text = PAGES["what-metrics-say.md"].read_text(encoding="utf-8")
    table, _, sentence = text.partition("| ImageNet, 900 images, 256 px ")[2].partition("\n\n")
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    by_name = {name: values for name, *values in rows if name}
    better = {
        head[:-2]
        for head, a, b in zip(rows[0], by_name["TAEF2"], by_name["bicubic from half"], strict=True)
        if ("↑" in head and float(b) > float(a)) or ("↓" in head and float(b) < float(a))
    }
    said = re.match("Here (.+) rank bicubic above TAEF2, and every other metric", sentence)
    assert said and set(re.split(", | and ", said[1])) == better


def test_a_page_tells_the_memory_of_primary_that_was_measured():
    text = " ".join(PAGES["protocols.md"].read_text(encoding="utf-8").split())
    measured = json.loads((ROOT / "reports/measured/evaluation/speed.json").read_text())
    rounds = measured["samples"]["primary"].items()
    most = {way: max((one["peak"] for one in taken), default=0) for way, taken in rounds}
    now, before, packages = (f"{most[way]:,.0f}" for way in ("now", "before", "packages"))
    said = f"at `primary`, was {now} MiB now, {before} before and {packages} by the packages"
    assert said in text
