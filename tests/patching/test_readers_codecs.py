"""Pyramids in sub-IFDs, of every pixel type and compression, give the pixels that were written."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from patching import Location, Size, open_slide

LOSSLESS: dict[str, dict[str, Any]] = {
    "none": {},
    "lzw": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "zlib"},
    "zstd": {"compression": "zstd"},
    "jpeg2000": {"compression": "jpeg2000", "compressionargs": {"level": 0}},
}
KINDS = ["uint8", "uint16", "float32"]


def texture(dtype: str, channels: int = 3) -> NDArray[Any]:
    rng = np.random.default_rng(4)
    image_HWC = rng.integers(0, 250, (200, 300, channels)) * (200 if dtype == "uint16" else 1)
    return (image_HWC / 7 if dtype == "float32" else image_HWC).astype(dtype)


def write_pyramid(path: Path, levels: list[NDArray[Any]], **options: Any) -> None:
    """Tiles of 64 x 48, coarser levels in sub-IFDs, one page per channel."""
    with tifffile.TiffWriter(path, ome=True) as tiff:
        common = {"photometric": "minisblack", "tile": (64, 48)} | options
        planes = [np.ascontiguousarray(np.moveaxis(level, -1, 0)) for level in levels]
        tiff.write(planes[0], subifds=len(levels) - 1, metadata={"axes": "CYX"}, **common)
        for plane in planes[1:]:
            tiff.write(plane, subfiletype=1, **common)


@pytest.mark.parametrize(
    ("dtype", "compression"),
    [(dtype, name) for dtype in KINDS for name in LOSSLESS if (dtype, name) != ("float32", "jpeg2000")],
)
def test_lossless(dtype: str, compression: str, tmp_path: Path) -> None:
    path, full_HWC = tmp_path / "pyramid.ome.tif", texture(dtype)
    levels = [full_HWC, full_HWC[::2, ::2], full_HWC[::4, ::4]]
    write_pyramid(path, levels, **LOSSLESS[compression])
    with open_slide(path) as slide:
        assert (slide.dtype, len(slide.levels), slide.brightfield) == (np.dtype(dtype), 3, False)
        for number, level_HWC in enumerate(levels):
            place = Location(16 << number, 12 << number)
            region_HWC = slide.read_region(place, number, Size(45, 30))
            np.testing.assert_array_equal(region_HWC, level_HWC[12:42, 16:61])


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_is_as_tifffile_decodes_it(photometric: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    y_H1, x_1W = np.mgrid[:200, :300]
    image_HWC = np.stack([x_1W % 256, y_H1, (x_1W + y_H1) // 2], axis=-1).astype(np.uint8)
    options: dict[str, Any] = {"compression": "jpeg", "compressionargs": {"level": 90}, "tile": (64, 64)}
    if photometric == "ycbcr":
        options["subsampling"] = (2, 2)
    tifffile.imwrite(path, image_HWC, photometric="rgb", metadata=None, **options)
    with open_slide(path) as slide:
        whole_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    np.testing.assert_array_equal(whole_HWC, tifffile.imread(path))
    assert abs(whole_HWC.astype(int) - image_HWC).mean() < 6


def test_a_missing_tile_of_one_separate_sample(tmp_path: Path) -> None:
    """Samples stored apart: where a tile of the second is not stored, the others keep theirs."""
    path = tmp_path / "sparse.tif"
    tile_HW = np.full((64, 64), 90, np.uint8)
    per_sample = 4 * 5
    tiles = (None if number == per_sample else tile_HW for number in range(3 * per_sample))
    options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "separate", "tile": (64, 64)}
    tifffile.imwrite(
        path, tiles, shape=(3, 200, 300), dtype=np.uint8, compression="zlib", metadata=None, **options
    )
    with open_slide(path) as slide:
        pixel_C = slide.read_region(Location(5, 5), 0, Size(1, 1))[0, 0]
        other_C = slide.read_region(Location(100, 100), 0, Size(1, 1))[0, 0]
    assert pixel_C.tolist() == [90, 0, 90]
    assert other_C.tolist() == [90, 90, 90]


def write_stack(folder: Path) -> Path:
    path = folder / "stack.ome.tif"
    planes = np.moveaxis(texture("uint16", 12), -1, 0).reshape(3, 4, 200, 300)
    tifffile.imwrite(
        path, planes, ome=True, metadata={"axes": "ZCYX"}, photometric="minisblack", tile=(64, 48)
    )
    return path


def write_zarr(folder: Path) -> Path:
    path = folder / "slide.zarr"
    group = zarr.open_group(path, mode="w")
    array = group.create_array("0", shape=(200, 300), chunks=(48, 64), dtype="uint16")
    array[:] = texture("uint16", 1)[..., 0]
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    return path


def write_projected(folder: Path) -> tuple[Path | str, dict[str, Any]]:
    return write_stack(folder), {"z": "max"}


def write_folder(folder: Path) -> tuple[Path | str, dict[str, Any]]:
    return write_zarr(folder), {}


def write_address(folder: Path) -> tuple[Path | str, dict[str, Any]]:
    return f"file://{write_zarr(folder)}", {}


@pytest.mark.parametrize(
    "write", [write_projected, write_folder, write_address], ids=lambda write: write.__name__
)
def test_threads_share_a_slide(write: Any, tmp_path: Path) -> None:
    source, choice = write(tmp_path)
    places = np.random.default_rng(0).integers(-20, 280, (60, 2))
    with open_slide(source, **choice) as slide:
        whole_HWC = np.pad(slide.read_region(Location(-100, -100), 0, Size(600, 600)), ((0, 0),) * 3)
    with open_slide(source, **choice) as slide:
        slide.limit_cache(2**20)
        slide.expect(0, places, Size(70, 50))

        def right(place: NDArray[np.int64]) -> bool:
            x, y = map(int, place)
            expected_HWC = whole_HWC[y + 100 : y + 150, x + 100 : x + 170]
            return np.array_equal(slide.read_region(Location(x, y), 0, Size(70, 50)), expected_HWC)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(right, places))
