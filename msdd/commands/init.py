"""`msdd init`: a folder with all that a pipeline needs, from the package alone."""

import argparse
import importlib.util
import json
import os
import re
import shlex
import shutil
from pathlib import Path

from msdd import project_files
from msdd.commands.parser import examples
from msdd.errors import MsddError
from msdd.files import expand_user, remove, remove_unfinished, temporary_sibling, write_text
from msdd.version import __version__

README = """\
# A project of msdd {version}

Made by `msdd init`. `params.yaml` says what is trained and compared; `reports/` gets the tables.

```sh
msdd params use PRESET     # another preset than {preset}; a folder `presets` may hold your own
msdd estimate              # what it costs: jobs, hours, disk
snakemake -n               # what would run, and why
snakemake --cores all
msdd mlflow                # all decodes side by side in MLflow's page
```

By DVC, in a Git repository (`git init`; without one `dvc config core.no_scm true`):

```sh
msdd params expand && dvc repro
```

The rules in `Snakefile`, `dvc.yaml` and `workflow/` are those of msdd {version} and run with this
version only, which `workflow/version.txt` says. `profiles/` has settings for clusters.
"""
OF_CHECKOUT = "    deps:\n      - msdd\n"  # in dvc.yaml: the package, which lies elsewhere here


def add(commands: argparse._SubParsersAction) -> None:
    described = "make a folder with a project that runs: Snakefile, dvc.yaml, params.yaml, profiles"
    shown = examples(
        "msdd init project", "msdd init project --preset taef2-64 --photographs photos"
    )
    command = commands.add_parser("init", help=described, description=described, epilog=shown)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="new, or empty")
    command.add_argument("--preset", default="demo", metavar="P", help="default: demo")
    command.add_argument(
        "--photographs", metavar="DIR", help="what data.photographs names; default: the preset's"
    )
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    photographs = place(args.photographs) if args.photographs is not None else None
    write(args.folder, args.preset, photographs)
    print(f"{args.folder} is a project with the preset {args.preset}, by msdd {__version__}")
    if importlib.util.find_spec("snakemake") is None:
        print('it needs packages that are not here: pip install "msdd[pipeline]"')
    print(f"go on there: cd {shlex.quote(str(args.folder))}; snakemake --cores all")


def place(photographs: str) -> str:
    """A folder or archive by its whole path, since the project lies elsewhere; a URL as it is."""
    from msdd.listing import expanded
    from msdd.urls import is_url

    if is_url(photographs):
        return photographs
    path = Path(os.path.abspath(expand_user(photographs)))
    if not any(file.exists() for file in expanded(path)):
        raise MsddError(f"--photographs {photographs}: there is no such folder or file")
    return str(path)


def write(folder: Path, preset: str, photographs: str | None) -> None:
    """Make the project in `folder`; all of it is there in the end, or nothing."""
    from msdd.params import presets

    presets.find(preset, Path())
    remove_unfinished(folder / "project")
    _check_empty(folder)
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    staged = temporary_sibling(folder / "project")
    try:
        fill(staged, preset, photographs)
        for child in staged.iterdir():
            os.replace(child, folder / child.name)
    finally:
        remove(staged)
        if new and not any(folder.iterdir()):
            folder.rmdir()


def _check_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise MsddError(f"{folder} is a file; name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise MsddError(f"{folder} is not empty; name a new folder")


def fill(root: Path, preset: str, photographs: str | None) -> None:
    """Everything that `root` shall contain, of one version, with params that are checked."""
    from msdd.params import presets
    from msdd.params.load import load
    from msdd.pipeline import jobs, project_version

    for part in project_files.PARTS:
        if part != presets.FOLDER:
            _copy(project_files.folder() / part, root / part)
    _copy(project_files.folder() / presets.SCHEMA, root / presets.SCHEMA)
    rules = (root / "dvc.yaml").read_text(encoding="utf-8")
    write_text(root / "dvc.yaml", rules.replace(OF_CHECKOUT, "", 1))
    write_text(root / project_version.FILE, f"{__version__}\n")
    write_text(root / "README.md", README.format(version=__version__, preset=preset))
    target = root / "params.yaml"
    write_text(target, presets.text(presets.find(preset, Path())))
    if photographs is not None:
        _name_photographs(target, photographs)
    jobs.expand(load(target), root)


def _copy(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if part.is_dir() else shutil.copyfile)(part, target)


def _name_photographs(params: Path, photographs: str) -> None:
    """The only key that a new project always has to change, in the text with its comments."""
    quoted = json.dumps(photographs, ensure_ascii=False)
    text = params.read_text(encoding="utf-8")
    line = re.compile(r"^(  photographs:) .*$", re.MULTILINE)
    write_text(params, line.sub(lambda found: f"{found[1]} {quoted}", text, count=1))
