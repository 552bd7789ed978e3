"""CZI by hand: levels, gaps, overlaps, codecs, and what is refused."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.errors import UnreadableSlideError
from tests.patching import microscope_files as files
from tests.patching.microscope_files import CziTile, covered, noise, raw_tile, whole


def pyramid(tmp_path: Path, coarse: list[tuple[int, int]]) -> tuple[Path, NDArray[Any]]:
    """A mosaic of 2 x 2 tiles with the tiles of half its resolution that are asked for, by their corners."""
    image_HW = noise(160, 240)
    tiles = [
        raw_tile(image_HW[y : y + 80, x : x + 120], (x + 1000, y - 50), M=m)
        for m, (x, y) in enumerate([(0, 0), (120, 0), (0, 80), (120, 80)])
    ]
    half_HW = image_HW[::2, ::2]
    tiles += [
        raw_tile(half_HW[y // 2 : y // 2 + 40, x // 2 : x // 2 + 60], (x + 1000, y - 50), factor=2)
        for x, y in coarse
    ]
    return files.czi(tmp_path / "a.czi", tiles), image_HW


def test_czi_has_the_levels_that_are_whole(tmp_path: Path) -> None:
    path, image_HW = pyramid(tmp_path, [(0, 0), (120, 0), (0, 80), (120, 80)])
    with open_slide(path) as slide:
        assert [level.size for level in slide.levels] == [Size(240, 160), Size(120, 80)]
        part_HWC = slide.read_region(Location(100, 60), 1, Size(40, 30))
    np.testing.assert_array_equal(part_HWC[..., 0], image_HW[::2, ::2][30:60, 50:90])
    np.testing.assert_array_equal(whole(path)[..., 0], image_HW)


def test_a_level_that_lacks_a_tile_is_left_out(tmp_path: Path) -> None:
    path, image_HW = pyramid(tmp_path, [(0, 0), (120, 0), (0, 80)])
    with open_slide(path) as slide:
        assert len(slide.levels) == 1
    np.testing.assert_array_equal(whole(path)[..., 0], image_HW)


def test_the_tile_of_the_greatest_index_is_on_top(tmp_path: Path) -> None:
    tiles = [
        raw_tile(np.full((30, 50), 7, np.uint8), (0, 0), M=2),
        raw_tile(np.full((30, 50), 9, np.uint8), (20, 10), M=1),
    ]
    read_HW = whole(files.czi(tmp_path / "a.czi", tiles))[..., 0]
    assert (read_HW[:30, :50] == 7).all()
    assert (read_HW[30:, 20:] == 9).all()


@pytest.mark.parametrize(
    ("codec", "encode"),
    [
        (4, lambda image: imagecodecs.jpegxr_encode(image, level=1.0)),
        (1, lambda image: imagecodecs.jpeg8_encode(image, level=100)),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_czi_in_jpeg(
    codec: int, encode: Any, channels: int, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    image = brightfield_HWC if channels == 3 else np.ascontiguousarray(brightfield_HWC[..., 0])
    tile = CziTile(encode(image), (0, 0), (300, 200), (300, 200), {"C": 0}, 3 if channels == 3 else 0, codec)
    read_HWC = whole(files.czi(tmp_path / "a.czi", [tile]))
    assert read_HWC.shape == (200, 300, channels)
    difference = np.abs(read_HWC.astype(int) - image.reshape(read_HWC.shape))
    # The reference has red and blue far enough apart that a swap would be seen.
    assert difference.mean() < 3


def test_what_czi_does_not_tell_is_unknown(tmp_path: Path) -> None:
    xml = (
        "<ImageDocument><Metadata><Scaling><Items><Distance Id='X'><Value>1,5e-7</Value></Distance>"
        "<Distance Id='Y'><Value>?</Value></Distance></Items></Scaling><Information><Image><Dimensions>"
        "<Channels>"
        "<Channel Name='Red'/><Channel Name='Green'/><Channel Name='Blue'/></Channels></Dimensions></Image>"
        "</Information></Metadata></ImageDocument>"
    )
    tiles = [raw_tile(noise(20, 30, dtype="uint8", seed=c), (0, 0), C=c) for c in range(3)]
    with open_slide(files.czi(tmp_path / "a.czi", tiles, xml)) as slide:
        assert slide.mpp is None
        assert not slide.brightfield
        assert slide.channels == ("C0", "C1", "C2")


def test_a_channel_that_was_not_scanned_somewhere_is_background(tmp_path: Path) -> None:
    tiles = [
        raw_tile(np.full((30, 50), 900, np.uint16), (0, 0), C=0),
        raw_tile(np.full((30, 50), 800, np.uint16), (50, 0), C=0),
        raw_tile(np.full((30, 50), 700, np.uint16), (50, 0), C=1),
    ]
    read_HWC = whole(files.czi(tmp_path / "a.czi", tiles))
    assert read_HWC[5, 20].tolist() == [900, 0]
    assert read_HWC[5, 70].tolist() == [800, 700]
    assert covered(tmp_path / "a.czi").tolist() == [[False] * 50 + [True] * 50] * 30


def test_gaps_of_a_mosaic_do_not_exist_at_any_level(tmp_path: Path) -> None:
    corners = [(0, 0), (120, 0), (0, 80)]
    tiles = [raw_tile(noise(80, 120, seed=m), corner, M=m) for m, corner in enumerate(corners)]
    # The coarser level was filled up by the program that made it.
    tiles.append(raw_tile(np.full((80, 120), 500, np.uint16), (0, 0), factor=2))
    path = files.czi(tmp_path / "a.czi", tiles)
    for level, (height, width) in ((0, (80, 120)), (1, (40, 60))):
        expected_HW = np.ones((2 * height, 2 * width), np.bool_)
        expected_HW[height:, width:] = False
        np.testing.assert_array_equal(covered(path, level), expected_HW)
        assert not whole(path, level)[~expected_HW].any()
        assert whole(path, level)[expected_HW].any()


def test_a_tile_is_decoded_once_while_there_is_room(tmp_path: Path) -> None:
    path, _ = pyramid(tmp_path, [])
    with open_slide(path) as slide:
        for x in range(0, 240, 40):
            slide.read_region(Location(x, 0), 0, Size(40, 160))
        assert slide.segments_decoded == 4
        slide.limit_cache(0)
        slide.read_region(Location(0, 0), 0, Size(40, 160))
        slide.read_region(Location(0, 0), 0, Size(40, 160))
        assert slide.segments_decoded >= 7


@pytest.mark.parametrize(
    ("tiles", "part", "words"),
    [
        ([raw_tile(noise(20, 30), (0, 0), C=0)], 1, "part 1 of a CZI in several files"),
        ([raw_tile(noise(20, 30), (0, 0), C=0), raw_tile(noise(20, 30, dtype="uint8"), (0, 0), C=1)], 0,
         "channels of several pixel types"),
        ([CziTile(b"raw", (0, 0), (30, 20), (30, 20), {}, 1, 1000)], 0, "compressed by CZI method 1000"),
        ([CziTile(bytes(9600), (0, 0), (30, 20), (30, 20), {}, 11)], 0, "pixels of CZI type 11"),
        ([raw_tile(noise(20, 30), (0, 0), H=h) for h in (0, 1)], 0, "several planes along H"),
        ([raw_tile(noise(20, 30), (0, 0)), raw_tile(noise(20, 30), (900_000, 0))], 0, "tiles far apart"),
        ([raw_tile(noise(20, 30), (0, 0), factor=2)], 0, "without tiles of full resolution"),
        ([CziTile(bytes(1200), (0, 0), (31, 20), (30, 20))], 0, "tiles stored in another size"),
    ],
)  # fmt: skip
def test_czi_that_would_be_read_wrongly_is_refused(
    tiles: list[CziTile], part: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableSlideError, match=words) as refused:
        open_slide(files.czi(tmp_path / "slide", tiles, part=part))
    assert "OME-TIFF" in refused.value.do or words.startswith("several planes")
    assert "a Zeiss CZI" in refused.value.has or words.startswith("several planes")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_czi_cut_off_is_told(share: float, tmp_path: Path) -> None:
    path = files.czi(tmp_path / "a.czi", [raw_tile(noise(60, 80), (0, 0), C=c) for c in range(3)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableSlideError, match=r"a\.czi"):
        whole(path)
