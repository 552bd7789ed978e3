"""What threads are given to do for a run of slides."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.deployment.planning import PatchReader, SlidePlan


@dataclass(eq=False)
class Job:
    """A slide on its way."""

    number: int
    """Among the slides of the run."""
    plan: SlidePlan
    reader: PatchReader
    probability_NK: NDArray[np.float32]
    """The network's own, before the decision."""
    quality_NQ: NDArray[np.float32]
    next: int = 0
    """The first patch that nobody reads yet."""
    reading: int = 0
    """Threads that read it."""
    left: int = 0
    """Patches without probability."""
    failed: bool = False


@dataclass(frozen=True)
class Part:
    """Consecutive patches of a slide, and the rows of a batch that take them."""

    job: Job
    patches: range
    row: int


@dataclass(eq=False)
class Batch:
    """Patches of one slide or several, for the network."""

    images_BHWC: NDArray[np.generic]
    parts: list[Part] = field(default_factory=list)
    rows: int = 0
    """Those that are given away."""
    filled: int = 0
    closed: bool = False
    """No more rows are given away."""

    @property
    def tissue_fraction_B(self) -> NDArray[np.float64]:
        """Of the patches that were given rows, in their order."""
        return np.concatenate(
            [part.job.plan.tissue_fraction_N[part.patches.start : part.patches.stop] for part in self.parts]
        )


@dataclass(frozen=True)
class Fill:
    """A step: read some patches into a batch."""

    batch: Batch
    part: Part


@dataclass(frozen=True)
class Predict:
    """A step: run the network."""

    batch: Batch


@dataclass(frozen=True)
class Plan:
    """A step: open a slide and find its patches."""

    number: int


@dataclass(frozen=True)
class Write:
    """A step: write what a slide came to."""

    job: Job


Step = Fill | Predict | Plan | Write
