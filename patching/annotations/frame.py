"""From where an annotation counts its coordinates: the slide's corner, or that of its scanned region."""

import logging
from dataclasses import dataclass
from pathlib import Path

from patching.geometry import Location, Size

_CORNER = Location(0, 0)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Frame:
    """The slide that an annotation belongs to."""

    size: Size
    """At level 0."""
    bounds: Location = _CORNER
    """Where the scanned region begins; on some scanners' slides far from (0, 0)."""
    scanned: Size | None = None
    """How large it is in level-0 pixels; None where it is not told."""
    origin: str | None = None
    """What the cohort says: `slide`, coordinates count from the upper left corner of level 0; `bounds`, from
    that of the scanned region, as in QuPath; None leaves it to the format."""

    @property
    def moved(self) -> bool:
        """Whether it matters from where coordinates count."""
        return self.bounds != _CORNER

    @property
    def region(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what was scanned, within the slide."""
        if self.scanned is None:
            return 0, 0, self.size.width, self.size.height
        right, bottom = self.bounds.x + self.scanned.width, self.bounds.y + self.scanned.height
        return (
            max(0, self.bounds.x),
            max(0, self.bounds.y),
            min(self.size.width, right),
            min(self.size.height, bottom),
        )

    def corner(self, usual: str, why: str, path: Path) -> Location:
        """The place at level 0 that the annotation calls (0, 0); on a slide where it matters it is told.

        Args:
            usual: what the format does where nothing is said.
            why: the reason for it, for the log.
            path: the annotation.
        """
        if not self.moved:
            return _CORNER
        chosen, reason = self.origin or usual, f"{why}; `annotation_origin` says otherwise"
        logger.log(
            logging.INFO if self.origin else logging.WARNING,
            "%s: the scanned region (bounds) begins at (%d, %d) of the slide; coordinates count from %s (%s)",
            path.name,
            self.bounds.x,
            self.bounds.y,
            "there" if chosen == "bounds" else "the slide's corner",
            f"`annotation_origin: {self.origin}`" if self.origin else reason,
        )
        return self.bounds if chosen == "bounds" else _CORNER
