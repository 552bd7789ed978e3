"""Tissue detectors by name."""

from typing import Any

from pydantic import ValidationError

from patching.errors import ConfigError
from patching.tissue.base import AbstractTissueDetector
from patching.tissue.entropy import EntropyDetector
from patching.tissue.external import ExternalDetector
from patching.tissue.otsu import OtsuDetector
from patching.tissue.signal import SignalDetector
from patching.tissue.triangle import TriangleDetector
from patching.tissue.whole import WholeDetector

DETECTORS: dict[str, type[AbstractTissueDetector[Any]]] = {
    "otsu": OtsuDetector,
    "triangle": TriangleDetector,
    "entropy": EntropyDetector,
    "external": ExternalDetector,
    "signal": SignalDetector,
    "all": WholeDetector,
}


def make_detector(name: str, **settings: Any) -> AbstractTissueDetector[Any]:
    """The detector called `name`, with its settings.

    Raises:
        ConfigError: no such detector, or a setting it does not have.
    """
    detector = DETECTORS.get(name)
    if detector is None:
        raise ConfigError(
            has=f"the tissue method {name!r}",
            needs=f"one of {', '.join(DETECTORS)}",
            do="correct `tile.tissue.method`",
        )
    try:
        return detector(detector.Settings(**settings))
    except ValidationError as error:
        raise ConfigError(
            has=f"settings of the tissue method {name}: {error}",
            needs=f"only {', '.join(detector.Settings.model_fields)}",
            do="correct `tile.tissue`; a cohort's settings are merged over those of configs/tile.yaml",
        ) from error
