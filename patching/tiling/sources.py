"""Which sources of a package a module runs: its own, and those that it imports, directly or by others."""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path


def sources(package: Path, modules: Collection[str], without: Collection[str] = ()) -> list[Path]:
    """Files of the modules and of all that they import from the package, in order of their names.

    An import inside a function, or for type checkers only, counts too; one by a name in a string does not.

    Args:
        package: its folder, which bears its name.
        modules: dotted names to begin with.
        without: modules that are left out, and so is what only they import.
    """
    waiting, found = list(modules), dict[str, Path]()
    while waiting:
        name = waiting.pop()
        path = _file(package, name)
        if path is not None and name not in found and name not in without:
            found[name] = path
            waiting += _imported(path)
    return [found[name] for name in sorted(found)]


def _file(package: Path, name: str) -> Path | None:
    first, *rest = name.split(".")
    place = package.joinpath(*rest)
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py") if first == package.name else ()
    return next((path for path in candidates if path.is_file()), None)


def _imported(path: Path) -> Iterator[str]:
    """Modules, and names in them that may be modules too."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
