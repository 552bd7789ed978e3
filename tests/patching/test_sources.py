"""What tiling a slide uses, and nothing else, is in the key by which finished work is known again."""

import ast
import shutil
from pathlib import Path

import grimp
import pytest

import patching
from patching.manifest import SlideRow
from patching.tiling.receipts import code_version, key_of
from patching.tiling.settings import TileSettings
from patching.tiling.sources import sources
from patching.tiling.task import Folders, SlideTask
from patching.tissue.registry import DETECTORS

PACKAGE = Path(patching.__file__).parent
TABLE, TILER = "patching.tissue.registry", "patching.tiling.tiler"


@pytest.fixture(scope="module")
def key() -> str:
    """Of the package as it is, wherever it lies."""
    return code_version(PACKAGE, "patching.tissue.otsu")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Of the package, without the table of detectors."""
    found = grimp.build_graph("patching", cache_dir=None)
    found.remove_module(TABLE)
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(PACKAGE, tmp_path / "patching", ignore=shutil.ignore_patterns("__pycache__"))


def names(paths: list[Path]) -> set[str]:
    """Modules, without packages: those hold no code."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in paths
        if path.name != "__init__.py"
    }


@pytest.mark.parametrize("detector", DETECTORS)
def test_it_is_the_closure_that_grimp_finds(detector: str, graph: grimp.ImportGraph) -> None:
    module = f"patching.tissue.{detector}"
    expected = {TILER, module, *graph.find_upstream_modules(TILER), *graph.find_upstream_modules(module)}
    found = names(sources(PACKAGE, (TILER, module), without={TABLE}))
    assert found == {name for name in expected if (PACKAGE.parent / Path(*name.split("."))).is_dir() is False}
    assert "patching.tissue.base" in found
    siblings = {f"patching.tissue.{name}" for name in DETECTORS} - {module}
    assert not found & (siblings | {f"patching.tiling.{name}" for name in ("engine", "cluster", "receipts")})


def test_every_way_to_import_counts(tmp_path: Path) -> None:
    (tmp_path / "pkg" / "inner").mkdir(parents=True)
    files = {
        "a.py": "import pkg.b\nfrom pkg.inner import c\nimport numpy\n",
        "b.py": "from pkg.a import X\ndef late():\n    from pkg.d import Y\n    return Y\n",
        "d.py": "from pkg.table import ALL\n",
        "e.py": "",
        "table.py": "import pkg.e\n",
        "inner/c.py": "",
        "inner/__init__.py": "",
    }
    for name, text in files.items():
        (tmp_path / "pkg" / name).write_text(text)
    found = [path.relative_to(tmp_path / "pkg").as_posix() for path in sources(tmp_path / "pkg", ["pkg.a"])]
    assert found == ["a.py", "b.py", "d.py", "e.py", "inner/__init__.py", "inner/c.py", "table.py"]
    without = sources(tmp_path / "pkg", ["pkg.a"], without={"pkg.table"})
    assert {path.name for path in without} == {"a.py", "b.py", "d.py", "__init__.py", "c.py"}


def test_packages_hold_no_code_and_nothing_is_imported_by_a_string() -> None:
    """But for the root's public names, which tiling does not use."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name == "__init__.py" and path.parent != PACKAGE:
            assert not [node for node in tree.body if not isinstance(node, ast.Expr)], path
        called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert path.parent == PACKAGE or not called & {"import_module", "__import__", "importlib"}, path


def append(file: Path) -> None:
    with file.open("a", encoding="utf-8") as text:
        text.write("\nX = 1\n")


def test_what_is_not_used_leaves_the_key_alone(copy: Path, key: str) -> None:
    unused = (
        "tissue/triangle.py",
        "tissue/registry.py",
        "tiling/engine.py",
        "store/verify.py",
        "tissue/new.py",
    )
    for edited in unused:
        append(copy / edited)
    assert code_version.__wrapped__(copy, "patching.tissue.otsu") == key


@pytest.mark.parametrize(
    "edited",
    ["tissue/otsu.py", "tissue/base.py", "tissue/parts/histogram.py", "tiling/tiler.py", "tiling/cutting.py",
     "readers/tiff/segments.py", "annotations/geojson.py", "store/seals.py", "damage.py"],
)  # fmt: skip
def test_what_is_used_changes_the_key(edited: str, copy: Path, key: str) -> None:
    append(copy / edited)
    assert code_version.__wrapped__(copy, "patching.tissue.otsu") != key


def test_another_detector_has_another_key(tmp_path: Path) -> None:
    def key_by(method: str) -> str:
        settings = TileSettings(patch={"size": 8, "downsample": 1}, tissue={"method": method}, classes={})
        row = SlideRow("s", "p", (tmp_path / "s.tif",), label=1)
        return key_of(SlideTask(row, "f", settings, Folders(tmp_path, tmp_path, tmp_path)))

    assert len({key_by(name) for name in ("otsu", "triangle", "all")}) == 3
    assert len({code_version(PACKAGE, f"patching.tissue.{name}") for name in ("otsu", "triangle")}) == 2
