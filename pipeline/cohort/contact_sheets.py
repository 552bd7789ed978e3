"""Which patches a contact sheet shows, from the patch index."""

import numpy as np
import pandas as pd

from patching.pictures.contact_sheet import SheetGroup, SheetPatch, spread
from pipeline.artifacts import Paths


def sheet_group(paths: Paths, name: str, rows: pd.DataFrame, wanted: int) -> SheetGroup:
    """At most `wanted` patches of a group, spread over tissue fraction and slides.

    Args:
        paths: where the cohort's stores lie.
        name: the group's name.
        rows: the group's rows of the patch index.
        wanted: patches shown at most.
    """
    ordered = rows.sort_values("patch_id", ignore_index=True)
    places = spread(ordered["tissue_fraction"].to_numpy(np.float64), ordered["slide_id"].tolist(), wanted)
    chosen = ordered.loc[places]
    columns = (chosen[column] for column in ("slide_id", "store_row", "patch_id", "tissue_fraction", "label"))
    patches = tuple(_patch(paths, *row) for row in zip(*columns, strict=True))
    shown, slides = chosen["slide_id"].nunique(), rows["slide_id"].nunique()
    return SheetGroup(
        f"{name}: {len(patches)} of {len(rows):,} patches, from {shown} of {slides} slides", patches
    )


def _patch(
    paths: Paths, slide_id: str, store_row: int, patch_id: str, tissue: float, label: int
) -> SheetPatch:
    note = f"tissue {100 * tissue:.0f} %, {'tumor' if label == 1 else 'non-tumor'}"
    return SheetPatch(paths.store(slide_id), int(store_row), patch_id, note)
