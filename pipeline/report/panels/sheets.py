"""Patches of every group side by side, slides with their grid by group, and what else sets labels apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from patching.geometry import Mpp, Size
from patching.pictures.contact_sheet import draw_contact_sheet
from patching.pictures.overlay import GROUPS, OverlayContent, draw_overlay
from patching.resample import shrunk
from patching.store.reading import PatchStore
from pipeline.cohort.contact_sheets import sheet_group
from pipeline.cohort.quality import quality_rows
from pipeline.look.html import jpeg_uri
from pipeline.patch_tables import read_attributes
from pipeline.report.evidence import Evidence
from pipeline.report.sources import Sources
from pipeline.training.layout import TISSUE

_SHOWN = 16
_SLIDES = 3
_SIDE = 640


def values(sources: Sources) -> Mapping[str, Any]:
    """A contact sheet and a few slides per threshold; quality by group where it was measured."""
    evidence = sources.evidence
    grouped = {threshold: with_groups(evidence, threshold) for threshold in evidence.thresholds}
    return {
        "labels": TISSUE.names,
        "colors": [(f"rgb{color}", name) for color, name in zip(GROUPS, TISSUE.names, strict=False)],
        "thresholds": [
            {
                "name": threshold,
                "sheet": _sheet(evidence, table),
                "slides": _slides(sources, table),
                "quality": quality_rows(
                    table, {name: table["group"] == group for group, name in enumerate(TISSUE.names)}
                ),
            }
            for threshold, table in grouped.items()
        ],
    }


def with_groups(evidence: Evidence, threshold: str) -> pd.DataFrame:
    """The patch index with each patch's group at a threshold.

    Raises:
        ArtifactError: the attribute stage has not run.
    """
    table = read_attributes(evidence.paths, threshold)
    return evidence.index.merge(table[["patch_id", "group"]], on="patch_id", validate="1:1")


def _sheet(evidence: Evidence, table: pd.DataFrame) -> Markup:
    groups = [
        sheet_group(evidence.paths, name, table[table["group"] == group], _SHOWN)
        for group, name in enumerate(TISSUE.names)
    ]
    return jpeg_uri(draw_contact_sheet(groups))


def _slides(sources: Sources, table: pd.DataFrame) -> list[tuple[str, Markup]]:
    """Slides with the most groups and then the most patches, from different patients."""
    per_slide = table.groupby(["patient_id", "slide_id"])["group"].agg(["nunique", "size"]).reset_index()
    ranked = per_slide.sort_values(["nunique", "size", "slide_id"], ascending=[False, False, True])
    chosen = ranked.drop_duplicates("patient_id")["slide_id"].head(_SLIDES)
    return [(sources.ids.slide(name), _overlay(sources, table[table["slide_id"] == name])) for name in chosen]


def _overlay(sources: Sources, rows: pd.DataFrame) -> Markup:
    """The stored thumbnail with the slide's patches in their groups' colors."""
    store = PatchStore.open(sources.evidence.paths.store(str(rows["slide_id"].iloc[0])))
    about = store.attributes
    group_N: NDArray[np.int8] = np.full(len(store.locations), -1, np.int8)
    group_N[rows["store_row"].to_numpy()] = rows["group"].to_numpy(np.int8)
    content = OverlayContent(
        title=sources.ids.slide(about.slide_id),
        image_HWC=store.thumbnail,
        size=Size(*about.slide_size),
        brightfield=True,
        tissue_HW=store.tissue,
        tissue_downsample=about.tissue_downsample,
        locations_N2=store.locations,
        label_N=store.table.label_N,
        extent=about.extent,
        outlines=(),
        mpp=None if about.slide_mpp is None else Mpp(*about.slide_mpp),
        groups=TISSUE.names,
        group_N=group_N,
    )
    return jpeg_uri(shrunk(draw_overlay(content), _SIDE), 80)
