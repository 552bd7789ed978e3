"""Maps over one patch: in numbers and words, and in colors over the patch in shades of gray."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.networks.card import ModelCard
from models.networks.classifier import Classifier
from models.networks.decision import told
from models.networks.saliency.gradcam import GradCams
from models.networks.saliency.occlusion import occlude
from models.networks.saliency.spatial import spatial_layers
from pipeline.explain.settings import ExplainSettings
from pipeline.look.patches import resized

FOR, AGAINST, CAM = (213, 94, 0), (0, 114, 178), (240, 228, 66)
"""Okabe and Ito's vermilion, blue and yellow: told apart by color-blind readers."""
_COVER = 0.75
_QUANTILE = 99.0
_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "middle", "right")


@dataclass(frozen=True)
class PatchMaps:
    """What was found of one patch.

    Attributes:
        occlusion_HW: what each place adds to the network's log-odds of tumor.
        for_tumor: the most that a covered window takes from them, 0 or more; place of it in words.
        against_tumor: the most that a covered window adds to them, 0 or more; place of it in words.
        covered_probability: as the model tells it, with the window covered that changes it most away from its
            verdict.
        gradcam_hw: places that speak for the decided class; None where the network has no places.
    """

    occlusion_HW: NDArray[np.float64]
    for_tumor: float
    for_tumor_place: str
    against_tumor: float
    against_tumor_place: str
    covered_probability: float
    gradcam_hw: NDArray[np.float64] | None


class Mapper:
    """Makes the maps of patches with one network.

    Args:
        classifier: on the device that it runs on.
        card: its own.
        settings: window and step.
    """

    def __init__(self, classifier: Classifier, card: ModelCard, settings: ExplainSettings) -> None:
        self._classifier, self._card = classifier, card
        side = int(card.patch["size"])
        self.window, self.step = (max(1, round(share * side)) for share in (settings.window, settings.step))
        self.layers = spatial_layers(card.backbone, card.backbone_settings)
        self._cams = GradCams(classifier, self.layers) if self.layers else None

    def of(
        self, image_HWC: NDArray[Any], fill_C: NDArray[Any], tissue_fraction: float, prediction: int
    ) -> PatchMaps:
        """Both maps of a patch.

        Args:
            image_HWC: raw pixels.
            fill_C: background of its slide.
            tissue_fraction: of the patch as it is, which a decision by tissue goes on using.
            prediction: the class that the model decided.
        """
        found = occlude(self._classifier, image_HWC, fill_C, self.window, self.step)
        change_PQ, middles_P = found.change_PQ, found.corner_P + found.window / 2
        places = [
            np.unravel_index(int(each), change_PQ.shape) for each in (change_PQ.argmax(), change_PQ.argmin())
        ]
        words = [_place(middles_P[p] / found.side, middles_P[q] / found.side) for p, q in places]
        away = places[0] if prediction == 1 else places[1]
        probability_1, _ = told(self._card.decision, [found.covered_PQ[away]], [tissue_fraction])
        return PatchMaps(
            occlusion_HW=found.map_HW,
            for_tumor=max(0.0, float(change_PQ.max())),
            for_tumor_place=words[0],
            against_tumor=max(0.0, float(-change_PQ.min())),
            against_tumor_place=words[1],
            covered_probability=float(probability_1[0]),
            gradcam_hw=None if self._cams is None else self._cams.of(image_HWC, prediction),
        )


def limit_of(maps: list[PatchMaps]) -> float:
    """The end of the color scale of all occlusion maps: what 99 of 100 pixels do not exceed either way."""
    values = np.concatenate([np.abs(each.occlusion_HW).ravel() for each in maps])
    return float(max(np.percentile(values, _QUANTILE), 1e-6))


def draw_occlusion(
    rgb_HW3: NDArray[np.uint8], map_HW: NDArray[np.float64], limit: float, side: int
) -> NDArray[np.uint8]:
    """Vermilion where a place speaks for tumor, blue where against it, full at `limit`."""
    large_HW = cv2.resize(map_HW, (side, side), interpolation=cv2.INTER_LINEAR) / limit
    color_HW3 = np.where(large_HW[..., None] > 0, FOR, AGAINST)
    return _over(rgb_HW3, color_HW3, np.abs(large_HW).clip(0, 1), side)


def draw_gradcam(rgb_HW3: NDArray[np.uint8], map_hw: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Yellow where a place speaks for the decided class, full at the patch's own largest value."""
    weight_hw = map_hw / max(float(map_hw.max()), 1e-12)
    large_HW = cv2.resize(weight_hw, (side, side), interpolation=cv2.INTER_LINEAR)
    return _over(rgb_HW3, np.broadcast_to(CAM, (side, side, 3)), large_HW.clip(0, 1), side)


def gradcam_place(map_hw: NDArray[np.float64] | None) -> str:
    """Where a map is strongest, in words; empty where it says nothing about places."""
    if map_hw is None or map_hw.size == 1 or map_hw.max() <= 0:
        return ""
    row, column = np.unravel_index(int(map_hw.argmax()), map_hw.shape)
    return _place((row + 0.5) / map_hw.shape[0], (column + 0.5) / map_hw.shape[1])


def _over(
    rgb_HW3: NDArray[np.uint8], color_HW3: NDArray[Any], weight_HW: NDArray[np.float64], side: int
) -> NDArray[np.uint8]:
    gray_HW = cv2.cvtColor(resized(rgb_HW3, side), cv2.COLOR_RGB2GRAY)
    cover_HW1 = _COVER * weight_HW[..., None]
    mixed_HW3 = (1 - cover_HW1) * gray_HW[..., None] + cover_HW1 * color_HW3
    return np.asarray(np.rint(mixed_HW3), np.uint8)


def _place(down: float, right: float) -> str:
    """A place in words, of its shares of the side.

    >>> _place(0.1, 0.5), _place(0.5, 0.5), _place(0.9, 0.9)
    ('upper middle', 'middle', 'lower right')
    """
    row, column = (names[min(2, int(3 * share))] for names, share in ((_ROWS, down), (_COLUMNS, right)))
    return "middle" if row == column else f"{row} {column}"
