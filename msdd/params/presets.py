"""Where params files come from: presets, and the JSON schema for editors."""

import filecmp
import json
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

from msdd import project_files
from msdd.errors import MsddError, known_names
from msdd.files import atomic, holds, write_text
from msdd.params.load import load
from msdd.params.schema import Params

FOLDER = "presets"
SCHEMA = Path(FOLDER) / "params.schema.json"


def use(preset: str, target: Path) -> list[str]:
    """Make a preset the params file `target`; tell what was done.

    A params file that equals no preset holds somebody's work and is kept as `<target>.bak`, or
    beside an earlier one as `<target>.bak1` and so on.
    """
    texts = {name: text(path) for name, path in known(target.parent).items()}
    load(find(preset, target.parent))
    lines = _keep(target, texts)
    write_text(target, texts[preset])
    return [*lines, f"{target} is now the preset {preset}"]


def find(preset: str, root: Path) -> Path:
    """The file of a preset; MsddError names those there are."""
    files = known(root)
    if preset not in files:
        raise MsddError(f"there is no preset '{preset}'; {known_names(preset, sorted(files))}")
    return files[preset]


def known(root: Path) -> dict[str, Path]:
    """The presets that come with the package and those of the folder `presets` below `root`, which
    replace others of their name."""
    folders = (project_files.folder() / FOLDER, root / FOLDER)
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def text(preset: Path) -> str:
    """A preset as a params file, one folder higher: the editor's schema lies elsewhere.

    Whoever uses it loads it as well, which refuses what is not UTF-8.
    """
    return preset.read_text("utf-8", "replace").replace("$schema=", f"$schema={FOLDER}/", 1)


def _keep(target: Path, texts: dict[str, str]) -> list[str]:
    if not target.exists() or any(holds(target, text) for text in texts.values()):
        return []
    names = (f"{target.name}.bak{k or ''}" for k in count())
    free = (target.with_name(name) for name in names)
    backup = next(path for path in free if not path.exists() or filecmp.cmp(path, target, False))
    with atomic(backup) as temporary:
        shutil.copyfile(target, temporary)
    return [f"{target} had changes of its own: kept as {backup}"]


def equal(params: Params, root: Path) -> str | None:
    """The preset that says the same; None where none does."""
    for name, path in known(root).items():
        with suppress(MsddError):
            if load(path).raw() == params.raw():
                return name
    return None


def schema() -> str:
    """The JSON schema of a params file, for editors."""
    fields = Params.model_json_schema()
    fields["title"] = "Parameters of msdd"
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
