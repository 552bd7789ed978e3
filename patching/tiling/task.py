"""What is to be tiled, and where it goes."""

from dataclasses import dataclass
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
