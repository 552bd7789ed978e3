"""evenpatch end to end: tissue mask, labels, fractions, sharded store, overlay and index of one cohort."""

import atexit
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tiling import places
from patching.grid import PatchSpec, resolve
from patching.manifest import SlideRow
from patching.readers.registry import open_slide
from patching.store.reading import PatchStore
from patching.tiling.engine import EngineSettings, Folders, Outcome, SlideTask, tile_cohort
from patching.tiling.settings import TileSettings
from pipeline.cohort.index import patch_index

CASES: dict[str, dict[str, Any]] = {
    "aligned": {"size": 256, "mpp": 0.5},
    "overlap": {"size": 256, "mpp": 0.5, "stride": 200},
    "shifted": {"size": 240, "mpp": 0.5},
    "fractional": {"size": 256, "mpp": 0.65},
}
"""Patch specs for slides of 0.5 µm per pixel in tiles of 256: on the tiles; every 200 pixels; never on
the tiles but without overlap; resampled by 1.3."""


def tile(
    slides: list[str],
    patch: Mapping[str, Any],
    workers: int,
    annotation: str | None = None,
    repeat: int = 1,
    codec: str = "blosc-lz4",
    quality: bool = False,
    engine: str = "local",
    keep: str | None = None,
    tidy: bool = True,
) -> Callable[[], dict[str, Any]]:
    """Tile a cohort into an empty folder.

    Args:
        slides: files; the same one may stand for several slides.
        patch: the patch spec, as in configs/tile.yaml.
        workers: of the engine.
        annotation: outlines of tumor for every slide; without one each slide is wholly tumor.
        repeat: how often the list of slides is taken.
        codec: of the store.
        quality: whether the quality of patches is measured too.
        engine: local or dask; a dask cluster is up before the clock starts.
        keep: folder where the first slide's store is left.
        tidy: whether outputs are removed after each run, not at the end. ext4 makes no file of an inode
            that was freed in the last minutes, and searches long among 37,000 of them.
    """
    settings = TileSettings(
        patch=patch,
        tissue={"method": "otsu"},
        classes={"tumor": "tumor", "*": "normal"},
        codec=codec,
        quality=quality,
    )
    run = _engine(engine, workers)

    def measure() -> dict[str, Any]:
        work = places.WORK / f"{time.monotonic_ns()}"
        tasks = list(_tasks(slides * repeat, settings, annotation, work))
        start = time.perf_counter()
        outcomes = list(run(tasks))
        _require(outcomes)
        patches = _write_index(tasks, work)
        seconds = time.perf_counter() - start
        found = {"seconds": seconds, "patches": patches, "slides": len(tasks), **_logged(outcomes)}
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
            tasks[0].folders.of(tasks[0].row.slide_id)[0].rename(keep)
        if tidy:
            shutil.rmtree(work)
        else:
            atexit.register(shutil.rmtree, work)
        return found

    return measure


def locate(slide: Path, patch: Mapping[str, Any], annotation: Path | None, place: Path) -> Path:
    """Save where the kept patches of a slide lie and what is read for them: the same for all tools."""
    kept = places.WORK / f"located-{place.stem}.zarr"
    place.parent.mkdir(parents=True, exist_ok=True)
    tile([str(slide)], patch, 1, annotation=None if annotation is None else str(annotation), keep=str(kept))()
    store = PatchStore.open(kept)
    with open_slide(slide) as opened:
        levels = opened.levels
        sampling = resolve(PatchSpec(**patch), levels, opened.mpp)
    np.savez(
        place,
        locations=store.locations,
        level=sampling.level,
        read=sampling.read,
        downsample=levels[sampling.level].downsample,
        size=int(patch["size"]),
        mpp=float(patch["mpp"]),
    )
    shutil.rmtree(kept)
    return place


def _engine(engine: str, workers: int) -> Callable[[Sequence[SlideTask]], Iterable[Outcome]]:
    if engine == "local":
        return lambda tasks: tile_cohort(tasks, workers)
    from patching.tiling.cluster import connected, tile_on  # dask takes a second to import

    stack = ExitStack()
    atexit.register(stack.close)
    client = stack.enter_context(connected(EngineSettings(engine="dask", workers=workers), workers))
    return lambda tasks: tile_on(client, tasks, lambda _: None)


def _require(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.error is not None:
            raise SystemExit(str(outcome.error))


def _logged(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Stored tiles decoded for patches and for the mask before, and seconds by step, summed over slides."""
    logs = [outcome.log for outcome in outcomes if outcome.log is not None]
    steps = {step for log in logs for step in log.seconds}
    return {
        "tiles_decoded": sum(log.segments_decoded.get("cut", 0) for log in logs),
        "tiles_decoded_for_mask": sum(log.segments_decoded.get("plan", 0) for log in logs),
        "steps": {step: sum(log.seconds.get(step, 0.0) for log in logs) for step in sorted(steps)},
    }


def _tasks(
    slides: list[str], settings: TileSettings, annotation: str | None, work: Path
) -> Iterator[SlideTask]:
    folders = Folders(work / "patches", work / "overlays", work / "receipts")
    for number, slide in enumerate(slides):
        outlines = None if annotation is None else Path(annotation)
        row = SlideRow(
            f"s{number:04}", "p", (Path(slide),), annotation=outlines, label=None if outlines else 1
        )
        # The fingerprint is the ingest stage's work.
        yield SlideTask(row, slide, settings, folders)


def _write_index(tasks: list[SlideTask], work: Path) -> int:
    """The index over all patches, as the tile stage writes it."""
    stores = [PatchStore.open(task.folders.of(task.row.slide_id)[0]) for task in tasks]
    index = patch_index(stores, ["p"] * len(stores))
    index.to_parquet(work / "index.parquet", index=False, engine="pyarrow")
    return len(index)
