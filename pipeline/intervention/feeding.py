"""What the networks are fed: every chosen patch at every step, with more or less tissue, and its control."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.data.intervention.material import (
    Material,
    Pieced,
    background_of,
    pieced,
    tissue_shares,
)
from models.data.intervention.replacing import Step, front_order, series
from patching.store.reading import PatchStore
from pipeline.artifacts import Paths
from pipeline.intervention.sample import Stock, background_donors, generator, tissue_donors
from pipeline.intervention.settings import Arm, InterveneSettings
from pipeline.look.patches import squared

_KEPT = 128
"""Patches in memory."""


@dataclass(frozen=True)
class Sources:
    """Where the new pixels of a patch come from: shares of those that are replaced at the last step.

    Attributes:
        same_slide: of a patch of the same slide, at some place of it.
        other_slide: of patches of other slides.
        drawn: of these, pixels that were drawn one by one, for no patch had any at that place.
    """

    same_slide: float
    other_slide: float
    drawn: float


@dataclass(frozen=True)
class Fed:
    """One patch in all steps.

    Attributes:
        row: of the test patches' table.
        area: with more or less tissue. control: the same pixels replaced by others of the same kind.
        area_sources, control_sources: of both.
    """

    row: pd.Series
    area: list[Step]
    control: list[Step]
    area_sources: Sources
    control_sources: Sources


class Shelf:
    """Patches by slide and row, read when they are asked for."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._stores: dict[str, PatchStore] = {}
        # The fullest and emptiest patches of a slide are asked for again and again.
        self._kept = lru_cache(_KEPT)(self._read)

    def material(self, row: pd.Series) -> Material:
        """A patch's pixels, and the tissue of each.

        Raises:
            StoreError: its store is missing or damaged.
        """
        return self._kept(str(row["slide_id"]), int(row["store_row"]))

    def _read(self, slide_id: str, row: int) -> Material:
        if slide_id not in self._stores:
            self._stores[slide_id] = PatchStore.open(self._paths.store(slide_id))
        store = self._stores[slide_id]
        image_HWC = store.read([row])[0]
        return Material(image_HWC, tissue_shares(_square(store, row), len(image_HWC)))

    @property
    def below_signal(self) -> bool:
        """Whether background is what lies below a signal threshold, as the stores tell."""
        return any(
            (store.attributes.tissue or {}).get("method") == "signal" for store in self._stores.values()
        )

    def shown(self) -> dict[str, Any]:
        """`brightfield` and `white` of the first store, for pictures."""
        first = next(iter(self._stores.values())).attributes
        return {"brightfield": first.brightfield, "white": first.white}


def fed(row: pd.Series, arm: Arm, stock: Stock, shelf: Shelf, settings: InterveneSettings) -> Fed | None:
    """A patch in all steps; None where no other patch has what it takes.

    Raises:
        StoreError: a store is missing or damaged.
    """
    patch, rng = shelf.material(row), generator(row["patch_id"], arm)
    order_HW = front_order(len(patch.image_HWC), rng)
    empty = background_donors(row, stock, settings)
    materials = [shelf.material(each) for _, each in empty.iterrows()]
    background = pieced(materials, [background_of(each, settings.margin) for each in materials], rng)
    full = tissue_donors(row, stock, settings)
    full = full.head(1) if arm.adds else full
    materials = [shelf.material(each) for _, each in full.iterrows()]
    tissue = pieced(materials, [each.tissue_HW > 0 for each in materials], rng)
    if background is None or tissue is None:
        return None
    if arm.adds:
        # At its own places and in one piece: a collage of several patches' tissue is what no slide holds.
        own = Pieced(materials[0], np.zeros(order_HW.shape, np.int64), np.zeros(order_HW.shape, np.bool_))
        weight_HW = np.where(patch.tissue_HW > 0, 0.0, own.material.tissue_HW)
        new, control, givers, rim = own, background, (full, empty), 0
    else:
        weight_HW, new, control, givers = patch.tissue_HW, background, tissue, (empty, full)
        rim = settings.margin
    if not weight_HW.any():
        return None
    put_in = (new.material, control.material if arm.adds else _within(patch, control, background))
    area, same = (series(patch, each, weight_HW, order_HW, settings.shares, rim) for each in put_in)
    used_HW = area[-1].replaced_HW & (weight_HW > 0)
    return Fed(
        row,
        area,
        same,
        _sources(new, givers[0], row, used_HW),
        _sources(control, givers[1], row, used_HW),
    )


def _within(patch: Material, tissue: Pieced, background: Pieced) -> Material:
    """Tissue where the patch has some, background elsewhere: what a rim is replaced by stays what it is."""
    own_HW = patch.tissue_HW > 0
    return Material(
        np.where(own_HW[..., None], tissue.material.image_HWC, background.material.image_HWC),
        np.where(own_HW, tissue.material.tissue_HW, background.material.tissue_HW),
    )


def _sources(new: Pieced, donors: pd.DataFrame, row: pd.Series, used_HW: NDArray[np.bool_]) -> Sources:
    own_D = (donors["slide_id"] == row["slide_id"]).to_numpy(np.bool_)
    own = float(own_D[new.donor_HW[used_HW]].mean())
    return Sources(own, 1 - own, float(new.drawn_HW[used_HW].mean()))


def _square(store: PatchStore, row: int) -> NDArray[np.bool_]:
    return squared(store.tissue_of(row), store.attributes.extent, store.attributes.tissue_downsample)
