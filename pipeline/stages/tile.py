"""Cut every slide into patches with tissue fraction and label. Writes data/<cohort>/patches and overlays.

One zarr store per slide, index.parquet over all of them, a picture per slide and overlays/cohort.html to
look at. What an earlier run finished, slides and shards of slides, is kept if the slide, its annotation, the
settings and the code are still the same.
A slide that cannot be tiled goes to excluded.csv with the reason, up to the configured budget.
"""

import argparse
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from patching.annotations.roles import told_map
from patching.disk_space import Room, free_space, room_for
from patching.errors import EmptyCohortError
from patching.geometry import Size
from patching.grid import PatchSpec
from patching.store.reading import PatchStore, StoreAttributes
from patching.tiling.engine import EngineSettings, Folders, Outcome, SlideTask, remove_strangers, tile_cohort
from patching.tiling.settings import TileSettings
from pipeline.artifacts import Paths
from pipeline.cohort.excluded import require_budget, write_excluded
from pipeline.cohort.index import write_index
from pipeline.cohort.page import write_cohort_page
from pipeline.cohort.slides import ingested_rows, with_files
from pipeline.config import Context, load_cohort, load_stage, require_slides
from pipeline.patch_tables import read_slides
from pipeline.workspace import located
from pipeline.yaml_file import load_yaml

logger = logging.getLogger(__name__)
_TOO_SMALL = "too_small"
_REMEDIES = {
    _TOO_SMALL: "lower `tile.patch.size`, `mpp` or `downsample`, or set `tile.patch.edge: pad`",
    "no_tissue": "correct `tile.tissue`",
    "little_tissue": "lower `tile.minimum_tissue_fraction`, or correct `tile.tissue`",
    "uncovered": "lower `tile.minimum_covered_fraction`, or fetch whole slides",
    "ignored": "raise `tile.label.ignore`, or correct `tile.classes`",
    "ambiguous_label": "lower `tile.label.tau`, or raise `tile.label.negative`",
}


