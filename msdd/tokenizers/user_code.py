"""Imports what a user names by `module:object` or `file.py:object`, and says where it failed."""

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from msdd.errors import MsddError, did_you_mean

STANDARD_LIBRARY = sysconfig.get_path("stdlib")
PACKAGE = Path(__file__).parents[1]


def is_object(name: str) -> bool:
    """Whether a name is `module:object`, not a folder with a colon or an address."""
    return ":" in name and not name.startswith(("hf:/", "mlflow:/")) and not Path(name).is_dir()


def import_object(name: str) -> object:
    """The object of `module:object`; modules of the working directory come first.

    The module is a name as in an import statement, or the path of a `.py` file, whose folder is
    searched for its own imports. The object may have dots, as in `module:Class.method`.
    MsddError in one line: no such module or object, with names that are near; an error in the
    user's code, with its file and line.
    """
    module_name, _, attribute = name.partition(":")
    if Path(module_name).name in ("", "..") or not attribute:
        raise MsddError(f"tokenizer {name}: write module:object, or path/to/file.py:object")
    if file := file_of(module_name):
        module = import_file(name, file)
    else:
        module = import_named(name, module_name)
    if not getattr(module, "__file__", None):
        raise MsddError(
            f"tokenizer {name}: module '{module_name}' has no file; name one of your own"
        )
    return find_in(name, module, attribute)


def file_of(module: str) -> Path | None:
    """The file of a module that is named as a path; None for a name."""
    path = Path(module).expanduser()
    if path.suffix == ".py":
        return path
    return path.with_name(f"{path.name}.py") if "/" in module else None


def import_file(name: str, path: Path) -> ModuleType:
    """The module in a file, under its own name unless another module has that already."""
    if not path.is_file():
        there = path.parent.glob("*.py") if path.parent.is_dir() else ()
        near = suggested(path.name, [other.name for other in there])
        raise MsddError(f"tokenizer {name}: there is no file {path}{near}")
    path = path.resolve()
    loaded = sys.modules.get(path.stem)
    if loaded and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = None if loaded else importlib.util.find_spec(path.stem)
    other = loaded or (spec and Path(spec.origin or "").resolve() != path)
    key = f"{path.stem}_of_user" if other else path.stem
    put_first(path.parent)
    spec = importlib.util.spec_from_file_location(key, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # as an import does: pickle and dataclasses look there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[key]
        raise_failed(f"tokenizer {name}: importing {path.name} failed", error)
    return module


def import_named(name: str, module: str) -> ModuleType:
    put_first(Path.cwd())
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            near = suggested(module, [path.stem for path in Path.cwd().glob("*.py")])
            raise MsddError(
                f"tokenizer {name}: there is no module '{error.name}' in this folder or in "
                f"Python's path{near}"
            ) from error
        raise_failed(f"tokenizer {name}: importing {module} failed", error)
    except BaseException as error:
        raise_failed(f"tokenizer {name}: importing {module} failed", error)


def put_first(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def find_in(name: str, module: ModuleType, attribute: str) -> object:
    try:
        return attrgetter(attribute)(module)
    except AttributeError as error:
        known = [key for key in vars(module) if not key.startswith("_")]
        near = suggested(attribute, known)
        raise MsddError(
            f"tokenizer {name}: {module.__file__} has no '{attribute}'{near}"
        ) from error


def suggested(name: str, known: list[str]) -> str:
    """The end of a message: the name that is nearest, or the few that there are."""
    few = f"did you mean {' or '.join(known)}?" if 0 < len(known) < 5 else ""
    told = did_you_mean(name, known).strip() or few
    return f"; {told}" if told else ""


def raise_failed(what: str, error: BaseException) -> NoReturn:
    """MsddError in one line, with the place in the user's code; Ctrl-C goes on as it is."""
    if isinstance(error, (KeyboardInterrupt, MsddError)):
        raise error
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    if isinstance(error, SystemExit):
        text = "it ends the program; put what does so below `if __name__ == '__main__':`"
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    raise MsddError(f"{what}: {said} ({place(error)}--debug shows all){hint(error)}") from error


def hint(error: BaseException) -> str:
    """The end of a message on errors whose own text does not say what helps."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or "memory" in text:
        return "; a smaller batch needs less memory"
    if isinstance(error, ImportError) and "no known parent package" in text:
        return "; name it as part of its package: package.module:object"
    return ""


def place(error: BaseException) -> str:
    """File, line and function where the user's code failed, else the library that it called; none
    if it could not be called at all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}; "
    frames = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    own = [frame for frame in frames if is_own(Path(frame.filename))]
    last = (own or frames)[-1]
    if Path(last.filename).is_relative_to(PACKAGE):
        return ""
    function = "" if last.name == "<module>" else f", in {last.name}"
    return f"{last.filename}, line {last.lineno}{function}; "


def is_own(file: Path) -> bool:
    """Whether a file is neither Python's, nor installed, nor of this project."""
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    others = (STANDARD_LIBRARY, PACKAGE)
    return file.is_file() and not installed and not any(map(file.is_relative_to, others))
