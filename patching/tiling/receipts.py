"""Receipts: what was made from what, so that a run that was interrupted goes on where it stopped.

A receipt lies apart from the outputs, because it names the state of the code. It is written twice for
each slide: when the unfinished store lacks nothing but patches, and when the store is whole.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import google_crc32c

from patching.digests import fingerprint
from patching.errors import AnnotationError
from patching.store.reading import partial
from patching.tiling.sources import sources
from patching.tiling.task import Folders, SlideTask

# Their pixels or bytes end up in the outputs.
_LIBRARIES = (
    "imagecodecs",
    "numpy",
    "opencv-python-headless",
    "matplotlib",  # the font on overlays
    "openslide-bin",
    "openslide-python",
    "pillow",
    "scikit-image",
    "scipy",
    "shapely",
    "tensorstore",
    "tifffile",
    "zarr",
)
_TAIL = 64 * 1024
_PACKAGE = Path(__file__).parent.parent
_TILER = "patching.tiling.tiler"
_TABLES = frozenset({"patching.tissue.registry"})


Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Key:
    """All that a slide's outputs depend on."""

    digest: str
    """Of everything but the slide's pixels."""
    slide: str
    """SHA-256 of the slide's files."""
    stamps: tuple[Stamp, ...]
    """Size and time of each file: by them it is known that none was exchanged since it was last read."""


def key_of(task: SlideTask) -> Key:
    """What the slide's outputs depend on now.

    The slide is the one that ingest read, unless a file has another time than when it was tiled: those of a
    copied project have, and one that was exchanged. Then it is read to tell.

    Raises:
        AnnotationError: the annotation or an external mask cannot be read.
        MissingFileError: there is no external mask of the slide.
        UnreadableSlideError: a file cannot be read.
    """
    digest = _digest(task)
    stamps = tuple(_stamp(path) for path in task.row.images if isinstance(path, Path))
    known = _read(task.folders.of(task.row.slide_id)[2])
    if known.get("key") != digest:
        return Key(digest, task.fingerprint, stamps)
    same = known.get("stamps") == [list(stamp) for stamp in stamps]
    return Key(digest, str(known.get("slide")) if same else fingerprint(task.row.images), stamps)


def _digest(task: SlideTask) -> str:
    row, detector = task.row, task.settings.detector
    content = {
        "slide": [task.fingerprint, row.slide_id, row.channels, row.label, row.mpp, row.reading.cells()],
        "annotation": _outlines(row.annotation),
        "masks": [_outlines(path) for path in detector.files(row.slide_id)],
        "settings": task.settings.model_dump(mode="json"),
        "code": code_version(_PACKAGE, type(detector).__module__),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> Stamp:
    """Size and time of a file; nothing of a folder."""
    if not path.is_file():
        return ()
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _outlines(path: Path | None) -> str | None:
    if path is None or not path.is_file():
        return None
    try:
        return fingerprint([path])
    except OSError as error:
        raise AnnotationError(
            has=f"{path.name}, which cannot be read ({error})",
            needs="a readable file",
            do="check its permissions and its disk",
        ) from error


State = Literal["nothing", "begun", "published", "whole"]


def state_of(task: SlideTask, key: Key) -> State:
    """How far an earlier run came with this very task.

    Whole stores are recognized by their files' lengths and last 64 KiB, which hold the index of each shard;
    `evenpatch verify` checks every byte.
    """
    store, overlay, receipt = task.folders.of(task.row.slide_id)
    known = _read(receipt)
    if (known.get("key"), known.get("slide")) != (key.digest, key.slide):
        return "nothing"
    if known.get("files") == _marks(store, overlay):
        return "whole"
    if known.get("files") is not None or not overlay.is_file():
        return "nothing"
    # Everything but the patches was there before this receipt, and an older store was not.
    if partial(store).is_dir():
        return "begun"
    return "published" if store.is_dir() else "nothing"


def write_receipt(task: SlideTask, key: Key, *, whole: bool) -> None:
    """Say that a task's unfinished store is begun, or that its store is whole."""
    store, overlay, _ = task.folders.of(task.row.slide_id)
    _write(task, key, _marks(store, overlay) if whole else None)


def renew_stamps(task: SlideTask, key: Key) -> None:
    """Keep the times of a slide that turned out to be the same, so that it need not be read again."""
    known = _read(task.folders.of(task.row.slide_id)[2])
    if known.get("stamps") != [list(stamp) for stamp in key.stamps]:
        _write(task, key, known.get("files"))


def _write(task: SlideTask, key: Key, files: Any) -> None:
    content = {"key": key.digest, "slide": key.slide, "stamps": key.stamps, "files": files}
    write_json(task.folders.of(task.row.slide_id)[2], content)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = partial(path)
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def remove_outputs(folders: Folders, slide_id: str) -> None:
    """Remove all that is there of a slide; the receipt goes first."""
    store, overlay, receipt = folders.of(slide_id)
    for path in (receipt, store, partial(store), overlay, folders.log(slide_id)):
        unlink(path)


def unlink(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read(receipt: Path) -> dict[str, Any]:
    try:
        content = json.loads(receipt.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _marks(store: Path, overlay: Path) -> dict[str, list[int]]:
    """Length, and checksum of the end, of every file."""
    found = _files(store) if store.is_dir() else ()
    marks = {path.relative_to(store).as_posix(): _mark(path) for path in found}
    return marks | {"overlay": _mark(overlay)} if overlay.is_file() else marks


def _files(folder: str | Path) -> Iterator[Path]:
    """Paths of all files, those of each folder by name; several times as fast as `Path.rglob`."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.is_file():
                yield Path(entry.path)


def _mark(path: Path) -> list[int]:
    with path.open("rb", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size
        file.seek(max(0, length - _TAIL))
        return [length, google_crc32c.value(file.read())]


@cache
def code_version(package: Path, detector: str) -> str:
    """Digest of the sources that tile a slide with a detector, and of libraries whose work is in the outputs.

    Args:
        package: folder of this package.
        detector: the detector's module. The others, and the table that names all of them, do not count.
    """
    digest = hashlib.sha256(json.dumps({name: version(name) for name in _LIBRARIES}).encode())
    for path in sources(package, (_TILER, detector), without=_TABLES):
        digest.update(path.read_bytes())
    return digest.hexdigest()
