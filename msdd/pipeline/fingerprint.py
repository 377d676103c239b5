"""A digest of the code that a module runs: comments and docstrings do not count, nor other modules.

Workflow engines see the text of a command, not the package behind it. They carry this digest
instead, so that a change of the sampler repeats what samples, and a comment repeats nothing.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

# Rooms that can change no result: they tell, guard or name. Params are tracked by value.
OUTSIDE = ("msdd.params", "msdd.pipeline", "msdd.tracking", "msdd.commands", "msdd.cli")


def closure_digest(module: str, package: Path = PACKAGE) -> str:
    """SHA-256 over the syntax trees of `module` and all it imports, at any depth, of the package.

    A module's data, the YAML file of its name, counts too, and so do imports inside functions.
    What `importlib` loads by a computed name is not seen.

    Args:
        module: dotted name, e.g. `msdd.train.stage1`.
        package: folder of the package `msdd`.
    """
    total = hashlib.sha256()
    for name in sorted(closure(module, package)):
        file = _file(name, package)
        total.update(f"{name}\n{_bare_code(file.read_bytes())}\n".encode())
        if (data := file.with_suffix(".yaml")).exists():
            total.update(data.read_bytes())
    return total.hexdigest()


def closure(module: str, package: Path = PACKAGE) -> set[str]:
    """`module` and the package's modules that it imports, directly or not, except `OUTSIDE`."""
    found: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in found or is_outside(name):
            continue
        found.add(name)
        todo.extend(_imports(name, package))
    return found


def is_outside(name: str) -> bool:
    """Whether a module is the package's front door, or in a room that changes no result."""
    return name == "msdd" or any(f"{name}.".startswith(f"{room}.") for room in OUTSIDE)


def _imports(module: str, package: Path) -> Iterator[str]:
    """What a module imports of the package, and the packages it lies in (importing runs them)."""
    file = _file(module, package)
    yield from _with_parents(module)
    for node in _import_statements(file.read_bytes()):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = _absolute(node, module, is_package=file.name == "__init__.py")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == "msdd" and _exists(name, package):
                yield from _with_parents(name)


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """The module that `from ... import` names, with leading dots resolved."""
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, node.module] if node.module else parts)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _file(name: str, package: Path) -> Path:
    path = package.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _exists(name: str, package: Path) -> bool:
    return _file(name, package).exists()


# Most modules lie in the closure of most stages, and are parsed once for all of them.
@cache
def _import_statements(source: bytes) -> list[ast.Import | ast.ImportFrom]:
    nodes = ast.walk(ast.parse(source))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


@cache
def _bare_code(source: bytes) -> str:
    """The code without comments, docstrings and layout; stable where `ast.dump` is not."""
    return ast.unparse(_WithoutTexts().visit(ast.parse(source)))


class _WithoutTexts(ast.NodeTransformer):
    """Drops statements that are only a text, docstrings of attributes too, and what is raised: the
    words of an error change no result."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:  # noqa: N802 (the name ast calls)
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:  # noqa: N802
        return ast.Raise()
