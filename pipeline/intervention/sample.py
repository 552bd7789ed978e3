"""Which test patches are changed, and which others give the pixels: by fixed rules, never by taste."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.intervention.settings import Arm, InterveneSettings

_QUARTER = 0.25
_LABELS = (0, 1)


@dataclass(frozen=True)
class Stock:
    """The test patches that interventions choose from.

    Attributes:
        table: artifacts.INDEX of the test split in the order of a hash of the patch_id, with `pure`: whether
            a tumor patch's tissue is (nearly) all tumor, as that of a non-tumor patch is none. Where labels
            are the slide's, how much of a patch is tumor is not known, and every patch counts as pure.
    """

    table: pd.DataFrame

    def of_label(self, label: int) -> pd.DataFrame:
        """Patches of a label; of tumor only those whose tissue is tumor."""
        return self.table[(self.table["label"] == label) & self.table["pure"]]

    @cached_property
    def rows_of_slide(self) -> Mapping[str, NDArray[np.int64]]:
        """Rows of the table by slide_id, in its order."""
        return {
            str(slide): np.asarray(rows, np.int64)
            for slide, rows in self.table.groupby("slide_id").indices.items()
        }

    @cached_property
    def fullest(self) -> Mapping[int, pd.DataFrame]:
        """Of each label the quarter with most tissue."""
        return {label: self._beyond(self.of_label(label), _QUARTER, largest=True) for label in _LABELS}

    @cached_property
    def emptiest(self) -> Mapping[int, pd.DataFrame]:
        """Of each label the quarter with least tissue."""
        tables = {label: self.table[self.table["label"] == label] for label in _LABELS}
        return {label: self._beyond(own, _QUARTER, largest=False) for label, own in tables.items()}

    @staticmethod
    def _beyond(own: pd.DataFrame, share: float, *, largest: bool) -> pd.DataFrame:
        tissue = own["tissue_fraction"]
        if largest:
            return own[tissue >= tissue.quantile(1 - share)]
        return own[tissue <= tissue.quantile(share)]


def stock_of(index: pd.DataFrame, settings: InterveneSettings) -> Stock:
    """The patches that interventions choose from; `index` is that of the test split."""
    hashes = [hashlib.sha256(name.encode()).hexdigest() for name in index["patch_id"]]
    tumor = index["label"] == 1
    of_slides = index.loc[tumor, "tumor_fraction"].nunique() <= 1
    enough = index["tumor_fraction"] >= settings.tumor_share * index["tissue_fraction"]
    table = index.assign(order=hashes, pure=~tumor | of_slides | enough)
    return Stock(table.sort_values("order", ignore_index=True))


def chosen(arm: Arm, stock: Stock, settings: InterveneSettings) -> pd.DataFrame:
    """Up to `settings.patches` of an intervention's patches, patients in turn, in the order of the hash.

    Tissue is added to the half of the label's patches that has less of it, and removed from the other.
    """
    own = stock.of_label(arm.label)
    tissue = own["tissue_fraction"]
    own = own[tissue <= tissue.median()] if arm.adds else own[tissue >= tissue.median()]
    turn = own.groupby("patient_id").cumcount()
    taken: pd.DataFrame = own.assign(turn=turn).sort_values(["turn", "order"]).head(settings.patches)
    return taken


def background_donors(row: pd.Series, stock: Stock, settings: InterveneSettings) -> pd.DataFrame:
    """Patches to take background from: those of the slide with least tissue first, then others' by hash.

    Others are of the same label, so that what a label's slides look like brings no other one in.
    """
    own = stock.table.iloc[stock.rows_of_slide[str(row["slide_id"])]]
    own = own[own["order"] != row["order"]].sort_values(["tissue_fraction", "order"])
    rest = stock.emptiest[int(row["label"])]
    rest = rest[rest["slide_id"] != row["slide_id"]]
    return _first(own, rest, settings.donors)


def tissue_donors(row: pd.Series, stock: Stock, settings: InterveneSettings) -> pd.DataFrame:
    """Patches to take tissue from: of the label, of its quarter with most tissue; the slide's own first."""
    same = stock.fullest[int(row["label"])]
    same = same[same["order"] != row["order"]]
    own = same["slide_id"] == row["slide_id"]
    return _first(same[own], same[~own], settings.donors)


def _first(own: pd.DataFrame, others: pd.DataFrame, most: int) -> pd.DataFrame:
    """So many of the slide's own and of others, in their order."""
    found: pd.DataFrame = pd.concat([own.head(most), others.head(most)])
    return found


def generator(patch_id: str, arm: Arm) -> np.random.Generator:
    """Random numbers that follow from the patch and the intervention, and from nothing else."""
    digest = hashlib.sha256(f"{arm.name} {patch_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
