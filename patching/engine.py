"""Many slides into patches: the same task list, serial or in local processes; finished slides are kept."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import cv2
import threadpoolctl

from patching.errors import AnnotationError, EvenpatchError, SlideError
from patching.manifest import SlideRow, fingerprint
from patching.store import partial
from patching.tiler import TileSettings, tile_slide

logger = logging.getLogger(__name__)
# Their pixels or bytes end up in the outputs.
_LIBRARIES = (
    "imagecodecs",
    "numpy",
    "opencv-python-headless",
    "openslide-bin",
    "pillow",
    "shapely",
    "tensorstore",
    "tifffile",
    "zarr",
)


@dataclass(frozen=True)
class Folders:
    """Where a cohort's outputs go."""

    stores: Path
    """<slide_id>.zarr"""
    overlays: Path
    """<slide_id>.png"""
    receipts: Path
    """<slide_id>.json: what was made from what. Apart from the outputs, because it names the code's state."""

    def of(self, slide_id: str) -> tuple[Path, Path, Path]:
        """Store, overlay and receipt of a slide."""
        return (
            self.stores / f"{slide_id}.zarr",
            self.overlays / f"{slide_id}.png",
            self.receipts / f"{slide_id}.json",
        )


@dataclass(frozen=True)
class SlideTask:
    """One slide to tile."""

    row: SlideRow
    fingerprint: str
    settings: TileSettings
    folders: Folders


@dataclass(frozen=True)
class Outcome:
    """What became of a slide."""

    slide_id: str
    kept: bool = False
    """An earlier run's store was whole and up to date."""
    error: EvenpatchError | None = None
    """Why, where the slide failed."""


def tile_cohort(tasks: Sequence[SlideTask], workers: int) -> Iterator[Outcome]:
    """Tile slides; yields each outcome as it comes, in any order.

    Expected failures of one slide are outcomes; anything else, such as a full disk, is raised.

    Args:
        tasks: the slides.
        workers: processes; with 1 the work is done in this one.
    """
    if workers == 1 or len(tasks) <= 1:
        yield from map(run_task, tasks)
        return
    # Spawned, not forked: decoders' and TensorStore's threads do not survive a fork.
    with ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(logging.getLogger().getEffectiveLevel(),),
    ) as pool:
        yield from _completed(pool, tasks)


def run_task(task: SlideTask) -> Outcome:
    """Tile one slide, unless its store is whole and up to date."""
    slide_id = task.row.slide_id
    store, overlay, receipt = task.folders.of(slide_id)
    try:
        key = _key(task)
        if receipt.is_file() and receipt.read_bytes() == _receipt(key, store, overlay):
            return Outcome(slide_id, kept=True)
        _remove(task.folders, slide_id)
        tile_slide(task.row, task.fingerprint, task.settings, store, overlay)
    except (SlideError, AnnotationError) as error:
        _remove(task.folders, slide_id)
        return Outcome(slide_id, error=error)
    receipt.parent.mkdir(parents=True, exist_ok=True)
    part = partial(receipt)
    part.write_bytes(_receipt(key, store, overlay))
    part.replace(receipt)
    return Outcome(slide_id)


def remove_strangers(folders: Folders, slide_ids: set[str]) -> None:
    """Remove what belongs to no listed slide: stores, overlays, receipts, and halves of a crashed run."""
    for folder, suffix in (
        (folders.stores, ".zarr"),
        (folders.overlays, ".png"),
        (folders.receipts, ".json"),
    ):
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            half = path.name.startswith(".") and path.name.endswith(".part")
            if half or (path.suffix == suffix and path.name.removesuffix(suffix) not in slide_ids):
                logger.info("removing %s: %s", path.name, "unfinished" if half else "its slide is not listed")
                _unlink(path)


def _start_worker(level: int) -> None:
    """One thread per worker: there are as many workers as cores."""
    logging.basicConfig(level=level, format="%(name)s: %(message)s")
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)


def _completed(pool: Executor, tasks: Sequence[SlideTask]) -> Iterator[Outcome]:
    futures: dict[Future[Outcome], str] = {pool.submit(run_task, t): t.row.slide_id for t in tasks}
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise EvenpatchError(
            has="a worker process that was killed, most often for want of memory",
            needs="memory for all workers at once",
            do="lower tile.workers and run the same command again: finished slides are kept",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _key(task: SlideTask) -> str:
    """Digest of all that a slide's outputs depend on."""
    row, annotation = task.row, task.row.annotation
    content = {
        "slide": [task.fingerprint, row.slide_id, row.channels, row.label, row.mpp],
        "annotation": fingerprint([annotation]) if annotation is not None and annotation.is_file() else None,
        "settings": task.settings.model_dump(mode="json"),
        "code": _code_version(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _code_version() -> str:
    """Digest of this package's sources and of the libraries whose work is in the outputs."""
    digest = hashlib.sha256(json.dumps({name: version(name) for name in _LIBRARIES}).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _receipt(key: str, store: Path, overlay: Path) -> bytes:
    return json.dumps({"key": key, "content": _digest(store, overlay)}).encode()


def _digest(store: Path, overlay: Path) -> str:
    """Digest of every file's name and content: a store that was exchanged or damaged is not kept."""
    digest = hashlib.sha256()
    for path in [*sorted(p for p in store.rglob("*") if p.is_file()), overlay]:
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            digest.update(path.name.encode() + content)
    return digest.hexdigest()


def _remove(folders: Folders, slide_id: str) -> None:
    store, overlay, receipt = folders.of(slide_id)
    for path in (receipt, store, partial(store), overlay):
        _unlink(path)


def _unlink(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
