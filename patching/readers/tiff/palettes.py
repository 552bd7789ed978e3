"""Palettes: tables of colors for stored values, which are intensities or numbers of colors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMOOTH = 4
"""How often a display palette may go from dark to bright and back in one color."""


def is_scale(colors_NC: NDArray[Any]) -> bool:
    """Whether a palette's colors change little from one to the next, as those of a scale do."""
    if colors_NC.ndim != 2 or colors_NC.size == 0:
        return False
    ways_C = np.abs(np.diff(colors_NC.astype(np.int64), axis=0)).sum(axis=0)
    return bool((ways_C <= _SMOOTH * max(1, int(colors_NC.max()))).all())
