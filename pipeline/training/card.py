"""What a model's card says of its training patches: how they were made, and between which values."""

from typing import Any

import pandas as pd

from models.networks.card import AttributeCard, Range, TissueCard, TrainingRanges
from patching.store.reading import PatchStore, StoreAttributes
from pipeline.artifacts import Paths
from pipeline.training.layout import NamedLayout, read_tissue_threshold

_QUALITY = "quality_"


def data_card(paths: Paths, table: pd.DataFrame, layout: NamedLayout, threshold: str) -> dict[str, Any]:
    """Fields of a ModelCard that come from the training patches.

    Args:
        paths: of the cohort.
        table: the training split's rows of the index.
        layout: names of classes and attribute values.
        threshold: of the attribute stage.

    Raises:
        StoreError: a store is missing.
        ArtifactError: the attribute table is damaged.
    """
    slides = [PatchStore.open(paths.store(slide_id)).attributes for slide_id in table["slide_id"].unique()]
    first = slides[0]
    return {
        "channels": first.channels,
        "brightfield": first.brightfield,
        "classes": layout.classes,
        "patch": first.spec,
        "dtype": first.dtype,
        "white": max((slide.white for slide in slides if slide.white is not None), default=None),
        "tissue": _tissue(first),
        "attribute": AttributeCard(
            names=layout.attributes, above=read_tissue_threshold(paths.attribute_table(threshold))
        ),
        "ranges": TrainingRanges(
            tissue_fraction=_range(table["tissue_fraction"]),
            mpp=_range(pd.Series([slide.mpp for slide in slides], dtype=float)),
            quality={
                name.removeprefix(_QUALITY): found
                for name in map(str, table)
                if name.startswith(_QUALITY) and (found := _range(table[name])) is not None
            },
        ),
    }


def _tissue(store: StoreAttributes) -> TissueCard | None:
    if store.tissue is None or store.mask_pixels_per_patch is None or store.minimum_tissue_fraction is None:
        return None
    return TissueCard(
        settings=store.tissue,
        mask_pixels_per_patch=store.mask_pixels_per_patch,
        minimum_fraction=store.minimum_tissue_fraction,
        minimum_covered_fraction=store.minimum_covered_fraction,
    )


def _range(values: pd.Series) -> Range | None:
    """Of those that are known."""
    known = values.dropna()
    return None if known.empty else Range(low=float(known.min()), high=float(known.max()))
