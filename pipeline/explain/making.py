"""The gallery of one model: patches chosen, looked at by the network, found on their slides, and drawn."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.networks.card import ModelCard
from models.networks.classifier import Classifier
from patching.manifest import SlideRow
from patching.store.reading import PatchStore
from pipeline.artifacts import GALLERY, Paths
from pipeline.explain.background import fill_of, fill_of_all, pixels_without_tissue, square_tissue
from pipeline.explain.choosing import choose
from pipeline.explain.handover import PICTURES
from pipeline.explain.maps import Mapper, gradcam_place
from pipeline.explain.pictures import Drawer, Shown
from pipeline.explain.ranking import by_errors
from pipeline.explain.settings import ExplainSettings
from pipeline.explain.slides import FINER, finest, reopened, tumor_outlines

Watched = Callable[[Iterable[Any], str], Iterable[Any]]
"""Iterates, and shows how far it is."""


class Gallery:
    """Makes the hand-over of one model.

    Args:
        paths: of the cohort.
        rows: test patches, as `pipeline.explain.subject.Explained` has them.
        classifier: on its device.
        card: its own.
        settings: of the stage.
        watched: see `Watched`.
    """

    def __init__(
        self,
        paths: Paths,
        rows: pd.DataFrame,
        classifier: Classifier,
        card: ModelCard,
        settings: ExplainSettings,
        watched: Watched,
    ) -> None:
        self._rows, self._card, self._settings, self._watched = rows, card, settings, watched
        chosen = choose(rows, card.decision.threshold, settings)
        self._chosen = chosen.merge(rows, on="patch_id", how="left", validate="1:1")
        names = [str(name) for name in self._chosen["slide_id"].unique()]
        self._stores = {name: PatchStore.open(paths.store(name)) for name in names}
        self._paths = paths
        self._mapper = Mapper(classifier, card, settings)

    def write(
        self, folder: Path, slides: Mapping[str, SlideRow], classes: Mapping[str, str] | None
    ) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
        """Write the pictures into `folder`; the table, what the maps mean, and what became of the slides.

        Args:
            folder: of the hand-over.
            slides: rows of the cohort's table by slide_id.
            classes: of annotations; None where nothing is to be drawn on slides.
        """
        (folder / PICTURES).mkdir()
        found, fine = self._reopened(slides, classes)
        if self._chosen.empty:
            return pd.DataFrame(columns=list(GALLERY)), {}, found
        shown = list(self._looked_at(fine))
        drawer = Drawer(self._card, shown, self._settings)
        records = []
        for number, one in enumerate(shown):
            names = drawer.write(one, folder / PICTURES, number)
            records.append({**_told(one, found[one.about.slide_id]["state"]), **names})
        table = pd.concat([self._chosen, pd.DataFrame(records)], axis="columns")
        return table[list(GALLERY)], self._meaning(drawer, shown), found

    def _looked_at(self, fine: Mapping[str, NDArray[Any]]) -> Iterable[Shown]:
        """Every chosen patch with its maps, in the order of the table."""
        others_C = fill_of_all(list(self._stores.values()))
        fills = {
            name: fill_of(pixels_without_tissue(store), others_C) for name, store in self._stores.items()
        }
        columns = ("patch_id", "slide_id", "store_row", "tissue_fraction", "prediction")
        rows = list(zip(*(self._chosen[column] for column in columns), strict=True))
        for patch_id, slide_id, store_row, tissue, prediction in self._watched(rows, "maps"):
            store = self._stores[slide_id]
            image_HWC = store.read([store_row])[0]
            maps = self._mapper.of(image_HWC, fills[slide_id], float(tissue), int(prediction))
            mask_HW = square_tissue(store, int(store_row))
            yield Shown(store.attributes, image_HWC, mask_HW, maps, fine.get(patch_id))

    def _reopened(
        self, slides: Mapping[str, SlideRow], classes: Mapping[str, str] | None
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What became of slides of chosen patches, and of those with the most errors; and finer pixels."""
        worst = by_errors(self._rows, "slide_id")["slide_id"].head(self._settings.outlines)
        names = sorted({*self._stores, *(worst if classes is not None else ())})
        found: dict[str, Any] = {}
        fine: dict[str, NDArray[Any]] = {}
        for name in self._watched(names, "slides"):
            store = self._stores.get(name)
            row, about = slides.get(name), (store or PatchStore.open(self._paths.store(name))).attributes
            check = self._settings.check_slides and store is not None
            with reopened(row, about, check=check) as again:
                outlines = (
                    tumor_outlines(row, again.slide, classes)
                    if again.slide is not None and row is not None and classes is not None
                    else None
                )
                found[name] = {"state": again.state, "tumor": outlines}
                if again.slide is None or about.downsample < FINER:
                    continue
                for patch in self._chosen[self._chosen["slide_id"] == name].itertuples():
                    square_HWC = finest(again.slide, patch.x, patch.y, patch.extent, self._settings.fine_side)
                    if square_HWC is not None:
                        fine[patch.patch_id] = square_HWC
        return found, fine

    def _meaning(self, drawer: Drawer, shown: list[Shown]) -> dict[str, Any]:
        """What is to be known to read the maps and pictures."""
        cam = shown[0].maps.gradcam_hw
        about = shown[0].about
        return {
            "occlusion": {
                "window": self._mapper.window,
                "step": self._mapper.step,
                "side": int(self._card.patch["size"]),
                "limit": drawer.limit,
            },
            "gradcam": {"layers": list(self._mapper.layers), "size": [] if cam is None else list(cam.shape)},
            "transform": self._card.normalization.transform,
            "symmetries": self._card.test_time_symmetries,
            "brightfield": about.brightfield,
            "channels": list(about.channels),
            "finer": about.downsample >= FINER,
            "seen_mpp": about.mpp,
        }


def _told(one: Shown, state: str) -> dict[str, Any]:
    """What the table says of a patch's maps and pictures."""
    maps, about = one.maps, one.about
    pixels = 0 if one.fine_HWC is None else one.fine_HWC.shape[0]
    mpp = np.mean(about.slide_mpp) if pixels and about.slide_mpp else np.nan
    return {
        "slide_state": state,
        "fine_pixels": pixels,
        "fine_mpp": float(mpp * about.extent / pixels) if pixels else np.nan,
        "for_tumor": maps.for_tumor,
        "for_tumor_place": maps.for_tumor_place,
        "against_tumor": maps.against_tumor,
        "against_tumor_place": maps.against_tumor_place,
        "covered_probability": maps.covered_probability,
        "gradcam_place": gradcam_place(maps.gradcam_hw),
    }
