"""Test patches of every group under the lens: errors, a correct patch beside each, and random ones."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from patching.geometry import Location, Size
from patching.resample import shrunk
from patching.store.reading import PatchStore
from pipeline.explain.handover import Explanation
from pipeline.look.html import jpeg_uri
from pipeline.look.patches import COLOR_NAMES
from pipeline.look.places import Place, places_geojson
from pipeline.look.uris import data_uri
from pipeline.report.evidence import FRAME_UNKNOWN
from pipeline.report.sources import Sources
from pipeline.training.layout import TISSUE

KINDS = ("seen", "fine", "tissue", "occlusion", "gradcam")
"""Columns of the hand-over that name a picture."""
_ROLES = {
    "confident": "The errors that the model is surest of",
    "typical": "Typical errors",
    "random": "Picked at random (by a hash of their names), right or wrong",
}
_THERE = ("same", "not_checked")
"""States of slides that have all pictures."""
_THUMBNAIL = 176
_COLORS = {True: (0, 114, 178), False: (213, 94, 0)}
"""In QuPath: of right and of wrong patches."""


def values(sources: Sources) -> Mapping[str, Any]:
    """Patches by group and role, as many with pictures as the setting's megabytes hold."""
    found = sources.explained
    if isinstance(found, str):
        return {"lacking": found}
    table = found.table.assign(number=range(len(found.table)))
    pictured = _pictured(found, sources.settings.gallery_mb)
    maps, states = found.facts["maps"], Counter(str(row["state"]) for row in found.slides.values())
    return {
        "lacking": "",
        "maps": maps,
        "montages": sources.evidence.montages,
        "colors": [] if not maps else _legend(maps),
        "groups": [
            {"name": name, "parts": _parts(sources, found, table[table["group"] == group], pictured)}
            for group, name in enumerate(TISSUE.names)
        ],
        "left_out": len(table) - len(pictured),
        "frame_unknown": FRAME_UNKNOWN if sources.evidence.bounds is None else "",
        "states": {state: count for state, count in states.items() if state not in _THERE},
        "slides": sum(states.values()) - states["not_checked"],
        "not_checked": table.loc[table["slide_state"] == "not_checked", "slide_id"].nunique(),
    }


def files(sources: Sources) -> Iterator[tuple[str, bytes]]:
    """A GeoJSON for each slide that has a patch in the gallery; none where its frame is not known."""
    found, bounds = sources.explained, sources.evidence.bounds
    if isinstance(found, str) or bounds is None:
        return
    for slide_id, part in found.table.groupby("slide_id"):
        about = PatchStore.open(sources.evidence.paths.store(str(slide_id))).attributes
        places = [_place(sources, row) for row in part.to_dict("records")]
        begin = bounds.get(str(slide_id), Location(0, 0))
        yield (
            f"{sources.ids.slide(slide_id)}.geojson",
            places_geojson(places, begin, Size(*about.slide_size)),
        )


def _pictured(found: Explanation, megabytes: float) -> set[str]:
    """Patches whose pictures fit, those of every group in turn: none is left out for another's sake."""
    table = found.table
    sizes = [
        sum(len(found.picture(row[kind]) or b"") for kind in KINDS) * 4 / 3
        for row in table.to_dict("records")
    ]
    ordered = table.assign(size=sizes, turn=table.groupby("group").cumcount()).sort_values(["turn", "group"])
    return set(ordered["patch_id"][ordered["size"].cumsum() <= megabytes * 1e6])


def _parts(
    sources: Sources, found: Explanation, table: pd.DataFrame, pictured: set[str]
) -> list[dict[str, Any]]:
    rows = table.to_dict("records")
    controls = {row["of"]: row for row in rows if row["role"] == "control"}
    parts = []
    for role, title in _ROLES.items():
        pairs = [
            [_patch(sources, found, each, pictured) for each in (row, controls.get(row["patch_id"])) if each]
            for row in rows
            if row["role"] == role
        ]
        parts.append({"title": title, "pairs": pairs})
    return parts


def _patch(
    sources: Sources, found: Explanation, row: Mapping[Any, Any], pictured: set[str]
) -> dict[str, Any]:
    ids = sources.ids
    shown = row["patch_id"] in pictured
    names = {kind: found.picture(row[kind]) if shown else None for kind in KINDS}
    place = None if sources.evidence.montages or not shown else _thumbnail(sources, row)
    return {
        **row,
        "name": ids.patch(row["patch_id"]),
        "slide": ids.slide(row["slide_id"]),
        "patient": ids.patient(row["patient_id"]),
        "right": row["label"] == row["prediction"],
        "shown": shown,
        "pictures": {kind: None if data is None else data_uri("jpeg", data) for kind, data in names.items()},
        "place": place,
        "file": "" if sources.evidence.bounds is None else f"gallery/{ids.slide(row['slide_id'])}.geojson",
    }


def _thumbnail(sources: Sources, row: Mapping[Any, Any]) -> Markup:
    """The slide's stored thumbnail with the patch as a box."""
    store = PatchStore.open(sources.evidence.paths.store(str(row["slide_id"])))
    picture_HW3: NDArray[np.uint8] = np.ascontiguousarray(shrunk(store.thumbnail, _THUMBNAIL))
    scale = picture_HW3.shape[1] / store.attributes.slide_size[0]
    first = (round(row["x"] * scale), round(row["y"] * scale))
    last = tuple(round((row[axis] + row["extent"]) * scale) for axis in ("x", "y"))
    for color, thickness in (((0, 0, 0), 4), ((255, 214, 10), 2)):
        cv2.rectangle(picture_HW3, first, last, color, thickness)
    return jpeg_uri(picture_HW3, 75)


def _place(sources: Sources, row: Mapping[Any, Any]) -> Place:
    right = bool(row["label"] == row["prediction"])
    verdict = "right" if right else ("missed tumor" if row["label"] == 1 else "false alarm")
    group = TISSUE.names[int(row["group"])]
    return Place(
        name=f"{verdict}, probability {row['probability']:.2f}",
        location=Location(int(row["x"]), int(row["y"])),
        extent=int(row["extent"]),
        kind=f"evenpatch {verdict}",
        color=_COLORS[right],
        facts={"patch": sources.ids.patch(row["patch_id"]), "group": group, "shown as": str(row["role"])},
    )


def _legend(maps: Mapping[str, Any]) -> list[tuple[str, str]]:
    channels = maps["channels"]
    colors = COLOR_NAMES[min(len(channels), 3)]
    return [] if maps["brightfield"] else list(zip(channels, colors, strict=False))
