"""Pictures of a chosen patch: what the network saw, the slide's finest resolution, tissue, and both maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray

from models.data.normalization import TRANSFORMS
from models.networks.card import ModelCard
from patching.store.reading import StoreAttributes
from pipeline.explain.maps import PatchMaps, draw_gradcam, draw_occlusion, limit_of
from pipeline.explain.settings import ExplainSettings
from pipeline.look.patches import composite, intensity_range, outlined, resized

_QUALITY = 82


@dataclass(frozen=True)
class Shown:
    """A patch and all that is drawn of it; `fine_HWC` is None where there is nothing finer, or no slide."""

    about: StoreAttributes
    image_HWC: NDArray[Any]
    tissue_HW: NDArray[np.bool_]
    maps: PatchMaps
    fine_HWC: NDArray[Any] | None


class Drawer:
    """Draws patches on one scale of intensity and one of occlusion.

    Args:
        card: the model's, whose transform intensities are shown under.
        shown: all patches, which the scales are of.
        settings: sides of the pictures.
    """

    def __init__(self, card: ModelCard, shown: Sequence[Shown], settings: ExplainSettings) -> None:
        self._transform = TRANSFORMS[card.normalization.transform]
        self._lift = card.normalization.transform == "none"
        self._settings = settings
        self.limit = limit_of([each.maps for each in shown])
        self._range_C2 = intensity_range(np.stack([self._as_fed(each.image_HWC) for each in shown]))

    def write(self, one: Shown, folder: Path, number: int) -> dict[str, str]:
        """Write the pictures of a patch; their names by what they show, "" where there is none."""
        side = self._settings.side
        rgb_HW3 = self._rgb(one.image_HWC, one.about)
        cam_hw = one.maps.gradcam_hw
        pictures = {
            "seen": resized(rgb_HW3, side),
            "fine": None if one.fine_HWC is None else self._rgb(one.fine_HWC, one.about),
            "tissue": outlined(rgb_HW3, one.tissue_HW, side),
            "occlusion": draw_occlusion(rgb_HW3, one.maps.occlusion_HW, self.limit, side),
            "gradcam": None if cam_hw is None or cam_hw.size == 1 else draw_gradcam(rgb_HW3, cam_hw, side),
        }
        names = {}
        for kind, picture_HW3 in pictures.items():
            names[kind] = "" if picture_HW3 is None else f"{number:04d}-{kind}.jpg"
            if picture_HW3 is not None:
                encoded = imagecodecs.jpeg8_encode(np.ascontiguousarray(picture_HW3), level=_QUALITY)
                (folder / names[kind]).write_bytes(encoded)
        return names

    def _rgb(self, image_HWC: NDArray[Any], about: StoreAttributes) -> NDArray[np.uint8]:
        light = about.brightfield
        pixels_HWC = image_HWC if light else self._as_fed(image_HWC)
        return composite(pixels_HWC, self._range_C2, brightfield=light, white=about.white, lift=self._lift)

    def _as_fed(self, image_HWC: NDArray[Any]) -> NDArray[np.float64]:
        """Under the model's transform, before its normalization, which only shifts and scales a channel."""
        fed: NDArray[np.float64] = self._transform(torch.from_numpy(image_HWC.astype(np.float64))).numpy()
        return fed
