"""Patches of every group, right and wrong, with the probability and the tissue found."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from patching.store.reading import PatchStore, StoreAttributes
from pipeline.look import patches as pictures
from pipeline.look.html import jpeg_uri
from pipeline.report.evidence import Evidence
from pipeline.report.sources import ExampleSettings, Sources
from pipeline.training.layout import TISSUE


def values(sources: Sources) -> Mapping[str, Any]:
    """Pictures of the candidate's test patches at every threshold, by group."""
    settings = sources.settings.examples
    chosen = {
        threshold: table
        for threshold in sources.evidence.thresholds
        for table in [_chosen(sources.evidence, settings, threshold)]
        if table is not None
    }
    if not chosen:
        return {"algorithm": sources.named(settings.algorithm), "thresholds": []}
    loaded = _loaded(sources.evidence, chosen.values())
    range_C2 = pictures.intensity_range(np.stack([item.image_HWC for item in loaded]))
    by_name = {item.patch_id: _picture(item, range_C2, settings.side) for item in loaded}
    return {
        "algorithm": sources.named(settings.algorithm),
        "reference": sources.named(settings.reference),
        "colors": _legend(loaded[0].attributes),
        "thresholds": [
            {"name": threshold, "groups": _groups(table, by_name)} for threshold, table in chosen.items()
        ],
    }


def _chosen(evidence: Evidence, settings: ExampleSettings, threshold: str) -> pd.DataFrame | None:
    run = evidence.run(settings.algorithm, threshold)
    if run is None:
        return None
    reference = evidence.run(settings.reference, threshold)
    table = choose(run.patches, right=settings.right, wrong=settings.wrong)
    if reference is None:
        return table.assign(other=np.nan)
    other = reference.patches[["patch_id", "probability"]].rename(columns={"probability": "other"})
    return table.merge(other, on="patch_id", how="left")


def choose(part: pd.DataFrame, *, right: int, wrong: int) -> pd.DataFrame:
    """Up to `right` correct and `wrong` incorrect patches of every group.

    The order is that of a hash of patch_id: as good as random, the same at every call, and nobody's
    taste. Different patients come first.
    """
    hashes = [hashlib.sha256(name.encode()).hexdigest() for name in part["patch_id"]]
    table = part.assign(correct=part["label"] == part["prediction"], order=hashes).sort_values("order")
    place = table.groupby(["group", "correct", "patient_id"]).cumcount()
    table = table.assign(turn=place).sort_values(["group", "turn", "order"])
    wanted = table["correct"].map({True: right, False: wrong})
    table = table[table.groupby(["group", "correct"]).cumcount() < wanted]
    return table.sort_values(["group", "correct", "turn", "order"], ascending=[True, False, True, True])


class _Loaded(NamedTuple):
    patch_id: str
    image_HWC: NDArray[Any]
    tissue_HW: NDArray[np.bool_]
    attributes: StoreAttributes


def _loaded(evidence: Evidence, chosen: Iterable[pd.DataFrame]) -> list[_Loaded]:
    rows = pd.concat([table[["patch_id", "slide_id", "store_row"]] for table in chosen]).drop_duplicates()
    found = []
    for slide_id, part in rows.groupby("slide_id"):
        store, places = PatchStore.open(evidence.paths.store(str(slide_id))), part["store_row"].tolist()
        for patch_id, image_HWC, row in zip(part["patch_id"], store.read(places), places, strict=True):
            found.append(_Loaded(patch_id, image_HWC, _square_tissue(store, row), store.attributes))
    return found


def _legend(first: StoreAttributes) -> list[tuple[str, str]]:
    """Channel and the color it has in the pictures; empty for brightfield."""
    colors = pictures.COLOR_NAMES[min(len(first.channels), 3)]
    return [] if first.brightfield else list(zip(first.channels, colors, strict=False))


def _picture(item: _Loaded, range_C2: NDArray[np.float64], side: int) -> Markup:
    """A patch with the tissue found beside it, on the intensity scale of all of them."""
    light, white = item.attributes.brightfield, item.attributes.white
    rgb_HWC = pictures.composite(item.image_HWC, range_C2, brightfield=light, white=white)
    return jpeg_uri(pictures.picture_pair(rgb_HWC, item.tissue_HW, side))


def _square_tissue(store: PatchStore, row: int) -> NDArray[np.bool_]:
    """Tissue under a patch; what sticks out of the slide holds none."""
    found_HW = store.tissue_of(row)
    side = max(round(store.attributes.extent / store.attributes.tissue_downsample), *found_HW.shape)
    whole_HW = np.zeros((side, side), np.bool_)
    whole_HW[: found_HW.shape[0], : found_HW.shape[1]] = found_HW
    return whole_HW


def _groups(table: pd.DataFrame, picture: Mapping[str, Markup]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "patches": [
                {**row, "picture": picture[row["patch_id"]]}
                for row in table[table["group"] == group].to_dict("records")
            ],
        }
        for group, name in enumerate(TISSUE.names)
    ]
