"""An error of a library on a file is told as the file's; an error of ours stays what it is."""

import ast
import gc
import json
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import imagecodecs
import numpy as np
import openslide
import pytest
import tensorstore
import tifffile
import zarr
from PIL import Image

import patching
from patching import Location, PatchStore, Size, open_slide
from patching.annotations.registry import load_annotation
from patching.damage import DAMAGE, decoded, memory_told
from patching.errors import (
    AnnotationError,
    EvenpatchError,
    MemoryShortageError,
    StoreError,
    UnreadableSlideError,
)
from patching.manifest import SlideRow
from patching.store.reading import PatchTable, StoreAttributes
from patching.store.writing import write_store
from patching.tiling.engine import Folders, SlideTask, run_task
from patching.tiling.settings import TileSettings

PACKAGE = Path(patching.__file__).parent
RING = [[20, 30], [180, 25], [20, 140], [20, 30]]
Work = Callable[[], object]


def read(path: Any, **how: Any) -> Work:
    def work() -> None:
        with open_slide(path, **how) as slide:
            announced = slide.expect(0, np.array([[0, 0], [64, 48]]), Size(48, 64))
            announced.read(0, np.empty((64, 48, len(slide.channels)), slide.dtype))
            slide.read_region(Location(-5, -7), len(slide.levels) - 1, Size(100, 90))

    return work


def annotate(path: Path) -> Work:
    return lambda: load_annotation(path, label=None, size=Size(300, 200), classes={"*": "tumor"})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    attributes = StoreAttributes(
        slide_id="s", fingerprint="f", spec={"size": 8}, extent=8, stride=8, downsample=1, mpp=None,
        slide_mpp=None, slide_size=(16, 8), channels=("a",), dtype="uint8", brightfield=False,
        tissue_downsample=1, dropped={},
    )  # fmt: skip
    table = PatchTable(np.zeros((2, 2), np.int64), np.ones(2), np.ones(2), np.ones(2, np.int8), np.ones(2))
    patches = [np.full((8, 8, 1), value, np.uint8) for value in (3, 4)]
    write_store(tmp_path / "s.zarr", attributes, table, np.ones((4, 4), np.bool_), patches)
    return tmp_path / "s.zarr"


@pytest.fixture
def works(
    tmp_path: Path, store: Path, ome_tiff: Any, rgb_tiff: Any, png: Any, jpeg: Any, modalities: Any
) -> dict[str, Work]:
    """What is done with a file of every format."""
    imagej, ycbcr, ome_zarr = tmp_path / "stack.tif", tmp_path / "jpeg.tif", tmp_path / "slide.ome.zarr"
    tifffile.imwrite(imagej, np.zeros((3, 600, 700), np.uint16), imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(ycbcr, rgb_tiff.image_HWC, tile=(64, 48), photometric="rgb", compression="jpeg")
    group = zarr.open_group(ome_zarr, mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((200, 300), np.uint8), chunks=(64, 48))
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [RING]}}
    (tmp_path / "a.geojson").write_text(json.dumps([feature]))
    points = "".join(f'<Coordinate X="{x}" Y="{y}"/>' for x, y in RING)
    outline = f"<Annotation><Coordinates>{points}</Coordinates></Annotation>"
    (tmp_path / "a.xml").write_text(f"<ASAP_Annotations>{outline}</ASAP_Annotations>")
    Image.fromarray(np.ones((200, 300), np.uint8)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.ones((200, 300), np.uint8), compression="zlib", tile=(64, 48))

    def stored() -> None:
        opened = PatchStore.open(store)
        opened.read([0]), opened.table, opened.tissue

    return {
        "tiff": read(ome_tiff.path),
        "rgb tiff": read(rgb_tiff.path),
        "jpeg tiff": read(ycbcr),
        "imagej": read(imagej, z="max"),
        "openslide": read(rgb_tiff.path, reader="openslide"),
        "png": read(png.path),
        "jpeg": read(jpeg.path),
        "zarr": read(ome_zarr),
        "stack": read(modalities.paths),
        "geojson": annotate(tmp_path / "a.geojson"),
        "xml": annotate(tmp_path / "a.xml"),
        "png mask": annotate(tmp_path / "a.png"),
        "tiff mask": annotate(tmp_path / "a.tif"),
        "store": stored,
    }


KINDS = (
    "tiff", "rgb tiff", "jpeg tiff", "imagej", "openslide", "png", "jpeg", "zarr", "stack", "geojson", "xml",
    "png mask", "tiff mask", "store",
)  # fmt: skip


def is_ours(code: CodeType) -> bool:
    """Functions of the package, but for what runs when a module is imported, and for the damage itself."""
    path = Path(code.co_filename)
    inside = path.is_relative_to(PACKAGE) and path.name not in ("damage.py", "errors.py")
    return inside and not code.co_name.startswith("<")


