"""Test slides for QuPath and for the eye: verdicts as GeoJSON tiles, probabilities over the thumbnail."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import imagecodecs
import numpy as np
import pandas as pd

from models.data.splitting import TEST
from models.networks.card import DecisionCard
from models.networks.decision_words import briefly, decided_plainly
from patching.geometry import Location, Mpp, Size
from patching.store.reading import PatchStore, StoreAttributes
from pipeline.look.geojson import Tiles, write_tiles_into
from pipeline.look.heatmap import HeatGrid, painted
from pipeline.look.heatmap_picture import HeatContent, draw_heat, with_legend
from pipeline.report.evidence import FRAME_UNKNOWN
from pipeline.report.sources import Sources

_CLASSES = ("normal", "tumor")
_WRONG = ("wrong: it is labelled non-tumor", "wrong: it is labelled tumor")
"""Reliability note of a wrong verdict, by label."""
_QUALITY = 85


@dataclass(frozen=True)
class Chosen:
    """Test slides that get files, those with the most wrong patches first.

    Attributes:
        names: slide_id. tested: how many there are.
        bounds: where QuPath's frame begins, by slide_id; others begin at the slide's corner.
        left_out: why some or all slides get none, in words; empty where all do.
    """

    names: tuple[str, ...]
    tested: int
    bounds: dict[str, Location]
    left_out: str


def chosen_slides(sources: Sources, table: pd.DataFrame) -> Chosen:
    """Which slides get files; no montages, and none whose frame is not known.

    Args:
        table: see `pipeline.report.subject.Subject.predictions`.
    """
    test = table[table["split"] == TEST]
    wrong = (test["label"] != test["prediction"]).groupby(test["slide_id"]).sum()
    ordered = wrong.reset_index(name="wrong").sort_values(["wrong", "slide_id"], ascending=[False, True])
    names, most = ordered["slide_id"].astype(str).tolist(), sources.settings.exports.slides
    if sources.evidence.montages:
        return Chosen(
            (), len(names), {}, "The slides are montages of loose patches: a map of one shows no place."
        )
    bounds = sources.evidence.bounds
    if bounds is None:
        return Chosen((), len(names), {}, FRAME_UNKNOWN)
    few = f"Those with the most wrong patches, at most {most:,} (exports in configs/report.yaml)."
    return Chosen(tuple(names[:most]), len(names), bounds, few if len(names) > most else "")


def slide_files(
    sources: Sources, table: pd.DataFrame, chosen: Chosen, decision: DecisionCard
) -> Iterator[tuple[str, bytes]]:
    """Name and content of both files of every chosen slide, one after the other."""
    test = table[(table["split"] == TEST) & table["slide_id"].isin(chosen.names)]
    parts = dict(tuple(test.groupby("slide_id")))
    for slide_id in chosen.names:
        rows, name = parts[slide_id], sources.ids.slide(slide_id)
        store = PatchStore.open(sources.evidence.paths.store(slide_id))
        buffer = BytesIO()
        begin = chosen.bounds.get(slide_id, Location(0, 0))
        write_tiles_into(_tiles(name, rows, store.attributes, begin, decision), buffer)
        yield f"slides/{name}.geojson.gz", buffer.getvalue()
        yield f"slides/{name}.overlay.jpg", _overlay(name, rows, store, decision)


def _tiles(
    name: str, rows: pd.DataFrame, about: StoreAttributes, bounds: Location, decision: DecisionCard
) -> Tiles:
    return Tiles(
        name=name,
        size=Size(*about.slide_size),
        bounds=bounds,
        extent=about.extent,
        locations_N2=rows[["x", "y"]].to_numpy(np.int64),
        classes=_CLASSES,
        class_N=rows["prediction"].to_numpy(np.int64),
        probability_N=rows["probability"].to_numpy(np.float64),
        tissue_N=rows["tissue_fraction"].to_numpy(np.float64),
        notes=[
            "" if y == told else _WRONG[y] for y, told in zip(rows["label"], rows["prediction"], strict=True)
        ],
        decision="" if decided_plainly(decision) else briefly(decision),
    )


def _overlay(name: str, rows: pd.DataFrame, store: PatchStore, decision: DecisionCard) -> bytes:
    about = store.attributes
    size, locations_N2 = Size(*about.slide_size), rows[["x", "y"]].to_numpy(np.int64)
    grid = HeatGrid.of(size, locations_N2, about.extent, about.stride)
    wrong = rows["label"] != rows["prediction"]
    content = HeatContent(
        title=name,
        image_HW3=store.thumbnail,
        size=size,
        heat_HW=painted(grid, locations_N2, about.extent, rows["probability"].to_numpy(np.float64)),
        threshold=decision.threshold,
        decision=briefly(decision),
        cell=grid.cell,
        extent=about.extent,
        marked_N2=locations_N2[wrong.to_numpy()],
        tissue_HW=store.tissue,
        tissue_downsample=about.tissue_downsample,
        outlines=(),
        mpp=None if about.slide_mpp is None else Mpp(*about.slide_mpp),
        marked_as="wrong",
    )
    _, shown_HW3 = draw_heat(content)
    return bytes(imagecodecs.jpeg8_encode(with_legend(shown_HW3, content), level=_QUALITY, subsampling="444"))
