"""Where params files come from: presets, and the JSON schema for editors."""

import json
from contextlib import suppress
from pathlib import Path

from msdd.errors import MsddError, known_names
from msdd.files import write_text
from msdd.params.load import load
from msdd.params.schema import Params

FOLDER = "presets"
SCHEMA = Path(FOLDER) / "params.schema.json"


def use(preset: str, target: Path) -> list[str]:
    """Make `presets/<preset>.yaml`, beside `target`, the params file; tell what was done.

    A params file that equals no preset holds somebody's work and is kept as `<target>.bak`.
    """
    folder = target.parent / FOLDER
    texts = {path.stem: _for_root(path) for path in sorted(folder.glob("*.yaml"))}
    load(find(preset, folder))
    lines = _keep(target, texts)
    write_text(target, texts[preset])
    return [*lines, f"{target} is now the preset {preset}"]


def find(preset: str, folder: Path) -> Path:
    """The file of a preset in `folder`; MsddError names those there are."""
    path = folder / f"{preset}.yaml"
    if not path.exists():
        told = known_names(preset, sorted(one.stem for one in folder.glob("*.yaml")))
        raise MsddError(f"{folder} has no preset '{preset}'; {told}")
    return path


def _for_root(preset: Path) -> str:
    """A preset's text as it stands one folder higher: the editor's schema lies elsewhere."""
    return preset.read_text(encoding="utf-8").replace("$schema=", f"$schema={FOLDER}/", 1)


def _keep(target: Path, texts: dict[str, str]) -> list[str]:
    if not target.exists() or target.read_text(encoding="utf-8") in texts.values():
        return []
    backup = target.with_name(f"{target.name}.bak")
    write_text(backup, target.read_text(encoding="utf-8"))
    return [f"{target} had changes of its own: kept as {backup}"]


def equal(params: Params, folder: Path) -> str | None:
    """The preset in `folder` that says the same; None where none does, or where none are."""
    for path in sorted(folder.glob("*.yaml")):
        with suppress(MsddError):
            if load(path).raw() == params.raw():
                return path.stem
    return None


def schema() -> str:
    """The JSON schema of a params file, for editors."""
    fields = Params.model_json_schema()
    fields["title"] = "Parameters of msdd"
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