class TileStageSettings(TileSettings, EngineSettings):
    """configs/tile.yaml: how slides become patches, and how the work is run."""

    error_budget: float = Field(default=0.05, ge=0, le=1)
    """Share of the slides that may fail."""

    @property
    def tiling(self) -> TileSettings:
        """What the outputs depend on."""
        return TileSettings(**self.model_dump(include=set(TileSettings.model_fields)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage's own arguments."""
    parser.add_argument("--workers", type=int, help="decoders at a time; overrides the setting")
    parser.add_argument("--engine", help="local, dask or slurm; overrides the setting")


def run(context: Context, options: argparse.Namespace) -> None:
    """Tile the cohort and write the index over all patches.

    Raises:
        ArtifactError: the ingest stage has not run.
        ConfigError: images were imported, or a setting is unknown or out of its range.
        ErrorBudgetError: more slides failed than the budget allows, or all of them.
        EmptyCohortError: no slide gives a single patch.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "tiling")
    given = {"workers": options.workers, "engine": options.engine}
    settings = load_stage(context.configs, context.cohort, "tile", TileStageSettings, **given)
    _tell_detector(context, settings)
    logger.info("classes of annotations: %s", told_map(settings.classes))
    paths = context.paths
    listed = read_slides(paths)
    # Workers elsewhere may have been started in another folder.
    root = paths.root if settings.engine == "local" else paths.root.resolve()
    here = Paths(root, context.cohort)
    told = sorted(ingested_rows(paths), key=lambda row: row.slide_id)
    rows = with_files(told, root)
    folders = Folders(here.patches, here.overlays, here.tile_receipts)
    remove_strangers(folders, {row.slide_id for row in rows})
    for path in (paths.index, paths.patches / "summary.json", paths.overlays / "cohort.html"):
        # Those of an earlier run must not outlive a run that failed.
        path.unlink(missing_ok=True)
    tiling = _with_masks(settings.tiling, paths.root)
    tasks = [SlideTask(row, row.extra["fingerprint"], tiling, folders, settings.cache_mib) for row in rows]
    _tell_room(listed, settings.patch, paths.patches)
    outcomes = {outcome.slide_id: outcome for outcome in _tiled(tasks, settings)}
    errors = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    table = paths.tile_excluded
    write_excluded(table, "tile", rows, errors, told)
    require_budget(table, "tile", rows, errors, settings.error_budget)
    names = [row.slide_id for row in rows if row.slide_id not in errors]
    stores = {name: PatchStore.open(paths.store(name)) for name in names}
    _require_patches(list(stores.values()), paths)
    write_cohort_page(paths, write_index(paths, rows, stores), stores)
    reused = sum(outcome.kept for outcome in outcomes.values())
    logger.info(
        "%d slides tiled, %d stores reused, %d excluded: %s",
        len(rows) - reused - len(errors),
        reused,
        len(errors),
        paths.index,
    )


def _with_masks(settings: TileSettings, root: Path) -> TileSettings:
    """The settings with the folder of tissue masks, where there is one, as it is found from the project."""
    tissue = settings.tissue
    if "folder" in tissue:
        tissue = tissue | {"folder": str(located(tissue["folder"], root))}
    return settings.model_copy(update={"tissue": tissue})


def _tell_detector(context: Context, settings: TileSettings) -> None:
    """Say where `dvc repro` would go by another detector's code than the one that is used."""
    params, method = context.configs / "params.yaml", settings.tissue["method"]
    selected = load_yaml(params) if params.is_file() else {}
    if selected.get("cohort") == context.cohort and selected.get("detector") != method:
        logger.warning(
            "tissue is found by %s, but %s names the detector %s: run `evenpatch select --cohort %s`",
            method,
            params,
            selected.get("detector"),
            context.cohort,
        )


def _tell_room(listed: pd.DataFrame, spec: PatchSpec, folder: Path) -> None:
    """Say what the cohort may take on disk, loudly where that is more than is free."""
    columns = (listed[name].tolist() for name in ("width", "height", "mpp", "channels", "dtype"))
    rooms = [
        room_for(Size(width, height), None if pd.isna(mpp) else mpp, spec, len(channels.split(";")), dtype)
        for width, height, mpp, channels, dtype in zip(*columns, strict=True)
    ]
    most, free = sum(rooms, Room(0, 0)), free_space(folder)
    logger.log(
        logging.WARNING if most.nbytes > free else logging.INFO,
        "at most %s patches, %s before compression if all were tissue; %s are free",
        f"{most.patches:,}",
        _readable(most.nbytes),
        _readable(free),
    )


def _readable(nbytes: int) -> str:
    return f"{nbytes / 1e9:,.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:,.1f} MB"


def _tiled(tasks: Sequence[SlideTask], settings: TileStageSettings) -> Iterator[Outcome]:
    """Run the tasks where the settings say, beside a progress bar."""
    workers = settings.workers or os.cpu_count() or 1
    with Progress(
        TextColumn("tiling slides"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[patches]:,} patches, {task.fields[rate]:,.0f}/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
    ) as bar:
        shown = bar.add_task("", total=len(tasks), patches=0, rate=0.0)
        state = bar.tasks[0]

        def told(patches: int) -> None:
            total = state.fields["patches"] + patches
            bar.update(shown, patches=total, rate=total / max(state.elapsed or 0.0, 1e-3))

        for outcome in _outcomes(tasks, settings, workers, told):
            bar.advance(shown)
            yield outcome


def _outcomes(
    tasks: Sequence[SlideTask], settings: TileStageSettings, workers: int, told: Callable[[int], None]
) -> Iterator[Outcome]:
    if settings.engine == "local":
        yield from tile_cohort(tasks, workers, told)
        return
    from patching.tiling.cluster import connected, tile_on  # takes a second that other engines need not wait

    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells every connection

    with connected(settings, workers) as client:
        yield from tile_on(client, tasks, told)


def _require_patches(stores: Sequence[PatchStore], paths: Paths) -> None:
    if any(len(store.table) for store in stores):
        return
    reasons = {store.attributes.slide_id: _emptiness(store.attributes) for store in stores}
    reason, count = Counter(reasons.values()).most_common(1)[0]
    first = next(store.attributes for store in stores if reasons[store.attributes.slide_id] == reason)
    (width, height), places = first.slide_size, sum(first.dropped.values())
    told = f"{reason} in {first.dropped.get(reason)} of {places} places of {first.slide_id}"
    if reason == _TOO_SMALL:
        told = f"a patch covers {first.extent} level-0 px, {first.slide_id} is {width}x{height}"
    raise EmptyCohortError(
        has=f"not one patch from {len(stores)} slides; most often ({count} of them): {told}",
        needs="a slide with one patch at least",
        do=f"{_REMEDIES[reason]}; {paths.overlays} shows every slide",
    )


def _emptiness(attributes: StoreAttributes) -> str:
    """The most frequent reason why a slide has no patch."""
    dropped = Counter(attributes.dropped)
    return dropped.most_common(1)[0][0] if dropped.total() else _TOO_SMALL
