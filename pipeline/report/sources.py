"""What a section of the report is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import NonNegativeInt, PositiveInt

from pipeline.config import Settings
from pipeline.report.evidence import Evidence
from pipeline.results.verdict import BootstrapSettings, Comparison


class ExampleSettings(Settings):
    """Which patches are shown as examples."""

    algorithm: str
    """Whose predictions; the reference's stand beside them."""
    reference: str
    right: PositiveInt
    """Correct ones per group at most."""
    wrong: PositiveInt
    side: PositiveInt
    """Side of a picture in pixels."""


class ReportSettings(Settings):
    """configs/report.yaml."""

    names: dict[str, str]
    """Algorithms in the report's order, with the name to print."""
    candidate: str
    """The algorithm under test."""
    references: tuple[str, ...]
    """The algorithms it is compared with; all differences are printed whatever they are."""
    minimum_test_patients: PositiveInt
    """No verdict where fewer test patients hold tumor, or fewer hold patches without."""
    overlays: NonNegativeInt
    """Slide overlays shown at most."""
    examples: ExampleSettings


@dataclass(frozen=True)
class Sources:
    """What every section gets."""

    evidence: Evidence
    comparison: Comparison
    settings: ReportSettings
    intervals: BootstrapSettings

    def named(self, algorithm: str) -> str:
        """The name of an algorithm to print."""
        return self.settings.names.get(algorithm, algorithm.replace("_", " "))

    def position(self, algorithm: str) -> int:
        """Place of an algorithm in the palette."""
        known = list(self.settings.names)
        known += [name for name in self.evidence.algorithms if name not in known]
        return known.index(algorithm)


@dataclass(frozen=True)
class Panel:
    """A section: `templates/<name>.html` rendered with `values`."""

    name: str
    title: str
    values: Callable[[Sources], Mapping[str, Any]]
