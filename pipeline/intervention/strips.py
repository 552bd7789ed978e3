"""A patch at every step as a picture: what the networks were fed, above, and the control below it."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.data.intervention.replacing import Step
from pipeline.files import replacing
from pipeline.intervention.feeding import Fed, Shelf
from pipeline.look.patches import composite, intensity_range

_SIDE, _GAP = 112, 4


def write_strip(path: Path, each: Fed, shelf: Shelf) -> None:
    """Write a PNG of the patch at every step, whole or not at all; the same patch gives the same bytes."""
    steps = (*each.area, *each.control)
    range_C2 = intensity_range(np.stack([step.patch.image_HWC for step in steps]))
    rows = [_row(own, range_C2, shelf) for own in (each.area, each.control)]
    gap_HWC = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    picture_HWC = np.concatenate([rows[0], gap_HWC, rows[1]])
    encoded = cv2.imencode(".png", np.ascontiguousarray(picture_HWC[..., ::-1]))[1]
    with replacing(path) as part:
        part.write_bytes(encoded.tobytes())


def _row(steps: Sequence[Step], range_C2: NDArray[np.float64], shelf: Shelf) -> NDArray[np.uint8]:
    shown = shelf.shown()
    pictures = [
        cv2.resize(
            composite(step.patch.image_HWC, range_C2, **shown),
            (_SIDE, _SIDE),
            interpolation=cv2.INTER_NEAREST,
        )
        for step in steps
    ]
    gap_HWC = np.full((_SIDE, _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap_HWC)]
    return np.asarray(np.concatenate(parts[:-1], axis=1), np.uint8)
