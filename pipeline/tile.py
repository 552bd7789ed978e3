"""Cut every slide into patches with tissue fraction and label. Writes data/<cohort>/patches and overlays.

One zarr store per slide, index.parquet over all of them, and one picture per slide to look at. A store
that an earlier run finished is kept if its slide, annotation, settings and the code are still the same.
A slide that cannot be tiled goes to excluded.csv with the reason, up to the configured budget.
"""

import argparse
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field
from rich.console import Console
from rich.progress import track

from patching.engine import Folders, Outcome, SlideTask, remove_strangers, tile_cohort
from patching.errors import ErrorBudgetError
from patching.manifest import SlideRow, read_manifest
from patching.store import PatchStore
from patching.tiler import TileSettings
from pipeline.artifacts import EXCLUDED, INDEX, SLIDES, Paths, read_table, replacing
from pipeline.config import Context, load_stage, validated

logger = logging.getLogger(__name__)
_NAMED = 10


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
    failed = [outcomes[row.slide_id] for row in rows if outcomes[row.slide_id].error is not None]
    _write_excluded(paths, rows, failed)
    _require_budget(failed, len(rows), settings.error_budget)
    _write_index(paths, rows, {outcome.slide_id for outcome in failed})
    kept = sum(outcome.kept for outcome in outcomes.values())
    logger.info(
        "%d slides tiled, %d kept, %d excluded: %s",
        len(rows) - kept - len(failed),
        kept,
        len(failed),
        paths.index,
    )


def _write_excluded(paths: Paths, rows: Sequence[SlideRow], failed: Sequence[Outcome]) -> None:
    files = {row.slide_id: (*row.images, row.annotation) for row in rows}
    cells = []
    for outcome in failed:
        reason = outcome.reason or ""
        for path in files[outcome.slide_id]:
            if path is not None:
                # The table must not depend on where the cohort lies on this machine.
                reason = reason.replace(str(path), Path(os.path.relpath(path, paths.root)).as_posix())
        cells.append((outcome.slide_id, "tile", outcome.error, reason))
        logger.warning("%s excluded: %s", outcome.slide_id, reason)
    with replacing(paths.patches / "excluded.csv") as part:
        pd.DataFrame(cells, columns=list(EXCLUDED)).to_csv(part, index=False, lineterminator="\n")


def _require_budget(failed: Sequence[Outcome], count: int, budget: float) -> None:
    if len(failed) <= budget * count and len(failed) < count:
        return
    told = [f"{outcome.slide_id} ({outcome.error}: {outcome.reason})" for outcome in failed[:_NAMED]]
    more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    raise ErrorBudgetError(
        has=f"{len(failed)} of {count} slides failed: {'; '.join(told)}{more}",
        needs=f"at most a share of {budget:g}, and one usable slide",
        do="mend or remove the slides listed in patches/excluded.csv, or raise `tile.error_budget`",
    )


def _write_index(paths: Paths, rows: Sequence[SlideRow], failed: set[str]) -> None:
    """index.parquet and summary.json, both from the stores alone, whoever wrote them."""
    tables: list[pd.DataFrame] = []
    dropped: Counter[str] = Counter()
    for row in rows:
        if row.slide_id not in failed:
            store = PatchStore.open(paths.store(row.slide_id))
            tables.append(slide_index(store, row.patient_id))
            dropped.update(store.attributes.dropped)
    index = pd.concat(tables, ignore_index=True).sort_values(["slide_id", "y", "x"], kind="stable")
    with replacing(paths.index) as part:
        index.to_parquet(part, index=False, engine="pyarrow")
    summary = summarize(index, [row.slide_id for row in rows], failed, dropped)
    if empty := summary["without_patches"]:
        logger.warning("%d slides without a single patch: %s", len(empty), ", ".join(empty[:_NAMED]))
    with replacing(paths.patches / "summary.json") as part:
        part.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
