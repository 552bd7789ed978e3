"""Where tumor is missed: at the outlines' border or inside of them, and regions of which nothing is found."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.metrics.clinical.neighbors import touching_regions
from models.metrics.intervals import Interval, bootstrap, patient_statistics
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import Method

REGION_SIZES = ((1, 1), (2, 9), (10, None))
"""Smallest and largest number of patches of the kinds of regions."""


@dataclass(frozen=True)
class PlaceFigures:
    """Tumor patches of one kind of place.

    Attributes:
        inside: whether wholly inside of the tumor's outline; else at its border.
        patches: a mean over the seeds. missed: of them, told as non-tumor.
        found: sensitivity; intervals of both kinds hold together.
    """

    inside: bool
    patches: float
    missed: float
    slides: int
    patients: int
    tumor_fraction: float
    found: Interval


@dataclass(frozen=True)
class Regions:
    """Connected regions of tumor patches of one training.

    Attributes:
        table: a row for each, the missed ones with most patches first: slide_id, patient_id, patches, found,
            x, y, right, bottom (level-0 pixels), tissue_fraction and probability (means).
        missed: share of the regions of which no patch is found; not estimable where there are few.
    """

    table: pd.DataFrame
    missed: Interval

    @property
    def lost(self) -> pd.DataFrame:
        """Those of which no patch is found."""
        return self.table[self.table["found"] == 0]


def places_of(
    method: Method, inside: float, settings: BootstrapSettings
) -> tuple[PlaceFigures, PlaceFigures]:
    """Tumor patches at the border, and those inside: whose tumor fraction is at least `inside`."""
    rows = method.pool.rows
    tumor_N = rows["label"].to_numpy() == 1
    rows, prediction_RN = rows[tumor_N], method.pool.by_run("prediction", -1)[:, tumor_N]
    inside_N = (rows["tumor_fraction"].to_numpy(np.float64) >= inside).astype(np.int64)
    minimum = settings.minimums(len(method.pool.runs))
    sums = patient_statistics(rows["label"], prediction_RN, inside_N, rows["patient_id"], 2, **minimum)
    found = bootstrap(sums, **settings.drawn)
    border, within = (
        _place(rows[inside_N == kind], bool(kind), found[f"group_{kind}"], len(method.pool.runs))
        for kind in (0, 1)
    )
    return border, within


def _place(rows: pd.DataFrame, inside: bool, found: Interval, n_runs: int) -> PlaceFigures:
    return PlaceFigures(
        inside=inside,
        patches=len(rows) / n_runs,
        missed=float((rows["prediction"] != 1).sum()) / n_runs,
        slides=rows["slide_id"].nunique(),
        patients=rows["patient_id"].nunique(),
        tumor_fraction=float(rows["tumor_fraction"].mean()) if len(rows) else np.nan,
        found=found,
    )


def regions_of(patches: pd.DataFrame, reach: Mapping[str, float], settings: BootstrapSettings) -> Regions:
    """Regions of touching tumor patches, and of how many nothing is found.

    A region of the outline with no patch of its own (none with enough tissue, or none that is tumor enough
    to be labelled so) is not among them.

    Args:
        patches: of one training, with slide_id, patient_id, x, y, extent, label, prediction, probability and
            tissue_fraction; a slide's patches are all of one patient.
        reach: how far apart neighbors of a slide's grid lie, in level-0 pixels, by slide: its step, or the
            patches' extent where they overlap.
        settings: minimums (in regions), draws and level.
    """
    tumor = patches[patches["label"] == 1].sort_values(["slide_id", "y", "x"], ignore_index=True)
    numbered = [
        rows.assign(region=touching_regions(rows[["x", "y"]].to_numpy(np.int64), reach[str(slide_id)]))
        for slide_id, rows in tumor.groupby("slide_id")
    ]
    joined = pd.concat(numbered) if numbered else tumor.assign(region=0)
    joined = joined.assign(
        found=joined["prediction"] == 1,
        right=joined["x"] + joined["extent"],
        bottom=joined["y"] + joined["extent"],
    )
    table = (
        joined.groupby(["slide_id", "patient_id", "region"])
        .agg(
            patches=("found", "size"),
            found=("found", "sum"),
            x=("x", "min"),
            y=("y", "min"),
            right=("right", "max"),
            bottom=("bottom", "max"),
            tissue_fraction=("tissue_fraction", "mean"),
            probability=("probability", "mean"),
        )
        .reset_index()
    )
    lost = (table["found"] == 0).to_numpy(np.int64)
    order = ["lost", "patches", "slide_id", "region"]
    table = table.assign(lost=lost).sort_values(
        order, ascending=[False, False, True, True], ignore_index=True
    )
    # A region is right, so to say, where it is missed: its accuracy is the share of missed ones.
    ones_N = np.ones(len(table), np.int64)
    sums = patient_statistics(
        ones_N, table["lost"], 0 * ones_N, table["patient_id"], 1, **settings.minimums()
    )
    return Regions(table.drop(columns=["lost"]), bootstrap(sums, **settings.drawn)["group_0"])


def by_size(regions: Regions) -> list[dict[str, float | str]]:
    """Regions and missed ones by their number of patches."""
    rows: list[dict[str, float | str]] = []
    for low, high in REGION_SIZES:
        own = regions.table[regions.table["patches"].between(low, np.inf if high is None else high)]
        name = f"{low} or more patches" if high is None else f"{low} to {high} patches"
        rows.append(
            {
                "name": "1 patch" if high == 1 else name,
                "regions": len(own),
                "missed": int((own["found"] == 0).sum()),
                "patients": own["patient_id"].nunique(),
            }
        )
    return rows
