"""Which pixels of a patch are replaced first, and a patch with a share of them replaced.

Pixels go in the order of a wavy front that sweeps the patch from one side. What is left is one connected
part with the tissue's own texture and one new edge, as in a patch at the border of tissue; pixels or blocks
at random would leave islands that no slide holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.data.intervention.material import Material

_WAVE = 0.25
"""Height of the front's waves beside half the patch's side."""
_WAVELENGTH = 1 / 6
"""Standard deviation of the Gaussian that smooths the waves, as a share of the side."""


@dataclass(frozen=True)
class Step:
    """A patch at one step.

    Attributes:
        share: of the weight that is replaced, 0 to 1, as it was asked for.
        patch: the pixels that a network is fed, and their tissue.
        replaced_HW: which pixels are not the patch's own.
    """

    share: float
    patch: Material
    replaced_HW: NDArray[np.bool_]


def front_order(side: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Place of every pixel in the order of a wavy front from a random direction, 0 to side² - 1, [H, W]."""
    axis = np.linspace(-1, 1, side)
    angle = rng.uniform(0, 2 * np.pi)
    plane_HW = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    noise_HW = rng.standard_normal((side, side))
    wave_HW = cv2.GaussianBlur(noise_HW, (0, 0), side * _WAVELENGTH, borderType=cv2.BORDER_REFLECT)
    height_HW = plane_HW + _WAVE * wave_HW / max(float(wave_HW.std()), 1e-12)
    order_HW = np.empty(side * side, np.int64)
    order_HW[np.argsort(height_HW, axis=None, kind="stable")] = np.arange(side * side)
    return order_HW.reshape(side, side)


def first_share(
    order_HW: NDArray[np.int64], weight_HW: NDArray[np.float64], share: float
) -> NDArray[np.bool_]:
    """The first pixels of an order that together hold a share of the weight, bool [H, W].

    Pixels without weight are never among them; a share of 1 takes all that have some.

    >>> first_share(np.array([[2, 0], [1, 3]]), np.array([[1.0, 1.0], [1.0, 0.0]]), 0.67).tolist()
    [[False, True], [True, False]]
    """
    places = np.argsort(order_HW, axis=None)
    reached = np.cumsum(weight_HW.ravel()[places])
    chosen = np.zeros(order_HW.size, np.bool_)
    # The last pixel may pass the share by up to half of its own weight: the nearest to what was asked.
    chosen[places] = reached - weight_HW.ravel()[places] / 2 <= share * reached[-1]
    if share <= 0:
        chosen[:] = False
    return chosen.reshape(order_HW.shape) & (weight_HW > 0)


def series(
    patch: Material,
    new: Material,
    weight_HW: NDArray[np.float64],
    order_HW: NDArray[np.int64],
    shares: Sequence[float],
    rim: int = 0,
) -> list[Step]:
    """The patch with a growing share of its pixels replaced by those at the same places of `new`.

    Args:
        patch: the patch as it is.
        new: what takes the place of its pixels.
        weight_HW: what the shares are of; pixels without weight stay.
        order_HW: see `front_order`.
        shares: 0 to 1 each.
        rim: pixels without tissue this near to replaced ones are replaced as well: a tissue's light spreads,
            and its outline would be left.
    """
    kernel, steps = np.ones((2 * rim + 1, 2 * rim + 1), np.uint8), []
    for share in shares:
        chosen_HW = first_share(order_HW, weight_HW, share)
        near_HW = np.asarray(cv2.dilate(chosen_HW.astype(np.uint8), kernel) > 0, np.bool_)
        replaced_HW = chosen_HW | (near_HW & (patch.tissue_HW == 0))
        changed = Material(
            np.where(replaced_HW[..., None], new.image_HWC, patch.image_HWC),
            np.where(replaced_HW, new.tissue_HW, patch.tissue_HW),
        )
        steps.append(Step(share, changed, replaced_HW))
    return steps
