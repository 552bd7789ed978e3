"""Tiny predictions whose every figure follows from the patch's place, and what a slow hand makes of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.networks.card import DecisionCard
from patching.geometry import Location, Mpp, Size
from patching.grid import EdgeRule, grid_locations
from pipeline.deployment.prediction import SlidePrediction
from pipeline.look.heatmap import TOP

SIZE = Size(1234, 871)
NO_BOUNDS, HALF = Location(0, 0), Mpp(0.5, 0.5)
GRAY = 180
PLAIN = DecisionCard()
NOTE = "outside training: mean_shg; weak group"


def planted(
    *,
    size: Size = SIZE,
    extent: int = 96,
    stride: int = 96,
    edge: EdgeRule = "drop",
    bounds: Location = NO_BOUNDS,
    mpp: Mpp | None = HALF,
    annotated: bool = True,
    name: str = "slide-7",
    decision: DecisionCard = PLAIN,
) -> SlidePrediction:
    """A slide without its last row's first patch; every seventh patch has a note."""
    places_N2 = grid_locations(size, extent, stride, edge)
    gone = np.flatnonzero(places_N2[:, 1] == places_N2[:, 1].max())[0]
    places_N2 = np.delete(places_N2, gone, axis=0)
    probability_N = probability_at(places_N2, stride)
    number_N = np.arange(len(places_N2))
    patches = pd.DataFrame(
        {
            "x": places_N2[:, 0],
            "y": places_N2[:, 1],
            "tissue_fraction": (1 + number_N % 10) / 10,
            "covered_fraction": 1.0,
            "probability": probability_N,
            "prediction": (probability_N >= 0.5).astype(np.int64),
            "attribute": (number_N % 10 >= 5).astype(np.int64),
            "note": [NOTE if n % 7 == 3 else "" for n in number_N],
        }
    )
    if annotated:
        patches["tumor_fraction"] = probability_N
        patches["label"] = np.where(number_N % 11 == 0, -1, number_N % 2).astype(np.int8)
    return SlidePrediction(
        slide_id=name,
        image=(f"{name}.svs",),
        size=size,
        bounds=bounds,
        mpp=mpp,
        extent=extent,
        stride=stride,
        classes=("non-tumor", "tumor"),
        decision=decision,
        patches=patches,
        thumbnail_HW3=np.full((90, 128, 3), GRAY, np.uint8),
        tissue_HW=np.zeros((88, 124), bool),
        tissue_downsample=10.0,
        outlines=(),
        warnings=(),
    )


def probability_at(places_N2: NDArray[np.int64], stride: int) -> NDArray[np.float64]:
    """Differs between neighbors, and between rows and columns swapped."""
    column_N, row_N = -(-places_N2.T // stride)
    return ((3 * column_N + 5 * row_N) % 11) / 10


def without_notes(prediction: SlidePrediction) -> SlidePrediction:
    return replace(prediction, patches=prediction.patches.assign(note=""))


def probabilities(image_HW: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Values of a heatmap back to probabilities, NaN where not predicted."""
    return np.where(image_HW > 0, (image_HW - 1.0) / TOP, np.nan)


def by_hand(prediction: SlidePrediction, cell: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of probabilities over the level-0 pixels of each cell and the patches on them, and their number."""
    size, extent = prediction.size, prediction.extent
    shape = [-(-n // cell) * cell for n in (size.height, size.width)]
    sum_HW, count_HW = np.zeros(shape), np.zeros(shape)
    for (x, y), value in zip(prediction.locations_N2, prediction.probability_N, strict=True):
        sum_HW[y : y + extent, x : x + extent] += value
        count_HW[y : y + extent, x : x + extent] += 1
    blocks = (shape[0] // cell, cell, shape[1] // cell, cell)
    return sum_HW.reshape(blocks).sum((1, 3)), count_HW.reshape(blocks).sum((1, 3))
