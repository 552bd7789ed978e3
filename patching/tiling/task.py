"""What is to be tiled, where it goes, and what was done to it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from patching.manifest import SlideRow
from patching.tiling.settings import TileSettings


@dataclass(frozen=True)
class Folders:
    """Where a cohort's outputs go."""

    stores: Path
    """<slide_id>.zarr"""
    overlays: Path
    """<slide_id>.jpg"""
    receipts: Path
    """<slide_id>.json, and logs/<slide_id>.json"""

    def of(self, slide_id: str) -> tuple[Path, Path, Path]:
        """Store, overlay and receipt of a slide."""
        return (
            self.stores / f"{slide_id}.zarr",
            self.overlays / f"{slide_id}.jpg",
            self.receipts / f"{slide_id}.json",
        )

    def log(self, slide_id: str) -> Path:
        """What tiling the slide did and took."""
        return self.receipts / "logs" / f"{slide_id}.json"


@dataclass(frozen=True)
class SlideTask:
    """One slide to tile."""

    row: SlideRow
    fingerprint: str
    settings: TileSettings
    folders: Folders
    cache_mib: int = 384
    """Memory for decoded tiles that several patches share."""


@dataclass
class SlideLog:
    """What the tiling of one slide did and took; for reading, nothing depends on it."""

    slide_id: str
    candidates: int = 0
    """Patches of the grid."""
    patches: int = 0
    """Those kept."""
    cut: int = 0
    """Those cut in this run; the others lay there already."""
    dropped: dict[str, int] = field(default_factory=dict)
    covered_fraction: float = 1.0
    """Share of the slide that exists."""
    warnings: tuple[str, ...] = ()
    segments_decoded: dict[str, int] = field(default_factory=dict)
    """Stored tiles or strips that each step decoded; 0 where the reader cannot tell or held them."""
    threads: int = 1
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each step."""
    peak_memory_mib: float = 0.0
    """Of the process so far."""

    def add(self, piece: "SlideLog") -> None:
        """Add what another worker did to the same slide."""
        self.cut += piece.cut
        for step, count in piece.segments_decoded.items():
            self.segments_decoded[step] = self.segments_decoded.get(step, 0) + count
        self.peak_memory_mib = max(self.peak_memory_mib, piece.peak_memory_mib)
        for step, seconds in piece.seconds.items():
            self.seconds[step] = round(self.seconds.get(step, 0.0) + seconds, 4)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long the block takes."""
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 4)
