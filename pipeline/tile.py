"""Cut every slide into patches with tissue fraction and label. Writes data/<cohort>/patches and overlays.

One zarr store per slide, index.parquet over all of them, and one picture per slide to look at. A store
that an earlier run finished is reused if its slide, annotation, settings and the code are still the same.
A slide that cannot be tiled goes to excluded.csv with the reason, up to the configured budget.
"""

import argparse
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field
from rich.console import Console
from rich.progress import track

from patching.engine import Folders, SlideTask, remove_strangers, tile_cohort
from patching.errors import EmptyCohortError
from patching.manifest import SlideRow, read_manifest
from patching.planning import TileSettings
from patching.store import PatchStore, StoreAttributes
from pipeline.artifacts import INDEX, SLIDES, Paths, read_table, replacing
from pipeline.config import Context, load_stage, validated
from pipeline.excluded import require_budget, write_excluded

logger = logging.getLogger(__name__)
_NAMED = 10
_TOO_SMALL = "too_small"
_REMEDIES = {
    _TOO_SMALL: "lower `tile.patch.size`, `mpp` or `downsample`, or set `tile.patch.edge: pad`",
    "no_tissue": "correct `tile.tissue`",
    "little_tissue": "lower `tile.minimum_tissue_fraction`, or correct `tile.tissue`",
    "ignored": "raise `tile.label.ignore`, or correct `tile.classes`",
    "ambiguous_label": "lower `tile.label.tau`, or raise `tile.label.negative`",
}


class TileStageSettings(TileSettings):
    """configs/tile.yaml: how slides become patches, and how the work is run."""

    workers: int | None = Field(default=None, gt=0)
    """Processes; None is the number of cores."""
    error_budget: float = Field(default=0.05, ge=0, le=1)
    """Share of the slides that may fail."""

    @property
    def tiling(self) -> TileSettings:
        """What the outputs depend on."""
        return TileSettings(**self.model_dump(exclude={"workers", "error_budget"}))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage's own arguments."""
    parser.add_argument("--workers", type=int, help="processes; overrides the setting")


def run(context: Context, options: argparse.Namespace) -> None:
    """Tile the cohort and write the index over all patches.

    Raises:
        ArtifactError: the ingest stage has not run.
        ConfigError: a setting is unknown or out of its range.
        ErrorBudgetError: more slides failed than the budget allows, or all of them.
        EmptyCohortError: no slide gives a single patch.
    """
    settings = load_stage(context.configs, context.cohort, "tile", TileStageSettings)
    if options.workers is not None:
        settings = validated(
            TileStageSettings, settings.model_dump() | {"workers": options.workers}, "--workers"
        )
    paths = context.paths
    read_table(paths.slides, SLIDES, "ingest")
    rows = sorted(read_manifest(paths.slides, root=paths.root), key=lambda row: row.slide_id)
    folders = Folders(paths.patches, paths.overlays, paths.tile_receipts)
    remove_strangers(folders, {row.slide_id for row in rows})
    for path in (paths.index, paths.patches / "summary.json"):
        # Those of an earlier run must not outlive a run that failed.
        path.unlink(missing_ok=True)
    tasks = [SlideTask(row, row.extra["fingerprint"], settings.tiling, folders) for row in rows]
    workers = settings.workers or os.cpu_count() or 1
    progress = track(tile_cohort(tasks, workers), "tiling slides", len(tasks), console=Console(stderr=True))
    outcomes = {outcome.slide_id: outcome for outcome in progress}
    errors = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    table = paths.patches / "excluded.csv"
    write_excluded(table, "tile", rows, errors, paths.root)
    require_budget(table, "tile", rows, errors, settings.error_budget)
    names = [row.slide_id for row in rows if row.slide_id not in errors]
    stores = {name: PatchStore.open(paths.store(name)) for name in names}
    _require_patches(list(stores.values()), paths)
    _write_index(paths, rows, stores)
    reused = sum(outcome.kept for outcome in outcomes.values())
    logger.info(
        "%d slides tiled, %d stores reused, %d excluded: %s",
        len(rows) - reused - len(errors),
        reused,
        len(errors),
        paths.index,
    )


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


def _write_index(paths: Paths, rows: Sequence[SlideRow], stores: Mapping[str, PatchStore]) -> None:
    """index.parquet and summary.json, both from the stores alone, whoever wrote them."""
    dropped: Counter[str] = Counter()
    for store in stores.values():
        dropped.update(store.attributes.dropped)
    tables = [slide_index(stores[row.slide_id], row.patient_id) for row in rows if row.slide_id in stores]
    index = pd.concat(tables, ignore_index=True).sort_values(["slide_id", "y", "x"], kind="stable")
    with replacing(paths.index) as part:
        index.to_parquet(part, index=False, engine="pyarrow")
    failed = {row.slide_id for row in rows} - set(stores)
    summary = summarize(index, [row.slide_id for row in rows], failed, dropped)
    _tell(summary)
    with replacing(paths.patches / "summary.json") as part:
        part.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _tell(summary: Mapping[str, Any]) -> None:
    if empty := summary["without_patches"]:
        logger.warning("%d slides without a single patch: %s", len(empty), ", ".join(empty[:_NAMED]))
    labels, dropped = summary["labels"], summary["dropped"]
    logger.info(
        "%d patches: %d tumor, %d non-tumor; dropped: %s",
        summary["patches"],
        labels["1"],
        labels["0"],
        ", ".join(f"{count} {reason}" for reason, count in dropped.items()),
    )


def slide_index(store: PatchStore, patient_id: str) -> pd.DataFrame:
    """Rows of the index for one store, in the columns INDEX."""
    table, attributes = store.table, store.attributes
    slide_id, (x, y) = attributes.slide_id, table.locations_N2.T
    pixel_um2 = np.prod(attributes.slide_mpp) if attributes.slide_mpp else np.nan
    columns: dict[str, Any] = {
        "patch_id": [f"{slide_id}@{left}_{top}" for left, top in table.locations_N2.tolist()],
        "slide_id": slide_id,
        "patient_id": patient_id,
        "store_row": np.arange(len(table)),
        "x": x,
        "y": y,
        "extent": attributes.extent,
        "tissue_fraction": table.tissue_fraction_N,
        "tissue_area_um2": table.tissue_fraction_N * attributes.extent**2 * pixel_um2,
        "tumor_fraction": table.tumor_fraction_N,
        "label": table.label_N.astype(np.int64),
    }
    text = dict.fromkeys(("patch_id", "slide_id", "patient_id"), "str")
    return pd.DataFrame(columns, columns=list(INDEX)).astype(text | {"extent": "int64"})


def summarize(
    index: pd.DataFrame, slide_ids: Sequence[str], failed: set[str], dropped: Counter[str]
) -> dict[str, Any]:
    """The tiling in figures, for the report."""
    filled = set(index["slide_id"])
    return {
        "slides": len(slide_ids),
        "excluded": len(failed),
        "without_patches": [name for name in slide_ids if name not in failed and name not in filled],
        "patches": len(index),
        "labels": {str(label): int((index["label"] == label).sum()) for label in (0, 1)},
        "dropped": dict(sorted(dropped.items())),
        "mean_tissue_fraction": {
            str(label): float(index.loc[index["label"] == label, "tissue_fraction"].mean())
            for label in sorted(index["label"].unique())
        },
    }
