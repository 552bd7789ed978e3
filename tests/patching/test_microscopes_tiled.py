"""What microscopes write goes through examination and tiling like any slide, gaps and planes included."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patching.errors import UnreadableSlideError
from patching.manifest import SlideRow
from patching.readers.cells import Reading
from patching.store.reading import PatchStore
from patching.tiling.engine import run_task
from patching.tiling.examination import examine
from patching.tiling.settings import TileSettings
from patching.tiling.task import Folders, SlideTask
from tests.patching import microscope_files as files
from tests.patching.microscope_files import noise, raw_tile

PATCH = 40


def tiled(path: Path, folder: Path, reading: Reading, **changes: Any) -> PatchStore:
    content: dict[str, Any] = {
        "patch": {"size": PATCH, "downsample": 1},
        "tissue": {"method": "all"},
        "minimum_tissue_fraction": 0,
        "minimum_covered_fraction": 0.5,
        "classes": {},
    }
    row = SlideRow("s", "p", (path,), label=1, reading=reading)
    task = SlideTask(
        row, "0" * 64, TileSettings(**(content | changes)), Folders(folder / "a", folder / "b", folder / "c")
    )
    outcome = run_task(task)
    assert outcome.error is None, outcome.error
    return PatchStore.open(folder / "a" / "s.zarr")


def test_patches_of_a_mosaic_lie_where_it_was_scanned(tmp_path: Path) -> None:
    corners = [(0, 0), (120, 0), (0, 80)]
    stored = {corner: noise(80, 120, seed=at) for at, corner in enumerate(corners)}
    path = files.czi(tmp_path / "a.czi", [raw_tile(pixels, corner) for corner, pixels in stored.items()])
    examine(SlideRow("s", "p", (path,), label=1), None, 5)
    store = tiled(path, tmp_path, Reading())
    places = {tuple(place) for place in store.locations.tolist()}
    everywhere = {(x, y) for y in range(0, 160, PATCH) for x in range(0, 240, PATCH)}
    assert places == {(x, y) for x, y in everywhere if x < 120 or y < 80}
    place = store.locations.tolist().index([160, 40])
    np.testing.assert_array_equal(store.read([place])[0][..., 0], stored[120, 0][40:80, 40:80])
    assert (store.table.covered_fraction_N == 1).all()


def test_a_plane_of_a_position_is_tiled(tmp_path: Path) -> None:
    stored = {number: noise(80, 120, 2, seed=number) for number in range(6)}
    path = files.nd2(tmp_path / "a.nd2", stored, ("SHG", "TPEF"), [("XY", 2), ("Z", 3)], points=("A", "B"))
    reading = Reading.parsed({"z": "1", "series": "B"})
    store = tiled(path, tmp_path, reading)
    assert store.attributes.channels == ("SHG", "TPEF")
    place = store.locations.tolist().index([40, 40])
    np.testing.assert_array_equal(store.read([place])[0], stored[4][40:80, 40:80])


def test_a_frame_that_was_never_taken_is_no_slide(tmp_path: Path) -> None:
    path = files.nd2(tmp_path / "a.nd2", {0: noise(80, 120, 1)}, ("SHG",), [("T", 2)])
    examine(SlideRow("s", "p", (path,), label=1, reading=Reading(t=0)), None, 5)
    with pytest.raises(UnreadableSlideError, match="not one pixel"):
        examine(SlideRow("s", "p", (path,), label=1, reading=Reading(t=1)), None, 5)