def ran(work: Work) -> list[CodeType]:
    """Our functions that a work calls, in order."""
    found: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and is_ours(frame.f_code):
            found[frame.f_code] = None

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return list(found)


@contextmanager
def planted(code: CodeType, error: Exception) -> Iterator[None]:
    """As if the first line of a function were wrong."""
    before = sys.gettrace()

    def trace(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is code:
            raise error

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # where closing is what is wrong
@pytest.mark.parametrize("kind", KINDS)
def test_a_typo_in_our_own_code_is_told_as_itself(kind: str, works: dict[str, Work]) -> None:
    """In every function of ours that reading such a file calls, one after the other."""
    work = works[kind]
    work()
    functions = ran(work)
    assert len(functions) > 5
    for number, code in enumerate(functions):
        mistake = (AttributeError, TypeError, NameError, AssertionError)[number % 4]("planted")
        with planted(code, mistake), pytest.raises(Exception) as told:  # noqa: PT011 - judged below
            work()
        assert told.value is mistake, f"{code.co_qualname}: {told.value!r}"
    del told, mistake
    gc.collect()


def test_only_calls_of_libraries_are_covered() -> None:
    """What is handed to `decoded` and the like names nothing of ours, so that no error of ours is told."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    helpers = {
        ast.unparse(node.targets[0])
        for node in (statement for tree in trees.values() for statement in tree.body)
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Foreign(")
    }
    assert {"decoded", "fetched", "stored", "_by_openslide"} <= helpers
    seen = 0
    for path, tree in trees.items():
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        ours = functions | {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("patching")
            for alias in node.names
        }
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in helpers:
                what = call.args[1]
                names = {node.id for node in ast.walk(what) if isinstance(node, ast.Name)}
                called = {node.attr for node in ast.walk(what) if isinstance(node, ast.Attribute)}
                own = (names & ours) | (called & functions if "self" in names else set())
                assert not own, f"{path.name}:{call.lineno}: {own}"
                seen += 1
    assert seen > 30


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_decoders_raise_names_the_file(kind: type[Exception]) -> None:
    def decoder(data: bytes) -> bytes:
        raise kind("no such thing")

    with pytest.raises(UnreadableSlideError, match=rf"slide\.tif: {kind.__name__}: .*no such") as told:
        decoded("slide.tif", decoder, b"")
    assert isinstance(told.value.__cause__, kind)


PLACES: dict[str, tuple[object, str, str, type[EvenpatchError]]] = {
    "tiff": (tifffile.TiffPage, "decode", "multimodal.ome.tif", UnreadableSlideError),
    "openslide": (openslide.OpenSlide, "read_region", "brightfield.tif", UnreadableSlideError),
    "png": (imagecodecs, "png_decode", "brightfield.png", UnreadableSlideError),
    "jpeg": (Image, "open", "brightfield.jpg", UnreadableSlideError),
    "zarr": (tensorstore, "open", "slide.ome.zarr", UnreadableSlideError),
    "png mask": (Image, "open", "a.png", AnnotationError),
    "tiff mask": (tifffile.TiffPageSeries, "asarray", "a.tif", AnnotationError),
    "store": (tensorstore, "open", "s.zarr", StoreError),
}


@pytest.mark.parametrize("error", [AttributeError, TypeError, KeyError, AssertionError, struct.error])
@pytest.mark.parametrize("kind", PLACES)
def test_the_same_inside_a_library_is_the_files(
    kind: str, error: type[Exception], works: dict[str, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, file, expected = PLACES[kind]

    def broken(*_: object, **__: object) -> None:
        raise error("inside")

    monkeypatch.setattr(owner, name, property(broken) if name == "decode" else broken)
    monkeypatch.setattr("patching.readers.tiff.segments.plain_bytes", lambda _: None)
    with pytest.raises(expected, match=f"{file}.*{error.__name__}") as told:
        works[kind]()
    assert "inside" in str(told.value)


def test_a_want_of_memory_gets_its_own_advice(
    works: dict[str, Work], png: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object) -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    folders = Folders(tmp_path / "patches", tmp_path / "overlays", tmp_path / "receipts")
    settings = TileSettings(patch={"size": 16, "downsample": 1}, tissue={"method": "all"}, classes={})
    task = SlideTask(SlideRow("s1", "p", (png.path,), label=1), "00", settings, folders)
    monkeypatch.setattr("patching.tiling.tiler.plan_slide", greedy)
    error = run_task(task).error
    assert isinstance(error, MemoryShortageError)
    assert "s1: MemoryError: Unable" in error.has
    assert "tile.workers" in error.do
    monkeypatch.setattr(imagecodecs, "png_decode", greedy)
    with pytest.raises(MemoryShortageError, match=r"brightfield\.png: MemoryError: Unable") as told:
        works["png"]()
    assert "copy" not in told.value.do
    with pytest.raises(MemoryShortageError) as again, memory_told("the slide"):
        raise told.value
    assert again.value is told.value
