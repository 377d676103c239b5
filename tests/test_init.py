"""`msdd init`: a project by the installed package, whole or not at all."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from msdd import cli
from msdd.commands import init
from msdd.errors import MsddError
from msdd.params.load import load
from msdd.params.presets import known
from msdd.pipeline import jobs, project_version
from msdd.tracking import store
from msdd.version import __version__

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("preset", sorted(known(ROOT)))
def test_a_project_of_every_preset_agrees_with_itself(preset, here):
    init.write(here / "project", preset, None)
    params = load("project/params.yaml")
    jobs.check_rows(params, Path("project"))
    assert params == load(ROOT / f"presets/{preset}.yaml")
    schema = (here / "project/params.yaml").read_text().partition("$schema=")[2].split()[0]
    assert (here / "project" / schema).exists()


def test_dvc_depends_on_all_but_the_package(here):
    init.write(here / "project", "tiny", None)
    ours, theirs = ((root / "dvc.yaml").read_text() for root in (ROOT, here / "project"))
    assert theirs == ours.replace("    deps:\n      - msdd\n", "") != ours


AWKWARD = ["photos of 2026", "a: b # c", 'o\'clock "x"', "back\\slash", "תמונות", "two\nlines"]


@pytest.mark.parametrize("name", AWKWARD)
def test_photographs_are_named_by_their_whole_path(name, here):
    Path(name).mkdir()
    assert cli.main(["init", "project", "--preset", "photos64", "--photographs", name]) == 0
    assert load("project/params.yaml").data.photographs == str(here / name)


def test_a_url_of_photographs_stays_as_it_is():
    assert init.place("s3://bucket/train.tar") == "s3://bucket/train.tar"


def test_an_empty_folder_is_filled_where_it_is(here):
    inode = here.stat().st_ino
    assert cli.main(["init", ".", "--preset", "tiny"]) == 0
    assert here.stat().st_ino == inode and Path("Snakefile").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["full"], "full is not empty; name a new folder"),
        (["full/file"], "full/file is a file; name a new folder"),
        (["new", "--preset", "nope"], "there is no preset 'nope'; known: ablation, demo, "),
        (["new", "--photographs", "no"], "--photographs no: there is no such folder or file"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(here, capsys, arguments, line):
    Path("full").mkdir()
    Path("full/file").write_text("")
    assert cli.main(["init", *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"msdd: error: {line}")
    assert sorted(here.rglob("*")) == [here / "full", here / "full/file"]


def test_a_full_disk_leaves_nothing(here, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "workflow/rows.yaml")

    monkeypatch.setattr(jobs, "expand", full)
    assert cli.main(["init", "new"]) == 1
    assert list(here.iterdir()) == []


def test_another_version_runs_no_stage(here, capsys, monkeypatch):
    init.write(here / "project", "tiny", None)
    project_version.check(here / "project")
    (here / "project" / project_version.FILE).write_text("0.0.7\n")
    monkeypatch.chdir("project")
    for command in ("code", "prepare", "table1"):
        assert cli.main([command]) == 1
        told = f"this project was made by msdd 0.0.7, and msdd {__version__} runs: "
        assert capsys.readouterr().err.startswith(f"msdd: error: {told}")


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("pandas", ["table1"]), ("matplotlib", ["figures"]), ("dvc", ["plan"])],
)
def test_what_an_extra_installs_is_told(here, package, arguments):
    init.write(here / "project", "tiny", None)
    code = f"import sys; sys.modules['{package}'] = None; from msdd.cli import main; "
    code += f"sys.exit(main({arguments}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd="project", capture_output=True, text=True)
    told = f'msdd: error: this command needs {package}: pip install "msdd[pipeline]"\n'
    assert (done.returncode, done.stderr) == (1, told)


def test_a_delivery_without_mlflow_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MsddError, match=r'pip install "msdd\[pipeline\]"'):
        store.client_at("sqlite:///mlflow.db")


def test_versions_are_one():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
