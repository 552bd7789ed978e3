"""The area-preserving transforms, as albumentations transforms.

Imported by `models.data.augment` only, after it has switched off the update check.
albumentations clips float images to 0..1 in its own intensity transforms and refuses uint16 in some;
microscopes deliver photon counts, so intensity, noise and blur are ours, and keep raw units.
"""

from collections.abc import Callable, Sequence
from typing import Any

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray


class GainOffset(albumentations.ImageOnlyTransform):
    """Multiply every channel by 1 ± gain and shift it by ± offset standard deviations."""

    def __init__(
        self, std_C: Sequence[float], gain: float = 0.1, offset: float = 0.1, p: float = 0.5
    ) -> None:
        super().__init__(p=p)
        self.std_C = np.asarray(std_C, np.float32)
        self.gain, self.offset = gain, offset

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        drawn_2C = self.random_generator.uniform(-1, 1, (2, len(self.std_C))).astype(np.float32)
        return {"gain_C": 1 + self.gain * drawn_2C[0], "offset_C": self.offset * self.std_C * drawn_2C[1]}

    def apply(
        self, img: NDArray[Any], gain_C: NDArray[np.float32], offset_C: NDArray[np.float32], **params: Any
    ) -> NDArray[np.float32]:
        result_HWC: NDArray[np.float32] = img.astype(np.float32) * gain_C + offset_C
        return result_HWC


class SensorNoise(albumentations.ImageOnlyTransform):
    """Add independent Gaussian noise of up to `limit` standard deviations to every pixel."""

    def __init__(self, std_C: Sequence[float], limit: float = 0.1, p: float = 0.3) -> None:
        super().__init__(p=p)
        self.std_C = np.asarray(std_C, np.float32)
        self.limit = limit

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        sigma_C = self.std_C * np.float32(self.random_generator.uniform(0, self.limit))
        shape_HWC = data["image"].shape
        return {"noise_HWC": self.random_generator.standard_normal(shape_HWC, np.float32) * sigma_C}

    def apply(self, img: NDArray[Any], noise_HWC: NDArray[np.float32], **params: Any) -> NDArray[np.float32]:
        return img.astype(np.float32) + noise_HWC


class SlightBlur(albumentations.ImageOnlyTransform):
    """Blur with a Gaussian of at most `sigma` pixels, edges mirrored: mass stays in the patch."""

    def __init__(self, sigma: float = 0.7, p: float = 0.2) -> None:
        super().__init__(p=p)
        self.sigma = sigma

    def get_params(self) -> dict[str, Any]:
        return {"sigma": self.random_generator.uniform(0.2, self.sigma)}

    def apply(self, img: NDArray[Any], sigma: float, **params: Any) -> NDArray[np.float32]:
        blurred = cv2.GaussianBlur(img.astype(np.float32), (5, 5), sigma, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, np.float32).reshape(img.shape)


# Every transform on offer, by name; each takes the channels' standard deviations.
TRANSFORMS: dict[str, Callable[[Sequence[float]], albumentations.BasicTransform]] = {
    "symmetry": lambda _: albumentations.D4(p=1),
    "blur": lambda _: SlightBlur(),
    "intensity": GainOffset,
    "noise": SensorNoise,
}


def compose(names: Sequence[str], std_C: Sequence[float]) -> albumentations.Compose:
    """Chain the named transforms."""
    return albumentations.Compose([TRANSFORMS[name](std_C) for name in names])
