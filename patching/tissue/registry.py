"""Tissue detectors by name: a table and nothing else, so that no tiling depends on it (see dvc.yaml)."""

from typing import Any

from patching.tissue.all import WholeDetector
from patching.tissue.base import AbstractTissueDetector, detector_of
from patching.tissue.entropy import EntropyDetector
from patching.tissue.external import ExternalDetector
from patching.tissue.otsu import OtsuDetector
from patching.tissue.signal import SignalDetector
from patching.tissue.triangle import TriangleDetector

# Each is named as its module.
DETECTORS: dict[str, type[AbstractTissueDetector[Any]]] = {
    "otsu": OtsuDetector,
    "triangle": TriangleDetector,
    "entropy": EntropyDetector,
    "external": ExternalDetector,
    "signal": SignalDetector,
    "all": WholeDetector,
}


def make_detector(method: str = "", **settings: Any) -> AbstractTissueDetector[Any]:
    """The detector called `method`, with its settings.

    Raises:
        ConfigError: no such detector, or a setting it does not have.
    """
    return detector_of(DETECTORS, method, settings)
