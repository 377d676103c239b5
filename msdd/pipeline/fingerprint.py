"""A digest of the code that a module runs, with all it imports of the package.

Comments, docstrings, layout and the texts of errors do not count. Workflow engines see the text of
a command, not the package behind it. They carry this digest instead, so that an edit of the sampler
repeats what samples, and a comment repeats nothing.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msdd.pipeline.digest_cache import DATA, remember

PACKAGE = Path(__file__).parents[1]

# Rooms that change no result: they report, guard or name. Params are tracked by value.
OUTSIDE = ("msdd.params", "msdd.pipeline", "msdd.tracking", "msdd.commands", "msdd.cli")


def closure_digest(module: str, package: Path = PACKAGE) -> str:
    """SHA-256 over the syntax trees of `module` and all it imports, at any depth, of the package.

    Files of `DATA` with a module's name count too, and so do imports inside functions.
    What `importlib` loads by a computed name does not count.

    Args:
        module: dotted name, e.g. `msdd.train.stage1`.
        package: folder of the package `msdd`.
    """
    return remember(module, package, lambda: _compute_digest(module, package))


def _compute_digest(module: str, package: Path) -> str:
    total = hashlib.sha256()
    for name in sorted(closure(module, package)):
        file = _file(name, package)
        total.update(f"{name}\n{_bare_code(file.read_bytes())}\n".encode())
        for data in filter(Path.exists, map(file.with_suffix, DATA)):
            total.update(data.read_bytes())
    return total.hexdigest()


def closure(module: str, package: Path = PACKAGE) -> set[str]:
    """`module` and the package's modules that it imports, directly or not, except `OUTSIDE` and
    those of types alone."""
    modules: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in modules or is_outside(name):
            continue
        modules.add(name)
        todo.extend(_imports(name, package))
    return modules


def is_outside(name: str) -> bool:
    """Whether `name` is the package's `__init__` or lies in one of `OUTSIDE`."""
    return name == "msdd" or any(f"{name}.".startswith(f"{room}.") for room in OUTSIDE)


def _imports(module: str, package: Path) -> Iterator[str]:
    """Modules that `module` imports, with the packages around them, which run as well."""
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
    nodes = ast.walk(_WithoutTypes().visit(ast.parse(source)))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


@cache
def _bare_code(source: bytes) -> str:
    """The code without comments, docstrings, layout and texts of errors.

    `ast.unparse` is stable across versions of Python where `ast.dump` is not.
    """
    return ast.unparse(_WithoutTexts().visit(ast.parse(source)))


class _WithoutTypes(ast.NodeTransformer):
    """Drops what never runs: the imports of a type checker."""

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt]:  # noqa: N802 (the name ast calls)
        self.generic_visit(node)
        return node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else node


class _WithoutTexts(ast.NodeTransformer):
    """Drops statements that are only a text, and what an error is raised with.

    The words of an error change no result. Its type stays, because `except` may choose by it.
    """

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:  # noqa: N802 (the name ast calls)
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:  # noqa: N802
        return ast.Raise(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
