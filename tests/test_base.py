"""The base installation, `pip install msdd`: without engines, MLflow, tables and figures.

Every command works there, or says in one line what to install.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from PIL import Image
from skimage.data import astronaut

from msdd import cli
from msdd.commands.parser import leaves
from msdd.pipeline import layout

ROOT = Path(__file__).parents[1]
TEACHER, STUDENT = layout.stage1("msdd"), layout.assembled("msdd", "msdd-1step")
ONCE = ("--batches", "1", "--repeats", "1", "--random")
WORKS = {  # by command: arguments, in a folder with crops, a teacher and a student
    "scatter": None,  # one part of what `prepare` does
    "prepare": None,  # the photographs of `tiny` are those of a package that is not here
    "latents": None,  # no row of `tiny` has another tokenizer
    "train": ["msdd"],
    "distil": ["msdd-1step", "0"],
    "chain": ["finetuned"],
    "assemble": ["msdd-1step"],
    "baseline": ["mean-colour"],
    "code": [],
    "fingerprint": ["train"],
    "completion bash": [],
    "completion zsh": None,  # as that for bash
    "completion fish": None,
    "completion names": None,  # what these ask for
    "doctor": [],
    "estimate": [],
    "evaluate": ["student"],
    "export": [STUDENT, "decoder.pt2"],
    "flops": [],
    "encode": ["in", "z", "--tokenizer", TEACHER],
    "decode": ["z", "out", "--tokenizer", TEACHER],
    "reconstruct": ["in", "made", "--tokenizer", STUDENT],
    "init": ["project", "--preset", "tiny"],
    "provenance": [f"{TEACHER}/model.safetensors"],
    "throughput": ["--systems", "student", *ONCE, "--json", "-"],
    "tokenizers": [],
    "track": [],  # nothing is to be delivered
    "params check": [],
    "params expand": [],
    "params schema": None,  # of a checkout
    "params use": ["tiny"],
}
NEEDS = {  # what the extra `pipeline` installs
    "table1": "pandas",
    "table2": "pandas",
    "ablation": "pandas",
    "figures": "matplotlib",
    "speed": "pandas",
    "report": "pandas",
    "mlflow": "mlflow",
    "plan": "dvc",
    "compare in in pictures": "matplotlib",
}
# Every command in one process whose imports find nothing but the base installation.
CHILD = """
import contextlib, io, json, sys
from importlib.machinery import PathFinder

absent, calls = json.loads(sys.argv[1]), json.loads(sys.argv[2])

class Present(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in absent
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[:] = [Present if one is PathFinder else one for one in sys.meta_path]
from msdd import cli
for call in calls:
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        try:
            code = cli.main(call)
        except BaseException as error:
            code = repr(error)
    print(json.dumps([code, told.getvalue()[-2000:]]))
"""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirements: Iterable[str], extra: str = "") -> set[str]:
    """The distributions that these requirements bring, themselves and what they require."""
    found: set[str] = set()
    wanted = [Requirement(one) for one in requirements]
    while wanted:
        one = wanted.pop()
        if plain(one.name) in found or not holds(one, extra):
            continue
        found.add(plain(one.name))
        try:
            more = metadata.requires(one.name) or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        wanted += [r for r in map(Requirement, more) if holds(r, *one.extras)]
    return found


def holds(requirement: Requirement, *extras: str) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


@pytest.fixture(scope="module")
def absent() -> list[str]:
    """The modules of all packages here that the base installation does not bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = required(project["dependencies"]) | {"msdd", "pip"}
    owners = metadata.packages_distributions()
    return sorted(name for name, of in owners.items() if base.isdisjoint(map(plain, of)))


def told(absent, root, calls):
    """Exit code and output of each call of `msdd` in `root`."""
    arguments = [json.dumps(absent), json.dumps([[str(a) for a in call] for call in calls])]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def with_images(root: Path) -> Path:
    """The folder, with two photographs in `in`."""
    (root / "in").mkdir()
    for k in range(2):
        Image.fromarray(astronaut()[100 * k :][:100, :100]).save(root / f"in/{k}.png")
    return root


def test_every_command_is_listed_here():
    commands = {leaf.prog.removeprefix("msdd ") for leaf in leaves(cli.parser())}
    assert commands == WORKS.keys() | {name.partition(" ")[0] for name in NEEDS}


def test_commands_that_need_more_say_what_to_install(absent, prepared, tmp_path):
    root = with_images(shutil.copytree(prepared, tmp_path / "work"))
    answers = told(absent, root, [command.split() for command in NEEDS])
    for (command, package), (code, text) in zip(NEEDS.items(), answers, strict=True):
        line = f'{package}: pip install "msdd[pipeline]"\n'
        assert (command, code, text[-len(line) :]) == (command, 1, line)
        assert "Traceback" not in text


@pytest.mark.long
def test_all_others_work(absent, trained, tmp_path):
    root = with_images(shutil.copytree(trained, tmp_path / "work"))
    calls = {command: more for command, more in WORKS.items() if more is not None}
    answers = told(absent, root, [[*name.split(), *more] for name, more in calls.items()])
    for command, (code, text) in zip(calls, answers, strict=True):
        assert (command, code) == (command, 0), text


def test_the_lock_admits_every_python_that_msdd_does():
    """Debian 12 has 3.11.2, which later versions of some packages refuse."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    locked = [Requirement(line).name for line in (ROOT / "requirements.lock").open()]
    needs = {name: metadata.metadata(name)["Requires-Python"] or "" for name in locked}
    assert not {name: need for name, need in needs.items() if oldest not in SpecifierSet(need)}
