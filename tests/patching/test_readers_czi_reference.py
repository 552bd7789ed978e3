"""CZI exactly as Zeiss' own library reads it, which also writes these files."""

import logging
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.errors import UnreadableSlideError
from tests.patching.microscope_files import CziTile, czi, noise, whole

if sys.version_info >= (3, 14):
    pytest.skip("pylibCZIrw has no wheels for it", allow_module_level=True)
from pylibCZIrw import czi as libczi


def by_libczi(
    path: Path, tiles: list[tuple[NDArray[Any], tuple[int, int], dict[str, int], int]], codec: str = ""
) -> Path:
    with libczi.create_czi(str(path), **({"compression_options": codec} if codec else {})) as file:
        for pixels, corner, plane, scene in tiles:
            file.write(pixels, location=corner, plane=plane, scene=scene)
        file.write_metadata("a", channel_names={0: "SHG", 1: "TPEF"}, scale_x=0.5e-6, scale_y=0.25e-6)
    return path


@pytest.mark.parametrize(
    "codec",
    ["", "zstd0:ExplicitLevel=3", "zstd1:ExplicitLevel=3", "zstd1:ExplicitLevel=3;PreProcess=HiLoByteUnpack"],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_czi_is_what_zeiss_reads(dtype: str, codec: str, tmp_path: Path) -> None:
    corners = [(-30, 20), (60, 5), (-10, 140)]
    tiles = [
        (noise(80, 110, 1, dtype=dtype, seed=7 * c + 3 * z + m), corner, {"C": c, "Z": z}, 0)
        for c in range(2) for z in range(3) for m, corner in enumerate(corners)
    ]  # fmt: skip
    path = by_libczi(tmp_path / "a.czi", tiles, codec)
    with libczi.open_czi(str(path)) as file, open_slide(path, z=1) as slide:
        box = file.total_bounding_rectangle
        assert (slide.size, slide.channels) == (Size(box.w, box.h), ("SHG", "TPEF"))
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((0.5, 0.25))
        assert slide.bounds == Location(0, 0)
        for x, y, width, height in (
            (0, 0, box.w, box.h),
            (77, 3, 60, 150),
            (-9, 100, 40, 190),
            (150, 30, 5, 1),
        ):
            region_HWC = slide.read_region(Location(x, y), 0, Size(width, height))
            for channel in range(2):
                roi = (box.x + x, box.y + y, width, height)
                expected_HW1 = file.read(plane={"C": channel, "Z": 1}, roi=roi, background_pixel=(0, 0, 0))
                np.testing.assert_array_equal(region_HWC[..., channel : channel + 1], expected_HW1)
    top_HWC = whole(path, z="max")
    np.testing.assert_array_equal(top_HWC, np.max([whole(path, z=z) for z in range(3)], axis=0))


def test_czi_of_light_is_red_green_blue(tmp_path: Path) -> None:
    pixels_HWC = noise(90, 130, 3, dtype="uint8")
    path = by_libczi(tmp_path / "a.czi", [(pixels_HWC, (0, 0), {}, 0)], "zstd0:ExplicitLevel=1")
    with libczi.open_czi(str(path)) as file:
        expected_HWC = file.read()[..., ::-1]
    with open_slide(path) as slide:
        assert (slide.channels, slide.brightfield) == (("R", "G", "B"), True)
    np.testing.assert_array_equal(whole(path), expected_HWC)


def test_scenes_are_images_of_their_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small, large = noise(40, 60, 1), noise(70, 90, 1, seed=1)
    path = by_libczi(tmp_path / "a.czi", [(small, (0, 0), {}, 0), (large, (90_000, 500), {}, 1)])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(whole(path), large)
    assert "of 2 images the largest is read, number 1" in caplog.text
    np.testing.assert_array_equal(whole(path, series=0), small)
    with pytest.raises(UnreadableSlideError, match="2 images"):
        open_slide(path, series=2)


_BGR, _RGB = 0x0C, 0x0D


@pytest.mark.parametrize(
    ("kind", "dtype", "channels"), [(0, "uint8", 1), (1, "uint16", 1), (3, "uint8", 3), (4, "uint16", 3)]
)
def test_jpeg_xr_is_what_zeiss_reads(kind: int, dtype: str, channels: int, tmp_path: Path) -> None:
    image = noise(96, 128, *[3][: channels // 3], dtype=dtype)
    data = bytearray(imagecodecs.jpegxr_encode(image, level=1.0))
    if kind == 3:
        # Zeiss marks 8-bit colors as blue, green, red: the last byte of the pixel format.
        mark = data.index(bytes.fromhex("24c3dd6f034efe4bb1853d77768dc9")) + 15
        assert data[mark] == _RGB
        data[mark] = _BGR
    tile = CziTile(bytes(data), (0, 0), (128, 96), (128, 96), {"C": 0, "M": 0}, kind, 4)
    path = czi(tmp_path / "a.czi", [tile])
    with libczi.open_czi(str(path)) as file:
        expected_HWC = file.read()
    np.testing.assert_array_equal(whole(path), expected_HWC[..., ::-1])
    assert np.unique(expected_HWC).size > 200
