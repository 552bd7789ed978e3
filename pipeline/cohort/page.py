"""The cohort as tiled, to look at: overlays/cohort.html, one file that opens offline, and a contact sheet.

The same stores give the same page: no time, no machine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from patching.pictures.contact_sheet import draw_contact_sheet
from patching.pictures.drawing import write_picture
from patching.store.reading import PatchStore, StoreAttributes
from pipeline.artifacts import Paths
from pipeline.cohort.contact_sheets import sheet_group
from pipeline.cohort.index import dropped_places, incomplete, told
from pipeline.cohort.quality import quality_rows
from pipeline.files import replacing
from pipeline.look.html import jpeg_uri, make_environment, small_picture
from pipeline.patch_tables import read_excluded

SHEET = "sheets/labels.png"
LABELS = (("tumor", 1), ("non-tumor", 0))
_SHOWN = 24
_PICTURED = 100
_PICTURE_SIDE = 160
_BINS = 20
_WIDTH, _HEIGHT = 300, 110


def write_cohort_page(paths: Paths, index: pd.DataFrame, stores: Mapping[str, PatchStore]) -> None:
    """Write overlays/cohort.html, and overlays/sheets/labels.png, patches of each label.

    Args:
        paths: the cohort's; overlays and both excluded.csv are read.
        index: the patch index, with or without quality columns.
        stores: every slide that was tiled, by slide_id.
    """
    excluded = read_excluded(paths)
    page = (
        make_environment("pipeline.cohort")
        .get_template("cohort_page.html")
        .render(
            scripts=(),
            cohort=paths.cohort,
            facts=_facts(index, stores, excluded),
            kept=[(name, int((index["label"] == label).sum())) for name, label in LABELS],
            dropped=dropped_places(stores.values()),
            histograms=[(name, tissue_bars(index, label)) for name, label in LABELS],
            plot=(_WIDTH, _HEIGHT),
            sheet=_write_sheet(paths, index),
            sheet_link=SHEET,
            labels=[name for name, _ in LABELS],
            quality=quality_rows(index, {name: index["label"] == label for name, label in LABELS}),
            slides=_slides(paths, index, stores),
            pictured=_PICTURED,
            warned=told(stores.values()),
            excluded=excluded.to_dict("records"),
        )
    )
    with replacing(paths.overlays / "cohort.html") as part:
        part.write_text(page, encoding="utf-8")


def tissue_bars(index: pd.DataFrame, label: int) -> list[tuple[float, float, float, float, str]]:
    """Histogram of a label's tissue fractions: x, y, width, height and text of bars in a box 300 by 110.

    Each label's bars are shares of its own patches; the scale is that of the highest bar of any label.
    """
    shares = {each: _shares(index.loc[index["label"] == each, "tissue_fraction"]) for _, each in LABELS}
    highest = max(float(share.max()) for share in shares.values()) or 1.0
    step = _WIDTH / _BINS
    bars = []
    for place, share in enumerate(shares[label].tolist()):
        height = round(_HEIGHT * share / highest, 2)
        text = f"{100 * place // _BINS}–{100 * (place + 1) // _BINS} % tissue: {100 * share:.1f} % of patches"
        bars.append((round(place * step, 2), round(_HEIGHT - height, 2), round(step - 1, 2), height, text))
    return bars


def _shares(fraction_N: pd.Series) -> NDArray[np.float64]:
    counts = np.histogram(fraction_N.to_numpy(np.float64), bins=_BINS, range=(0, 1))[0].astype(np.float64)
    share: NDArray[np.float64] = counts / max(1.0, counts.sum())
    return share


def _facts(
    index: pd.DataFrame, stores: Mapping[str, PatchStore], excluded: pd.DataFrame
) -> list[tuple[str, str]]:
    filled = index["slide_id"].nunique()
    return [
        ("patients", f"{index['patient_id'].nunique():,}"),
        ("slides tiled", f"{len(stores):,}"),
        ("without a patch", f"{len(stores) - filled:,}"),
        ("slides excluded", f"{len(excluded):,}"),
        ("patches", f"{len(index):,}"),
        ("patches with gaps", f"{incomplete(index):,}"),
    ]


def _write_sheet(paths: Paths, index: pd.DataFrame) -> Markup:
    """Patches of every label in one picture, so that they share one stretch; also in a file of its own."""
    groups = [sheet_group(paths, name, index[index["label"] == label], _SHOWN) for name, label in LABELS]
    picture_HW3 = draw_contact_sheet(groups)
    write_picture(picture_HW3, paths.overlays / SHEET)
    return jpeg_uri(picture_HW3)


def _slides(paths: Paths, index: pd.DataFrame, stores: Mapping[str, PatchStore]) -> list[dict[str, Any]]:
    """A row per slide; the first _PICTURED have a picture."""
    by_slide = dict(tuple(index.groupby("slide_id", sort=True)))
    empty = index.iloc[:0]
    return [
        _slide(paths, by_slide.get(name, empty), stores[name].attributes, pictured=place < _PICTURED)
        for place, name in enumerate(sorted(stores))
    ]


def _slide(
    paths: Paths, rows: pd.DataFrame, attributes: StoreAttributes, *, pictured: bool
) -> dict[str, Any]:
    overlay: Path = paths.overlays / f"{attributes.slide_id}.jpg"
    patients = rows["patient_id"].unique().tolist()
    return {
        "slide_id": attributes.slide_id,
        "patient_id": patients[0] if patients else "–",
        "size": "{:,} × {:,}".format(*attributes.slide_size),
        "mpp": "–" if attributes.slide_mpp is None else f"{np.mean(attributes.slide_mpp):.4g}",
        "labels": [int((rows["label"] == label).sum()) for _, label in LABELS],
        "dropped": sorted(attributes.dropped.items()),
        "tissue": float(rows["tissue_fraction"].mean()) if len(rows) else float("nan"),
        "covered": attributes.covered_fraction,
        "picture": small_picture(overlay, _PICTURE_SIDE, 70) if pictured and overlay.is_file() else "",
        "link": overlay.name,
    }
