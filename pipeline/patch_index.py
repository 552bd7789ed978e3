"""index.parquet and summary.json: what the stores of a cohort hold, whoever wrote them."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from patching.manifest import SlideRow
from patching.store import PatchStore
from pipeline.artifacts import INDEX, Paths, replacing

logger = logging.getLogger(__name__)
_NAMED = 10


def write_index(paths: Paths, rows: Sequence[SlideRow], stores: Mapping[str, PatchStore]) -> pd.DataFrame:
    """Write both files, from the stores alone, and return the index."""
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
    return index


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
    """Rows of the index for one store: the columns INDEX, then `quality_<name>`, NaN where not measured."""
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
    index = pd.DataFrame(columns, columns=list(INDEX)).astype(text | {"extent": "int64"})
    quality = {f"quality_{name}": store.quality[:, n] for n, name in enumerate(attributes.quality)}
    return index.assign(**quality)


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
