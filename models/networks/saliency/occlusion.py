"""Occlusion: how a network's log-odds change where a part of a patch is covered by background.

Zeiler and Fergus, ECCV 2014 (arXiv 1311.2901). MONAI's OcclusionSensitivity covers with one number in all
channels, which no background is, and gives the same map for it (tests/models/test_saliency.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.networks.classifier import Classifier, batch_on, log_odds


@dataclass(frozen=True)
class Occlusion:
    """What covering each place of a patch did.

    Attributes:
        whole: log-odds of class 1 of the patch as it is.
        covered_PQ: the same with the window in row p and column q of its places covered.
        corner_P: first pixel of the windows along a side.
        window: side of the window in pixels.
        side: of the patch in pixels.
    """

    whole: float
    covered_PQ: NDArray[np.float64]
    corner_P: NDArray[np.int64]
    window: int
    side: int

    @property
    def change_PQ(self) -> NDArray[np.float64]:
        """What a place adds to the log-odds of class 1: the whole patch's minus those without the place."""
        return self.whole - self.covered_PQ

    @property
    def map_HW(self) -> NDArray[np.float64]:
        """The change at every pixel: the mean of the windows that cover it."""
        sums_HW, counts_HW = np.zeros((self.side, self.side)), np.zeros((self.side, self.side))
        for p, top in enumerate(self.corner_P):
            for q, left in enumerate(self.corner_P):
                place = (slice(top, top + self.window), slice(left, left + self.window))
                sums_HW[place] += self.change_PQ[p, q]
                counts_HW[place] += 1
        return sums_HW / counts_HW


def occlude(
    classifier: Classifier, image_HWC: NDArray[Any], fill_C: NDArray[Any], window: int, step: int
) -> Occlusion:
    """Cover a square patch window by window.

    Args:
        classifier: of two classes.
        image_HWC: raw pixels of the patch.
        fill_C: value of each channel that a window is covered with.
        window: its side in pixels.
        step: pixels from one window to the next; the last one ends with the patch.

    Raises:
        ValueError: a patch that is not square, or smaller than the window.
    """
    side = image_HWC.shape[0]
    if image_HWC.shape[1] != side or window > side:
        raise ValueError(f"a window of {window} on a patch of {image_HWC.shape[:2]}")
    corner_P = corners(side, window, step)
    places = [(-1, -1), *((int(top), int(left)) for top in corner_P for left in corner_P)]
    size = batch_on(classifier.mean_1C11.device, side)
    covered = _covered(image_HWC, np.asarray(fill_C, image_HWC.dtype), places, window, size)
    logit_N = log_odds(classifier.predict_logits(covered))[: len(places)]
    return Occlusion(
        float(logit_N[0]), logit_N[1:].reshape(len(corner_P), len(corner_P)), corner_P, window, side
    )


def corners(side: int, window: int, step: int) -> NDArray[np.int64]:
    """First pixel of every window along a side; together they cover it.

    >>> corners(64, 16, 24).tolist()
    [0, 24, 48]
    >>> corners(50, 12, 6).tolist()[-3:]
    [30, 36, 38]
    """
    return np.unique(np.append(np.arange(0, side - window, min(step, window)), side - window))


def _covered(
    image_HWC: NDArray[Any], fill_C: NDArray[Any], places: list[tuple[int, int]], window: int, size: int
) -> Iterator[NDArray[Any]]:
    """Batches of always as many images; the first is the patch as it is, and the last is repeated."""
    for start in range(0, len(places), size):
        batch_BHWC = np.repeat(image_HWC[None], size, axis=0)
        for copy_HWC, (top, left) in zip(batch_BHWC, places[start : start + size], strict=False):
            if top >= 0:
                copy_HWC[top : top + window, left : left + window] = fill_C
        yield batch_BHWC
