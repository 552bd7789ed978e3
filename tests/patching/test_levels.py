"""Levels coarser along one axis only are left out, by every reader, and told."""

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.errors import UnreadableSlideError

Steps = tuple[int, int]
"""Every how many rows and columns a level has."""


def shown(level_HWC: NDArray[Any], left: int, top: int, size: Size) -> NDArray[Any]:
    return level_HWC[top : top + size.height, left : left + size.width]


def write_tiff(path: Path, full_HWC: NDArray[np.uint8], steps: list[Steps], ome: bool) -> Path:
    """A pyramid in the sub-directories of an OME-TIFF, or in reduced pages as OpenSlide reads them."""
    options: dict[str, Any] = {"tile": (32, 48), "compression": "zlib", "photometric": "rgb"} | (
        {} if ome else {"metadata": None}
    )
    with tifffile.TiffWriter(path, ome=ome) as file:
        file.write(full_HWC, subifds=len(steps) if ome else None, **options)
        for down, right in steps:
            file.write(full_HWC[::down, ::right], subfiletype=1, **options)
    return path


def write_zarr(path: Path, full_CYX: NDArray[Any], steps: list[Steps]) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=2)
    for number, (down, right) in enumerate([(1, 1), *steps]):
        level_CYX = full_CYX[:, ::down, ::right]
        array = group.create_array(str(number), shape=level_CYX.shape, chunks=(2, 32, 48), dtype="uint16")
        array[:] = level_CYX
    axes = [{"name": "c", "type": "channel"}, *({"name": axis, "type": "space"} for axis in "yx")]
    datasets = [{"path": str(number)} for number in range(len(steps) + 1)]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return path


@pytest.mark.parametrize("first", [(1, 2), (2, 1), (4, 2)])
@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_levels_of_tiffs(reader: str, first: Steps, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full_HWC = np.random.default_rng(2).integers(0, 255, (200, 300, 3), np.uint8)
    path = write_tiff(tmp_path / "a.tif", full_HWC, [first, (4, 4)], reader == "tiff")
    with open_slide(path, reader=reader) as slide:
        assert [level.size for level in slide.levels] == [Size(300, 200), Size(75, 50)]
        # OpenSlide numbers all levels: the second that is kept is its third.
        region_HWC = slide.read_region(Location(80, 120), 1, Size(30, 15))
        np.testing.assert_array_equal(region_HWC, shown(full_HWC[::4, ::4], 20, 30, Size(30, 15)))
    assert "level 1 is left out" in caplog.text


@pytest.mark.parametrize("first", [(1, 2), (2, 1), (1, 3)])
def test_levels_of_zarr(first: Steps, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full_CYX = np.random.default_rng(2).integers(0, 60_000, (3, 200, 300)).astype(np.uint16)
    path = write_zarr(tmp_path / "a.zarr", full_CYX, [first, (4, 4)])
    with open_slide(path) as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 4.0]
        region_HWC = slide.read_region(Location(80, 120), 1, Size(30, 15))
        level_HWC = np.moveaxis(full_CYX[:, ::4, ::4], 0, -1)
        np.testing.assert_array_equal(region_HWC, shown(level_HWC, 20, 30, Size(30, 15)))
    assert "level 1 is left out" in caplog.text


def test_files_that_are_joined_share_the_levels_that_both_have(tmp_path: Path) -> None:
    full_CYX = np.random.default_rng(2).integers(0, 60_000, (3, 200, 300)).astype(np.uint16)
    uneven = write_zarr(tmp_path / "a.zarr", full_CYX, [(1, 2), (4, 4)])
    even = write_zarr(tmp_path / "b.zarr", full_CYX[::-1], [(4, 4)])
    other = write_zarr(tmp_path / "c.zarr", full_CYX, [(2, 2), (4, 4)])
    with open_slide([uneven, even]) as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 4.0]
        region_HWC = slide.read_region(Location(80, 120), 1, Size(30, 15))
        both_HWC = np.moveaxis(np.concatenate([full_CYX, full_CYX[::-1]])[:, ::4, ::4], 0, -1)
        np.testing.assert_array_equal(region_HWC, shown(both_HWC, 20, 30, Size(30, 15)))
    with open_slide([uneven, other]) as slide:
        # The second level of one is not as coarse as that of the other.
        assert [level.downsample for level in slide.levels] == [1.0]


def test_a_level_without_pixels_is_damage(rgb_tiff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openslide.OpenSlide, "level_dimensions", ((300, 200), (150, 0)))
    with pytest.raises(UnreadableSlideError, match="a level without pixels"):
        open_slide(rgb_tiff.path, reader="openslide")
