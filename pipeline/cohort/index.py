"""index.parquet and summary.json: what the stores of a cohort hold, whoever wrote them."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patching.manifest import SlideRow
from patching.store.reading import PatchStore
from pipeline.artifacts import INDEX, Paths
from pipeline.files import checksums, write_json, write_parquet

logger = logging.getLogger(__name__)
_NAMED = 10
_WHOLE = 3
"""Warnings of a kind that are told as they are; of the others how many there are."""


def write_index(paths: Paths, rows: Sequence[SlideRow], stores: Mapping[str, PatchStore]) -> pd.DataFrame:
    """Write both files, from the stores alone, and return the index."""
    stored = [row for row in rows if row.slide_id in stores]
    index = patch_index([stores[row.slide_id] for row in stored], [row.patient_id for row in stored])
    index = index.sort_values(["slide_id", "y", "x"], kind="stable")
    write_parquet(paths.index, index)
    failed = {row.slide_id for row in rows} - set(stores)
    summary = summarize(index, [row.slide_id for row in rows], failed, stores.values())
    _tell(summary)
    excluded = checksums(paths.tile_excluded) if paths.tile_excluded.is_file() else {}
    write_json(paths.patches / "summary.json", {**summary, **excluded})
    return index


def _tell(summary: Mapping[str, Any]) -> None:
    if empty := summary["without_patches"]:
        logger.warning("%d slides without a single patch: %s", len(empty), ", ".join(empty[:_NAMED]))
    if warned := summary["warnings"]:
        logger.warning(
            "%d slides with warnings, told on the cohort page: %s",
            len(warned),
            ", ".join(list(warned)[:_NAMED]),
        )
        for line in warning_lines(warned):
            logger.warning("%s", line)
    labels, dropped = summary["labels"], summary["dropped"]
    logger.info(
        "%d patches: %d tumor, %d non-tumor; dropped: %s",
        summary["patches"],
        labels["1"],
        labels["0"],
        ", ".join(f"{count} {reason}" for reason, count in dropped.items()),
    )


def warning_lines(warned: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The first warnings of every kind, and how many more slides have it; kinds differ in more than numbers.

    >>> list(warning_lines({name: ["fill 2.5%"] for name in "abcde"}))
    ['a: fill 2.5%', 'b: fill 2.5%', 'c: fill 2.5%', 'and 2 more like it']
    """
    kinds: dict[str, list[str]] = {}
    for name, warnings in warned.items():
        for warning in warnings:
            kinds.setdefault(re.sub(r"\d[\d.,]*", "0", warning), []).append(f"{name}: {warning}")
    for lines in kinds.values():
        yield from lines[:_WHOLE]
        if len(lines) > _WHOLE:
            yield f"and {len(lines) - _WHOLE} more like it"


def patch_index(stores: Sequence[PatchStore], patient_ids: Sequence[str]) -> pd.DataFrame:
    """A row for each patch of stores: the columns INDEX, then `quality_<name>`, NaN where not measured."""
    quality = dict.fromkeys(name for store in stores for name in store.attributes.quality)
    parts = [_columns(*each, list(quality)) for each in zip(stores, patient_ids, strict=True)]
    # One frame of all: frames of their own cost each slide 3 ms.
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    text = dict.fromkeys(("patch_id", "slide_id", "patient_id"), "str")
    return pd.DataFrame(columns).astype(text)


def _columns(store: PatchStore, patient_id: str, quality: Sequence[str]) -> dict[str, NDArray[Any]]:
    table, attributes = store.table, store.attributes
    slide_id, count = attributes.slide_id, len(table)
    pixel_um2 = np.prod(attributes.slide_mpp) if attributes.slide_mpp else np.nan
    patch_ids = [f"{slide_id}@{left}_{top}" for left, top in table.locations_N2.tolist()]
    columns: dict[str, NDArray[Any]] = {
        "patch_id": np.array(patch_ids, object),
        "slide_id": np.full(count, slide_id, object),
        "patient_id": np.full(count, patient_id, object),
        "store_row": np.arange(count),
        "x": table.locations_N2[:, 0],
        "y": table.locations_N2[:, 1],
        "extent": np.full(count, attributes.extent, np.int64),
        "tissue_fraction": table.tissue_fraction_N,
        "tissue_area_um2": table.tissue_fraction_N * attributes.extent**2 * pixel_um2,
        "covered_fraction": table.covered_fraction_N,
        "tumor_fraction": table.tumor_fraction_N,
        "label": table.label_N.astype(np.int64),
    }
    known = dict(zip(attributes.quality, store.quality.T if attributes.quality else (), strict=True))
    missing_N = np.full(count, np.nan, np.float32)
    measured = {f"quality_{name}": known.get(name, missing_N) for name in quality}
    return {name: columns[name] for name in INDEX} | measured


def told(stores: Iterable[PatchStore]) -> dict[str, list[str]]:
    """Warnings of every slide that has some, by its name."""
    found = {store.attributes.slide_id: list(store.attributes.warnings) for store in stores}
    return {name: found[name] for name in sorted(found) if found[name]}


def incomplete(index: pd.DataFrame) -> int:
    """Patches of which a part does not exist: not scanned or stored, transparent, outside the slide."""
    return int((index["covered_fraction"] < 1).sum())


def dropped_places(stores: Iterable[PatchStore]) -> dict[str, int]:
    """How many places of all slides gave no patch, by reason."""
    dropped: Counter[str] = Counter()
    for store in stores:
        dropped.update(store.attributes.dropped)
    return dict(sorted(dropped.items()))


def summarize(
    index: pd.DataFrame, slide_ids: Sequence[str], failed: set[str], stores: Collection[PatchStore]
) -> dict[str, Any]:
    """The tiling in figures, for the report."""
    filled = set(index["slide_id"])
    return {
        "slides": len(slide_ids),
        "excluded": len(failed),
        "without_patches": [name for name in slide_ids if name not in failed and name not in filled],
        "patches": len(index),
        "labels": {str(label): int((index["label"] == label).sum()) for label in (0, 1)},
        "dropped": dropped_places(stores),
        "incomplete": incomplete(index),
        "warnings": told(stores),
        "mean_tissue_fraction": {
            str(label): float(index.loc[index["label"] == label, "tissue_fraction"].mean())
            for label in sorted(index["label"].unique())
        },
    }
